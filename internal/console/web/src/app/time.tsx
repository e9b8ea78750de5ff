import { useCallback, useMemo, useSyncExternalStore } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { now } from "./clock";

// One time range for the whole page, in the address bar: ?range=1h is live and
// moves, ?from=…&to=… (seconds) stands still.

export const ranges = ["15m", "1h", "3h", "12h", "1d", "3d", "7d", "15d"] as const;

export type TimeSearch = { range?: string; from?: number; to?: number };

const units: Record<string, number> = { m: 60, h: 3600, d: 86400, w: 604800 };

/** secondsOf reads "15m", "3h", "7d"; undefined when it is none. */
export function secondsOf(name: string | undefined): number | undefined {
  const m = /^(\d{1,4})([mhdw])$/.exec(name ?? "");
  return m ? Number(m[1]) * (units[m[2]!] ?? 0) : undefined;
}

/** timeSearch keeps of an address what is a time, for the root route. */
export function timeSearch(s: Record<string, unknown>): TimeSearch {
  const from = Number(s.from);
  const to = Number(s.to);
  if (Number.isFinite(from) && Number.isFinite(to) && to > from && from > 0) return { from, to };
  return typeof s.range === "string" && secondsOf(s.range) ? { range: s.range } : {};
}

/* A tick that all live parts share: every 5 s while the page is seen. */
let tick = 0;
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(l: () => void): () => void {
  listeners.add(l);
  timer ??= setInterval(() => {
    if (document.visibilityState !== "visible") return;
    tick++;
    for (const each of listeners) each();
  }, 5000);
  return () => {
    listeners.delete(l);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** useTick renders again every 5 s, for ages in words. */
export function useTick(): number {
  return useSyncExternalStore(subscribe, () => tick);
}

export type Time = {
  /** Seconds since 1970, by the server's clock. */
  from: number;
  to: number;
  live: boolean;
  name: string | undefined;
  setRange: (name: string) => void;
  /** A fixed range: what dragging over a chart does. */
  setFixed: (from: number, to: number) => void;
  setLive: (live: boolean) => void;
};

export function useTime(): Time {
  const search = useSearch({ strict: false }) as TimeSearch;
  const navigate = useNavigate();
  const t = useTick();
  const fixed = search.from !== undefined && search.to !== undefined;
  const name = fixed ? undefined : (search.range ?? "1h");
  const { from, to } = useMemo(() => {
    if (fixed) return { from: search.from!, to: search.to! };
    const end = Math.floor(now() / 5000) * 5;
    return { from: end - (secondsOf(name) ?? 3600), to: end };
    // A new tick moves a live range on.
  }, [fixed, search.from, search.to, name, t]); // eslint-disable-line
  const set = useCallback(
    (next: TimeSearch) => {
      void navigate({
        to: ".",
        search: ((old: Record<string, unknown>) => ({ ...old, range: undefined, from: undefined, to: undefined, ...next })) as never,
        replace: true,
      });
    },
    [navigate],
  );
  return {
    from,
    to,
    live: !fixed,
    name,
    setRange: (range) => set({ range }),
    setFixed: (a, b) => set({ from: Math.floor(a), to: Math.ceil(b) }),
    setLive: (live) => set(live ? { range: "1h" } : { from: Math.floor(from), to: Math.ceil(to) }),
  };
}
