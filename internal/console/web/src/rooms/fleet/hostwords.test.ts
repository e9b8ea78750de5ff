import { describe, expect, test } from "vitest";
import type { Alert } from "~/alerts/alerts";
import type { HostRow } from "~/app/overview";
import { healthOf } from "./health";
import { flat, hostSays, labelPatch, readLabels, writeLabels } from "./hostwords";

const now = Date.parse("2026-05-01T12:00:00Z");
const host = (more: Partial<HostRow> = {}): HostRow => ({ name: "db-2", state: "converged", connected: true, converged: "2026-05-01T11:57:00Z", revision: "abcdef0123456789", assigned: "abcdef0123456789", ...more });
const says = (h: HostRow, alerts: Alert[] = []) => hostSays(h, healthOf(h, alerts, now), now);
const alert = (summary: string, severity = "warning"): Alert => ({ name: "X", host: "db-2", state: "firing", severity, summary, since: "", value: 1, labels: {}, expr: "up == 0" });

describe("the sentence of a host", () => {
  test.each([
    [host(), "db-2 is converged at abcdef0123, 3 min ago."],
    [host({ state: "failed", message: "cannot install nginx" }), "db-2 could not be converged, 3 min ago: cannot install nginx."],
    [host({ state: "failed", failed: 2 }), "db-2 could not be converged, 3 min ago: 2 tasks failed."],
    [host({ connected: false, lastSeen: "2026-05-01T11:13:00Z" }), "db-2 is away for 47 min: its agent is not connected."],
    [host({ connected: false }), "db-2 is away: its agent is not connected."],
    [host({ paused: true }), "db-2 is paused: it converges nothing."],
    [host({ state: "converging" }), "db-2 is converging to abcdef0123."],
    [host({ state: "new" }), "db-2 is connected and waits for a first revision."],
    [host({ assigned: "fedcba9876543210" }), "db-2 is at abcdef0123, and should be at fedcba9876."],
    [host({ drifted: "2026-05-01T09:00:00Z" }), "db-2 is converged, 3 min ago; 3 h ago it had drifted and was put right."],
  ] as [HostRow, string][])("%#: %s", (h, want) => expect(says(h).fact).toBe(want));
  test("what is wrong has a next step, what is well has none", () => {
    expect(says(host({ state: "failed" })).todo).toContain("tried again");
    expect(says(host({ connected: false })).todo).toContain("systemctl status drover-agent");
    expect(says(host()).todo).toBeUndefined();
  });
  test.each([
    ["db-2: / is full in about 9 hours", "db-2: / is full in about 9 hours."],
    ["db-2 has 97 % of its memory in use", "db-2: has 97 % of its memory in use."],
    ["The clock of db-2 is 40s off", "The clock of db-2 is 40s off."],
  ])("an alert: %s", (summary, want) => expect(says(host(), [alert(summary)]).fact).toBe(want));
  test("more alerts are counted, those for information alone are no news", () => {
    expect(says(host(), [alert("db-2: a"), alert("db-2: b")]).fact).toBe("db-2: a, and 1 more alert.");
    expect(says(host(), [alert("db-2: a", "info")]).fact).toBe("db-2 is converged at abcdef0123, 3 min ago.");
  });
});

describe("labels", () => {
  test("lines are read and written", () => {
    expect(readLabels("env=prod\n\n site = a=b \nspare\n")).toEqual({ labels: { env: "prod", site: "a=b", spare: "" }, problems: [] });
    expect(readLabels(writeLabels({ env: "prod", spare: "" })).labels).toEqual({ env: "prod", spare: "" });
  });
  test("what is wrong is said", () => {
    expect(readLabels("=x\nenv=a\nenv=b").problems).toEqual(["“=x” has no key: write key=value", "env is there twice"]);
  });
  test("only what changed is sent, and what went is null", () => {
    expect(labelPatch({ a: "1", b: "2" }, { a: "1", c: "3" })).toEqual({ c: "3", b: null });
    expect(labelPatch({ a: "1" }, { a: "1" })).toBeUndefined();
    expect(labelPatch(undefined, { constructor: "x" })).toEqual({ constructor: "x" });
  });
});

test("facts are flat", () => {
  expect(flat({ b: { ip: "192.0.2.1", n: 1 }, a: ["x", "y"], c: [{ d: true }], e: null })).toEqual([
    { key: "a", value: "x, y" }, { key: "b.ip", value: "192.0.2.1" }, { key: "b.n", value: "1" }, { key: "c.0.d", value: "true" }, { key: "e", value: "" },
  ]);
});
