import { endStyle, none, plain, type Style } from "./ansi";

export type Chunk = { text: string; stderr?: boolean };

export type Line = { raw: string; start: Style; stderr: boolean };

const longest = 10_000; // of a line, in characters: what is longer is no text to read

/** Lines takes output in as it comes, and cuts it into lines once. */
export class Lines {
  private lines: Line[] = [];
  private open = false; // the last line has no end yet
  private style: Style = none;
  private text: string[] | undefined; // the lines as they are searched, made when somebody searches
  /** Characters of the longest line. */
  longest = 0;
  characters = 0;

  get count(): number {
    return this.lines.length;
  }

  line(i: number): Line | undefined {
    return this.lines[i];
  }

  push(text: string, stderr = false): void {
    if (text === "") return;
    this.characters += text.length;
    let from = 0;
    while (from < text.length) {
      const end = text.indexOf("\n", from);
      this.add(text.slice(from, end < 0 ? text.length : end), stderr, end >= 0);
      from = end < 0 ? text.length : end + 1;
    }
  }

  private add(piece: string, stderr: boolean, ended: boolean): void {
    const last = this.lines.at(-1);
    let line: Line;
    if (this.open && last && last.stderr === stderr) {
      last.raw += piece;
      line = last;
      if (this.text) this.text.length = Math.min(this.text.length, this.lines.length - 1);
    } else {
      if (this.open && last) this.style = endStyle(last.raw, last.start);
      line = { raw: piece, start: this.style, stderr };
      this.lines.push(line);
    }
    if (line.raw.length > longest + 200) line.raw = `${line.raw.slice(0, longest)}\x1b[0m … the rest of this line is left out`;
    if (line.raw.length > this.longest) this.longest = line.raw.length;
    this.open = !ended;
    if (ended) {
      if (line.raw.endsWith("\r")) line.raw = line.raw.slice(0, -1);
      this.style = endStyle(line.raw, line.start);
    }
  }

  /** find gives the numbers (from 0) of the lines in which the words occur, in any case. */
  find(words: string): number[] {
    const want = words.toLowerCase();
    if (want === "") return [];
    this.text ??= [];
    for (let i = this.text.length; i < this.lines.length; i++) this.text.push(plain(this.lines[i]!.raw).toLowerCase());
    const out: number[] = [];
    for (let i = 0; i < this.text.length; i++) if (this.text[i]!.includes(want)) out.push(i);
    return out;
  }
}

/** Feed turns what a page has of an output, again and again, into Lines, and reads only what is new. */
export class Feed {
  lines = new Lines();
  private last: string | Chunk[] = "";
  private taken = 0;

  take(chunks: string | Chunk[]): Lines {
    if (!this.goesOn(chunks)) {
      this.lines = new Lines();
      this.taken = 0;
    }
    if (typeof chunks === "string") {
      this.lines.push(chunks.slice(this.taken));
    } else {
      for (let i = this.taken; i < chunks.length; i++) this.lines.push(chunks[i]!.text, chunks[i]!.stderr);
    }
    this.taken = chunks.length;
    this.last = chunks;
    return this.lines;
  }

  private goesOn(chunks: string | Chunk[]): boolean {
    if (chunks.length < this.taken || typeof chunks !== typeof this.last) return false;
    if (typeof chunks === "string") return chunks.startsWith(this.last as string);
    const last = this.last as Chunk[];
    return this.taken === 0 || (chunks[0] === last[0] && chunks[this.taken - 1] === last[this.taken - 1]);
  }
}

/** occurrences are the places of a word in a text, for marking them. */
export function occurrences(text: string, words: string): [from: number, to: number][] {
  const out: [number, number][] = [];
  const low = text.toLowerCase();
  const want = words.toLowerCase();
  if (want === "" || low.length !== text.length) return out; // a letter that changes its length cannot be marked
  for (let at = low.indexOf(want); at >= 0 && out.length < 200; at = low.indexOf(want, at + want.length)) out.push([at, at + want.length]);
  return out;
}
