import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { api, data, type Failure, type Schemas } from "~/api/client";
import { stream, type StreamState } from "~/api/stream";
import { useSession } from "./session";

export type FleetEvent = Schemas["Event"];

// The fleet's events as they happen, once for the whole console: pages listen
// in. Thousands a second are handed over in batches, at most ten a second, and
// of a burst only the newest are kept.

const keep = 2000;
const every = 100;

export type Batch = { events: FleetEvent[]; /** How many more there were than are handed over. */ skipped: number };

type Live = {
  state: StreamState;
  failure: Failure | undefined;
  /** When the server last said something, in ms of this browser's clock. */
  since: number;
  listen: (on: (b: Batch) => void) => () => void;
};

const Context = createContext<Live | null>(null);

export function LiveProvider({ children }: { children: ReactNode }) {
  const { me, ended } = useSession();
  const person = me?.actor;
  const over = ended !== undefined;
  const listeners = useRef(new Set<(b: Batch) => void>());
  const [state, setState] = useState<{ state: StreamState; failure: Failure | undefined; since: number }>({ state: "connecting", failure: undefined, since: Date.now() });
  useEffect(() => {
    if (!person || over) return; // after the next sign-in it begins again
    let waiting: FleetEvent[] = [];
    let skipped = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    let left = false;
    const flush = () => {
      timer = undefined;
      const batch = { events: waiting, skipped };
      waiting = [];
      skipped = 0;
      for (const l of listeners.current) l(batch);
    };
    const begin = async () => {
      let after = 0;
      try {
        after = (await data(api.GET("/v1/events", { params: { query: { limit: 1 } } }))).last;
      } catch {
        // The stream itself says what is wrong.
      }
      if (left) return;
      stop = stream(`/v1/events?watch=true&after=${after}`, {
        resume: (id) => `/v1/events?watch=true&after=${encodeURIComponent(id)}`,
        onState: (s, failure) => setState((old) => ({ state: s, failure, since: s === "live" || old.state === "live" ? Date.now() : old.since })),
        onEvent: (e) => {
          waiting.push(e.data as FleetEvent);
          if (waiting.length > keep) {
            skipped += waiting.length - keep;
            waiting = waiting.slice(-keep);
          }
          timer ??= setTimeout(flush, every);
        },
      });
    };
    void begin();
    return () => {
      left = true;
      clearTimeout(timer);
      stop?.();
    };
  }, [person, over]);
  // One and the same for ever, so that a change of the connection loses no listener's events.
  const listen = useCallback((on: (b: Batch) => void) => {
    listeners.current.add(on);
    return () => void listeners.current.delete(on);
  }, []);
  const live = useMemo<Live>(() => ({ ...state, listen }), [state, listen]);
  return <Context.Provider value={live}>{children}</Context.Provider>;
}

export function useLive(): Live {
  const l = useContext(Context);
  if (!l) throw new Error("useLive is used outside of LiveProvider");
  return l;
}

/** useEvents calls back with new events that match, in batches. */
export function useEvents(match: (e: FleetEvent) => boolean, on: (events: FleetEvent[]) => void): void {
  const { listen } = useLive();
  const now = useRef({ match, on });
  now.current = { match, on };
  useEffect(
    () =>
      listen((b) => {
        const mine = b.events.filter((e) => now.current.match(e));
        if (mine.length > 0) now.current.on(mine);
      }),
    [listen],
  );
}

/** useReadAnew has what is kept under a key read anew when an event matches, of a burst once a second. */
export function useReadAnew(match: (e: FleetEvent) => boolean, queryKey: string[]): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEvents(match, () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void client.invalidateQueries({ queryKey });
    }, 1000);
  });
}
