import { useEffect, useState } from "react";
import { query } from "~/api/json";
import { stream, type StreamEvent, type StreamState } from "~/api/stream";
import type { Failure } from "~/api/client";
import { useSession } from "~/app/session";
import type { Obj } from "./types";

/** Seen is what a watch has told so far. A resync tells everything again; until it is through, the old is shown. */
export type Seen = { objects: Map<string, Obj>; fresh: Map<string, Obj> | undefined; synced: boolean };

export const nothing: Seen = { objects: new Map(), fresh: undefined, synced: false };

export function take(s: Seen, e: Pick<StreamEvent, "type" | "data">): Seen {
  switch (e.type) {
    case "resync":
      return { ...s, fresh: new Map() };
    case "synced":
      return { objects: s.fresh ?? s.objects, fresh: undefined, synced: true };
    case "put": {
      const o = e.data as Obj;
      if (s.fresh) {
        s.fresh.set(o.name, o);
        return s;
      }
      return { ...s, objects: new Map(s.objects).set(o.name, o) };
    }
    case "delete": {
      const { name } = e.data as { name: string };
      if (s.fresh) {
        s.fresh.delete(name);
        return s;
      }
      if (!s.objects.has(name)) return s;
      const objects = new Map(s.objects);
      objects.delete(name);
      return { ...s, objects };
    }
    default:
      return s;
  }
}

/** useKind are all objects of a kind that a selector picks, live. */
export function useKind(plural: string, selector: string): { objects: Obj[] | undefined; state: StreamState; failure: Failure | undefined; retry: () => void } {
  const { ended } = useSession();
  const [seen, setSeen] = useState<{ key: string; objects: Obj[] | undefined }>({ key: "", objects: undefined });
  const [state, setState] = useState<{ state: StreamState; failure: Failure | undefined }>({ state: "connecting", failure: undefined });
  const [turn, setTurn] = useState(0);
  const key = `${plural}?${selector}`;
  useEffect(() => {
    if (!plural) return;
    let now = nothing;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop: (() => void) | undefined;
    setState({ state: "connecting", failure: undefined });
    const path = `/v1/${encodeURIComponent(plural)}${query({ watch: true, selector })}`;
    stop = stream(path, {
      onState: (s, failure) => {
        setState({ state: s, failure });
        // A selector that cannot be read does not get better by asking again.
        if (failure && failure.code === "invalid") stop?.();
      },
      onEvent: (e) => {
        now = take(now, e);
        if (!now.synced) return;
        timer ??= setTimeout(() => {
          timer = undefined;
          setSeen({ key, objects: [...now.objects.values()] });
        }, 100);
      },
    });
    return () => {
      clearTimeout(timer);
      stop?.();
    };
  }, [key, plural, selector, turn, ended === undefined]);
  return { objects: seen.key === key ? seen.objects : undefined, ...state, retry: () => setTurn((t) => t + 1) };
}
