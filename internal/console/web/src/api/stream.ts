import { readFailure, Failure, failureOf } from "./client";
import { take } from "./early";

export type StreamState = "connecting" | "live" | "waiting" | "ended";

export type StreamEvent = { id: string; type: string; data: unknown };

export type StreamOptions = {
  /** Called for each event, in order. */
  onEvent: (e: StreamEvent) => void;
  /** How the connection is. With "waiting" comes why it broke. */
  onState?: (state: StreamState, failure?: Failure) => void;
  /** Where to go on after `id`; by default the header Last-Event-ID says it. */
  resume?: (id: string) => string;
  method?: "GET" | "POST";
  body?: unknown;
  /** Once: the stream ends with the answer (a run). Otherwise it is opened again for ever. */
  once?: boolean;
};

/** parse takes server-sent events out of text that comes in pieces (HTML Living Standard, 9.2.6). */
export function parser(onEvent: (e: StreamEvent) => void): (text: string) => void {
  let rest = "";
  let id = "";
  let type = "";
  let lines: string[] = [];
  const line = (l: string) => {
    if (l === "") {
      if (lines.length > 0) {
        const raw = lines.join("\n");
        let value: unknown = raw;
        try {
          value = JSON.parse(raw);
        } catch {
          // Text that is no JSON is passed on as it is.
        }
        onEvent({ id, type: type || "message", data: value });
      }
      type = "";
      lines = [];
      return;
    }
    if (l.startsWith(":")) return;
    const colon = l.indexOf(":");
    const field = colon < 0 ? l : l.slice(0, colon);
    const value = colon < 0 ? "" : l.slice(colon + 1).replace(/^ /, "");
    if (field === "data") lines.push(value);
    else if (field === "event") type = value;
    else if (field === "id") id = value;
  };
  return (text) => {
    rest += text;
    let at: number;
    while ((at = rest.search(/\r\n|\n|\r/)) >= 0) {
      if (rest[at] === "\r" && at === rest.length - 1) return; // its \n may still come
      const skip = rest.startsWith("\r\n", at) ? 2 : 1;
      line(rest.slice(0, at));
      rest = rest.slice(at + skip);
    }
  };
}

const silent = 40_000; // the server shows a sign of life every 15 s

/** wait grows with each failure in a row, with jitter, up to 15 s. */
export function wait(failures: number, random = Math.random()): number {
  return Math.min(15_000, 500 * 2 ** Math.min(failures, 5)) * (0.5 + random / 2);
}

/** stream follows server-sent events until the returned function is called. */
export function stream(path: string, options: StreamOptions): () => void {
  const end = new AbortController();
  let failures = 0;
  let last = "";
  let timer: ReturnType<typeof setTimeout> | undefined;

  const run = async () => {
    const broken = new AbortController();
    const stop = () => broken.abort();
    end.signal.addEventListener("abort", stop);
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, silent);
    };
    try {
      options.onState?.("connecting");
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      if (options.body !== undefined) headers["Content-Type"] = "application/json";
      alive();
      const from = last && options.resume ? options.resume(last) : path;
      const response = await (take(from, broken.signal) ??
        fetch(from, {
          method: options.method ?? "GET",
          body: options.body === undefined ? undefined : JSON.stringify(options.body),
          headers,
          credentials: "same-origin",
          signal: broken.signal,
        }));
      if (!response.ok || !response.body) throw await readFailure(response);
      options.onState?.("live");
      failures = 0;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const feed = parser((e) => {
        if (e.id) last = e.id;
        if (e.type === "error" && typeof e.data === "object" && e.data) throw new Failure(e.data as { message: string });
        options.onEvent(e);
      });
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        alive();
        feed(value);
      }
      if (options.once) {
        options.onState?.("ended");
        return;
      }
      throw new Failure({ code: "unavailable", message: "the server ended the stream", remedy: "it is opened again by itself" });
    } catch (e) {
      if (end.signal.aborted) return;
      const failure = broken.signal.aborted ? new Failure({ code: "unavailable", message: "the server has gone silent" }) : failureOf(e);
      options.onState?.(options.once || failure.status === 401 || failure.status === 403 ? "ended" : "waiting", failure);
      if (options.once || failure.status === 401 || failure.status === 403) return;
      if (end.signal.aborted) return; // onState has had enough
      timer = setTimeout(run, wait(failures++));
    } finally {
      clearTimeout(watchdog);
      end.signal.removeEventListener("abort", stop);
    }
  };
  void run();
  return () => {
    clearTimeout(timer);
    end.abort();
  };
}
