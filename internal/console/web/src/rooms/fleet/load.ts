import { useQuery } from "@tanstack/react-query";
import { failureOf, type Failure } from "~/api/client";
import { instant, type Sample } from "~/api/prom";

/** Load is what a host is busy with, each from 0 to 1; what is not measured is left out. */
export type Load = { cpu?: number; memory?: number; disk?: number };

export const measures = [
  { key: "cpu", rule: "drover:host_cpu:ratio" },
  { key: "memory", rule: "drover:host_memory:ratio" },
  { key: "disk", rule: "drover:host_disk:ratio" },
] as const;

/** joined puts the answers together by host. Rows that stay alike stay the same objects, so that nothing is drawn for them. */
export function joined(answers: Sample[][], before?: Map<string, Load>): Map<string, Load> {
  const out = new Map<string, Load>();
  measures.forEach(({ key }, i) => {
    for (const { labels, value } of answers[i] ?? []) {
      const host = labels.instance;
      if (!host || !Number.isFinite(value)) continue;
      const load = out.get(host) ?? {};
      // To a tenth of a percent: finer is noise that would only be drawn anew.
      load[key] = Math.round(value * 1000) / 1000;
      out.set(host, load);
    }
  });
  if (before) {
    for (const [host, load] of out) {
      const old = before.get(host);
      if (old && measures.every(({ key }) => old[key] === load[key])) out.set(host, old);
    }
  }
  return out;
}

let last: Map<string, Load> | undefined;

/** useLoad reads the three loads of all hosts, as often as hosts measure. */
export function useLoad(on: boolean): { load: Map<string, Load>; failure: Failure | undefined; loading: boolean } {
  const query = useQuery({
    queryKey: ["load"],
    enabled: on,
    queryFn: async ({ signal }) => {
      const answers = await Promise.all(measures.map((m) => instant(m.rule, undefined, signal)));
      last = joined(answers, last);
      return last;
    },
    structuralSharing: false,
    refetchInterval: 15_000,
  });
  return { load: query.data ?? none, failure: query.error ? failureOf(query.error) : undefined, loading: on && query.isPending };
}

const none = new Map<string, Load>();
