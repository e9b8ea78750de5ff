import { compareNames, counted, duration, nanos, short, whole } from "~/format";
import type { Share } from "~/pieces/SharesBar";
import type { Tone } from "~/pieces/states";
import { convergeLine, runLine } from "~/run/command";
import { rank, type HostState } from "~/run/live";
import type { RunDetail, RunKind, RunRecord, RunResult, RunState } from "./types";

export const kinds: Record<RunKind, string> = { command: "Command", converge: "Converge", play: "Play", apply: "Apply" };

export const states: Record<RunState, { tone: Tone; word: string }> = {
  running: { tone: "info", word: "running" },
  ok: { tone: "ok", word: "well" },
  failed: { tone: "bad", word: "failed" },
  partial: { tone: "warn", word: "partly failed" },
  cancelled: { tone: "idle", word: "stopped" },
  lost: { tone: "warn", word: "lost" },
};

export const hostStates: Record<HostState, { tone: Tone; word: string }> = {
  running: { tone: "info", word: "running" },
  ok: { tone: "ok", word: "well" },
  changed: { tone: "ok", word: "changed" },
  failed: { tone: "bad", word: "failed" },
  lost: { tone: "warn", word: "no answer" },
  away: { tone: "idle", word: "was away" },
};

export function sortResults(results: RunResult[]): RunResult[] {
  return [...results].sort((a, b) => rank(a.state) - rank(b.state) || compareNames(a.host, b.host));
}

/** what says what a run does, without who and where. */
export function what(r: RunRecord): string {
  switch (r.kind) {
    case "command":
      return r.title;
    case "converge":
      return r.check ? "Check" : "Converge";
    case "play":
      return `${r.check ? "Check of play" : "Play"} ${r.title}`;
    case "apply":
      return `${r.host ?? "A host"} applied ${short(r.commit) || "its assignment"}`;
  }
}

/** where says which hosts a run was asked for. */
export function where(r: RunRecord): string {
  if (r.kind === "apply") return r.host ?? "";
  const n = counted(r.count, "host");
  return r.hosts && r.hosts !== "all" ? `${n} (${r.hosts})` : n;
}

/** outcome says how it ended, or how far it is: "40 well, 1 failed, 1 without an answer". */
export function outcome(r: RunRecord): string {
  const done = r.ok + r.failed + r.lost + r.away;
  const parts: string[] = [];
  if (r.ok > 0) parts.push(`${whole(r.ok)} well${r.changed > 0 ? ` (${whole(r.changed)} ${r.check ? "would change" : "changed"})` : ""}`);
  if (r.failed > 0) parts.push(`${whole(r.failed)} failed`);
  if (r.lost > 0) parts.push(`${whole(r.lost)} without an answer`);
  if (r.away > 0) parts.push(`${whole(r.away)} away`);
  if (r.state === "running") parts.push(`${whole(Math.max(0, r.count - done))} to go`);
  return parts.join(", ") || "no host matched";
}

/** fact is the first sentence of a run's page: how it stands, in one breath. */
export function fact(r: RunDetail): string {
  if (r.kind === "apply") return applied(r);
  const on = where(r);
  if (r.state === "running") return `Runs on ${on}: ${outcome(r)}.`;
  const took = r.took ? ` in ${duration(nanos(r.took))}` : "";
  switch (r.state) {
    case "ok":
      if (r.count === 0) return "No host matched, so nothing ran.";
      if (r.check) return r.changed > 0 ? `Would change ${whole(r.changed)} of ${on}.` : `Would change nothing on ${on}.`;
      if (r.kind !== "command" && r.changed > 0) return `Went well on ${on}${took} and changed ${r.changed === r.count ? (r.count === 1 ? "it" : "all of them") : whole(r.changed)}.`;
      return `Went well on ${r.count > 1 && !r.hosts ? `all ${on}` : on}${took}.`;
    case "failed":
      return `Failed on ${on}${took}: ${outcome(r)}.`;
    case "partial":
      return `Went well on ${whole(r.ok)} of ${on}${took}: ${outcome(r)}.`;
    case "cancelled":
      return `Was stopped on ${on}: ${outcome(r)}.`;
    case "lost":
      return `The server ended under it, so how it went on ${on} is not known in full: ${outcome(r)}.`;
  }
}

function applied(r: RunDetail): string {
  const t = r.results[0]?.tasks;
  const took = r.took ? ` in ${duration(nanos(r.took))}` : "";
  const host = r.host ?? "The host";
  if (r.state === "running") return `${host} is applying ${short(r.commit)}.`;
  if (r.state === "failed") return `${host} failed to apply ${short(r.commit)}${took}${t ? `: ${counted(t.failed, "task")} failed` : ""}.`;
  const changed = t?.changed ?? r.changed;
  return changed > 0 ? `${host} applied ${short(r.commit)}${took} and changed ${counted(changed, "thing")}.` : `${host} applied ${short(r.commit)}${took}; nothing had to change.`;
}

/** command is the drover command that does the same again; plays come from a working tree that only its owner has. */
export function command(r: RunRecord & { command?: string; user?: string }): string | undefined {
  switch (r.kind) {
    case "command":
      return runLine(r.command ?? r.title, r.hosts, r.user);
    case "converge":
      return convergeLine(r.check, r.hosts);
    case "apply":
      return r.host ? convergeLine(false, r.host) : undefined;
    case "play":
      return undefined;
  }
}

/** shares are the parts of a progress bar, what went well first. */
export function shares(r: RunRecord): Share[] {
  const rest = Math.max(0, r.count - r.ok - r.failed - r.lost - r.away);
  return [
    { key: "ok", word: "well", tone: "ok" as const, n: r.ok },
    { key: "failed", word: "failed", tone: "bad" as const, n: r.failed },
    { key: "lost", word: "no answer", tone: "warn" as const, n: r.lost },
    { key: "running", word: "running", tone: "info" as const, n: r.state === "running" ? rest : 0 },
    { key: "away", word: "away", tone: "idle" as const, n: r.away },
  ].filter((s) => s.n > 0);
}

/** asked are the kinds that somebody asks for; an apply is a host's own. */
export const asked = "command,converge,play";

export type Filters = { kind: string; host: string; actor: string; state: string; commit: string };

/** passes says whether a run that comes in live belongs to the list that is shown. A run of many hosts is of any host: only the server knows which. */
export function passes(r: RunRecord, f: Filters): boolean {
  return (
    (f.kind === "" || f.kind.split(",").includes(r.kind)) &&
    (f.actor === "" || r.actor === f.actor) &&
    (f.state === "" || r.state === f.state) &&
    (f.commit === "" || (r.commit ?? "").startsWith(f.commit)) &&
    (f.host === "" || r.kind !== "apply" || r.host === f.host)
  );
}

/** merge puts runs that came in live into a list, the newest first; one that ended takes the place of itself. */
export function merge(list: RunRecord[], news: RunRecord[], f: Filters): RunRecord[] {
  const byID = new Map(list.map((r) => [r.id, r]));
  for (const r of news) {
    if (passes(r, f)) byID.set(r.id, r);
    else byID.delete(r.id);
  }
  return [...byID.values()].sort((a, b) => Date.parse(b.start) - Date.parse(a.start) || (a.id < b.id ? 1 : -1));
}
