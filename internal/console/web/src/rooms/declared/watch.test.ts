import { expect, it } from "vitest";
import { nothing, take, type Seen } from "./watch";

const run = (events: [string, unknown][], from: Seen = nothing) => events.reduce((s, [type, data]) => take(s, { type, data }), from);
const names = (s: Seen) => [...s.objects.keys()].sort().join(" ");

it("shows nothing before it is whole", () => {
  const s = run([["resync", {}], ["put", { name: "a" }]]);
  expect(s.synced).toBe(false);
  expect(names(run([["put", { name: "b" }], ["synced", {}]], s))).toBe("a b");
});

it("follows puts and deletes", () => {
  const s = run([["resync", {}], ["put", { name: "a" }], ["synced", {}], ["put", { name: "b" }], ["delete", { name: "a" }]]);
  expect(names(s)).toBe("b");
});

it("shows the old while it is told everything again, and forgets what is gone", () => {
  const first = run([["resync", {}], ["put", { name: "a" }], ["put", { name: "b" }], ["synced", {}]]);
  const half = run([["resync", {}], ["put", { name: "b" }]], first);
  expect(names(half)).toBe("a b");
  expect(names(run([["synced", {}]], half))).toBe("b");
});

it("makes a new list for each change, so that readers see it", () => {
  const a = run([["resync", {}], ["put", { name: "a" }], ["synced", {}]]);
  expect(take(a, { type: "put", data: { name: "a", revision: 2 } }).objects).not.toBe(a.objects);
  expect(take(a, { type: "delete", data: { name: "x" } })).toBe(a);
});
