import { expect, it } from "vitest";
import { added, wants } from "./feed";

const event = (seq: number, over: object = {}) => ({ seq, time: "2026-01-02T03:04:05Z", type: "host.changed", host: "web-1", message: "", ...over });

it("keeps the newest first and each once", () => {
  let f = added({ events: [], skipped: 0 }, [event(1), event(2)], 0);
  f = added(f, [event(2), event(3)], 0);
  expect(f.events.map((e) => e.seq)).toEqual([3, 2, 1]);
});

it("says how many were never shown, and does not count what only grew old", () => {
  let f = added({ events: [], skipped: 0 }, Array.from({ length: 10 }, (_, i) => event(i)), 5, 4);
  expect(f.skipped).toBe(11);
  expect(f.events.map((e) => e.seq)).toEqual([9, 8, 7, 6]);
  f = added(f, [event(10)], 0, 4);
  expect(f.skipped).toBe(11);
});

it.each([
  ["", "", "", true],
  ["host.*", "", "", true],
  ["host.", "", "", true],
  ["host.changed", "web-1", "", true],
  ["host.chan", "", "", false],
  ["", "web-2", "", false],
  ["", "", "ana", false],
])("filters by type %j, host %j, actor %j", (type, host, actor, want) => expect(wants(event(1), { type, host, actor })).toBe(want));
