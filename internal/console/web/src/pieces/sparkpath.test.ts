import { expect, test } from "vitest";
import { sparkPath } from "./sparkpath";

test("a spark stands on zero and reaches the top at its largest value", () => {
  const { line, last } = sparkPath([0, 5, 10], 104, 24);
  expect(line).toBe("M2 22L52 12L102 2");
  expect(last).toEqual([102, 2]);
});

test("a gap breaks the line, and a lonely value is a dot", () => {
  const { line } = sparkPath([1, 1, null, 1, null], 104, 24, 2);
  expect(line.match(/M/g)).toHaveLength(2);
  expect(line).toContain("h0.01");
});

test("zeros lie on the ground, and nothing at all draws nothing", () => {
  expect(sparkPath([0, 0], 104, 24).line).toBe("M2 22L102 22");
  expect(sparkPath([null, null], 104, 24)).toEqual({ line: "", area: "", last: undefined });
  expect(sparkPath([], 104, 24).line).toBe("");
});
