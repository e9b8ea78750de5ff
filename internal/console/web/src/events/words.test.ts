import { expect, test } from "vitest";
import { plain, sentence, toneOf, who } from "./words";

const commit = "0123456789abcdef0123456789abcdef01234567";
const event = (type: string, rest: object = {}) => ({ seq: 1, time: "2026-01-02T03:04:05Z", type, message: "", ...rest }) as Parameters<typeof sentence>[0];

test.each([
  ["host.enrolled", { host: "db-1", actor: "token/join", message: "db-1 joined the fleet" }, "db-1 joined the fleet with token join"],
  ["host.removed", { host: "db-1", actor: "person/ada", message: "db-1 was removed from the fleet" }, "db-1 was removed from the fleet by ada"],
  ["host.connected", { host: "db-1", message: "db-1 is connected" }, "db-1 is connected"],
  ["host.disconnected", { host: "db-1", message: "db-1 is away" }, "db-1 is away"],
  [
    "host.changed",
    { host: "db-1", message: "db-1 changed: 3 things", data: { commit, changes: [{ what: "file /etc/a" }, { task: "restart nginx" }, { what: "file /etc/b" }] } },
    "db-1 changed: 3 things (file /etc/a, restart nginx and 1 more) at 0123456789",
  ],
  ["host.drifted", { host: "db-1", message: "db-1 had drifted: 1 thing was put right", data: { commit, changes: [{ what: "file /etc/motd" }] } }, "db-1 had drifted: 1 thing was put right (file /etc/motd)"],
  ["host.failed", { host: "db-1", message: "db-1 failed: apt is locked", data: { commit } }, "db-1 failed: apt is locked at 0123456789"],
  ["host.converged", { host: "db-1", message: "db-1 is converged at 0123456789", data: { commit } }, "db-1 is converged at 0123456789"],
  ["host.agent-updated", { host: "db-1", message: "db-1 runs agent 1.2, before 1.1" }, "db-1 runs agent 1.2, before 1.1"],
  ["host.agent-put-back", { host: "db-1", message: "agent 1.2 (abc) did not come up on db-1 and was put back: killed" }, "Agent 1.2 (abc) did not come up on db-1 and was put back: killed"],
  ["revision.accepted", { actor: "person/ada", data: { commit, subject: "Raise the limits" } }, "Revision 0123456789 is active: Raise the limits"],
  ["revision.refused", { actor: "person/ada", data: { first: "site.yml:3: no such role" } }, "A push by ada was refused: site.yml:3: no such role"],
  ["run.started", { actor: "person/ada", data: { run: "r1", command: "uptime", count: 12, away: 2 } }, "Ada runs uptime on 12 hosts, 2 away"],
  ["run.ended", { data: { run: "r1", ok: 10, failed: 1, lost: 1, seconds: 3.2 } }, "A command ended: 10 ok, 1 failed, 1 without an answer, in 3.2 s"],
  ["converge.started", { actor: "token/ci", data: { run: "c1", count: 1, check: true } }, "Token ci checks 1 host"],
  ["converge.ended", { data: { run: "c1", ok: 3000 } }, "A converge ended: 3,000 ok"],
  ["play.started", { actor: "person/ada", data: { playbooks: ["site.yml"], limit: "web" } }, "Ada plays site.yml on web"],
  ["play.ended", { data: { playbooks: ["site.yml"], exit: 2, hosts: 4 } }, "Site.yml ended with exit code 2 on 4 hosts"],
  ["alert.firing", { host: "db-2", message: "db-2: / is full in about 9 hours" }, "db-2: / is full in about 9 hours"],
  ["alert.resolved", { host: "db-2", message: "db-2: / is full in about 9 hours" }, "db-2: / is full in about 9 hours: over"],
])("%s is a sentence", (type, rest, want) => {
  expect(plain(event(type, rest))).toBe(want);
});

test("hosts, revisions and runs lead to their pages", () => {
  expect(sentence(event("host.converged", { host: "db-1", data: { commit } }))).toEqual([
    { text: "db-1", href: "/hosts/db-1", mono: true },
    " is converged",
    " at ",
    { text: "0123456789", href: `/changes/${commit}`, mono: true },
  ]);
  expect(sentence(event("run.ended", { data: { run: "r 1", ok: 1 } }))[0]).toEqual({ text: "A command", href: "/runs/r%201" });
});

test("a name is found as a whole: web-1 is not in web-10", () => {
  expect(sentence(event("new.kind", { host: "web-1", message: "web-10 and web-1 differ" }))).toEqual(["web-10 and ", { text: "web-1", href: "/hosts/web-1", mono: true }, " differ"]);
});

test("an unknown event says what the server said, and never nothing", () => {
  expect(plain(event("brand.new", { message: "the moon is full" }))).toBe("The moon is full");
  expect(plain(event("brand.new"))).toBe("Brand.new");
  expect(plain(event("host.changed", { message: "without a host" }))).toBe("Without a host");
});

test("how a run ended is seen by its counts", () => {
  expect(toneOf(event("run.ended", { data: { ok: 3, failed: 0, lost: 0 } }))).toBe("ok");
  expect(toneOf(event("run.ended", { data: { ok: 3, failed: 1 } }))).toBe("bad");
  expect(toneOf(event("run.ended", { data: { ok: 3, lost: 1 } }))).toBe("warn");
  expect(toneOf(event("alert.firing", { data: { severity: "warning" } }))).toBe("warn");
  expect(toneOf(event("alert.firing", { data: { severity: "critical" } }))).toBe("bad");
  expect(toneOf(event("brand.new"))).toBe("idle");
});

test("actors are people and tokens", () => {
  expect([who("person/ada"), who("token/ci"), who(undefined), who("system"), who("odd")]).toEqual(["ada", "token ci", "the server", "the server", "odd"]);
});
