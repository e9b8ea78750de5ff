import { expect, test } from "vitest";
import { localInput, moved, spanOf, wider } from "./range";

test("back and forward go half a range, and never beyond now", () => {
  expect(moved({ from: 100, to: 200 }, -1, 1000)).toEqual({ from: 50, to: 150 });
  expect(moved({ from: 100, to: 200 }, 1, 220)).toEqual({ from: 120, to: 220 });
  expect(moved({ from: 100, to: 200 }, 1, 200)).toEqual({ from: 100, to: 200 });
});

test("wider keeps the middle, until now is in the way", () => {
  expect(wider({ from: 100, to: 200 }, 1000)).toEqual({ from: 50, to: 250 });
  expect(wider({ from: 100, to: 200 }, 210)).toEqual({ from: 10, to: 210 });
});

test("a range that is typed is read, or told what is wrong with it", () => {
  const now = Date.parse("2026-01-02T12:00:00") / 1000;
  expect(spanOf("2026-01-02T10:00", "2026-01-02T11:00", now)).toEqual({ from: now - 7200, to: now - 3600 });
  expect(spanOf("2026-01-02T10:00", "", now)).toEqual({ from: now - 7200, to: now });
  expect(spanOf("", "", now)).toMatch(/begins/);
  expect(spanOf("2026-01-02T11:00", "2026-01-02T10:00", now)).toMatch(/before/);
  expect(spanOf("2027-01-02T11:00", "", now)).toMatch(/future/);
});

test("a time goes into the field and back", () => {
  const t = Date.parse("2026-01-02T03:04:05") / 1000;
  expect(localInput(t)).toBe("2026-01-02T03:04:05");
});
