import { describe, expect, test } from "vitest";
import type { Alert } from "~/alerts/alerts";
import { alertsSay, groupsOfAlerts, matches, rulesOf } from "./words";

const alert = (name: string, host: string, more: Partial<Alert> = {}): Alert => ({ name, host, state: "firing", severity: "warning", summary: `${host}: ${name}`, since: "2026-05-01T11:00:00Z", value: 1, labels: {}, expr: "up == 0", ...more });

describe("the sentence of the alerts", () => {
  test.each([
    [[], 9, 42, "Nothing fires. 9 rules watch 42 hosts."],
    [[], 1, 1, "Nothing fires. 1 rule watches 1 host."],
    [[], undefined, undefined, "Nothing fires."],
    [[alert("A", "a", { state: "pending" })], 9, 3, "Nothing fires. 1 alert is pending. 9 rules watch 3 hosts."],
    [[alert("A", "db-2", { summary: "db-2: / is full in about 9 hours" })], 9, 3, "On db-2, / is full in about 9 hours. Nothing else fires."],
    [[alert("A", "db-2", { summary: "db-2 has 97 % of its memory in use" })], 9, 3, "db-2 has 97 % of its memory in use. Nothing else fires."],
    [[alert("A", "a"), alert("B", "b", { severity: "critical" }), alert("B", "c")], 9, 3, "3 alerts fire, 1 of them critical."],
  ] as [Alert[], number | undefined, number | undefined, string][])("%#", (alerts, rules, hosts, want) => expect(alertsSay(alerts, rules, hosts)).toBe(want));
});

test("alerts of one rule stand together, the most severe first, then the many", () => {
  const list = [alert("Low", "a"), alert("Many", "a"), alert("Many", "b", { since: "2026-05-01T11:30:00Z" }), alert("Down", "c", { severity: "critical" })];
  expect(groupsOfAlerts(list).map((g) => [g.name, g.alerts.map((a) => a.host)])).toEqual([["Down", ["c"]], ["Many", ["b", "a"]], ["Low", ["a"]]]);
});

test("all words must be in an alert", () => {
  const a = alert("DiskFull", "db-2", { severity: "critical", labels: { mountpoint: "/srv" } });
  expect(matches(a, "critical db-2")).toBe(true);
  expect(matches(a, "mountpoint=/srv")).toBe(true);
  expect(matches(a, "critical web")).toBe(false);
  expect(matches(a, "")).toBe(true);
});

test("rules are read from Prometheus' answer, and what is not there is nothing", () => {
  expect(rulesOf({})).toEqual([]);
  const [rule] = rulesOf({ data: { groups: [{ name: "g", rules: [{ type: "alerting", name: "A", state: "firing", query: "up == 0", duration: 30, health: "err", lastError: "no", annotations: { description: "d" }, alerts: [{ state: "firing" }, { state: "pending" }] }] }] } });
  expect(rule).toEqual({ name: "A", group: "g", type: "alerting", state: "firing", query: "up == 0", seconds: 30, summary: "d", problem: "no", firing: 1, pending: 1 });
});
