import { expect, test } from "vitest";
import { timeLabels, timeSplits, timeStep, valueAxis, valueLabels } from "./ticks";

const GiB = 2 ** 30;

test("an axis begins at zero and ends on a line", () => {
  expect(valueAxis({ min: 30, max: 91 }, "load")).toEqual({ low: 0, high: 100, splits: [0, 50, 100] });
  expect(valueAxis({ min: 1, max: 3.4 }, "load").splits).toEqual([0, 1, 2, 3, 4]);
});

test("a top that is said is the top, until the values are above it", () => {
  expect(valueAxis({ min: 0, max: 0.4 }, "ratio", { max: 1 })).toMatchObject({ low: 0, high: 1 });
  expect(valueAxis({ min: 0, max: 1.3 }, "ratio", { max: 1 }).high).toBeGreaterThanOrEqual(1.3);
});

test("bytes are counted in powers of two, in one unit for an axis", () => {
  const a = valueAxis({ min: 0, max: 3.5 * GiB }, "bytes");
  expect(valueLabels(a.splits, "bytes")).toEqual(["0", "1 GiB", "2 GiB", "3 GiB", "4 GiB"]);
  expect(valueLabels([0, GiB / 2, GiB], "bytes")).toEqual(["0", "0.5 GiB", "1 GiB"]);
  expect(valueLabels([0, 512 * 1024], "bytes/s")).toEqual(["0", "512 KiB/s"]);
});

test("hosts are whole", () => {
  expect(valueAxis({ min: 0, max: 2 }, "count").splits).toEqual([0, 1, 2]);
});

test("durations, shares and large counts read as people say them", () => {
  expect(valueLabels([0, 0.05, 0.1], "seconds")).toEqual(["0", "50 ms", "100 ms"]);
  expect(valueLabels([0, 1800, 3600], "seconds")).toEqual(["0", "30 min", "60 min"]);
  expect(valueLabels([0, 0.5, 1], "ratio")).toEqual(["0 %", "50 %", "100 %"]);
  expect(valueLabels([0, 50_000], "per second")).toEqual(["0", "50k/s"]);
});

test("nothing at all, and all zero, still have an axis", () => {
  expect(valueAxis(undefined, "bytes").high).toBeGreaterThan(0);
  expect(valueAxis({ min: 0, max: 0 }, "ratio").high).toBeGreaterThan(0);
  expect(valueAxis({ min: 5, max: 5 }, "load", { zero: false }).low).toBeLessThan(5);
});

test("values below zero are seen", () => {
  const a = valueAxis({ min: -3, max: 2 }, "load");
  expect(a.low).toBeLessThanOrEqual(-3);
  expect(a.splits).toContain(0);
});

test("time has full steps of the clock here, with the day where it begins", () => {
  const midnight = new Date(2026, 0, 2).getTime() / 1000;
  const step = timeStep(midnight - 3600, midnight + 3600, 500);
  expect(step).toBe(1800);
  expect(timeLabels(timeSplits(midnight - 3600, midnight + 3600, step), step)).toEqual(["23:00", "23:30", "2 Jan", "00:30", "01:00"]);
  expect(timeLabels([midnight + 15], 15)).toEqual(["00:00:15"]);
});

test("days begin at midnight here", () => {
  const start = new Date(2026, 2, 27, 12).getTime() / 1000;
  const splits = timeSplits(start, start + 5 * 86_400, 86_400);
  expect(splits).toHaveLength(5);
  for (const s of splits) expect(new Date(s * 1000).getHours()).toBe(0);
});
