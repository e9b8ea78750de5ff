import { describe, expect, it } from "vitest";
import { inWords, retryAfter } from "./patience";

describe("how long to wait before the next sign-in", () => {
  it.each([
    ["try again in 10s", null, 10],
    ["try again in 8 seconds", "2", 8],
    ["try again in 1m30s", null, 90],
    ["try again in a minute", "30", 30],
    [undefined, null, 0],
  ])("%s and %s is %d s", (words, header, want) => expect(retryAfter(words, header)).toBe(want));
});

it("counts down in words", () => {
  expect([0.2, 45, 60, 65].map(inWords)).toEqual(["1 s", "45 s", "1 min", "1 min 5 s"]);
});
