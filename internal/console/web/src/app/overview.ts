import { useEffect, useSyncExternalStore } from "react";
import type { Failure, Schemas } from "~/api/client";
import { overviewPath } from "~/api/early";
import { stream, type StreamState } from "~/api/stream";
import { now } from "./clock";
import { merged, sorted, type HostRow } from "./rows";
import { useSession } from "./session";

export type { HostRow } from "./rows";

// All hosts, read once for the whole console: a snapshot, then what changes, at
// most four times a second. Every page, the palette and the pickers look here.

export type OverviewState = {
  /** Every host, by name as people count (web-2 before web-10). Undefined until it was read once. */
  hosts: HostRow[] | undefined;
  byName: ReadonlyMap<string, HostRow>;
  /** Name of the active revision. */
  active: string | undefined;
  state: StreamState;
  failure: Failure | undefined;
  /** When it was last true, in ms of the server's clock. */
  at: number;
};

const nothing: OverviewState = { hosts: undefined, byName: new Map(), active: undefined, state: "connecting", failure: undefined, at: 0 };

let current = nothing;
let stop: (() => void) | undefined;
let leaving: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

function set(next: Partial<OverviewState>): void {
  current = { ...current, ...next };
  for (const l of listeners) l();
}

/** The stream's events "hosts". */
type Hosts = { active?: string; rows: HostRow[]; removed: string[] };

const named = (hosts: HostRow[]) => new Map(hosts.map((h) => [h.name, h]));

function begin(): void {
  stop = stream(overviewPath, {
    // A watch that begins anew begins with a snapshot: nothing is to be resumed.
    resume: () => overviewPath,
    onState: (state, failure) => set(state === "live" ? { state, failure: undefined } : failure ? { state, failure } : { state }),
    onEvent: (e) => {
      if (e.type === "snapshot") {
        const s = e.data as Schemas["Overview"];
        const hosts = sorted(s.hosts);
        set({ hosts, byName: named(hosts), active: s.active, at: now() });
      } else if (e.type === "hosts") {
        const { rows, removed, active } = e.data as Hosts;
        const hosts = merged(current.hosts ?? [], rows, removed);
        set({ hosts, byName: hosts === current.hosts ? current.byName : named(hosts), active, at: now() });
      }
    },
  });
}

/** readOverview begins to read the fleet before a page asks for it, and waits until it is there or cannot be read. */
export function readOverview(): Promise<void> {
  return new Promise((done) => {
    const leave = subscribe(() => {
      if (!current.hosts && !current.failure) return;
      leave();
      done();
    });
  });
}

function subscribe(l: () => void): () => void {
  clearTimeout(leaving);
  listeners.add(l);
  if (!stop) begin();
  return () => {
    listeners.delete(l);
    if (listeners.size > 0) return;
    // From one page to the next there is a moment without a reader.
    leaving = setTimeout(() => {
      stop?.();
      stop = undefined;
      current = nothing;
    }, 5_000);
  };
}

/** useOverview is the whole fleet, live. */
export function useOverview(): OverviewState {
  const { ended } = useSession();
  useEffect(() => {
    // After a new sign-in over the page, the watch that was refused begins again.
    if (ended || current.state !== "ended" || listeners.size === 0) return;
    stop?.();
    set({ state: "connecting" });
    begin();
  }, [ended]);
  return useSyncExternalStore(subscribe, () => current);
}
