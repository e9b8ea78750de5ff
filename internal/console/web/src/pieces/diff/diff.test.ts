import { expect, test } from "vitest";
import { diff, words, type Op } from "./diff";

function apply(a: string[], b: string[], ops: Op[]): { a: string[]; b: string[] } {
  const out = { a: [] as string[], b: [] as string[] };
  for (const o of ops) {
    if (o.kind !== "added") out.a.push(...a.slice(o.a, o.a + o.n));
    if (o.kind !== "removed") out.b.push(...b.slice(o.b, o.b + o.n));
    if (o.kind === "equal") expect(a.slice(o.a, o.a + o.n)).toEqual(b.slice(o.b, o.b + o.n));
  }
  return out;
}

const cost = (ops: Op[]) => ops.reduce((n, o) => n + (o.kind === "equal" ? 0 : o.n), 0);

test("the example of Myers' paper takes five steps", () => {
  const a = [..."ABCABBA"];
  const b = [..."CBABAC"];
  const ops = diff(a, b);
  expect(apply(a, b, ops)).toEqual({ a, b });
  expect(cost(ops)).toBe(5);
});

test("a difference leads from the one to the other, whatever they are", () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let round = 0; round < 300; round++) {
    const a = Array.from({ length: random(30) }, () => "abcd"[random(4)]!);
    const b = Array.from({ length: random(30) }, () => "abcd"[random(4)]!);
    expect(apply(a, b, diff(a, b))).toEqual({ a, b });
    expect(apply(a, b, diff(a, b, 4))).toEqual({ a, b });
  }
});

test("what went stands before what came", () => {
  expect(diff(["x", "old", "y"], ["x", "new", "y"]).map((o) => o.kind)).toEqual(["equal", "removed", "added", "equal"]);
});

test("two large texts with nothing in common are replaced, in bounded steps", () => {
  const a = Array.from({ length: 60_000 }, (_, i) => `a${i}`);
  const b = Array.from({ length: 60_000 }, (_, i) => `b${i}`);
  expect(diff(a, b)).toEqual([
    { kind: "removed", a: 0, b: 0, n: 60_000 },
    { kind: "added", a: 60_000, b: 0, n: 60_000 },
  ]);
});

test("words marks only what differs in a line", () => {
  const m = words("worker_processes 4;", "worker_processes auto;")!;
  expect(m.before.map(([f, t]) => "worker_processes 4;".slice(f, t))).toEqual(["4"]);
  expect(m.after.map(([f, t]) => "worker_processes auto;".slice(f, t))).toEqual(["auto"]);
});

test("lines with nothing in common have no marks", () => {
  expect(words("alpha beta", "gamma delta")).toBeUndefined();
  expect(words("x".repeat(5000), "x".repeat(5001))).toBeUndefined();
});
