import { counted, duration, listed, short, whole } from "~/format";
import type { Schemas } from "~/api/client";
import type { Tone } from "~/pieces/states";

type FleetEvent = Schemas["Event"];

/** A piece of a sentence: text, or text that leads somewhere. */
export type Word = string | { text: string; href: string; mono?: boolean };

/** tone is how an event is to be seen: what needs nobody is idle. */
export function tone(type: string): Tone {
  return tones[type] ?? "idle";
}

const tones: Record<string, Tone> = {
  "host.enrolled": "info",
  "host.removed": "info",
  "host.connected": "ok",
  "host.disconnected": "warn",
  "host.changed": "info",
  "host.drifted": "warn",
  "host.failed": "bad",
  "host.converged": "ok",
  "host.agent-updated": "info",
  "host.agent-put-back": "bad",
  "revision.accepted": "info",
  "revision.refused": "bad",
  "run.started": "info",
  "run.ended": "idle",
  "converge.started": "info",
  "converge.ended": "idle",
  "play.started": "info",
  "play.ended": "idle",
  "alert.firing": "bad",
  "alert.resolved": "ok",
};

/** toneOf is the tone of one event, by what its data says too. */
export function toneOf(e: FleetEvent): Tone {
  const d = e.data ?? {};
  if (e.type === "alert.firing" && d.severity !== undefined) return d.severity === "critical" ? "bad" : d.severity === "info" ? "info" : "warn";
  if (e.type.endsWith(".ended")) {
    if (number(d.failed) || number(d.exit)) return "bad";
    if (number(d.lost)) return "warn";
    return d.ok !== undefined || d.exit !== undefined ? "ok" : "idle";
  }
  return tone(e.type);
}

const number = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v : 0);
const text = (v: unknown): string => (typeof v === "string" ? v : "");
const list = (v: unknown): string[] => (Array.isArray(v) ? v.filter((s) => typeof s === "string") : []);

const host = (name: string): Word => ({ text: name, href: `/hosts/${encodeURIComponent(name)}`, mono: true });
const revision = (commit: string): Word => ({ text: short(commit), href: `/changes/${encodeURIComponent(commit)}`, mono: true });
const run = (id: string, words: string): Word => (id ? { text: words, href: `/runs/${encodeURIComponent(id)}` } : words);

/** who is an actor as a person says it: "ada", "token ci", "the server". */
export function who(actor: string | undefined): string {
  if (!actor || actor === "system") return "the server";
  const [kind, ...rest] = actor.split("/");
  const name = rest.join("/");
  if (!name) return actor;
  return kind === "person" || kind === "people" ? name : `${kind} ${name}`;
}

const capital = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1);

/** after cuts what the server says of a host into the host and the rest. */
function after(e: FleetEvent): string {
  return e.host && e.message.startsWith(`${e.host} `) ? e.message.slice(e.host.length) : ` : ${e.message}`.replace(/^ : /, ": ");
}

type Say = (e: FleetEvent, d: Record<string, unknown>) => Word[];

