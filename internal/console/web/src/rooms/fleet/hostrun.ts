import { useCallback, useEffect, useRef, useState } from "react";
import { useQueryClient } from "@tanstack/react-query";
import { api, type Failure, type Schemas } from "~/api/client";
import { stream } from "~/api/stream";
import { Live, type Chunk } from "~/run/live";

export type HostRun = {
  /** What was asked for: "uptime", or what a converge is called. */
  what: string;
  /** The drover command that does the same. */
  line: string;
  state: "running" | "ended" | "broken";
  began: number;
  took: number;
  id: string | undefined;
  chunks: Chunk[];
  bytes: number;
  cut: boolean;
  away: boolean;
  done: Schemas["RunDone"] | undefined;
  failure: Failure | undefined;
};

/** useHostRun runs one thing on one host, from this page: it ends when the page is left. */
export function useHostRun(host: string): { run: HostRun | undefined; start: (what: string, line: string, path: string, body: unknown) => void; stop: () => void; clear: () => void } {
  const [run, setRun] = useState<HostRun>();
  const end = useRef<() => void>(undefined);
  const id = useRef<string>(undefined);
  const client = useQueryClient();
  useEffect(() => () => end.current?.(), [host]);
  const start = useCallback(
    (what: string, line: string, path: string, body: unknown) => {
      end.current?.();
      id.current = undefined;
      const live = new Live();
      const began = Date.now();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const show = (state: HostRun["state"], failure?: Failure) => {
        clearTimeout(timer);
        timer = undefined;
        const h = live.hosts.get(host);
        setRun({
          what, line, state, began, took: Date.now() - began, id: id.current, failure,
          chunks: h ? [...h.chunks] : [], bytes: h?.bytes ?? 0, cut: h?.cut ?? false, away: live.away.includes(host), done: h?.done,
        });
      };
      show("running");
      let over = false;
      const close = stream(path, {
        method: "POST",
        body,
        once: true,
        onState: (s, failure) => {
          if (s !== "ended" || over) return;
          over = true;
          show(failure && !live.ended ? "broken" : "ended", live.ended ? undefined : failure);
          void client.invalidateQueries({ queryKey: ["host", host] });
        },
        onEvent: (e) => {
          live.take(e.data as never);
          id.current ??= (e.data as Schemas["RunEvent"]).start?.id;
          timer ??= setTimeout(() => show(live.ended ? "ended" : "running"), 80);
        },
      });
      end.current = () => {
        over = true;
        clearTimeout(timer);
        close();
      };
    },
    [host, client],
  );
  const stop = useCallback(() => {
    // The run's own end is waited for: it says how the host ended it.
    if (id.current) void api.POST("/v1/runs/{id}/cancel", { params: { path: { id: id.current } } }).catch(() => end.current?.());
    else {
      end.current?.();
      setRun((old) => old && { ...old, state: "broken", took: Date.now() - old.began });
    }
  }, []);
  const clear = useCallback(() => {
    end.current?.();
    setRun(undefined);
  }, []);
  return { run, start, stop, clear };
}
