import { expect, test } from "vitest";
import { grouped, split, type Task } from "./tasks";

const task = (name: string, status: string, rest: Partial<Task> = {}): Task => ({ name, status, duration: 1e6, ...rest });

test("tasks stand under their roles, in the order in which they ran", () => {
  const groups = grouped([task("nginx : install", "ok"), task("nginx : write the site", "changed"), task("restart", "changed"), task("nginx : late", "ok")]);
  expect(groups.map((g) => [g.role, g.nodes.map((n) => n.name)])).toEqual([
    ["nginx", ["install", "write the site"]],
    ["", ["restart"]],
    ["nginx", ["late"]],
  ]);
  expect(groups[0]!.counts).toEqual({ ok: 1, changed: 1, failed: 0, skipped: 0 });
});

test("the items of a loop are one task, as bad as its worst", () => {
  const [g] = grouped([task("users : add", "ok", { item: "ada" }), task("users : add", "failed", { item: "bob" }), task("users : add", "changed", { item: "eve" })]);
  expect(g!.nodes).toHaveLength(1);
  expect(g!.nodes[0]!.status).toBe("failed");
  expect(g!.nodes[0]!.took).toBe(3);
});

test("two tasks of the same name without items stay two", () => {
  expect(grouped([task("a", "ok"), task("a", "ok")])[0]!.nodes).toHaveLength(2);
});

test("only what changed or failed, when that is asked for", () => {
  const names = grouped([task("a", "ok"), task("b", "changed"), task("c", "skipped"), task("d", "ignored")], true).flatMap((g) => g.nodes.map((n) => n.name));
  expect(names).toEqual(["b", "d"]);
});

test("a name splits at its first colon between spaces", () => {
  expect(split("web : check : twice")).toEqual({ role: "web", task: "check : twice" });
  expect(split("copy")).toEqual({ role: "", task: "copy" });
});
