import { describe, expect, it } from "vitest";
import { fact, planned, progressOf, revisionFact, segments, segmentsOf, sortHosts, waves, type HostPart, type Revision } from "./words";

const name = "7b44b71a2c0000000000000000000000000000aa";
const rev = { name, kind: "revision", spec: { subject: "Limit the workers", author: "Ana <ana@example.org>", pusher: "ana", when: "2026-01-02T03:04:05Z" }, status: { active: true, hosts: 3 } } as unknown as Revision;
const at = Date.parse("2026-01-02T03:06:05Z");
const host = (n: string, over: object = {}) => ({ name: n, connected: true, state: "converged", revision: name, assigned: name, ...over });

describe("the first sentence", () => {
  it("says how many still take it", () => {
    expect(fact(rev, [host("a"), host("b", { state: "converging" }), host("c", { state: "converging" })], at)).toBe("2 of 3 hosts still take 7b44b71a2c by Ana, pushed 2 min ago.");
  });
  it("says that all are there", () => {
    expect(fact(rev, [host("a"), host("b")], at)).toBe("All 2 hosts are at 7b44b71a2c by Ana, pushed 2 min ago.");
  });
  it("names who failed before who waits", () => {
    expect(fact(rev, [host("a"), host("b", { state: "failed" }), host("c", { state: "converging" })], at)).toBe("b failed to take 7b44b71a2c by Ana, pushed 2 min ago; 1 of 3 hosts are there, 1 still take it.");
  });
  it("does not wait for hosts that cannot", () => {
    expect(fact(rev, [host("a"), host("b", { connected: false, state: "converging" })], at)).toBe("Every host that could has taken 7b44b71a2c by Ana, pushed 2 min ago; 1 away.");
  });
  it("is honest where there is nothing", () => {
    expect(fact(undefined, [])).toBe("Nothing has been pushed yet.");
    expect(fact(rev, undefined)).toBeUndefined();
    expect(fact(rev, [], at)).toBe("7b44b71a2c by Ana, pushed 2 min ago: no host is enrolled that could take it.");
  });
});

it("counts each host once", () => {
  const p = progressOf(name, [host("a"), host("b", { paused: true }), host("c", { connected: false, state: "converging" }), host("d", { assigned: "other" })]);
  expect(p).toEqual({ converged: 1, failed: 0, waiting: 0, away: 1, paused: 1, total: 3 });
  expect(segments(p).map((s) => s.word)).toEqual(["converged", "away", "paused"]);
});

describe("a revision", () => {
  const items: HostPart[] = [{ host: "web-10", state: "changed" }, { host: "web-2", state: "changed" }, { host: "db", state: "failed" }];
  it("counts its hosts by what became of them", () => {
    expect(segmentsOf(items).map((s) => [s.word, s.n])).toEqual([["changed", 2], ["failed", 1]]);
    expect(revisionFact(rev, { waves: [], items })).toBe("Limit the workers. 3 hosts: 2 changed, 1 failed.");
    expect(revisionFact(rev, { waves: [], items: items.slice(0, 2) })).toBe("Limit the workers. All 2 hosts changed.");
    expect(revisionFact(rev, { waves: [], items: [{ host: "a", state: "away" }, { host: "b", state: "away" }] })).toBe("Limit the workers. All 2 hosts are away.");
    expect(sortHosts(items).map((i) => i.host)).toEqual(["db", "web-2", "web-10"]);
  });
  it("says plainly that there is only one wave", () => {
    expect(waves({ waves: [{ name: "all", hosts: ["db", "web-2", "web-10"] }], items })).toBe("One wave: all 3 hosts at once.");
    expect(waves({ waves: [{ name: "canary", hosts: ["db"] }, { name: "rest", hosts: ["a", "b"] }], items })).toBe("2 waves, one after another: canary (1 host), rest (2 hosts).");
  });
  it("says what its push found", () => {
    expect(planned({ declared: 3, changed: ["a", "b"], unchanged: 1, errors: 0, groups: [{ hosts: ["a"], tasks: [{} as never] }], notAsked: ["b"] } as never)).toBe("The push gave 2 hosts something new to be. The one that was asked would change. 1 host was not asked.");
    expect(planned({ declared: 3, changed: [], unchanged: 3, errors: 0 } as never)).toBe("The push found nothing to change on enrolled hosts.");
  });
});
