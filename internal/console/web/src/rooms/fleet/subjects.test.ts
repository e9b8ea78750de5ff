import { describe, expect, test } from "vitest";
import type { Alert } from "~/alerts/alerts";
import type { HostRow } from "~/app/overview";
import { grouped, keeper, labelKeys, linesOf, ordered, orderOf } from "./subjects";

const host = (name: string, more: Partial<HostRow> = {}): HostRow => ({ name, state: "converged", connected: true, ...more });
const firing: Alert = { name: "DiskFull", host: "b", state: "firing", severity: "critical", summary: "b: / is full", since: "", value: 1, labels: {}, expr: "up == 0" };
const none = new Map<string, never>();
const names = (list: { host: HostRow }[]) => list.map((s) => s.host.name);

describe("keeping", () => {
  const hosts = [host("a"), host("b")];
  test("what has not changed stays the same object", () => {
    const keep = keeper();
    const before = keep(hosts, none, none, 1);
    const after = keep([hosts[0]!, host("b", { state: "failed" })], none, none, 2);
    expect(after[0]).toBe(before[0]);
    expect(after[1]?.health.word).toBe("failed");
  });
  test("an alert that begins or ends makes the host anew", () => {
    const keep = keeper();
    const before = keep(hosts, none, none, 1);
    const during = keep(hosts, new Map([["b", [firing]]]), none, 1);
    expect(during[1]?.health.word).toBe("alerting");
    expect(keep(hosts, new Map([["b", [firing]]]), none, 1)[1]).toBe(during[1]);
    expect(keep(hosts, none, none, 1)[1]?.health.word).toBe(before[1]?.health.word);
  });
  test("a drift grows old by itself", () => {
    const keep = keeper();
    const drifted = [host("a", { drifted: "2026-05-01T10:00:00Z" })];
    expect(keep(drifted, none, none, Date.parse("2026-05-01T12:00:00Z"))[0]?.health.word).toBe("drifted");
    expect(keep(drifted, none, none, Date.parse("2026-05-02T12:00:00Z"))[0]?.health.word).toBe("converged");
  });
});

const fleet = keeper()(
  [
    host("a", { groups: ["all", "web"], labels: { env: "prod" } }), host("b", { groups: ["all", "web", "db"], state: "failed" }),
    host("c", { groups: ["all"], labels: { env: "test" } }),
  ],
  none, new Map([["a", { cpu: 0.2 }], ["b", { cpu: 0.9 }]]), 1,
);

describe("order", () => {
  test.each([
    [undefined, ["a", "b", "c"]], ["-name", ["c", "b", "a"]], ["state", ["b", "a", "c"]], ["-cpu", ["b", "a", "c"]], ["cpu", ["c", "a", "b"]],
    ["nonsense", ["a", "b", "c"]], ["-toString", ["a", "b", "c"]],
  ])("%s", (by, want) => expect(names(ordered(fleet, orderOf(by)))).toEqual(want));
});

describe("grouping", () => {
  const by = (k: string | undefined) => grouped(fleet, k)?.map((g) => [g.name, names(g.subjects), g.bad]);
  test("none", () => expect(by(undefined)).toBeUndefined());
  test("by group: a host is under each of its groups, those in none come last", () => {
    expect(by("group")).toEqual([["db", ["b"], 1], ["web", ["a", "b"], 1], ["", ["c"], 0]]);
  });
  test("by state, worst first", () => expect(by("state")?.map(([n]) => n)).toEqual(["failed", "converged"]));
  test("by a label", () => expect(by("label:env")?.map(([n]) => n)).toEqual(["prod", "test", ""]));
  test("by what there is not", () => expect(by("colour")).toBeUndefined());
  test("keys of labels", () => expect(labelKeys(fleet)).toEqual(["env"]));
});

describe("lines", () => {
  test("tiles are laid in lines, and each host knows its line", () => {
    const { lines, shown, lineOf } = linesOf(fleet, undefined, 2, new Set());
    expect(lines.map((l) => (l.kind === "hosts" ? names(l.subjects) : l.group.name))).toEqual([["a", "b"], ["c"]]);
    expect(names(shown)).toEqual(["a", "b", "c"]);
    expect(lineOf).toEqual([0, 0, 1]);
  });
  test("a closed group shows its heading alone", () => {
    const { lines, shown } = linesOf(fleet, grouped(fleet, "group"), 1, new Set(["web"]));
    expect(lines.map((l) => l.kind)).toEqual(["group", "hosts", "group", "group", "hosts"]);
    expect(names(shown)).toEqual(["b", "c"]);
  });
});
