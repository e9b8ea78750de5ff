import type { Schemas } from "~/api/client";
import type { HostRow } from "~/app/overview";
import type { Share } from "~/pieces/SharesBar";
import { ago, compareNames, counted, listed, short, whole } from "~/format";

export type Revision = Schemas["Revision"];

export type Progress = { converged: number; failed: number; waiting: number; away: number; paused: number; total: number };

/** progressOf counts how far the hosts are that should be at a revision. */
export function progressOf(revision: string, hosts: HostRow[]): Progress {
  const p: Progress = { converged: 0, failed: 0, waiting: 0, away: 0, paused: 0, total: 0 };
  for (const h of hosts) {
    if (h.assigned !== revision) continue;
    p.total++;
    if (h.paused || h.state === "paused") p.paused++;
    else if (h.state === "failed") p.failed++;
    else if (h.state === "converged" && h.revision === revision) p.converged++;
    else if (!h.connected) p.away++;
    else p.waiting++;
  }
  return p;
}

/** stillAt counts the hosts that are at a revision, whatever they should be at. */
export const stillAt = (revision: string, hosts: HostRow[]): number => hosts.filter((h) => h.revision === revision).length;

export function segments(p: Progress): Share[] {
  return [
    { key: "converged", word: "converged", tone: "ok" as const, n: p.converged },
    { key: "failed", word: "failed", tone: "bad" as const, n: p.failed },
    { key: "waiting", word: "waiting", tone: "info" as const, n: p.waiting },
    { key: "away", word: "away", tone: "idle" as const, n: p.away },
    { key: "paused", word: "paused", tone: "idle" as const, n: p.paused },
  ].filter((s) => s.n > 0);
}

/** author is the name alone of "Name <mail>". */
export const author = (s: string): string => s.replace(/\s*<[^>]*>\s*$/, "") || s;

/** fact answers "has my change arrived?" for the active revision. */
export function fact(active: Revision | undefined, hosts: HostRow[] | undefined, at?: number): string | undefined {
  if (hosts === undefined) return undefined;
  if (!active) return "Nothing has been pushed yet.";
  const p = progressOf(active.name, hosts);
  const by = `${short(active.name)} by ${author(active.spec.author)}, pushed ${at === undefined ? ago(active.spec.when) : ago(active.spec.when, at)}`;
  if (p.total === 0) return hosts.length === 0 ? `${by}: no host is enrolled that could take it.` : `${by}: no enrolled host is in its inventory.`;
  const of = `${p.converged === p.total ? "" : "of "}${counted(p.total, "host")}`;
  if (p.converged === p.total) return p.total === 1 ? `The one host is at ${by}.` : `All ${of} are at ${by}.`;
  if (p.failed > 0) {
    const names = hosts.filter((h) => h.assigned === active.name && h.state === "failed").map((h) => h.name);
    const rest = p.waiting > 0 ? `, ${whole(p.waiting)} still take it` : "";
    return `${listed(names, 2)} failed to take ${by}; ${whole(p.converged)} ${of} are there${rest}.`;
  }
  if (p.waiting > 0) return `${whole(p.waiting)} ${of} still ${p.waiting === 1 ? "takes" : "take"} ${by}.`;
  const out = [p.away > 0 ? `${whole(p.away)} away` : "", p.paused > 0 ? `${whole(p.paused)} paused` : ""].filter(Boolean).join(", ");
  return `Every host that could has taken ${by}; ${out}.`;
}

export type HostPart = Omit<Schemas["RevisionHost"], "state"> & { state: keyof typeof hostStates };
export type RevisionHosts = { waves: Schemas["RevisionWave"][]; items: HostPart[] };
export type FileDiff = Schemas["FileDiff"];
export type RevisionDiff = Schemas["RevisionDiff"];

export const hostStates = {
  failed: { tone: "bad", word: "failed" },
  applying: { tone: "info", word: "applying" },
  waiting: { tone: "info", word: "waiting" },
  away: { tone: "idle", word: "away" },
  changed: { tone: "ok", word: "changed" },
  converged: { tone: "ok", word: "converged" },
} as const;

const order = Object.keys(hostStates);

/** sortHosts puts what needs a look first. */
export function sortHosts(items: HostPart[]): HostPart[] {
  return [...items].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || compareNames(a.host, b.host));
}

/** segmentsOf is the bar of a revision's own page, by what became of each host. */
export function segmentsOf(items: HostPart[]): Share[] {
  const n = (s: HostPart["state"]) => items.filter((i) => i.state === s).length;
  return (["changed", "converged", "failed", "applying", "waiting", "away"] as const).map((s) => ({ key: s, word: hostStates[s].word, tone: hostStates[s].tone, n: n(s) })).filter((s) => s.n > 0);
}

/** waves says in one sentence how the revision reaches its hosts. */
export function waves(h: RevisionHosts): string {
  if (h.waves.length <= 1) return h.items.length === 0 ? "No host takes part." : h.items.length === 1 ? "One host takes part." : `One wave: all ${counted(h.items.length, "host")} at once.`;
  return `${counted(h.waves.length, "wave")}, one after another: ${h.waves.map((w) => `${w.name} (${counted(w.hosts.length, "host")})`).join(", ")}.`;
}

/** revisionFact is the first sentence of a revision's page. */
export function revisionFact(r: Revision, h: RevisionHosts | undefined): string {
  const s = r.spec.subject || short(r.name);
  const subject = /[.!?]$/.test(s) ? s : `${s}.`;
  if (!h) return subject;
  const bar = segmentsOf(h.items);
  if (bar.length === 0) return subject;
  if (bar.length === 1 && h.items.length > 1) return `${subject} All ${counted(h.items.length, "host")} ${bar[0]!.key === "changed" || bar[0]!.key === "converged" || bar[0]!.key === "failed" ? bar[0]!.word : `are ${bar[0]!.word}`}.`;
  return `${subject} ${counted(h.items.length, "host")}: ${bar.map((b) => `${whole(b.n)} ${b.word}`).join(", ")}.`;
}

/** planned says what the push found. */
export function planned(p: Schemas["Plan"]): string {
  const asked = (p.groups ?? []).reduce((n, g) => n + g.hosts.length, 0);
  const change = (p.groups ?? []).filter((g) => (g.tasks ?? []).length > 0 || g.failed).reduce((n, g) => n + g.hosts.length, 0);
  const changed = (p.changed ?? []).length;
  const parts = [changed === 0 ? "The push found nothing to change on enrolled hosts." : `The push gave ${counted(changed, "host")} something new to be.`];
  if (asked > 0) parts.push(change === asked ? (asked === 1 ? "The one that was asked would change." : `All ${whole(asked)} that were asked would change.`) : `Of ${whole(asked)} that were asked, ${whole(change)} would change.`);
  if ((p.notAsked ?? []).length > 0) parts.push(`${counted(p.notAsked!.length, "host was", "hosts were")} not asked.`);
  return parts.join(" ");
}
