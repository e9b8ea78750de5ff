import { useQuery } from "@tanstack/react-query";
import { read } from "~/api/json";
import type { Document } from "./schema";
import type { Kind, Obj } from "./types";

/** useKinds are the kinds that there are. */
export function useKinds() {
  return useQuery({ queryKey: ["kinds"], staleTime: 3_600_000, queryFn: async ({ signal }) => (await read<{ items: Kind[] }>("/v1/kinds", signal)).items });
}

/** useDocument is what the server says of all its fields. */
export function useDocument() {
  return useQuery({ queryKey: ["openapi"], staleTime: 3_600_000, queryFn: ({ signal }) => read<Document>("/openapi.json", signal) });
}

export const objectPath = (plural: string, name: string): string => `/v1/${encodeURIComponent(plural)}/${encodeURIComponent(name)}`;

export function useObject(plural: string, name: string) {
  return useQuery({ queryKey: ["object", plural, name], queryFn: ({ signal }) => read<Obj>(objectPath(plural, name), signal), refetchInterval: 30_000 });
}

export type HistoryItem = { time: string; actor: string; action: string; result: string; detail?: string };

export function useHistory(plural: string, name: string, enabled: boolean) {
  return useQuery({ queryKey: ["history", plural, name], enabled, queryFn: async ({ signal }) => (await read<{ items: HistoryItem[] }>(`${objectPath(plural, name)}/history`, signal)).items ?? [] });
}
