import { expect, test } from "vitest";
import { cluster, merge } from "./marks";
import type { Tone } from "../states";

const e = (x: number, tone: Tone = "ok") => ({ x, tone });
const of = (list: { x: number; tone: Tone }[]) => cluster(list, (v) => v.x, (v) => v.tone).map((m) => [m.x, m.events.length, m.tone]);

test("what lies on one another is one mark with the worst tone", () => {
  expect(of([e(0), e(5, "bad"), e(13, "info"), e(40, "warn")])).toEqual([
    [0, 3, "bad"],
    [40, 1, "warn"],
  ]);
});

test("a mark does not grow without end: it is as wide as its first", () => {
  expect(of([e(0), e(10), e(20), e(30)])).toEqual([
    [0, 2, "ok"],
    [20, 2, "ok"],
  ]);
});

test("order does not matter, and nothing is nothing", () => {
  expect(of([e(40), e(0)]).map((m) => m[0])).toEqual([0, 40]);
  expect(of([])).toEqual([]);
});

test("an event that was asked for and came by itself is there once", () => {
  expect(merge([{ seq: 1 }, { seq: 2 }], [{ seq: 2 }, { seq: 3 }]).map((x) => x.seq)).toEqual([1, 2, 3]);
});
