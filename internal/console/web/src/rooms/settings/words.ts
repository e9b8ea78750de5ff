import type { Tone } from "~/pieces/states";
import { isTime } from "~/format";
import type { Person, Token } from "./types";

const day = 86_400_000;

export type Expiry = { tone: Tone; text: string };

/** expiry says in words how long something is good for yet; `renews`: it is renewed by itself long before. */
export function expiry(at: string | undefined, from: number): Expiry {
  if (!isTime(at)) return { tone: "idle", text: "does not end" };
  const left = Date.parse(at) - from;
  if (left <= 0) return { tone: "bad", text: `ended ${span(-left)} ago` };
  return { tone: left < 7 * day ? "bad" : left < 30 * day ? "warn" : "ok", text: `ends in ${span(left)}` };
}

function span(ms: number): string {
  const days = ms / day;
  if (days < 1) {
    const h = Math.floor(ms / 3_600_000);
    return h < 1 ? `${Math.max(1, Math.round(ms / 60_000))} min` : `${h} h`;
  }
  if (days < 60) return Math.floor(days) === 1 ? "1 day" : `${Math.floor(days)} days`;
  if (days < 730) return `${Math.floor(days / 30.44)} months`;
  return `${Math.floor(days / 365.25)} years`;
}

/** Hosts' certificates last a day, and agents renew them when a third of it is left: one this near to its end was not renewed. */
export const hostSoon = day / 4;

export function hostExpiry(at: string | undefined, from: number): Expiry {
  const e = expiry(at, from);
  return e.tone === "bad" && isTime(at) && Date.parse(at) > from ? { ...e, tone: "warn" } : e;
}

export function endingSoon<H extends { name: string; certExpires?: string | undefined }>(hosts: H[], from: number, within = hostSoon): H[] {
  return hosts.filter((h) => isTime(h.certExpires) && Date.parse(h.certExpires) - from < within).sort((a, b) => Date.parse(a.certExpires!) - Date.parse(b.certExpires!));
}

export const tokenState = (t: Token, from: number): { tone: Tone; word: string } => {
  const expires = t.spec.expires;
  if (t.spec.join && isTime(t.status?.used)) return { tone: "idle", word: `used by ${t.status?.usedBy ?? "a host"}` };
  if (isTime(expires) && Date.parse(expires) <= from) return { tone: "idle", word: "expired" };
  return { tone: "ok", word: t.spec.join ? "open" : "active" };
};

/** alone says whether a change would leave no administrator; the server refuses it too, this only says so before. */
export function lastAdmin(people: Person[], name: string): boolean {
  const admins = people.filter((p) => p.spec.role === "admin" && !p.spec.disabled);
  return admins.length === 1 && admins[0]?.name === name;
}

export const roles: { value: "viewer" | "operator" | "admin"; label: string; may: string; you: string }[] = [
  { value: "viewer", label: "Viewer", may: "sees everything but secrets", you: "You are a viewer: you see everything but secrets, and change nothing." },
  { value: "operator", label: "Operator", may: "also pushes, runs and enrols", you: "You are an operator: you may push, run and enrol." },
  { value: "admin", label: "Administrator", may: "also people, tokens and the audit", you: "You are an administrator: you may do everything." },
];

/** passwordProblem says early what the server would say. */
export function passwordProblem(password: string, name: string): string | undefined {
  if (password === "") return undefined;
  if ([...password].length < 10) return "At least 10 characters";
  if (password.length > 1024) return "At most 1,024 characters";
  if (name && password.toLowerCase().includes(name.toLowerCase()) && password.length < name.length + 8) return "It is little more than the name";
  return undefined;
}

/** browser makes of a User-Agent what people call it: "Firefox on Linux". */
export function browser(agent: string | undefined): string {
  if (!agent) return "";
  const name = /Edg\//.test(agent) ? "Edge" : /OPR\//.test(agent) ? "Opera" : /Firefox\//.test(agent) ? "Firefox" : /Chrom(e|ium)\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "";
  const os = /Android/.test(agent) ? "Android" : /iPhone|iPad/.test(agent) ? "iOS" : /Windows/.test(agent) ? "Windows" : /Mac OS X/.test(agent) ? "macOS" : /Linux/.test(agent) ? "Linux" : "";
  return name ? (os ? `${name} on ${os}` : name) : agent;
}

/** joinLine puts a secret where the server's line has the word TOKEN by itself, not in a name such as DROVER_TOKEN. */
export function joinLine(command: string, secret: string): string {
  return command.replace(/(^|[^A-Za-z0-9_])TOKEN(?![A-Za-z0-9_])/g, (_, before: string) => before + secret);
}
