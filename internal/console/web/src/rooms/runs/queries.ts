import { useEffect, useRef, useState } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { failureOf, type Failure } from "~/api/client";
import { query, read } from "~/api/json";
import { stream, type StreamState } from "~/api/stream";
import { useSession } from "~/app/session";
import { Live } from "~/run/live";
import { merge, type Filters } from "./words";
import type { RunDetail, RunList, RunRecord } from "./types";

const page = 100;

/** useRuns is the list of runs, live; more() reads on into the past. */
export function useRuns(f: Filters) {
  const key = JSON.stringify(f);
  const { ended: signedOut } = useSession();
  const [state, setState] = useState<{ key: string; items: RunRecord[] | undefined; next: string | undefined; failure: Failure | undefined; busy: boolean }>({ key, items: undefined, next: undefined, failure: undefined, busy: false });
  const [turn, setTurn] = useState(0);
  const filters = useRef(f);
  filters.current = f;
  useEffect(() => {
    const end = new AbortController();
    let stop: (() => void) | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let news: RunRecord[] = [];
    const flush = () => {
      timer = undefined;
      const batch = news;
      news = [];
      setState((old) => ({ ...old, items: merge(old.items ?? [], batch, filters.current) }));
    };
    setState((old) => (old.key === key ? old : { key, items: undefined, next: undefined, failure: undefined, busy: false }));
    read<RunList>(`/v1/runs${query({ ...filters.current, limit: page })}`, end.signal)
      .then((list) => {
        if (end.signal.aborted) return;
        setState({ key, items: list.items ?? [], next: list.next, failure: undefined, busy: false });
        stop = stream(`/v1/runs${query({ ...filters.current, watch: true })}`, {
          onEvent: (e) => {
            news.push(e.data as RunRecord);
            timer ??= setTimeout(flush, 150);
          },
        });
      })
      .catch((e: unknown) => {
        if (!end.signal.aborted) setState((old) => ({ ...old, failure: failureOf(e) }));
      });
    return () => {
      end.abort();
      stop?.();
      clearTimeout(timer);
    };
  }, [key, turn, signedOut === undefined]);
  const more = async () => {
    if (!state.next) return;
    setState((old) => ({ ...old, busy: true }));
    try {
      const list = await read<RunList>(`/v1/runs${query({ ...f, limit: page, before: state.next })}`);
      setState((old) => (old.key === key ? { ...old, items: merge(old.items ?? [], list.items ?? [], f), next: list.next, failure: undefined, busy: false } : old));
    } catch (e) {
      setState((old) => ({ ...old, failure: failureOf(e), busy: false }));
    }
  };
  return { ...state, more, retry: () => setTurn((t) => t + 1) };
}

/** useRun is one run; while it runs it is read again when its stream says that hosts ended. */
export function useRun(id: string) {
  return useQuery({
    queryKey: ["run", id],
    queryFn: ({ signal }) => read<RunDetail>(`/v1/runs/${encodeURIComponent(id)}`, signal),
    // What has ended does not change any more.
    staleTime: (q) => (q.state.data && q.state.data.state !== "running" ? 3_600_000 : 2_000),
    refetchInterval: (q) => (q.state.data?.state === "running" ? 5_000 : false),
  });
}

/** Above this much output hosts are not compared in the browser: each one's is read when it is looked at. */
export const compareLimit = 16 << 20;

/**
 * useRunLive follows a run from its beginning. The number changes when there is something new. One that has ended is told
 * again where there are hosts to compare.
 */
export function useRunLive(run: RunDetail | undefined): { live: Live; version: number; state: StreamState; failure: Failure | undefined } | undefined {
  const client = useQueryClient();
  const { may } = useSession();
  const id = run?.id;
  const total = run?.results.reduce((n, r) => n + (r.bytes ?? 0), 0) ?? 0;
  const followed = useRef<string>(undefined);
  if (run?.state === "running") followed.current = id;
  const wanted = run !== undefined && may("operator") && run.kind !== "apply" && run.kind !== "play" && (followed.current === id || (run.results.length !== 1 && total <= compareLimit));
  const live = useRef(new Live());
  const [version, setVersion] = useState(0);
  const [state, setState] = useState<{ state: StreamState; failure: Failure | undefined }>({ state: "connecting", failure: undefined });
  useEffect(() => {
    if (!id || !wanted) return;
    live.current = new Live();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    let told = 0;
    const stop = stream(`/v1/runs/${encodeURIComponent(id)}/events`, {
      once: true,
      onState: (s, failure) => {
        setState({ state: s, failure });
        if (s === "ended") setVersion((v) => v + 1);
      },
      onEvent: (e) => {
        live.current.take(e.data as never);
        if (live.current.ended && !over) {
          over = true;
          void client.invalidateQueries({ queryKey: ["run", id], exact: true });
        }
        timer ??= setTimeout(() => {
          timer = undefined;
          setVersion((v) => v + 1);
          const done = [...live.current.hosts.values()].filter((h) => h.done).length;
          if (done !== told && !over) void client.invalidateQueries({ queryKey: ["run", id], exact: true }, { cancelRefetch: false });
          told = done;
        }, 200);
      },
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [id, wanted, client]);
  return wanted ? { live: live.current, version, ...state } : undefined;
}
