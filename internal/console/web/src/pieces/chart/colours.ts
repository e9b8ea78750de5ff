// A canvas knows no style sheet: the tokens are read when it draws.

export type Colours = { series: string[]; text: string; line: string; surface: string; accent: string; tone: Record<string, string> };

export function readColours(el: Element): Colours {
  const style = getComputedStyle(el);
  const token = (name: string) => style.getPropertyValue(name).trim();
  return {
    series: Array.from({ length: 8 }, (_, i) => token(`--series-${i + 1}`)),
    text: token("--text-3"),
    line: token("--line"),
    surface: token("--surface-0"),
    accent: token("--accent"),
    tone: { ok: token("--ok"), warn: token("--warn"), bad: token("--bad"), info: token("--info"), idle: token("--text-3") },
  };
}

/** alpha makes a token's colour see-through. */
export function alpha(colour: string, part: number): string {
  return `color-mix(in srgb, ${colour} ${Math.round(part * 100)}%, transparent)`;
}
