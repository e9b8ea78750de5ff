import type { Alert } from "~/alerts/alerts";
import type { HostRow } from "~/app/overview";
import type { Subject } from "./filter";
import { healthOf, rank } from "./health";
import type { Load } from "./load";

/* Both undefined, or the same alerts. */
function alike(a: Alert[] | undefined, b: Alert[] | undefined): boolean {
  return a === b || (a?.length === b?.length && (a ?? []).every((x, i) => x === b?.[i]));
}

type Kept = { subject: Subject; alerts: Alert[] | undefined; now: number };

/** keeper joins hosts with their alerts and load. A host of which nothing changed stays the same object, so that its row is not drawn anew. */
export function keeper(): (hosts: HostRow[], alerts: Map<string, Alert[]>, load: Map<string, Load>, now: number) => Subject[] {
  let kept = new Map<string, Kept>();
  return (hosts, alerts, load, now) => {
    const next = new Map<string, Kept>();
    const out = hosts.map((host) => {
      const mine = alerts.get(host.name);
      const busy = load.get(host.name);
      const old = kept.get(host.name);
      // Time matters only for what has drifted.
      const same = old && old.subject.host === host && old.subject.load === busy && alike(old.alerts, mine) && (!host.drifted || old.now === now);
      const k = same ? old : { subject: { host, health: healthOf(host, mine, now), load: busy }, alerts: mine, now };
      next.set(host.name, k);
      return k.subject;
    });
    kept = next;
    return out;
  };
}

export type Order = { key: string; down: boolean };

const orders: Record<string, (s: Subject) => number | string> = {
  state: (s) => rank[s.health.word],
  cpu: (s) => s.load?.cpu ?? -1,
  memory: (s) => s.load?.memory ?? -1,
  disk: (s) => s.load?.disk ?? -1,
  converged: (s) => (s.host.converged ? Date.parse(s.host.converged) : 0),
  drifted: (s) => (s.host.drifted ? Date.parse(s.host.drifted) : 0),
};

/** orderOf reads "cpu" or "-cpu"; what it does not know is the order by name. */
export function orderOf(text: string | undefined): Order {
  const down = text?.startsWith("-") ?? false;
  const key = down ? text!.slice(1) : (text ?? "name");
  return Object.hasOwn(orders, key) || key === "name" ? { key, down } : { key: "name", down: false };
}

/** ordered sorts; alike ones stay by name, in which the list comes. */
export function ordered(subjects: Subject[], { key, down }: Order): Subject[] {
  if (key === "name") return down ? [...subjects].reverse() : subjects;
  const by = orders[key]!;
  const keyed = subjects.map((s) => [by(s), s] as const);
  const sign = down ? -1 : 1;
  keyed.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
  return keyed.map(([, s]) => s);
}

export type Group = { name: string; subjects: Subject[]; bad: number };

/** grouped puts hosts under headings: by "group", "state", "os", or "label:KEY". A host in two groups is under both. */
export function grouped(subjects: Subject[], by: string | undefined): Group[] | undefined {
  if (!by) return undefined;
  const keys = keysBy(by);
  if (!keys) return undefined;
  const map = new Map<string, Subject[]>();
  for (const s of subjects) {
    const all = keys(s);
    for (const k of all.length > 0 ? all : [""]) {
      const list = map.get(k);
      if (list) list.push(s);
      else map.set(k, [s]);
    }
  }
  const out = [...map].map(([name, list]) => ({ name, subjects: list, bad: list.filter((s) => s.health.tone === "bad").length }));
  if (by === "state") return out.sort((a, b) => rank[a.name as keyof typeof rank] - rank[b.name as keyof typeof rank]);
  return out.sort((a, b) => (a.name === "" ? 1 : b.name === "" ? -1 : a.name < b.name ? -1 : 1));
}

/** The groups that say something: every host is in "all". */
export const groupsOf = (s: Subject): string[] => (s.host.groups ?? []).filter((g) => g !== "all" && g !== "ungrouped");
export const labelsOf = (s: Subject): string[] => Object.entries(s.host.labels ?? {}).map(([k, v]) => `${k}=${v}`);

function keysBy(by: string): ((s: Subject) => string[]) | undefined {
  if (by === "group") return groupsOf;
  if (by === "state") return (s) => [s.health.word];
  if (by === "os") return (s) => (s.host.os ? [s.host.os] : []);
  if (by.startsWith("label:")) {
    const key = by.slice(6);
    return (s) => (s.host.labels?.[key] !== undefined ? [s.host.labels[key]] : []);
  }
  return undefined;
}

/** labelKeys are what can be grouped by. */
export function labelKeys(subjects: Subject[]): string[] {
  const out = new Set<string>();
  for (const s of subjects) for (const k in s.host.labels) out.add(k);
  return [...out].sort();
}

export type Line = { kind: "group"; group: Group; key: string } | { kind: "hosts"; subjects: Subject[]; first: number; key: string };

/** linesOf lays hosts out for a list of which only what is in sight is drawn: a heading or `across` hosts a line. */
export function linesOf(subjects: Subject[], groups: Group[] | undefined, across: number, closed: ReadonlySet<string>): { lines: Line[]; shown: Subject[]; lineOf: number[] } {
  const lines: Line[] = [];
  const shown: Subject[] = [];
  const lineOf: number[] = [];
  const add = (list: Subject[], prefix: string) => {
    for (let i = 0; i < list.length; i += across) {
      const some = list.slice(i, i + across);
      lines.push({ kind: "hosts", subjects: some, first: shown.length, key: `${prefix}/${some[0]!.host.name}` });
      for (const s of some) {
        shown.push(s);
        lineOf.push(lines.length - 1);
      }
    }
  };
  if (!groups) add(subjects, "");
  else {
    for (const g of groups) {
      lines.push({ kind: "group", group: g, key: `group ${g.name}` });
      if (!closed.has(g.name)) add(g.subjects, g.name);
    }
  }
  return { lines, shown, lineOf };
}
