import { expect, it } from "vitest";
import { alikeTasks } from "./alike";

const task = (name: string, status: string, after = "") => ({ name, status, diff: after ? [{ before: "", after }] : [] }) as never;

it("takes hosts together whose tasks changed the same, each under its own name", () => {
  const groups = alikeTasks([
    { host: "web-1", failed: false, tasks: [task("motd", "changed", "I am web-1"), task("cron", "ok")] },
    { host: "web-2", failed: false, tasks: [task("motd", "changed", "I am web-2")] },
    { host: "db-1", failed: false, tasks: [task("motd", "changed", "I am the database")] },
  ]);
  expect(groups.map((g) => g.hosts)).toEqual([["web-1", "web-2"], ["db-1"]]);
  expect(groups[0]!.tasks).toHaveLength(1);
});

it("puts failures first and hosts with nothing to change last", () => {
  const groups = alikeTasks([
    { host: "a", failed: false, tasks: [task("x", "ok")] },
    { host: "b", failed: false, tasks: [task("x", "changed")] },
    { host: "c", failed: true, message: "no space", tasks: [task("x", "failed")] },
    { host: "d", failed: false, tasks: [] },
  ]);
  expect(groups.map((g) => g.hosts.join())).toEqual(["c", "b", "a,d"]);
});
