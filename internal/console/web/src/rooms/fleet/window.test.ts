import { expect, test } from "vitest";
import { lineAt, offsets, sight } from "./window";

const starts = offsets([40, ...Array.from({ length: 999 }, () => 32)]);

test("lines begin where those before end", () => {
  expect(offsets([40, 32, 32])).toEqual([0, 40, 72, 104]);
  expect(offsets([])).toEqual([0]);
});

test.each([[-5, 0], [0, 0], [39, 0], [40, 1], [71, 1], [72, 2], [1e9, 999]])("at %d is line %d", (y, line) => expect(lineAt(starts, y)).toBe(line));

test("what is in sight is drawn, and some lines around it", () => {
  const [from, to] = sight(starts, 10_000, 10_800);
  expect(from).toBeLessThanOrEqual(lineAt(starts, 10_000) - 12);
  expect(to).toBeGreaterThan(lineAt(starts, 10_800) + 12);
  expect(to - from).toBeLessThan(90);
});

test("a small scroll draws nothing anew", () => {
  expect(sight(starts, 10_000, 10_800)).toEqual(sight(starts, 10_010, 10_810));
});

test("at both ends", () => {
  expect(sight(starts, -300, 500)[0]).toBe(0);
  expect(sight(starts, 40_000, 41_000)[1]).toBe(1000);
  expect(sight([0], 0, 500)).toEqual([0, 0]);
  expect(sight(offsets([32]), 0, 500)).toEqual([0, 1]);
});
