import { useCallback } from "react";
import { useNavigate } from "@tanstack/react-router";
import { useQueryClient } from "@tanstack/react-query";
import { failureOf, readFailure, request, type Schemas } from "~/api/client";
import { counted, listed, whole } from "~/format";
import { useToast } from "~/pieces/actions";

// What can be done with hosts, one or many.

/** patternOf names hosts for the API; all of a fleet are "all", so that the request stays short. */
export function patternOf(names: string[], all: number): string {
  return names.length === all && all > 1 ? "all" : names.join(",");
}

async function post(path: string, body: unknown): Promise<Schemas["RunRecord"]> {
  const response = await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return (await response.json()) as Schemas["RunRecord"];
}

export const runCommand = (command: string, hosts: string, user: string, seconds: number): Promise<Schemas["RunRecord"]> =>
  post("/v1/runs", { command, hosts, detach: true, ...(user && { user }), ...(seconds > 0 && { timeout: seconds * 1e9 }) });

export const convergeMany = (hosts: string, check: boolean): Promise<Schemas["RunRecord"]> => post("/v1/converge", { hosts, check, detach: true });

/** patchHost changes a host by a merge patch (RFC 7396): null takes away. */
export async function patchHost(name: string, patch: unknown): Promise<void> {
  await request(`/v1/hosts/${encodeURIComponent(name)}`, { method: "PATCH", headers: { "Content-Type": "application/merge-patch+json" }, body: JSON.stringify(patch) });
}

export async function removeHost(name: string): Promise<void> {
  const response = await fetch(`/v1/hosts/${encodeURIComponent(name)}`, { method: "DELETE", credentials: "same-origin" });
  if (!response.ok) throw await readFailure(response);
}

/** each does one thing after the other for many, a few at a time, and gives those that failed. */
export async function each<T>(items: T[], at: number, one: (item: T) => Promise<void>): Promise<{ item: T; why: string }[]> {
  const failed: { item: T; why: string }[] = [];
  let next = 0;
  const work = async () => {
    for (let i = next++; i < items.length; i = next++) {
      try {
        await one(items[i]!);
      } catch (e) {
        failed.push({ item: items[i]!, why: failureOf(e).message });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(at, items.length) }, work));
  return failed;
}

/** usePause pauses or resumes hosts, says what came of it, and offers the way back. */
export function usePause(): (names: string[], paused: boolean) => Promise<void> {
  const toast = useToast();
  const client = useQueryClient();
  return useCallback(
    async (names, paused) => {
      const set = (to: boolean) => each(names, 8, (name) => patchHost(name, { spec: { paused: to } }));
      const failed = await set(paused);
      void client.invalidateQueries({ queryKey: ["host"] });
      const done = names.length - failed.length;
      const verb = paused ? "Paused" : "Resumed";
      const back = async () => {
        const again = await set(!paused);
        if (again[0]) throw new Error(again[0].why);
      };
      if (failed.length > 0)
        toast({
          tone: "bad",
          text: `${verb} ${whole(done)} of ${counted(names.length, "host")}`,
          detail: `${listed(failed.map((f) => f.item))}: ${failed[0]!.why}`,
        });
      else toast({ tone: "ok", text: `${verb} ${names.length === 1 ? names[0] : counted(names.length, "host")}`, undo: back });
    },
    [toast, client],
  );
}

/** useConverge has many hosts converge, and leads to the run that shows it. */
export function useConverge(): (hosts: string, check: boolean, count: number) => Promise<void> {
  const toast = useToast();
  const navigate = useNavigate();
  return useCallback(
    async (hosts, check, count) => {
      try {
        const run = await convergeMany(hosts, check);
        await navigate({ to: "/runs/$id", params: { id: run.id } });
      } catch (e) {
        const f = failureOf(e);
        toast({ tone: "bad", text: `Cannot ${check ? "check" : "converge"} ${counted(count, "host")}: ${f.message}`, detail: f.remedy });
      }
    },
    [toast, navigate],
  );
}
