import { diff, words, type Mark } from "./diff";

/** One row of a diff. In the split view a row has a left and a right side. */
export type Side = { line: number; text: string; marks?: Mark[] };
export type Row =
  | { kind: "equal"; before: Side; after: Side }
  | { kind: "changed"; before: Side | undefined; after: Side | undefined }
  | { kind: "fold"; n: number; rows: Row[]; head?: string }
  | { kind: "note"; text: string };

const around = 3;
const fewest = 4; // hiding fewer lines than that helps nobody

/** lines cuts a text; a last line without an end is a line all the same. */
export function lines(text: string): string[] {
  if (text === "") return [];
  const out = text.split("\n");
  if (out.at(-1) === "") out.pop();
  return out;
}

/** compare gives the rows of two texts, with long equal parts folded. */
export function compare(before: string, after: string): Row[] {
  if (binary(before) || binary(after)) return before === after ? [] : [{ kind: "note", text: "A binary file: it differs." }];
  const a = lines(before);
  const b = lines(after);
  const out: Row[] = [];
  const ops = diff(a, b);
  for (let i = 0; i < ops.length; i++) {
    const o = ops[i]!;
    if (o.kind === "equal") {
      for (let n = 0; n < o.n; n++) out.push({ kind: "equal", before: { line: o.a + n + 1, text: a[o.a + n]! }, after: { line: o.b + n + 1, text: b[o.b + n]! } });
      continue;
    }
    const next = ops[i + 1];
    const gone = o.kind === "removed" ? a.slice(o.a, o.a + o.n).map((text, n) => ({ line: o.a + n + 1, text })) : [];
    const added = o.kind === "added" ? o : next?.kind === "added" ? next : undefined;
    const come = added ? b.slice(added.b, added.b + added.n).map((text, n) => ({ line: added.b + n + 1, text })) : [];
    if (o.kind === "removed" && added) i++;
    out.push(...paired(gone, come));
  }
  const end = (s: string) => s === "" || s.endsWith("\n");
  if (end(before) !== end(after)) out.push({ kind: "note", text: end(after) ? "Before, the last line had no end." : "Now the last line has no end." });
  return fold(out);
}

/** paired puts what went beside what came, and marks what differs within a line. */
export function paired(gone: Side[], come: Side[]): Row[] {
  const out: Row[] = [];
  for (let n = 0; n < Math.max(gone.length, come.length); n++) {
    let before = gone[n];
    let after = come[n];
    if (before && after) {
      const m = words(before.text, after.text);
      if (m) {
        before = { ...before, marks: m.before };
        after = { ...after, marks: m.after };
      }
    }
    out.push({ kind: "changed", before, after });
  }
  return out;
}

function fold(rows: Row[]): Row[] {
  const out: Row[] = [];
  let i = 0;
  while (i < rows.length) {
    if (rows[i]!.kind !== "equal") {
      out.push(rows[i++]!);
      continue;
    }
    let end = i;
    while (end < rows.length && rows[end]!.kind === "equal") end++;
    const from = i === 0 ? i : i + around;
    const to = end === rows.length ? end : end - around;
    if (to - from < fewest) out.push(...rows.slice(i, end));
    else out.push(...rows.slice(i, from), { kind: "fold", n: to - from, rows: rows.slice(from, to) }, ...rows.slice(to, end));
    i = end;
  }
  return out;
}

/** binary: a text has no NUL in it. */
export function binary(s: string): boolean {
  return s.slice(0, 8000).includes("\0");
}

/** patchRows reads a unified patch, as git and diff -u write it. */
export function patchRows(patch: string): Row[] {
  const out: Row[] = [];
  let gone: Side[] = [];
  let come: Side[] = [];
  let a = 0; // the next line's number, before and after
  let b = 0;
  let leftA = 0; // lines that the hunk still has
  let leftB = 0;
  const flush = () => {
    out.push(...paired(gone, come));
    gone = [];
    come = [];
  };
  for (const l of lines(patch)) {
    const inside = leftA > 0 || leftB > 0;
    const hunk = inside ? null : /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/.exec(l);
    if (hunk) {
      flush();
      const from = Number(hunk[1]);
      // The lines between are not in the patch, and are only counted.
      const skipped = a === 0 ? Math.max(from - 1, 0) : from - a;
      a = from;
      b = Number(hunk[3]);
      leftA = hunk[2] === undefined ? 1 : Number(hunk[2]);
      leftB = hunk[4] === undefined ? 1 : Number(hunk[4]);
      if (skipped > 0 || hunk[5]) out.push({ kind: "fold", n: Math.max(skipped, 0), rows: [], ...(hunk[5] ? { head: hunk[5] } : {}) });
      continue;
    }
    if (l.startsWith("\\")) {
      flush();
      out.push({ kind: "note", text: "The last line has no end." });
      continue;
    }
    if (!inside) {
      const note = header(l);
      if (note) {
        flush();
        out.push({ kind: "note", text: note });
      }
      if (l.startsWith("diff ")) a = 0;
      continue;
    }
    if (l.startsWith("-")) {
      if (come.length > 0) flush();
      gone.push({ line: a++, text: l.slice(1) });
      leftA--;
    } else if (l.startsWith("+")) {
      come.push({ line: b++, text: l.slice(1) });
      leftB--;
    } else {
      flush();
      const text = l.slice(1);
      out.push({ kind: "equal", before: { line: a++, text }, after: { line: b++, text } });
      leftA--;
      leftB--;
    }
  }
  flush();
  return out;
}

function header(l: string): string | undefined {
  if (/^(Binary files .* differ|GIT binary patch)/.test(l)) return "A binary file: it differs.";
  const mode = /^(old|new) mode (\d+)/.exec(l);
  if (mode) return `${mode[1] === "old" ? "Before, its" : "Now its"} mode is ${mode[2]!.slice(-4)}`.replace("Before, its mode is", "Before, its mode was");
  const moved = /^rename from (.+)/.exec(l);
  return moved ? `It was ${moved[1]}` : undefined;
}

/** count is how many lines were added and removed. */
export function count(rows: Row[]): { added: number; removed: number } {
  const out = { added: 0, removed: 0 };
  for (const r of rows) {
    if (r.kind !== "changed") continue;
    if (r.before) out.removed++;
    if (r.after) out.added++;
  }
  return out;
}

/** unify orders split rows for one column: within a change, all that went before all that came. */
export function unify(rows: Row[]): Row[] {
  const out: Row[] = [];
  let come: Row[] = [];
  for (const r of rows) {
    if (r.kind !== "changed") {
      out.push(...come, r);
      come = [];
      continue;
    }
    if (r.before) out.push({ ...r, after: undefined });
    if (r.after) come.push({ ...r, before: undefined });
  }
  return [...out, ...come];
}
