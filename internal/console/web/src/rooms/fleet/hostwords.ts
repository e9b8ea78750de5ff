import { stripHost } from "~/alerts/words";
import type { HostRow } from "~/app/overview";
import { ago, counted, short } from "~/format";
import type { Health } from "./health";

export type HostSays = { fact: string; /** What to do, when there is something. */ todo?: string };

/** hostSays is the first sentence of a host's page: how it is, what is wrong, and what to do. */
export function hostSays(h: HostRow, health: Health, now: number): HostSays {
  const when = h.converged ? `, ${ago(h.converged, now)}` : "";
  const alert = health.alerts.find((a) => a.severity !== "info");
  if (!h.connected) {
    const since = h.lastSeen ? ` for ${span(h.lastSeen, now)}` : "";
    return {
      fact: `${h.name} is away${since}: its agent is not connected.`,
      todo: "See whether the host is up and reaches the server; on it, systemctl status drover-agent says more. What is shown here is from before.",
    };
  }
  if (h.state === "failed") {
    const why = h.message ? `: ${h.message.replace(/\.$/, "")}` : h.failed ? `: ${counted(h.failed, "task")} failed` : "";
    return { fact: `${h.name} could not be converged${when}${why}.`, todo: "It is tried again by itself. The failed task says what to mend; then push, or converge now." };
  }
  if (alert) {
    const what = stripHost(alert.summary, h.name).replace(/\.$/, "");
    const more = health.alerts.length - 1;
    return { fact: `${alert.summary.startsWith(h.name) ? `${h.name}: ${what}` : what}${more > 0 ? `, and ${counted(more, "more alert")}` : ""}.` };
  }
  if (h.paused || h.state === "paused") return { fact: `${h.name} is paused: it converges nothing.`, todo: h.assigned && h.assigned !== h.revision ? "It is behind its revision. Resume it to bring it there." : "Resume it when you are done." };
  if (h.state === "converging") return { fact: `${h.name} is converging${h.assigned ? ` to ${short(h.assigned)}` : ""}.` };
  if (h.state === "new" || !h.state) return { fact: `${h.name} is connected and waits for a first revision.`, todo: "Name it in the inventory of the fleet repository and push." };
  if (health.all.has("behind")) return { fact: `${h.name} is at ${short(h.revision)}, and should be at ${short(h.assigned)}.`, todo: "It converges by itself within ten minutes; or converge it now." };
  if (health.all.has("drifted")) return { fact: `${h.name} is converged${when}; ${ago(h.drifted!, now)} it had drifted and was put right.`, todo: "See what was put right, and who changes it by hand." };
  return { fact: `${h.name} is converged${h.revision ? ` at ${short(h.revision)}` : ""}${when}.` };
}

/* "47 min" of "47 min ago"; a date stays as it is. */
const span = (at: string, now: number): string => ago(at, now).replace(/ ago$/, "");

export type LabelEdit = { labels: Record<string, string>; problems: string[] };

/** readLabels takes labels from lines of key=value. */
export function readLabels(text: string): LabelEdit {
  const labels: Record<string, string> = {};
  const problems: string[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (!line) continue;
    const at = line.indexOf("=");
    const key = (at < 0 ? line : line.slice(0, at)).trim();
    const value = at < 0 ? "" : line.slice(at + 1).trim();
    if (!key) problems.push(`“${line}” has no key: write key=value`);
    else if (Object.hasOwn(labels, key)) problems.push(`${key} is there twice`);
    else labels[key] = value;
  }
  return { labels, problems };
}

export const writeLabels = (labels: Record<string, string> | undefined): string =>
  Object.entries(labels ?? {})
    .map(([k, v]) => `${k}=${v}`)
    .join("\n");

/** labelPatch is the merge patch (RFC 7396) from some labels to others; undefined when they are alike. */
export function labelPatch(before: Record<string, string> | undefined, after: Record<string, string>): Record<string, string | null> | undefined {
  const patch: Record<string, string | null> = {};
  for (const [k, v] of Object.entries(after)) if (before?.[k] !== v) patch[k] = v;
  for (const k of Object.keys(before ?? {})) if (!Object.hasOwn(after, k)) patch[k] = null;
  return Object.keys(patch).length > 0 ? patch : undefined;
}

export type Fact = { key: string; value: string };

/** flat lists facts as keys with dots: "default_ipv4.address". Lists of plain values stay in one. */
export function flat(facts: unknown, prefix = "", depth = 0): Fact[] {
  if (Array.isArray(facts)) {
    if (facts.every((f) => typeof f !== "object" || f === null) || depth > 6) return [{ key: prefix, value: facts.map(String).join(", ") }];
    return facts.flatMap((f, i) => flat(f, `${prefix}.${i}`, depth + 1));
  }
  if (typeof facts === "object" && facts !== null) {
    if (depth > 6) return [{ key: prefix, value: JSON.stringify(facts) }];
    return Object.keys(facts)
      .sort()
      .flatMap((k) => flat((facts as Record<string, unknown>)[k], prefix ? `${prefix}.${k}` : k, depth + 1));
  }
  return [{ key: prefix, value: facts === null || facts === undefined ? "" : String(facts) }];
}
