// What programs write for terminals, as spans of text with a look. Colours are
// of ECMA-48 (SGR, 8.3.117) with the 256 and true colours of xterm. Everything
// else a terminal would do (move, erase, set a title, ring) is left out or
// shown as a sign: an output can change nothing but its own colours.

export type Style = {
  /** 0 to 15, or "#rrggbb". */
  fg?: number | string;
  bg?: number | string;
  bold?: true;
  dim?: true;
  italic?: true;
  underline?: true;
  strike?: true;
  inverse?: true;
};

export type Span = { text: string; style: Style };

export const none: Style = Object.freeze({});

// A string command (OSC, DCS, …) counts only when it is ended: an open one must not swallow text.
// eslint-disable-next-line no-control-regex
const token = /\x1b\[([0-?]*)[ -/]*([@-~])|\x9b([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\r|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** parse cuts a line (without its end) into spans, and says the look that the next line begins with. */
export function parse(line: string, start: Style = none): { spans: Span[]; end: Style } {
  let style = start;
  let spans: Span[] = [];
  let at = 0;
  const put = (text: string) => {
    if (text === "") return;
    const last = spans.at(-1);
    if (last && last.style === style) last.text += text;
    else spans.push({ text, style });
  };
  token.lastIndex = 0;
  for (let m = token.exec(line); m; m = token.exec(line)) {
    put(line.slice(at, m.index));
    at = m.index + m[0].length;
    const final = m[2] ?? m[4];
    if (final !== undefined) {
      if (final === "m") style = sgr(style, m[1] ?? m[3] ?? "");
    } else if (m[0] === "\r") {
      // A progress bar writes its line again: the last state counts.
      if (at < line.length) spans = [];
    } else if (m[0].length === 1) put(sign(m[0]));
  }
  put(line.slice(at));
  return { spans, end: style };
}

/** plain is the text of a line as it is shown. */
export function plain(line: string): string {
  if (!special.test(line)) return line;
  return parse(line)
    .spans.map((s) => s.text)
    .join("");
}

// eslint-disable-next-line no-control-regex
const special = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

/** endStyle is the look after a line, without making its spans. */
export function endStyle(line: string, start: Style): Style {
  return line.includes("\x1b") || line.includes("\x9b") ? parse(line, start).end : start;
}

function sign(c: string): string {
  const code = c.charCodeAt(0);
  if (code < 0x20) return `^${String.fromCharCode(0x40 + code)}`; // as cat -v writes them
  if (code === 0x7f) return "^?";
  if (code < 0xa0) return "\ufffd";
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`; // it would turn round the text that follows
}

function sgr(old: Style, params: string): Style {
  let s: Style = { ...old };
  // Both "38;5;1" and "38:5:1" are written.
  const codes = params.split(/[;:]/).map((p) => (p === "" ? 0 : Number(p)));
  for (let i = 0; i < codes.length; i++) {
    const c = codes[i]!;
    if (c === 0) s = {};
    else if (c === 1) s.bold = true;
    else if (c === 2) s.dim = true;
    else if (c === 3) s.italic = true;
    else if (c === 4) s.underline = true;
    else if (c === 7) s.inverse = true;
    else if (c === 9) s.strike = true;
    else if (c === 22) {
      delete s.bold;
      delete s.dim;
    } else if (c === 23) delete s.italic;
    else if (c === 24) delete s.underline;
    else if (c === 27) delete s.inverse;
    else if (c === 29) delete s.strike;
    else if (c >= 30 && c <= 37) s.fg = c - 30;
    else if (c >= 40 && c <= 47) s.bg = c - 40;
    else if (c >= 90 && c <= 97) s.fg = c - 82;
    else if (c >= 100 && c <= 107) s.bg = c - 92;
    else if (c === 39) delete s.fg;
    else if (c === 49) delete s.bg;
    else if (c === 38 || c === 48) {
      const [colour, used] = extended(codes, i + 1);
      i += used;
      if (colour === undefined) continue;
      if (c === 38) s.fg = colour;
      else s.bg = colour;
    }
  }
  return Object.keys(s).length === 0 ? none : s;
}

function extended(codes: number[], at: number): [colour: number | string | undefined, used: number] {
  if (codes[at] === 5) {
    const n = codes[at + 1] ?? -1;
    return [n >= 0 && n <= 255 ? indexed(n) : undefined, 2];
  }
  if (codes[at] === 2) {
    const rgb = codes.slice(at + 1, at + 4);
    return [rgb.length === 3 && rgb.every((v) => v >= 0 && v <= 255) ? hex(rgb) : undefined, 4];
  }
  return [undefined, 1];
}

const steps = [0, 95, 135, 175, 215, 255];

function indexed(n: number): number | string {
  if (n < 16) return n;
  if (n >= 232) return hex(Array(3).fill(8 + (n - 232) * 10));
  const c = n - 16;
  return hex([steps[Math.floor(c / 36)]!, steps[Math.floor(c / 6) % 6]!, steps[c % 6]!]);
}

function hex(rgb: number[]): string {
  return `#${rgb.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
}