const said: Record<string, Say> = {
  "host.enrolled": (e) => [host(e.host ?? ""), ` joined the fleet${e.actor ? ` with ${who(e.actor)}` : ""}`],
  "host.removed": (e) => [`${e.host ?? ""} was removed from the fleet${e.actor ? ` by ${who(e.actor)}` : ""}`],
  "host.connected": (e) => [host(e.host ?? ""), " is connected"],
  "host.disconnected": (e) => [host(e.host ?? ""), " is away"],
  "host.changed": (e, d) => [host(e.host ?? ""), ...changes(e, d), ...at(d)],
  "host.drifted": (e, d) => [host(e.host ?? ""), ...changes(e, d)],
  "host.failed": (e, d) => [host(e.host ?? ""), after(e), ...at(d)],
  "host.converged": (e, d) => [host(e.host ?? ""), " is converged", ...at(d)],
  "host.agent-updated": (e) => [host(e.host ?? ""), after(e)],
  "host.agent-put-back": (e) => (e.host ? around(e.message, e.host) : [e.message]),
  "revision.accepted": (_, d) => ["Revision ", revision(text(d.commit)), ` is active${text(d.subject) ? `: ${text(d.subject)}` : ""}`],
  "revision.refused": (e, d) => [`A push${e.actor ? ` by ${who(e.actor)}` : ""} was refused: ${text(d.first) || e.message}`],
  "run.started": (e, d) => [`${capital(who(e.actor))} runs `, run(text(d.run), oneLine(text(d.command)) || "a command"), ` on ${counted(number(d.count), "host")}`, ...away(d)],
  "run.ended": (_, d) => [run(text(d.run), "A command"), ` ended: ${results(d)}`],
  "converge.started": (e, d) => [`${capital(who(e.actor))} ${d.check ? "checks" : "converges"} `, run(text(d.run), counted(number(d.count), "host")), ...away(d)],
  "converge.ended": (_, d) => [run(text(d.run), "A converge"), ` ended: ${results(d)}`],
  "play.started": (e, d) => [`${capital(who(e.actor))} ${d.check ? "checks" : "plays"} `, run(text(d.run), listed(list(d.playbooks)) || "a playbook"), d.limit ? ` on ${text(d.limit)}` : ""],
  "play.ended": (_, d) => [run(text(d.run), listed(list(d.playbooks)) || "A play"), ` ended${number(d.exit) ? ` with exit code ${number(d.exit)}` : " well"} on ${counted(number(d.hosts), "host")}`],
  "alert.firing": (e) => (e.host ? around(e.message, e.host) : [e.message]),
  "alert.resolved": (e) => [...(e.host ? around(e.message, e.host) : [e.message]), ": over"],
};

/** sentence says an event; a type that is not known says what the server said. */
export function sentence(e: FleetEvent): Word[] {
  const say = said[e.type];
  const words = say && (!e.type.startsWith("host.") || e.host) ? say(e, (e.data ?? {}) as Record<string, unknown>) : e.host ? around(e.message, e.host) : [e.message || e.type];
  const out = words.filter((w) => w !== "");
  // The server's own words may begin small; a name stays as it is.
  if (typeof out[0] === "string" && !(e.host && out[0].startsWith(e.host))) out[0] = capital(out[0]);
  return out;
}

/** plain is the sentence as text. */
export function plain(e: FleetEvent): string {
  return sentence(e)
    .map((w) => (typeof w === "string" ? w : w.text))
    .join("");
}

function around(message: string, name: string): Word[] {
  // The name as a whole word: web-1 is not in web-10.
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const m = new RegExp(`(?<![\\w.-])${escaped}(?![\\w-]|\\.\\w)`).exec(message);
  if (!m) return [message];
  return [message.slice(0, m.index), host(name), message.slice(m.index + name.length)];
}

type Changed = { task?: unknown; what?: unknown; action?: unknown };

function changes(e: FleetEvent, d: Record<string, unknown>): Word[] {
  const items = (Array.isArray(d.changes) ? d.changes : []) as Changed[];
  const whats = items.map((c) => text(c.what) || text(c.task)).filter(Boolean);
  const base = after(e);
  return [whats.length > 0 ? `${base} (${listed(whats, 2)})` : base];
}

function at(d: Record<string, unknown>): Word[] {
  return text(d.commit) ? [" at ", revision(text(d.commit))] : [];
}

function away(d: Record<string, unknown>): Word[] {
  return number(d.away) ? [`, ${number(d.away)} away`] : [];
}

function results(d: Record<string, unknown>): string {
  const parts = [`${whole(number(d.ok))} ok`];
  if (number(d.failed)) parts.push(`${whole(number(d.failed))} failed`);
  if (number(d.lost)) parts.push(`${whole(number(d.lost))} without an answer`);
  return parts.join(", ") + (d.seconds === undefined ? "" : `, in ${duration(number(d.seconds) * 1000)}`);
}

function oneLine(s: string): string {
  const first = s.trim().split("\n")[0] ?? "";
  return first.length > 80 || first !== s.trim() ? `${first.slice(0, 79)}…` : first;
}
