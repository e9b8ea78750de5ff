import { expect, test } from "vitest";
import { align, canAdd, extent, few, grid, lonely, nearest, stack, summary } from "./columns";

test("a grid has both ends", () => {
  expect(grid(0, 60, 15)).toEqual([0, 15, 30, 45, 60]);
  expect(grid(0, 50, 15)).toEqual([0, 15, 30, 45]);
});

test("series with other times stand on one grid, with gaps as gaps", () => {
  const lines = align(
    [
      { name: "a", points: [[0, 1], [30, 3]] },
      { name: "a", points: [[15, 2], [999, 9], [30, NaN]] },
    ],
    grid(0, 45, 15),
  );
  expect(lines).toEqual([
    { name: "a", values: [1, null, 3, null] },
    { name: "a (2)", values: [null, 2, null, null] },
  ]);
});

const line = (name: string, ...values: (number | null)[]) => ({ name, values });

test("the seven largest stay in their order, and the others are one", () => {
  const all = Array.from({ length: 10 }, (_, i) => line(`s${i}`, i, i));
  const { lines, others } = few(all, true);
  expect(lines.map((l) => l.name)).toEqual(["s3", "s4", "s5", "s6", "s7", "s8", "s9", "3 others, sum"]);
  expect(lines.at(-1)!.values).toEqual([3, 3]);
  expect(others).toBe(3);
  expect(few(all, false).lines.at(-1)).toEqual({ name: "3 others, mean", values: [1, 1] });
  expect(few(all.slice(0, 8), true).lines).toHaveLength(8);
});

test("hosts and bytes add up, shares and times do not", () => {
  expect((["bytes", "count", "ratio", "seconds", "load"] as const).map(canAdd)).toEqual([true, true, false, false, false]);
});

test("others that have a gap at the same time have one together", () => {
  const all = [line("big", 9, 9), line("x", 1, null), line("y", null, null), line("z", 1, null)];
  expect(few(all, true, 2).lines.at(-1)!.values).toEqual([2, null]);
});

test("a stack adds up, and is broken only where all are", () => {
  expect(stack([line("a", 1, null, null), line("b", 2, 2, null)])).toEqual([
    [1, null, null],
    [3, 2, null],
  ]);
});

test("a legend says the last known, the least and the most", () => {
  expect(summary([1, 5, 3, null])).toEqual({ last: 3, min: 1, max: 5 });
  expect(summary([null])).toEqual({ last: null, min: null, max: null });
  expect(extent([[null], [null, -2, 4]])).toEqual({ min: -2, max: 4 });
  expect(extent([[null]])).toBeUndefined();
});

test("a value between gaps is a point", () => {
  expect(lonely([1, null, 2, 3, null, 4])).toEqual([0, 5]);
});

test("the nearest time is found", () => {
  const times = [0, 10, 20];
  expect([-5, 4, 6, 14, 99].map((t) => nearest(times, t))).toEqual([0, 0, 1, 1, 2]);
});
