import { Failure, request } from "./client";

// Prometheus' HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/

export type Labels = Record<string, string>;
export type Sample = { labels: Labels; value: number };
export type Series = { labels: Labels; points: [time: number, value: number][] };

type Answer =
  | { status: "success"; data: { resultType: "vector"; result: { metric: Labels; value: [number, string] }[] } }
  | { status: "success"; data: { resultType: "matrix"; result: { metric: Labels; values: [number, string][] }[] } }
  | { status: "error"; errorType: string; error: string };

async function ask(path: string, params: Record<string, string>, signal?: AbortSignal): Promise<Answer> {
  const response = await request(path, {
    method: "POST",
    body: new URLSearchParams(params),
    signal: signal ?? null,
  });
  return (await response.json()) as Answer;
}

const refused = (a: Answer): never => {
  throw new Failure({ code: "invalid", message: a.status === "error" ? `cannot query the metrics: ${a.error}` : "the metrics were answered in an unknown form" });
};

/** instant asks for the value of each series now, or at a time in seconds. */
export async function instant(query: string, time?: number, signal?: AbortSignal): Promise<Sample[]> {
  const a = await ask("/api/v1/query", time === undefined ? { query } : { query, time: String(time) }, signal);
  if (a.status !== "success" || a.data.resultType !== "vector") return refused(a);
  return a.data.result.map((r) => ({ labels: r.metric, value: Number(r.value[1]) }));
}

/** range asks for series between two times in seconds, a point each step seconds. */
export async function range(query: string, start: number, end: number, step: number, signal?: AbortSignal): Promise<Series[]> {
  const a = await ask("/api/v1/query_range", { query, start: String(start), end: String(end), step: String(step) }, signal);
  if (a.status !== "success" || a.data.resultType !== "matrix") return refused(a);
  return a.data.result.map((r) => ({ labels: r.metric, points: r.values.map(([t, v]) => [t, Number(v)]) }));
}

/** stepFor gives at most about `points` points, never finer than the 15 s at which hosts measure. */
export function stepFor(start: number, end: number, points = 300): number {
  const raw = (end - start) / points;
  for (const step of [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200]) if (raw <= step) return step;
  return 86400;
}

/** quoted is a string as PromQL writes it. */
export function quoted(s: string): string {
  return JSON.stringify(s);
}
