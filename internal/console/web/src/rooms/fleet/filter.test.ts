import { describe, expect, test } from "vitest";
import type { HostRow } from "~/app/overview";
import { counter, matcher, parse, split, stateFacets, toggle, type Subject } from "./filter";
import { healthOf } from "./health";
import { joined, type Load } from "./load";

const subject = (name: string, more: Partial<HostRow> = {}, load?: Load): Subject => {
  const host = { name, state: "converged", connected: true, ...more };
  return { host, health: healthOf(host, undefined, 0), load };
};

const fleet: Subject[] = [
  subject("web-1", { groups: ["all", "web"], labels: { env: "prod", note: "rack 12, left" }, os: "Debian 12" }, { cpu: 0.9, disk: 0.2 }),
  subject("web-2", { groups: ["all", "web"], labels: { env: "test" }, os: "Debian 12", state: "failed" }, { cpu: 0.1, disk: 0.95 }),
  subject("db-1", { groups: ["all", "db"], labels: { env: "prod" }, os: "Ubuntu 24.04", address: "192.0.2.7", revision: "abc123" }),
  subject("db-10", { groups: ["all", "db"], connected: false, os: "Ubuntu 22.04" }),
];

const found = (q: string) => fleet.filter(matcher(parse(q))).map((s) => s.host.name);

describe("filtering", () => {
  test.each([
    ["", ["web-1", "web-2", "db-1", "db-10"]],
    ["web", ["web-1", "web-2"]],
    ["WEB", ["web-1", "web-2"]],
    ["db-1", ["db-1", "db-10"]],
    ["name:db-1*", ["db-1", "db-10"]],
    ["name:*-1", ["web-1", "db-1"]],
    ["name:w*b-*2", ["web-2"]],
    ["name:web-1*1", []],
    ["name:*", ["web-1", "web-2", "db-1", "db-10"]],
    ["group:web", ["web-1", "web-2"]],
    ["group:we", []],
    ["group:web,db -db-10", ["web-1", "web-2", "db-1"]],
    ["env=prod", ["web-1", "db-1"]],
    ["label:env=prod", ["web-1", "db-1"]],
    ["label:env", ["web-1", "web-2", "db-1"]],
    ["env=*", ["web-1", "web-2", "db-1"]],
    ["-label:env", ["db-10"]],
    ['note="rack 12, left"', ["web-1"]],
    ['"rack 12"', ["web-1"]],
    ["state:failed", ["web-2"]],
    ["state:failed,away", ["web-2", "db-10"]],
    ["is:fail", ["web-2"]],
    ["-state:converged", ["web-2"]],
    ["os:debian", ["web-1", "web-2"]],
    ["os:ubuntu* env=prod", ["db-1"]],
    ["192.0.2", ["db-1"]],
    ["rev:abc", ["db-1"]],
    ["cpu>80", ["web-1"]],
    ["cpu<80%", ["web-2"]],
    ["disk>=90", ["web-2"]],
    ["web env=prod cpu>50", ["web-1"]],
    ["state:", ["web-1", "web-2", "db-1", "db-10"]],
  ])("%s", (q, want) => expect(found(q)).toEqual(want));

  test("a pattern with much in it comes to an end", () => {
    const s = subject("a".repeat(60));
    expect(matcher(parse(`name:${"*a".repeat(25)}*b`))(s)).toBe(false);
  });
});

describe("what is not understood is said and filters nothing", () => {
  test.each([
    ["foo:bar", "nothing filters by foo"],
    ["cpu:80", "compared with a number"],
    ["cpu>much", "compared with a number"],
    ["name>3", "is no number"],
    ["state:sleepy", "no state is sleepy"],
  ])("%s", (q, why) => {
    const f = parse(q);
    expect(f.terms).toEqual([]);
    expect(f.problems[0]?.why).toContain(why);
    expect(found(q)).toHaveLength(4);
  });
});

test("terms are split at spaces outside of quotes", () => {
  expect(split('a  b:"c d" "e f')).toEqual(["a", 'b:"c d"', '"e f']);
});

describe("chips", () => {
  test("toggle adds, widens, narrows and takes out", () => {
    let q = toggle("web", "state", "failed");
    expect(q).toBe("web state:failed");
    q = toggle(q, "state", "away");
    expect(q).toBe("web state:failed,away");
    q = toggle(q, "state", "failed");
    expect(q).toBe("web state:away");
    expect(toggle(q, "state", "away")).toBe("web");
  });
  test("a value with a space or a comma stays one value", () => {
    const q = toggle("", "label", "note=rack 12, left");
    expect(found(q)).toEqual(["web-1"]);
    expect(toggle(q, "label", "note=rack 12, left")).toBe("");
  });
  test("counts are those of the hosts that the other terms leave", () => {
    expect(counter(fleet, parse("env=prod group:web"))("group", (s) => s.host.groups ?? []).map((f) => [f.value, f.count, f.chosen])).toEqual([
      ["web", 1, true], ["all", 2, false], ["db", 1, false],
    ]);
  });
  test("a chosen value that no host has is still there to be taken out", () => {
    expect(counter(fleet, parse("group:gone"))("group", (s) => s.host.groups ?? [])[0]).toEqual({ value: "gone", count: 0, chosen: true });
  });
  test("states are counted worst first", () => {
    expect(stateFacets(counter(fleet, parse(""))).map((f) => [f.value, f.count])).toEqual([["failed", 1], ["away", 1], ["converged", 3]]);
  });
});

describe("load", () => {
  const sample = (instance: string, value: number) => ({ labels: { instance }, value });
  test("answers are joined by host, and what is not measured is left out", () => {
    expect(Object.fromEntries(joined([[sample("a", 0.12345)], [sample("a", 0.5), sample("b", Number.NaN)], []]))).toEqual({ a: { cpu: 0.123, memory: 0.5 } });
  });
  test("what has not changed stays the same object", () => {
    const before = joined([[sample("a", 0.1), sample("b", 0.2)], [], []]);
    const after = joined([[sample("a", 0.10001), sample("b", 0.3)], [], []], before);
    expect(after.get("a")).toBe(before.get("a"));
    expect(after.get("b")).toEqual({ cpu: 0.3 });
  });
});
