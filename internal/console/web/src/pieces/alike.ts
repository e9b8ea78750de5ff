import type { Schemas } from "~/api/client";
import { compareNames } from "~/format";

// Hosts that changed in the same way are one thing to read, not forty.

type Task = Schemas["TaskResult"];

export type HostTasks = { host: string; failed: boolean; message?: string; tasks: Task[] };
export type TaskGroup = { key: string; hosts: string[]; failed: boolean; message: string; tasks: Task[] };

const quiet = new Set(["ok", "skipped", "ignored", "rescued"]);

/** sameness is what two hosts' tasks must share to be one: all that a reader sees but names and times. */
function sameness(h: HostTasks, changed: Task[]): string {
  const own = (s: string | undefined | null) => (s ?? "").replaceAll(h.host, "\u0000");
  return JSON.stringify([
    h.failed,
    own(h.message),
    changed.map((t) => [t.name, own(t.item), t.status, own(t.message), (t.diff ?? []).map((d) => [own(d.before_header), own(d.after_header), own(d.before), own(d.after), own(d.prepared)])]),
  ]);
}

/** alikeTasks groups hosts by what changed or failed on them; failures first, then the most hosts. */
export function alikeTasks(hosts: HostTasks[]): TaskGroup[] {
  const groups = new Map<string, TaskGroup>();
  for (const h of hosts) {
    const changed = h.tasks.filter((t) => !quiet.has(t.status ?? ""));
    const key = sameness(h, changed);
    const g = groups.get(key);
    if (g) g.hosts.push(h.host);
    else groups.set(key, { key: h.host, hosts: [h.host], failed: h.failed, message: h.message ?? "", tasks: changed });
  }
  for (const g of groups.values()) g.hosts.sort(compareNames);
  return [...groups.values()].sort((a, b) => Number(b.failed) - Number(a.failed) || Number(b.tasks.length > 0) - Number(a.tasks.length > 0) || b.hosts.length - a.hosts.length);
}
