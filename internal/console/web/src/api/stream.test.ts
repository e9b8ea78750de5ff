import { afterEach, describe, expect, it, vi } from "vitest";
import { parser, stream, wait, type StreamEvent } from "./stream";

function parsed(...pieces: string[]): StreamEvent[] {
  const out: StreamEvent[] = [];
  const feed = parser((e) => out.push(e));
  for (const p of pieces) feed(p);
  return out;
}

describe("parser", () => {
  it("takes events out of text that is cut anywhere", () => {
    const text = 'id: 7\nevent: hosts\ndata: {"a":1}\n\n: alive\n\ndata: two\ndata: lines\n\n';
    const whole = parsed(text);
    expect(whole).toEqual([
      { id: "7", type: "hosts", data: { a: 1 } },
      { id: "7", type: "message", data: "two\nlines" },
    ]);
    for (let i = 1; i < text.length; i++) expect(parsed(text.slice(0, i), text.slice(i))).toEqual(whole);
  });
  it("knows all three ends of a line, also when one is cut in two", () => {
    expect(parsed("data: 1\r", "\n\r\n", "data: 2\r\rdata: 3\n\n").map((e) => e.data)).toEqual([1, 2, 3]);
  });
  it("says nothing of an event that has no data, or has not ended", () => {
    expect(parsed("event: x\n\n", "data: 1\n")).toEqual([]);
  });
});

describe("wait", () => {
  it("grows to 15 s and no further, and never falls below half", () => {
    expect(wait(0, 0)).toBe(250);
    expect(wait(0, 1)).toBe(500);
    expect(wait(3, 1)).toBe(4000);
    expect(wait(50, 1)).toBe(15_000);
  });
});

describe("stream", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
  const answer = (text: string) => new Response(text, { headers: { "Content-Type": "text/event-stream" } });

  it("goes on after the last event when the line breaks", async () => {
    vi.useFakeTimers();
    const asked: [string, string | undefined][] = [];
    vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
      asked.push([path, (init.headers as Record<string, string>)["Last-Event-ID"]]);
      return Promise.resolve(answer(`id: ${asked.length * 10}\ndata: ${asked.length}\n\n`));
    });
    const got: unknown[] = [];
    const states: string[] = [];
    const stop = stream("/v1/events?watch=true", { onEvent: (e) => got.push(e.data), onState: (s) => states.push(s) });
    await vi.waitFor(() => expect(got).toEqual([1]));
    await vi.waitFor(() => expect(states.at(-1)).toBe("waiting"));
    await vi.advanceTimersByTimeAsync(20_000);
    await vi.waitFor(() => expect(got.slice(0, 2)).toEqual([1, 2]));
    stop();
    expect(asked.slice(0, 2)).toEqual([
      ["/v1/events?watch=true", undefined],
      ["/v1/events?watch=true", "10"],
    ]);
  });
  it("breaks off a line that has gone silent, and tries again", async () => {
    vi.useFakeTimers();
    let asked = 0;
    vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
      asked++;
      const body = new ReadableStream({ start: (c) => init.signal?.addEventListener("abort", () => c.error(new DOMException("aborted", "AbortError"))) });
      return Promise.resolve(new Response(body));
    });
    const failures: (string | undefined)[] = [];
    const stop = stream("/x", { onEvent: () => undefined, onState: (s, f) => s === "waiting" && failures.push(f?.message) });
    await vi.advanceTimersByTimeAsync(39_000);
    expect(failures).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(failures).toEqual(["the server has gone silent"]);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(asked).toBe(2);
    stop();
  });
  it("does not ask again when the session has ended", async () => {
    vi.useFakeTimers();
    let asked = 0;
    vi.stubGlobal("fetch", () => {
      asked++;
      return Promise.resolve(new Response("{}", { status: 401 }));
    });
    const states: string[] = [];
    stream("/x", { onEvent: () => undefined, onState: (s) => states.push(s) });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states.at(-1)).toBe("ended");
    expect(asked).toBe(1);
  });
});
