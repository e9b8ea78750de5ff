import { useEffect, useMemo, useState, type ReactNode } from "react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, data, failureOf } from "~/api/client";
import { range, stepFor, type Labels } from "~/api/prom";
import { useEvents, type FleetEvent } from "~/app/live";
import { useTime } from "~/app/time";
import type { Unit } from "~/format";
import { align, grid } from "./columns";
import { ChartView } from "./ChartView";
import { merge } from "./marks";
import type { Kind, Threshold } from "./Plot";

export type { Kind, Threshold } from "./Plot";
export type Query = { expr: string; name: string | ((labels: Labels) => string) };

const none: FleetEvent[] = [];
const shortest = 60; // seconds that a drag must span

/** Chart shows metrics over the page's time, with what happened on the host marked on its top edge. */
export function Chart(p: {
  title: string;
  unit: Unit;
  queries: Query[];
  kind?: Kind;
  /** Whose events are marked. */
  host?: string;
  thresholds?: Threshold[];
  max?: number;
  height?: number;
  note?: ReactNode;
  /** False: the axis begins near the least value. */
  zero?: boolean;
  /** Rows of the legend that there is room for; by default one for each query that has a fixed name, else four and a half, so that it is seen when there are more. */
  rows?: number;
}) {
  const time = useTime();
  const step = stepFor(time.from, time.to);
  // Asked for on full steps, so that a chart that is live is read anew once a step.
  const start = Math.floor(time.from / step) * step;
  const end = Math.ceil(time.to / step) * step;
  const exprs = p.queries.map((q) => q.expr);
  const query = useQuery({
    queryKey: ["prom.range", exprs, start, end, step],
    queryFn: async ({ signal }) => ({ start, end, step, answers: await Promise.all(exprs.map((e) => range(e, start, end, step, signal))) }),
    placeholderData: keepPreviousData,
    staleTime: time.live ? step * 1000 : 5 * 60_000,
  });
  const got = query.data;
  const { times, series } = useMemo(() => {
    if (!got) return { times: [], series: undefined };
    const times = grid(got.start, got.end, got.step);
    const raw = got.answers.flatMap((answer, i) => {
      const { name } = p.queries[i] ?? { name: "" };
      return answer.map((s) => ({ name: typeof name === "string" ? name : name(s.labels), points: s.points }));
    });
    return { times, series: align(raw, times) };
    // Names are functions that a page writes anew each time: the queries say when they change.
  }, [got, exprs.join("\n")]); // eslint-disable-line
  const { events, newest } = useMarks(p.host, time.from, time.to, time.live);
  // What has just happened is on the chart at once, not when the time moves on.
  const to = time.live ? Math.max(time.to, newest) : time.to;
  const failure = query.error ? failureOf(query.error) : undefined;
  return (
    <ChartView
      title={p.title}
      unit={p.unit}
      times={times}
      series={series}
      from={time.from + (to - time.to)}
      to={to}
      kind={p.kind}
      thresholds={p.thresholds}
      events={events}
      max={p.max}
      zero={p.zero}
      height={p.height}
      note={p.note}
      failure={series ? undefined : failure}
      stale={series && failure ? query.dataUpdatedAt || got!.end * 1000 : undefined}
      retry={() => void query.refetch()}
      rows={p.rows ?? (p.queries.some((q) => typeof q.name === "function") ? 4.5 : p.queries.length)}
      onZoom={(a, b) => {
        const middle = (a + b) / 2;
        const half = Math.max(b - a, shortest) / 2;
        time.setFixed(middle - half, middle + half);
      }}
    />
  );
}

const slot = 300; // seconds: a range that moves on asks for its events anew only so often

/** useMarks are the events of a host in a time: those that were, and those that come. */
function useMarks(host: string | undefined, from: number, to: number, live: boolean): { events: FleetEvent[]; newest: number } {
  const since = Math.floor(from / slot) * slot;
  const until = live ? undefined : Math.ceil(to);
  const asked = useQuery({
    queryKey: ["events", "marks", host, since, until],
    queryFn: async () => {
      const query = { host: host!, since: iso(since), limit: 1000, ...(until ? { until: iso(until) } : {}) };
      return (await data(api.GET("/v1/events", { params: { query } }))).items;
    },
    enabled: host !== undefined,
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  });
  const [came, setCame] = useState<FleetEvent[]>(none);
  useEffect(() => setCame(none), [host]);
  useEvents(
    (e) => e.host === host && host !== undefined,
    (events) => setCame((old) => [...old, ...events].slice(-500)),
  );
  const events = useMemo(() => merge(asked.data ?? none, came), [asked.data, came]);
  const newest = came.length > 0 ? Math.max(...came.map((e) => Date.parse(e.time) / 1000)) : 0;
  return { events, newest };
}

const iso = (s: number): string => new Date(s * 1000).toISOString();
