import { expect, test } from "vitest";
import { merged, sorted } from "./rows";

const row = (name: string, state = "converged") => ({ name, state, connected: true });
const names = (rows: { name: string }[]) => rows.map((r) => r.name);

test("hosts are in the order in which people count", () => {
  expect(names(sorted([row("web-10"), row("web-2"), row("db-1")]))).toEqual(["db-1", "web-2", "web-10"]);
});

test("a changed row takes its place, the others stay the same objects", () => {
  const before = sorted([row("a"), row("b"), row("c")]);
  const after = merged(before, [row("b", "failed")], []);
  expect(after[1]?.state).toBe("failed");
  expect(after[0]).toBe(before[0]);
  expect(after[2]).toBe(before[2]);
});

test("new hosts are sorted in and removed ones go", () => {
  expect(names(merged(sorted([row("web-1"), row("web-3")]), [row("web-2")], ["web-1"]))).toEqual(["web-2", "web-3"]);
});

test("nothing changed is the same list", () => {
  const before = [row("a")];
  expect(merged(before, [], [])).toBe(before);
});

test("a host that was removed and enrolled again within one change is there", () => {
  expect(names(merged([row("a")], [row("a", "new")], ["a"]))).toEqual(["a"]);
});
