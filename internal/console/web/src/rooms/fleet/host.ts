import { useQuery } from "@tanstack/react-query";
import { api, data, request, type Schemas } from "~/api/client";
import { instant, quoted } from "~/api/prom";
import { useReadAnew } from "~/app/live";

// What a host's page reads. Everything begins with ["host", NAME], so that one
// event of the host has all of it read anew.

/** useReport is the last converge with its tasks; a host that has never converged has none. */
export function useReport(name: string, converged: boolean) {
  return useQuery({ enabled: converged, queryKey: ["host", name, "report"], queryFn: ({ signal }) => data(api.GET("/v1/hosts/{name}/report", { params: { path: { name } }, signal })) });
}

export function useFacts(name: string) {
  return useQuery({
    queryKey: ["host", name, "facts"],
    queryFn: async ({ signal }) => (await (await request(`/v1/hosts/${encodeURIComponent(name)}/facts`, { signal })).json()) as Record<string, unknown>,
  });
}

export type Process = Schemas["Process"];
export type Processes = Schemas["ProcessList"];
export type Unit = Schemas["Unit"];

/** useProcesses looks at what runs, every 3 s while somebody sees it. */
export function useProcesses(name: string, connected: boolean) {
  return useQuery({
    queryKey: ["processes", name],
    enabled: connected,
    queryFn: ({ signal }) => data(api.GET("/v1/hosts/{name}/processes", { params: { path: { name } }, signal })),
    refetchInterval: 3_000,
    staleTime: 0,
    retry: false,
  });
}

export function useUnits(name: string, connected: boolean) {
  return useQuery({
    queryKey: ["units", name],
    enabled: connected,
    queryFn: ({ signal }) => data(api.GET("/v1/hosts/{name}/units", { params: { path: { name } }, signal })),
    refetchInterval: 15_000,
    retry: false,
  });
}

export function useHostEvents(name: string, type?: string) {
  return useQuery({
    queryKey: ["host", name, "events", type ?? ""],
    queryFn: ({ signal }) => data(api.GET("/v1/events", { params: { query: { host: name, limit: 500, ...(type ? { type } : {}) } }, signal })),
  });
}

export type Measured = { cpu?: number; memory?: number; disk?: number; load1?: number; uptime?: number; pressure?: number; age?: number };

/** useMeasured is what the metrics say last of a host, for when it cannot be looked at itself. */
export function useMeasured(name: string) {
  return useQuery({
    queryKey: ["measured", name],
    queryFn: async ({ signal }): Promise<Measured> => {
      const s = `{instance=${quoted(name)}}`;
      const exprs: Record<keyof Measured, string> = {
        cpu: `drover:host_cpu:ratio${s}`,
        memory: `drover:host_memory:ratio${s}`,
        disk: `drover:host_disk:ratio${s}`,
        load1: `node_load1${s}`,
        uptime: `node_time_seconds${s} - node_boot_time_seconds${s}`,
        pressure: `count({__name__=~"node_pressure_.+", instance=${quoted(name)}})`,
        age: `time() - drover_host_metrics_timestamp_seconds${s}`,
      };
      const keys = Object.keys(exprs) as (keyof Measured)[];
      const answers = await Promise.all(keys.map((k) => instant(exprs[k], undefined, signal)));
      const out: Measured = {};
      keys.forEach((k, i) => {
        const v = answers[i]?.[0]?.value;
        if (v !== undefined && Number.isFinite(v)) out[k] = v;
      });
      return out;
    },
    refetchInterval: 15_000,
  });
}

/** useHostLive reads a host anew when something happens to it, of a burst once a second. */
export function useHostLive(name: string): void {
  useReadAnew((e) => e.host === name, ["host", name]);
}
