// What the buttons beside a time range do, in seconds.

export type Span = { from: number; to: number };

/** moved goes back or forward by half of what is shown, never beyond now. */
export function moved({ from, to }: Span, by: -1 | 1, now: number): Span {
  const step = ((to - from) / 2) * by;
  const over = Math.max(0, to + step - now);
  return { from: from + step - over, to: to + step - over };
}

const longest = 90 * 86_400;

/** wider shows twice as much around the middle, never beyond now. */
export function wider({ from, to }: Span, now: number): Span {
  const length = Math.min((to - from) * 2, longest);
  const middle = (from + to) / 2;
  const end = Math.min(middle + length / 2, now);
  return { from: end - length, to: end };
}

/** localInput is a time as <input type="datetime-local"> wants it. */
export function localInput(seconds: number): string {
  const d = new Date(seconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** spanOf reads two such inputs; a text says what is wrong. */
export function spanOf(from: string, to: string, now: number): Span | string {
  const a = Date.parse(from) / 1000;
  const b = to === "" ? now : Date.parse(to) / 1000;
  if (!Number.isFinite(a)) return "Say when it begins.";
  if (!Number.isFinite(b)) return "The end is not a time.";
  if (a >= now) return "It begins in the future.";
  if (b <= a) return "It ends before it begins.";
  if (b - a < 60) return "It is shorter than a minute.";
  return { from: Math.floor(a), to: Math.ceil(b) };
}
