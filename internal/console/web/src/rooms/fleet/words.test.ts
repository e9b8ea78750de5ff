import { describe, expect, test } from "vitest";
import type { Alert } from "~/alerts/alerts";
import type { HostRow } from "~/app/overview";
import { attention } from "./attention";
import { sentence } from "./words";

const now = Date.parse("2026-05-01T12:00:00Z");
const host = (name: string, more: Partial<HostRow> = {}): HostRow => ({ name, state: "converged", connected: true, ...more });
const many = (n: number, more: Partial<HostRow> = {}, prefix = "web") => Array.from({ length: n }, (_, i) => host(`${prefix}-${i + 1}`, more));
const alert = (name: string, hostName: string | undefined, summary: string, severity = "warning"): Alert => ({
  name, ...(hostName ? { host: hostName } : {}), state: "firing", severity, summary, since: "2026-05-01T11:00:00Z", value: 1, labels: {}, expr: "up == 0",
});
const says = (hosts: HostRow[], alerts: Alert[] = []) => sentence(hosts, attention(hosts, alerts, now));

describe("a fleet that is well", () => {
  test.each([
    [[], "No host is enrolled yet."],
    [[host("web-1")], "web-1 is converged."],
    [many(42), "All 42 hosts are converged."],
    [many(3000), "All 3,000 hosts are converged."],
    [[host("web-1", { state: "new" })], "web-1 waits for a first revision."],
    [many(3, { state: "new" }), "3 hosts wait for a first revision."],
    [[...many(39), ...many(3, { paused: true }, "db")], "39 of 42 hosts are converged and 3 are paused."],
    [[...many(1), ...many(2, { state: "converging" }, "db")], "1 of 3 hosts is converged and 2 are converging."],
    [[...many(5), ...many(2, { state: "converging" }, "db"), host("x", { paused: true })], "5 of 8 hosts are converged, 2 are converging and 1 is paused."],
    [many(4, { state: "converging" }), "All 4 hosts are converging."],
  ] as [HostRow[], string][])("%#: %s", (hosts, want) => expect(says(hosts)).toBe(want));
});

describe("a fleet with something wrong", () => {
  test("one failed host is named", () => {
    expect(says([...many(41), host("db-2", { state: "failed", message: "cannot install nginx" })])).toBe("db-2 failed; 41 of 42 hosts are converged.");
  });
  test("many are counted", () => {
    expect(says([...many(40), ...many(2, { state: "failed" }, "db")])).toBe("2 hosts failed; 40 of 42 hosts are converged.");
  });
  test("what is critical comes first, in the alert's own words", () => {
    const hosts = [...many(39), host("db-2"), ...many(2, { state: "failed" }, "app")];
    expect(says(hosts, [alert("DiskWillFill", "db-2", "db-2: / is full in about 9 hours", "critical")])).toBe(
      "On db-2, / is full in about 9 hours; 2 hosts failed; 40 of 42 hosts are converged.",
    );
  });
  test("a host's name is not made a capital letter", () => {
    expect(says([host("db-2", { connected: false })])).toBe("db-2 is away.");
  });
  test("three things are told, of more the number", () => {
    const hosts = [...many(4), host("a", { state: "failed" }), host("b", { connected: false }), host("c", { drifted: "2026-05-01T11:00:00Z" })];
    expect(says(hosts)).toBe("a failed; b is away; c drifted and was put right.");
    expect(says(hosts, [alert("MemoryLow", "web-1", "web-1: 3 % of memory is left")])).toBe("a failed; b is away; 2 more things need attention.");
  });
  test.each([
    ["web-1 has 97 % of its memory in use", "web-1 has 97 % of its memory in use; all 2 hosts are converged."],
    ["The clock of web-1 is 40s off", "The clock of web-1 is 40s off; all 2 hosts are converged."],
    ["web-1: nginx.service has failed.", "On web-1, nginx.service has failed; all 2 hosts are converged."],
  ])("an alert says %s", (summary, want) => expect(says(many(2), [alert("X", "web-1", summary)])).toBe(want));
  test("an alert that is only for information is no news of the fleet", () => {
    expect(says(many(2), [alert("Note", "web-1", "web-1: note", "info")])).toBe("All 2 hosts are converged.");
  });
});
