import { expect, it } from "vitest";
import { browser, endingSoon, expiry, hostExpiry, joinLine, lastAdmin, passwordProblem, tokenState } from "./words";

const from = Date.parse("2026-01-01T00:00:00Z");
const inMs = (ms: number) => new Date(from + ms).toISOString();
const day = 86_400_000;

it.each([
  [undefined, "does not end", "idle"],
  ["0001-01-01T00:00:00Z", "does not end", "idle"],
  [inMs(-2 * day), "ended 2 days ago", "bad"],
  [inMs(5 * 60_000), "ends in 5 min", "bad"],
  [inMs(1.5 * day), "ends in 1 day", "bad"],
  [inMs(20 * day), "ends in 20 days", "warn"],
  [inMs(300 * day), "ends in 9 months", "ok"],
  [inMs(3650 * day), "ends in 9 years", "ok"],
])("says of %s that it %s", (at, text, tone) => expect(expiry(at, from)).toEqual({ text, tone }));

it("finds hosts that missed to renew, the worst first, and alarms by none that will", () => {
  const hosts = [{ name: "a", certExpires: inMs(day / 5) }, { name: "b", certExpires: inMs(day / 2) }, { name: "c", certExpires: inMs(-day) }, { name: "d" }];
  expect(endingSoon(hosts, from).map((h) => h.name)).toEqual(["c", "a"]);
  expect([hosts[0], hosts[2]].map((h) => hostExpiry(h!.certExpires, from).tone)).toEqual(["warn", "bad"]);
});

it("knows what became of a token", () => {
  const t = (spec: object, status: object = {}) => ({ kind: "token", name: "t", spec: { role: "viewer", ...spec }, status }) as never;
  expect(tokenState(t({ join: true }, { used: inMs(-day), usedBy: "web-1" }), from).word).toBe("used by web-1");
  expect(tokenState(t({ expires: inMs(-1) }), from).word).toBe("expired");
  expect(tokenState(t({ join: true, expires: inMs(day) }), from).word).toBe("open");
});

it("sees who is the last administrator", () => {
  const p = (name: string, role: string, disabled = false) => ({ kind: "person", name, spec: { role, disabled } }) as never;
  expect(lastAdmin([p("ana", "admin"), p("bob", "operator"), p("cem", "admin", true)], "ana")).toBe(true);
  expect(lastAdmin([p("ana", "admin"), p("bob", "admin")], "ana")).toBe(false);
});

it("says early what is wrong with a password", () => {
  expect(passwordProblem("short", "ana")).toBe("At least 10 characters");
  expect(passwordProblem("anastasia-1", "anastasia")).toBe("It is little more than the name");
  expect(passwordProblem("a few plain words", "ana")).toBeUndefined();
});

it("names a browser as people do", () => {
  expect(browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")).toBe("Firefox on Linux");
  expect(browser("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1")).toBe("Safari on iOS");
  expect(browser("drover/1.2")).toBe("drover/1.2");
});

it("puts the secret into the line that enrols, and leaves the variable's name alone", () => {
  expect(joinLine('s=$(curl x) && DROVER_TOKEN=TOKEN sh -c "$s" join.sh 1', "drv_a_$1")).toBe('s=$(curl x) && DROVER_TOKEN=drv_a_$1 sh -c "$s" join.sh 1');
});
