import { useQuery, useQueryClient } from "@tanstack/react-query";
import { failureOf, type Schemas } from "~/api/client";
import { read } from "~/api/json";
import { useEvents, useReadAnew } from "~/app/live";
import type { Revision, RevisionDiff, RevisionHosts } from "./words";

type Revisions = { items: Revision[]; continue?: string };

/** useRevisions are all revisions, the newest first. */
export function useRevisions() {
  const client = useQueryClient();
  useEvents((e) => e.type.startsWith("revision."), () => void client.invalidateQueries({ queryKey: ["revisions"] }));
  return useQuery({
    queryKey: ["revisions"],
    queryFn: async ({ signal }) => {
      const all: Revision[] = [];
      let next = "";
      do {
        // The list is by name, which is a hash: to know the newest all must be read.
        const list: Revisions = await read(`/v1/revisions?limit=1000${next ? `&continue=${encodeURIComponent(next)}` : ""}`, signal);
        all.push(...(list.items ?? []));
        next = list.continue ?? "";
      } while (next);
      return all.sort((a, b) => Date.parse(b.created ?? b.spec.when) - Date.parse(a.created ?? a.spec.when) || Date.parse(b.spec.when) - Date.parse(a.spec.when));
    },
  });
}

export function useRevision(name: string) {
  return useQuery({ queryKey: ["revision", name], queryFn: ({ signal }) => read<Revision>(`/v1/revisions/${encodeURIComponent(name)}`, signal) });
}

/** usePlan is the plan that the push printed; null where none was kept. */
export function usePlan(name: string) {
  return useQuery({
    queryKey: ["revision", name, "plan"],
    staleTime: Infinity,
    queryFn: async ({ signal }): Promise<{ plan: Schemas["Plan"] } | { none: string }> => {
      try {
        return { plan: await read<Schemas["Plan"]>(`/v1/revisions/${encodeURIComponent(name)}/plan`, signal) };
      } catch (e) {
        const f = failureOf(e);
        if (f.code === "not_found") return { none: f.remedy ? `${f.message}; ${f.remedy}` : f.message };
        throw e;
      }
    },
  });
}

export function useRevisionDiff(name: string) {
  return useQuery({ queryKey: ["revision", name, "diff"], staleTime: Infinity, queryFn: ({ signal }) => read<RevisionDiff>(`/v1/revisions/${encodeURIComponent(name)}/diff`, signal) });
}

const told = new Set(["host.changed", "host.converged", "host.failed", "host.connected", "host.disconnected"]);

/** useRevisionHosts is what became of each host; live while hosts report. */
export function useRevisionHosts(name: string) {
  useReadAnew((e) => told.has(e.type), ["revision", name, "hosts"]);
  return useQuery({
    queryKey: ["revision", name, "hosts"],
    queryFn: async ({ signal }) => {
      const h = await read<RevisionHosts>(`/v1/revisions/${encodeURIComponent(name)}/hosts`, signal);
      return { waves: h.waves ?? [], items: h.items ?? [] };
    },
  });
}

export type HostReport = { host: string; report: Schemas["Report"] };

/** Reports of so many hosts are read at first; more only when somebody asks. */
export const reportsAtFirst = 60;

/** useReports reads what the applies of hosts changed, a few at a time. */
export function useReports(parts: { host: string; run: string }[]) {
  return useQuery({
    queryKey: ["reports", parts.map((p) => p.run)],
    enabled: parts.length > 0,
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const out: HostReport[] = [];
      const missing: string[] = [];
      const todo = [...parts];
      const worker = async () => {
        for (let p = todo.shift(); p; p = todo.shift()) {
          try {
            out.push({ host: p.host, report: await read<Schemas["Report"]>(`/v1/runs/${encodeURIComponent(p.run)}/report?host=${encodeURIComponent(p.host)}`, signal) });
          } catch (e) {
            if (failureOf(e).code !== "not_found") throw e;
            missing.push(p.host); // its log has been cleared
          }
        }
      };
      await Promise.all(Array.from({ length: 6 }, worker));
      return { reports: out, missing };
    },
  });
}
