import { expect, it } from "vitest";
import { apply, diff, merge, paths } from "./patch";

it.each([
  [{ a: 1 }, { a: 1 }],
  [{ a: 1, b: { c: 2, d: 3 } }, { a: 1, b: { c: 2 } }],
  [{ a: [1, 2] }, { a: [1] }],
  [{}, { a: { b: {} } }],
  [{ a: { b: 1 } }, { a: "text" }],
  [{ a: 1 }, {}],
])("makes %j into %j by its own patch", (from, to) => {
  const d = diff(from, to);
  expect(d === undefined ? from : apply(from, d)).toEqual(to);
});

it("names the fields of a patch", () => {
  expect(paths(diff({ spec: { a: 1, b: 2 }, labels: { x: "1" } }, { spec: { a: 2 }, labels: { x: "1", y: "2" } })).sort()).toEqual(["labels.y", "spec.a", "spec.b"]);
  expect(paths(undefined)).toEqual([]);
});

it("keeps both changes when they touch different fields", () => {
  const m = merge({ spec: { paused: false, address: "a" } }, { spec: { paused: true, address: "a" } }, { spec: { paused: false, address: "b" } });
  expect(m).toEqual({ merged: { spec: { paused: true, address: "b" } }, theirs: ["spec.address"], both: [] });
});

it("keeps mine and says so when both touch the same field", () => {
  const m = merge({ spec: { address: "a" } }, { spec: { address: "mine" } }, { spec: { address: "theirs" } });
  expect(m).toEqual({ merged: { spec: { address: "mine" } }, theirs: ["spec.address"], both: ["spec.address"] });
});

it("sees no quarrel where both did the same", () => {
  expect(merge({ a: 1 }, { a: 2 }, { a: 2 }).both).toEqual([]);
});
