import type { Alert } from "~/alerts/alerts";
import { bySeverity, clauseOf } from "~/alerts/words";
import { counted, whole } from "~/format";

/** alertsSay is the first sentence of the alerts' page. Unknown counts are left out. */
export function alertsSay(alerts: Alert[], rules: number | undefined, hosts: number | undefined): string {
  const firing = alerts.filter((a) => a.state === "firing").sort(bySeverity);
  const pending = alerts.length - firing.length;
  const watch = rules !== undefined ? `${counted(rules, "rule")} ${rules === 1 ? "watches" : "watch"}${hosts !== undefined ? ` ${counted(hosts, "host")}` : ""}` : "";
  if (firing.length === 0) {
    const soon = pending > 0 ? ` ${counted(pending, "alert")} ${pending === 1 ? "is" : "are"} pending.` : "";
    return `Nothing fires.${soon}${watch ? ` ${watch}.` : ""}`;
  }
  const critical = firing.filter((a) => a.severity === "critical").length;
  if (firing.length === 1) {
    const a = firing[0]!;
    const clause = clauseOf(a);
    return `${a.host && clause.startsWith(a.host) ? clause : clause.charAt(0).toUpperCase() + clause.slice(1)}. Nothing else fires.`;
  }
  return `${counted(firing.length, "alert")} fire${critical > 0 ? `, ${whole(critical)} of them critical` : ""}.`;
}

export type AlertGroup = { name: string; severity: string; alerts: Alert[] };

/** groupsOfAlerts puts alerts of one rule together, the most severe first, then the many. */
export function groupsOfAlerts(alerts: Alert[]): AlertGroup[] {
  const groups = new Map<string, Alert[]>();
  for (const a of [...alerts].sort((x, y) => bySeverity(x, y) || (x.since > y.since ? -1 : x.since < y.since ? 1 : 0))) {
    const list = groups.get(a.name);
    if (list) list.push(a);
    else groups.set(a.name, [a]);
  }
  return [...groups].map(([name, list]) => ({ name, severity: list[0]!.severity, alerts: list })).sort((a, b) => bySeverity(a.alerts[0]!, b.alerts[0]!) || b.alerts.length - a.alerts.length || (a.name < b.name ? -1 : 1));
}

/** matches tells whether an alert has all the words in it. */
export function matches(a: Alert, text: string): boolean {
  const all = [a.name, a.host ?? "", a.severity, a.summary, a.unit ?? "", ...Object.entries(a.labels ?? {}).map(([k, v]) => `${k}=${v}`)].join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((w) => all.includes(w));
}

export type Rule = { name: string; group: string; type: "alerting" | "recording"; state: string; query: string; seconds: number; summary: string; problem: string; firing: number; pending: number };

type RawRule = { type?: string; name?: string; state?: string; query?: string; duration?: number; annotations?: Record<string, string>; health?: string; lastError?: string; alerts?: { state?: string }[] };

/** rulesOf reads the answer of /api/v1/rules; of rules that share a name each stands for itself. */
export function rulesOf(body: unknown): Rule[] {
  const groups = ((body as { data?: { groups?: { name?: string; rules?: RawRule[] }[] } }).data?.groups ?? []);
  return groups.flatMap((g) =>
    (g.rules ?? []).map((r) => ({
      name: r.name ?? "", group: g.name ?? "", type: r.type === "alerting" ? ("alerting" as const) : ("recording" as const), state: r.state ?? "", query: r.query ?? "", seconds: r.duration ?? 0,
      summary: r.annotations?.description ?? r.annotations?.summary ?? "", problem: r.health === "err" ? r.lastError || "it cannot be evaluated" : "",
      firing: (r.alerts ?? []).filter((a) => a.state === "firing").length, pending: (r.alerts ?? []).filter((a) => a.state === "pending").length,
    })),
  );
}
