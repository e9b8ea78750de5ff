import { expect, it } from "vitest";
import { alike, keepHost, Live, stateOf } from "./live";

const b64 = (s: string | Uint8Array) => btoa(String.fromCharCode(...(typeof s === "string" ? new TextEncoder().encode(s) : s)));

it("puts a host's pieces together, also a letter that was cut in two", () => {
  const live = new Live();
  const e = new TextEncoder().encode("é");
  live.take({ start: { id: "r", hosts: ["a"] } });
  live.take({ output: [{ host: "a", data: b64(e.slice(0, 1)) }] });
  live.take({ output: [{ host: "a", data: b64(e.slice(1)) }, { host: "a", data: b64("no"), stderr: true }] });
  expect(live.hosts.get("a")?.chunks).toEqual([{ text: "é" }, { text: "no", stderr: true }]);
});

it("begins anew when the stream is opened again", () => {
  const live = new Live();
  for (let i = 0; i < 2; i++) {
    live.take({ start: { id: "r", hosts: ["a"] } });
    live.take({ output: [{ host: "a", data: b64("x") }] });
  }
  expect(live.hosts.get("a")?.chunks).toEqual([{ text: "x" }]);
});

it("collapses hosts that said the same, failures first", () => {
  const live = new Live();
  live.take({ start: { id: "r", hosts: ["a", "b", "c"] } });
  live.take({ output: ["a", "b", "c"].map((host) => ({ host, data: b64(host === "c" ? "bad" : "active") })) });
  live.take({ done: [{ host: "a", exit: 0 }, { host: "b", exit: 0 }, { host: "c", exit: 3 }] });
  expect(alike(live).map((g) => [g.state, g.hosts.join(" ")])).toEqual([["failed", "c"], ["ok", "a b"]]);
});

it("does not mind how the network cut what they said", () => {
  const live = new Live();
  live.take({ start: { id: "r", hosts: ["a", "b"] } });
  live.take({ output: [{ host: "a", data: b64("one two") }, { host: "b", data: b64("one ") }] });
  live.take({ output: [{ host: "b", data: b64("two") }] });
  live.take({ done: [{ host: "a", exit: 0 }, { host: "b", exit: 0 }] });
  expect(alike(live)).toHaveLength(1);
});

it("does not take hosts for equal that ended differently, or on different streams", () => {
  const live = new Live();
  live.take({ start: { id: "r", hosts: ["a", "b", "c"] } });
  live.take({ output: [{ host: "a", data: b64("x") }, { host: "b", data: b64("x") }, { host: "c", data: b64("x"), stderr: true }] });
  live.take({ done: [{ host: "a", exit: 1 }, { host: "b", exit: 2 }, { host: "c", exit: 1 }] });
  expect(alike(live)).toHaveLength(3);
});

it("leaves out hosts that have not ended, and knows how others did", () => {
  const live = new Live();
  live.take({ start: { id: "r", hosts: ["a", "b"] } });
  live.take({ done: [{ host: "b", exit: -1, error: "no answer in time" }] });
  expect(alike(live).map((g) => g.hosts)).toEqual([["b"]]);
  expect(stateOf(live.hosts.get("a"))).toBe("running");
  expect(stateOf(live.hosts.get("b"))).toBe("lost");
});

it("keeps no more than its bound, and says so", () => {
  const live = new Live();
  const piece = b64(new Uint8Array(60_000).fill(65));
  live.take({ start: { id: "r", hosts: ["a"] } });
  for (let i = 0; i < keepHost / 60_000 + 2; i++) live.take({ output: [{ host: "a", data: piece }] });
  const h = live.hosts.get("a")!;
  expect(h.cut).toBe(true);
  expect(h.chunks.reduce((n, c) => n + c.text.length, 0)).toBeLessThanOrEqual(keepHost);
});
