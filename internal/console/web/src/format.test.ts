import { describe, expect, test } from "vitest";
import { ago, amount, bytes, counted, duration, listed, percent } from "./format";

describe("numbers", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.98 KiB"],
    [1536, "1.5 KiB"],
    [5 * 2 ** 30, "5 GiB"],
    [Number.NaN, "–"],
  ])("bytes %d", (v, want) => expect(bytes(v)).toBe(want));
  test.each([
    [0, "0 %"],
    [0.034, "3.4 %"],
    [0.5, "50 %"],
    [1.2, "120 %"],
  ])("percent %d", (v, want) => expect(percent(v)).toBe(want));
  test("a value that is missing is a dash, never 0", () => {
    expect(amount(undefined, "bytes")).toBe("–");
    expect(amount(null, "ratio")).toBe("–");
  });
});

describe("times", () => {
  test.each([
    [0.4, "400 µs"],
    [180, "180 ms"],
    [4200, "4.2 s"],
    [185_000, "3 min 5 s"],
    [7_800_000, "2 h 10 min"],
    [90_000_000, "1 d 1 h"],
  ])("duration of %d ms", (v, want) => expect(duration(v)).toBe(want));
  const from = Date.parse("2026-03-04T12:00:00Z");
  test.each([
    ["2026-03-04T11:59:58Z", "just now"],
    ["2026-03-04T11:59:10Z", "50 s ago"],
    ["2026-03-04T11:57:00Z", "3 min ago"],
    ["2026-03-03T12:00:00Z", "24 h ago"],
    ["2026-03-01T12:00:00Z", "3 days ago"],
    ["2026-03-04T12:01:00Z", "in 1 min"],
  ])("%s", (at, want) => expect(ago(at, from)).toBe(want));
});

test("words", () => {
  expect(counted(1, "host")).toBe("1 host");
  expect(counted(3000, "host")).toBe("3,000 hosts");
  expect(listed(["a"])).toBe("a");
  expect(listed(["a", "b", "c"])).toBe("a, b and c");
  expect(listed(["a", "b", "c", "d", "e"])).toBe("a, b, c and 2 more");
});
