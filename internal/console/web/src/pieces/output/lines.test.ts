import { expect, test } from "vitest";
import { Feed, Lines, occurrences } from "./lines";

const raws = (l: Lines) => Array.from({ length: l.count }, (_, i) => l.line(i)!.raw);

test("text that comes in pieces is cut into the same lines", () => {
  const whole = new Lines();
  whole.push("one\ntwo\r\nthree\n\nfive");
  const parts = new Lines();
  for (const c of "one\ntwo\r\nthree\n\nfive") parts.push(c);
  expect(raws(whole)).toEqual(["one", "two", "three", "", "five"]);
  expect(raws(parts)).toEqual(raws(whole));
});

test("colours go on over lines and pieces", () => {
  const l = new Lines();
  l.push("\x1b[3");
  l.push("1mred\nstill");
  expect(l.line(1)!.start).toEqual({ fg: 1 });
});

test("what goes to stderr is a line of its own", () => {
  const l = new Lines();
  l.push("out");
  l.push("err\n", true);
  l.push("more\n");
  expect([0, 1, 2].map((i) => [l.line(i)!.raw, l.line(i)!.stderr])).toEqual([["out", false], ["err", true], ["more", false]]);
});

test("search finds lines in any case, through colours, and in what came later", () => {
  const l = new Lines();
  l.push("Err\x1b[31mor one\nfine\nerr");
  expect(l.find("error")).toEqual([0]);
  l.push("or two\n");
  expect(l.find("ERROR")).toEqual([0, 2]);
  expect(l.find("")).toEqual([]);
});

test("a feed reads only what is new, and begins anew with another output", () => {
  const f = new Feed();
  const a = [{ text: "a\n" }];
  expect(raws(f.take(a))).toEqual(["a"]);
  const first = f.lines;
  expect(raws(f.take([...a, { text: "b\n" }]))).toEqual(["a", "b"]);
  expect(f.lines).toBe(first);
  expect(raws(f.take([{ text: "x\n" }, { text: "y\n" }, { text: "z\n" }]))).toEqual(["x", "y", "z"]);
  const s = new Feed();
  s.take("one\ntw");
  expect(raws(s.take("one\ntwo\nthree"))).toEqual(["one", "two", "three"]);
  expect(raws(s.take("other and longer than before"))).toEqual(["other and longer than before"]);
});

test("a line without an end is cut, and says so", () => {
  const l = new Lines();
  for (let i = 0; i < 50; i++) l.push("x".repeat(1000));
  expect(l.count).toBe(1);
  expect(l.line(0)!.raw.length).toBeLessThan(10_300);
  expect(l.line(0)!.raw).toContain("left out");
});

test("occurrences are marked where they are", () => {
  expect(occurrences("a Foo foo", "foo")).toEqual([[2, 5], [6, 9]]);
  expect(occurrences("abc", "")).toEqual([]);
});
