// Myers' difference (An O(ND) Difference Algorithm and Its Variations, 1986),
// with a bound: what differs by more than `most` steps is shown as replaced,
// so that no file of a host can hold up the page.

export type Op = { kind: "equal" | "added" | "removed"; a: number; b: number; n: number };

const most = 1500;

/** diff gives the runs of equal, removed and added elements that lead from a to b. */
export function diff(a: ArrayLike<string>, b: ArrayLike<string>, bound = most): Op[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const out: Op[] = [];
  const push = (kind: Op["kind"], at: number, bt: number, n: number) => {
    if (n === 0) return;
    const last = out.at(-1);
    if (last?.kind === kind) last.n += n;
    else out.push({ kind, a: at, b: bt, n });
  };
  push("equal", 0, 0, head);
  for (const o of middle(a, b, head, a.length - tail, head, b.length - tail, bound)) push(o.kind, o.a, o.b, o.n);
  push("equal", a.length - tail, b.length - tail, tail);
  return out;
}

function middle(a: ArrayLike<string>, b: ArrayLike<string>, a0: number, a1: number, b0: number, b1: number, bound: number): Op[] {
  const n = a1 - a0;
  const m = b1 - b0;
  const replaced: Op[] = [
    { kind: "removed", a: a0, b: b0, n },
    { kind: "added", a: a1, b: b0, n: m },
  ];
  if (n === 0 || m === 0) return replaced;
  const limit = Math.min(n + m, bound);
  const trace: Int32Array[] = [];
  const v = new Int32Array(2 * limit + 3); // v[k + limit + 1] is how far diagonal k reaches
  const off = limit + 1;
  let found = -1;
  search: for (let d = 0; d <= limit; d++) {
    trace.push(v.slice(off - d - 1, off + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && v[off + k - 1]! < v[off + k + 1]!) ? v[off + k + 1]! : v[off + k - 1]! + 1;
      let y = x - k;
      while (x < n && y < m && a[a0 + x] === b[b0 + y]) {
        x++;
        y++;
      }
      v[off + k] = x;
      if (x >= n && y >= m) {
        found = d;
        break search;
      }
    }
  }
  if (found < 0) return replaced;
  // Back from the end along what each step came from.
  const back: Op[] = [];
  let x = n;
  let y = m;
  for (let d = found; d > 0; d--) {
    const was = trace[d]!; // was[k + d + 1]
    const at = (k: number) => was[k + d + 1]!;
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = down ? k + 1 : k - 1;
    const px = at(from);
    const py = px - from;
    const sx = down ? px : px + 1;
    if (x > sx) back.push({ kind: "equal", a: a0 + sx, b: b0 + sx - k, n: x - sx });
    back.push(down ? { kind: "added", a: a0 + px, b: b0 + py, n: 1 } : { kind: "removed", a: a0 + px, b: b0 + py, n: 1 });
    x = px;
    y = py;
  }
  if (x > 0) back.push({ kind: "equal", a: a0, b: b0, n: x });
  return tidy(back.reverse());
}

/** tidy joins runs, and puts within each change what went before what came. */
function tidy(ops: Op[]): Op[] {
  const out: Op[] = [];
  let i = 0;
  while (i < ops.length) {
    if (ops[i]!.kind === "equal") {
      out.push(ops[i++]!);
      continue;
    }
    const { a, b } = ops[i]!;
    let gone = 0;
    let come = 0;
    for (; i < ops.length && ops[i]!.kind !== "equal"; i++) {
      if (ops[i]!.kind === "removed") gone += ops[i]!.n;
      else come += ops[i]!.n;
    }
    if (gone) out.push({ kind: "removed", a, b, n: gone });
    if (come) out.push({ kind: "added", a: a + gone, b, n: come });
  }
  return out;
}

export type Mark = [from: number, to: number];

const longest = 1000;

/** words marks what differs within two lines; none when they have too little in common. */
export function words(before: string, after: string): { before: Mark[]; after: Mark[] } | undefined {
  if (before.length > longest || after.length > longest) return undefined;
  const cut = (s: string) => s.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];
  const x = cut(before);
  const y = cut(after);
  const ops = diff(x, y, 200);
  let same = 0;
  for (const o of ops) if (o.kind === "equal") same += length(x, o.a, o.n, true);
  const all = Math.max(before.replace(/\s/g, "").length, after.replace(/\s/g, "").length);
  if (all === 0 || same / all < 0.35) return undefined;
  const marks = { before: [] as Mark[], after: [] as Mark[] };
  for (const o of ops) {
    if (o.kind === "removed") mark(marks.before, length(x, 0, o.a), length(x, o.a, o.n));
    if (o.kind === "added") mark(marks.after, length(y, 0, o.b), length(y, o.b, o.n));
  }
  return marks;
}

function length(parts: string[], from: number, n: number, ink = false): number {
  let out = 0;
  for (let i = from; i < from + n; i++) out += ink ? parts[i]!.trim().length : parts[i]!.length;
  return out;
}

function mark(list: Mark[], from: number, n: number): void {
  if (list.at(-1)?.[1] === from) list.at(-1)![1] += n;
  else list.push([from, from + n]);
}
