import { describe, expect, it } from "vitest";
import { asked, command, fact, merge, outcome, passes, shares, sortResults } from "./words";
import type { RunDetail, RunRecord } from "./types";

const run = (over: Partial<RunDetail> = {}): RunDetail => ({
  id: "run-1", kind: "command", title: "uptime", actor: "ana", start: "2026-01-02T03:04:05Z", state: "ok",
  count: 3, ok: 3, failed: 0, lost: 0, away: 0, changed: 0, results: [], ...over,
});
const none = { kind: "", host: "", actor: "", state: "", commit: "" };

describe("the sentence of a run", () => {
  it("says that all went well", () => {
    expect(fact(run({ took: 1.5e9 }))).toBe("Went well on all 3 hosts in 1.5 s.");
    expect(fact(run({ count: 1, ok: 1 }))).toBe("Went well on 1 host.");
  });
  it("counts what did not", () => {
    expect(fact(run({ state: "partial", ok: 1, failed: 1, away: 1, hosts: "web" }))).toBe("Went well on 1 of 3 hosts (web): 1 well, 1 failed, 1 away.");
  });
  it("says how far it is while it runs", () => {
    expect(fact(run({ state: "running", ok: 1 }))).toBe("Runs on 3 hosts: 1 well, 2 to go.");
  });
  it("speaks of a check as of what would be", () => {
    expect(fact(run({ kind: "converge", check: true, changed: 2 }))).toBe("Would change 2 of 3 hosts.");
    expect(fact(run({ kind: "converge", check: true }))).toBe("Would change nothing on 3 hosts.");
  });
  it("names the host and the revision of an apply", () => {
    const r = run({ kind: "apply", host: "web-1", commit: "7b44b71a2c1234", count: 1, ok: 1, results: [{ host: "web-1", state: "changed", exit: 0, tasks: { ok: 9, changed: 2, failed: 0, skipped: 0 } }] });
    expect(fact(r)).toBe("web-1 applied 7b44b71a2c and changed 2 things.");
  });
  it("says so when no host matched", () => {
    expect(outcome(run({ count: 0, ok: 0 }))).toBe("no host matched");
  });
});

describe("the command that does the same", () => {
  it("quotes what a shell would take apart", () => {
    expect(command(run({ title: "df -h", hosts: "web:!web-3", user: "deploy" }))).toBe("drover run 'df -h' -l 'web:!web-3' -u deploy");
  });
  it("takes the whole command, not its title", () => {
    expect(command(run({ title: "a very lo…", command: "true" }))).toBe("drover run true");
  });
  it("has none for a play, whose files are elsewhere", () => {
    expect(command(run({ kind: "play" }))).toBeUndefined();
    expect(command(run({ kind: "converge", check: true }))).toBe("drover converge --check");
  });
});

describe("the list of runs", () => {
  const old: RunRecord = run({ id: "a", start: "2026-01-02T03:00:00Z" });
  it("puts a new run first and a changed one in its place", () => {
    const begun = run({ id: "b", start: "2026-01-02T03:05:00Z", state: "running" });
    const list = merge([old], [begun], none);
    expect(list.map((r) => r.id)).toEqual(["b", "a"]);
    expect(merge(list, [{ ...begun, state: "ok" }], none)[0]?.state).toBe("ok");
  });
  it("lets go of a run that its filter no longer wants", () => {
    const running = run({ id: "c", state: "running" });
    expect(merge([running], [{ ...running, state: "ok" }], { ...none, state: "running" })).toEqual([]);
  });
  it("tells what somebody asked for from what hosts did by themselves", () => {
    expect(passes(run({ kind: "play" }), { ...none, kind: asked })).toBe(true);
    expect(passes(run({ kind: "apply" }), { ...none, kind: asked })).toBe(false);
    expect(passes(run({ kind: "apply", host: "db-1" }), { ...none, host: "web-1" })).toBe(false);
  });
});

it("shows in the bar only what there is, and what is left while it runs", () => {
  expect(shares(run({ state: "running", ok: 1, failed: 1 })).map((s) => [s.key, s.n])).toEqual([["ok", 1], ["failed", 1], ["running", 1]]);
});

it("puts hosts that need a look first, then by number", () => {
  const r = (host: string, state: "ok" | "failed") => ({ host, state, exit: 0 });
  expect(sortResults([r("web-10", "ok"), r("web-2", "ok"), r("db", "failed")]).map((x) => x.host)).toEqual(["db", "web-2", "web-10"]);
});
