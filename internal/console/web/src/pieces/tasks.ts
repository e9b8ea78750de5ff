import type { Schemas } from "~/api/client";
import type { Tone } from "./states";

export type Task = Schemas["TaskResult"];

/** A task with its loop items, each a result of its own. */
export type Node = { name: string; tasks: Task[]; status: string; took: number };
export type Group = { role: string; nodes: Node[]; took: number; counts: Counts };
export type Counts = { ok: number; changed: number; failed: number; skipped: number };

// The worst of a loop's items is the task's.
const order = ["skipped", "ok", "changed", "rescued", "ignored", "unforeseen", "unreachable", "failed"];

export const tones: Record<string, Tone> = { ok: "ok", changed: "info", failed: "bad", unreachable: "bad", skipped: "idle", ignored: "warn", rescued: "warn", unforeseen: "warn" };

const words: Record<string, string> = { unforeseen: "cannot be foretold", unreachable: "not reached", ignored: "failed, ignored", rescued: "failed, rescued" };
export const word = (status: string | undefined): string => words[status ?? ""] ?? status ?? "ok";

/** split takes "role : task" apart; a task outside of a role has none. */
export function split(name: string): { role: string; task: string } {
  const at = name.indexOf(" : ");
  return at < 0 ? { role: "", task: name } : { role: name.slice(0, at), task: name.slice(at + 3) };
}

export const quiet = (t: Task): boolean => ["ok", "skipped", "", undefined].includes(t.status);

/** grouped puts tasks under their roles, and loop items under their task, in the order in which they ran. */
export function grouped(tasks: Task[], onlyChanges = false): Group[] {
  const out: Group[] = [];
  for (const t of tasks) {
    if (onlyChanges && quiet(t)) continue;
    const { role, task } = split(t.name);
    let group = out.at(-1);
    if (group?.role !== role || !group) out.push((group = { role, nodes: [], took: 0, counts: { ok: 0, changed: 0, failed: 0, skipped: 0 } }));
    const took = (t.duration ?? 0) / 1e6;
    const status = t.status || "ok";
    let node = group.nodes.at(-1);
    const more = node && node.name === task && t.item !== undefined && node.tasks[0]!.item !== undefined && samePlace(node.tasks[0]!, t);
    if (!more) group.nodes.push((node = { name: task, tasks: [], status, took: 0 }));
    node!.tasks.push(t);
    node!.took += took;
    if (order.indexOf(status) > order.indexOf(node!.status)) node!.status = status;
    group.took += took;
    group.counts[status === "changed" ? "changed" : status === "failed" || status === "unreachable" ? "failed" : status === "skipped" ? "skipped" : "ok"]++;
  }
  return out;
}

function samePlace(a: Task, b: Task): boolean {
  return a.module === b.module && a.place?.file === b.place?.file && a.place?.line === b.place?.line;
}
