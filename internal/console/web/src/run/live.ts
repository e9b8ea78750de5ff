import type { Schemas } from "~/api/client";
import { compareNames } from "~/format";

// A run's stream, put together: what each host said, and how it ended. Kept
// outside of React's state, since megabytes go through it; a number says that
// there is something new.

/** HostState is how a host of a run stands, in a stream and in what is kept. */
export type HostState = "running" | "ok" | "changed" | "failed" | "lost" | "away";

/** rank puts what needs a look first. */
const order: HostState[] = ["failed", "lost", "running", "changed", "ok", "away"];
export const rank = (s: HostState): number => order.indexOf(s);

export type Chunk = { text: string; stderr?: boolean };

export type HostLive = {
  chunks: Chunk[];
  bytes: number;
  /** Not all that came is kept here. */
  cut: boolean;
  done?: Schemas["RunDone"];
};

export const keepHost = 5 << 20;
export const keepAll = 24 << 20;

export class Live {
  hosts = new Map<string, HostLive>();
  away: string[] = [];
  asked: string[] = [];
  ended: Schemas["RunEnd"] | undefined;
  bytes = 0;
  private readers = new Map<string, TextDecoder>();

  /** A stream that is opened again tells everything again. */
  private reset(): void {
    this.hosts = new Map();
    this.readers = new Map();
    this.bytes = 0;
    this.ended = undefined;
  }

  private host(name: string): HostLive {
    let h = this.hosts.get(name);
    if (!h) this.hosts.set(name, (h = { chunks: [], bytes: 0, cut: false }));
    return h;
  }

  take(e: Partial<Schemas["RunEvent"]>): void {
    if (e.start) {
      this.reset();
      this.asked = e.start.hosts ?? [];
      this.away = e.start.away ?? [];
    }
    for (const o of e.output ?? []) this.output(o);
    for (const d of e.done ?? []) this.host(d.host).done = d;
    if (e.end) this.ended = e.end;
  }

  private output(o: Schemas["RunOutput"]): void {
    const h = this.host(o.host);
    const data = fromBase64(o.data as string);
    h.bytes += data.length;
    if (h.bytes > keepHost || this.bytes > keepAll) {
      h.cut = true;
      return;
    }
    this.bytes += data.length;
    // A letter of several bytes may be cut in two by the pieces.
    const key = `${o.stderr ? "2" : "1"}/${o.host}`;
    let reader = this.readers.get(key);
    if (!reader) this.readers.set(key, (reader = new TextDecoder()));
    const text = reader.decode(data, { stream: true });
    if (text === "") return;
    // A piece that was shown is never changed: the output view goes on behind it.
    h.chunks.push(o.stderr ? { text, stderr: true } : { text });
  }
}

export function fromBase64(s: string): Uint8Array {
  const raw = atob(s);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

/** stateOf is how a host of a running run stands. */
export function stateOf(h: HostLive | undefined): HostState {
  const d = h?.done;
  if (!d) return "running";
  if (d.report) return d.report.failed ? "failed" : d.report.changed ? "changed" : "ok";
  if (d.error || d.exit < 0) return "lost";
  return d.exit === 0 ? "ok" : "failed";
}

export type Alike = { key: string; hosts: string[]; state: HostState; exit: number; error: string; chunks: Chunk[]; cut: boolean };

/** alike puts hosts together that said the same and ended the same; the largest group first among equals, failures before all. */
export function alike(live: Live): Alike[] {
  const groups = new Map<string, Alike>();
  for (const [host, h] of live.hosts) {
    const state = stateOf(h);
    if (state === "running") continue;
    // How the network cut it is nobody's difference, only what was said and on which stream.
    const text = h.chunks.map((c, i) => (i > 0 && !!h.chunks[i - 1]!.stderr === !!c.stderr ? "" : c.stderr ? "\u0002" : "\u0001") + c.text).join("");
    const key = `${state}\u0000${h.done?.exit ?? 0}\u0000${h.done?.error ?? ""}\u0000${h.cut ? host : ""}\u0000${text}`;
    const g = groups.get(key);
    if (g) g.hosts.push(host);
    else groups.set(key, { key: `g${groups.size}`, hosts: [host], state, exit: h.done?.exit ?? 0, error: h.done?.error ?? "", chunks: h.chunks, cut: h.cut });
  }
  for (const g of groups.values()) g.hosts.sort(compareNames);
  return [...groups.values()].sort((a, b) => rank(a.state) - rank(b.state) || b.hosts.length - a.hosts.length || (a.hosts[0] ?? "").localeCompare(b.hosts[0] ?? ""));
}
