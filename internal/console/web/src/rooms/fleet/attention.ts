import type { Alert } from "~/alerts/alerts";
import { clauseOf, stripHost } from "~/alerts/words";
import type { HostRow } from "~/app/overview";
import { whole } from "~/format";
import type { Tone } from "~/pieces/states";
import { driftedLately, isBehind, isPaused, isSaid, healthOf, type Word } from "./health";
import { termOf } from "./filter";

// What needs a person, worst first, each with the next step. What is wrong with
// many hosts in the same way is one item.

export type Next = { words: string; to: string; search?: Record<string, string> };

export type Item = {
  key: string;
  tone: Tone;
  /** Lower is worse. */
  rank: number;
  /** A clause without its full stop: "2 hosts failed", for the page's first sentence. */
  clause: string;
  /** Who: linked. At most a few names are shown. */
  hosts: string[];
  /** What of them: "failed: cannot install nginx". */
  what: string;
  since?: string;
  next: Next;
};

/** How many items of one kind are told one by one. */
const each = 3;

const hostPage = (name: string, tab?: string): Next => ({ words: "", to: `/hosts/${encodeURIComponent(name)}`, ...(tab ? { search: { tab } } : {}) });

export function attention(hosts: HostRow[], alerts: Alert[] | undefined, now: number): Item[] {
  const out: Item[] = [];
  const firing = (alerts ?? []).filter((a) => a.state === "firing");
  const byName = new Map(hosts.map((h) => [h.name, h]));

  kind(out, hosts.filter((h) => h.state === "failed" && h.connected), {
    word: "failed", tone: "bad", rank: 10,
    one: (h) => h.message || "the last converge failed",
    oneNext: (h) => ({ ...hostPage(h.name, "converge"), words: "See the failed task" }),
    many: "failed",
    since: (h) => h.converged,
  });
  kind(out, hosts.filter((h) => !h.connected), {
    word: "away", tone: "bad", rank: 20,
    one: () => "is away: its agent is not connected",
    oneNext: (h) => ({ ...hostPage(h.name), words: "See the host" }),
    many: "are away",
    manyOne: "is away",
    since: (h) => h.lastSeen,
  });
  const named = new Map<string, Alert[]>();
  for (const a of firing) {
    const h = a.host ? byName.get(a.host) : undefined;
    if (h && isSaid(a, healthOf(h, undefined, now).all)) continue;
    const list = named.get(a.name);
    if (list) list.push(a);
    else named.set(a.name, [a]);
  }
  for (const [name, list] of named) alert(out, name, list);
  kind(out, hosts.filter(isBehind), {
    word: "behind", tone: "warn", rank: 50,
    one: () => "is not at its revision yet",
    oneNext: (h) => ({ ...hostPage(h.name, "converge"), words: "See its last converge" }),
    many: "are not at their revision yet",
    manyOne: "is not at its revision yet",
    since: () => undefined,
  });
  kind(out, hosts.filter((h) => driftedLately(h, now) && h.state !== "failed" && !isPaused(h)), {
    word: "drifted", tone: "warn", rank: 60,
    one: () => "was changed by hand, and put right",
    oneNext: (h) => ({ ...hostPage(h.name, "events"), words: "See what was put right" }),
    many: "drifted and were put right",
    manyOne: "drifted and was put right",
    since: (h) => h.drifted,
  });
  return out.sort((a, b) => a.rank - b.rank || b.hosts.length - a.hosts.length);
}

type Kind = {
  word: Word;
  tone: Tone;
  rank: number;
  one: (h: HostRow) => string;
  oneNext: (h: HostRow) => Next;
  many: string;
  manyOne?: string;
  since: (h: HostRow) => string | undefined;
};

function kind(out: Item[], hosts: HostRow[], k: Kind): void {
  if (hosts.length === 0) return;
  const clause = hosts.length === 1 ? `${hosts[0]!.name} ${k.manyOne ?? k.many}` : `${whole(hosts.length)} hosts ${k.many}`;
  if (hosts.length <= each) {
    hosts.forEach((h, i) =>
      out.push({
        key: `${k.word}/${h.name}`, tone: k.tone, rank: k.rank, clause: i === 0 ? clause : "", hosts: [h.name], what: k.one(h), next: k.oneNext(h), ...stamp(k.since(h)),
      }),
    );
    return;
  }
  const reasons = k.word === "failed" ? common(hosts.map((h) => h.message ?? "")) : "";
  out.push({
    key: k.word, tone: k.tone, rank: k.rank, clause, hosts: hosts.map((h) => h.name), what: `${k.many}${reasons}`,
    next: { words: "Show them", to: "/", search: { q: termOf("state", k.word) } }, ...stamp(latest(hosts.map(k.since))),
  });
}

/* What most of them say: the one thing to mend first. */
function common(messages: string[]): string {
  const counts = new Map<string, number>();
  for (const m of messages) if (m) counts.set(m, (counts.get(m) ?? 0) + 1);
  const [text, n] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
  if (!text) return "";
  return n === messages.length ? `, all with: ${text}` : n > 1 ? `, ${whole(n)} of them with: ${text}` : `; one with: ${text}`;
}

const stamp = (since: string | undefined): { since?: string } => (since ? { since } : {});
const latest = (times: (string | undefined)[]): string | undefined => times.filter((t): t is string => !!t).sort().at(-1);

/** What an alert of the pack says of many hosts. */
const ofMany: Record<string, string> = {
  HostDown: "are down",
  AgentSilent: "send no metrics",
  DiskWillFill: "have a disk that will be full",
  DiskFull: "have a full disk",
  MemoryLow: "are short of memory",
  UnitFailed: "have failed units",
  ClockWrong: "have a wrong clock",
  HostDrifted: "drifted",
  ConvergeFailed: "failed to converge",
};

function alert(out: Item[], name: string, list: Alert[]): void {
  const critical = list.some((a) => a.severity === "critical");
  const info = list.every((a) => a.severity === "info");
  const tone: Tone = critical ? "bad" : info ? "info" : "warn";
  const rank = critical ? 0 : info ? 70 : 30;
  const hosts = [...new Set(list.flatMap((a) => (a.host ? [a.host] : [])))];
  const link: Next = { words: "See the alert", to: "/alerts", search: { q: name } };
  if (list.length <= each) {
    list.forEach((a, i) =>
      out.push({
        key: `${name}/${a.host ?? ""}/${i}`, tone, rank, clause: info ? "" : clauseOf(a), hosts: a.host ? [a.host] : [], what: stripHost(a.summary, a.host), since: a.since, next: link,
      }),
    );
    return;
  }
  const n = hosts.length || list.length;
  const what = ofMany[name] ?? `have ${name} firing`;
  out.push({
    key: name, tone, rank, clause: info ? "" : `${whole(n)} hosts ${what}`, hosts, what, next: { words: "See the alerts", to: "/alerts", search: { q: name } },
    ...stamp(latest(list.map((a) => a.since))),
  });
}
