import { describe, expect, test } from "vitest";
import type { Alert } from "~/alerts/alerts";
import type { HostRow } from "~/app/overview";
import { attention } from "./attention";
import { healthOf } from "./health";

const now = Date.parse("2026-05-01T12:00:00Z");
const host = (name: string, more: Partial<HostRow> = {}): HostRow => ({ name, state: "converged", connected: true, ...more });
const alert = (name: string, on: string | undefined, more: Partial<Alert> = {}): Alert => ({
  name, ...(on ? { host: on } : {}), state: "firing", severity: "warning", summary: `${on}: ${name}`, since: "2026-05-01T11:00:00Z", value: 1, labels: {}, expr: "up == 0", ...more,
});
const keys = (hosts: HostRow[], alerts?: Alert[]) => attention(hosts, alerts, now).map((i) => i.key);

describe("what needs attention", () => {
  test("nothing, while all is well", () => {
    expect(attention([host("a"), host("b", { state: "converging" }), host("c", { paused: true })], [], now)).toEqual([]);
  });

  test("worst first: critical alerts, failed, away, other alerts, behind, drifted", () => {
    const hosts = [
      host("drifted", { drifted: "2026-05-01T10:00:00Z" }), host("behind", { revision: "a", assigned: "b" }), host("away", { connected: false }),
      host("failed", { state: "failed" }), host("low"), host("full"),
    ];
    expect(keys(hosts, [alert("MemoryLow", "low"), alert("DiskFull", "full", { severity: "critical" })])).toEqual([
      "DiskFull/full/0", "failed/failed", "away/away", "MemoryLow/low/0", "behind/behind", "drifted/drifted",
    ]);
  });

  test("up to three of a kind are told one by one, more are one item with the way to them", () => {
    const three = Array.from({ length: 3 }, (_, i) => host(`h${i}`, { state: "failed" }));
    expect(keys(three)).toEqual(["failed/h0", "failed/h1", "failed/h2"]);
    const four = [...three, host("h3", { state: "failed" })];
    const [item, ...more] = attention(four, [], now);
    expect(more).toEqual([]);
    expect(item).toMatchObject({ key: "failed", hosts: ["h0", "h1", "h2", "h3"], next: { to: "/", search: { q: "state:failed" } } });
  });

  test("of many failures the message that most have is told", () => {
    const hosts = Array.from({ length: 5 }, (_, i) => host(`h${i}`, { state: "failed", message: i < 4 ? "cannot reach the mirror" : "no space" }));
    expect(attention(hosts, [], now)[0]?.what).toBe("failed, 4 of them with: cannot reach the mirror");
  });

  test("an alert that says what the list says already is told once", () => {
    expect(keys([host("a", { connected: false })], [alert("HostDown", "a", { severity: "critical" })])).toEqual(["away/a"]);
    expect(keys([host("a", { state: "failed" })], [alert("ConvergeFailed", "a")])).toEqual(["failed/a"]);
  });

  test("an alert of a host whose state says nothing of it stands", () => {
    expect(keys([host("a")], [alert("HostDown", "a")])).toEqual(["HostDown/a/0"]);
  });

  test("pending alerts do not need anybody yet", () => {
    expect(keys([host("a")], [alert("DiskFull", "a", { state: "pending" })])).toEqual([]);
  });

  test("an alert of no host is told by its summary", () => {
    const [item] = attention([host("a")], [alert("TargetsGone", undefined, { summary: "no target answers" })], now);
    expect(item).toMatchObject({ hosts: [], what: "no target answers", clause: "no target answers" });
  });

  test("a drift is news for a day", () => {
    expect(keys([host("a", { drifted: "2026-04-30T11:59:00Z" })])).toEqual([]);
    expect(keys([host("a", { drifted: "2026-04-30T12:01:00Z" })])).toEqual(["drifted/a"]);
  });

  test("an away host that failed is away: what it failed at cannot be mended before", () => {
    expect(keys([host("a", { connected: false, state: "failed" })])).toEqual(["away/a"]);
  });
});

describe("the health of a host", () => {
  const word = (h: HostRow, alerts: Alert[] = []) => healthOf(h, alerts, now).word;
  test.each([
    [host("a"), "converged"],
    [host("a", { state: "failed" }), "failed"],
    [host("a", { connected: false }), "away"],
    [host("a", { state: "converging" }), "converging"],
    [host("a", { paused: true }), "paused"],
    [host("a", { state: "new" }), "new"],
    [host("a", { revision: "a", assigned: "b" }), "behind"],
    [host("a", { state: "new", assigned: "b" }), "new"],
    [host("a", { revision: "a", assigned: "b", paused: true }), "paused"],
    [host("a", { drifted: "2026-05-01T11:00:00Z" }), "drifted"],
  ] as [HostRow, string][])("%#: %s", (h, want) => expect(word(h)).toBe(want));
  test("an alert is worse than a drift and makes a critical host red", () => {
    const h = healthOf(host("a", { drifted: "2026-05-01T11:00:00Z" }), [alert("MemoryLow", "a"), alert("DiskFull", "a", { severity: "critical" })], now);
    expect(h).toMatchObject({ word: "alerting", tone: "bad" });
    expect(h.alerts[0]?.name).toBe("DiskFull");
    expect([...h.all]).toEqual(["drifted", "converged", "alerting"]);
  });
});
