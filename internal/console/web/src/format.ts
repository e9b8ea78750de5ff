import { now } from "./app/clock";

// Numbers and times as people read them. Units are SI or IEC; 1 KiB is 1,024 B.

const iec = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// Made once: a language's formats take longer to find than to use.
const wholeForm = new Intl.NumberFormat("en-US");

/** whole writes a number with its thousands: 3,000. */
export const whole = (n: number): string => wholeForm.format(n);

/** digits gives about three significant digits: 0.123, 1.23, 12.3, 123. */
export function digits(v: number): string {
  const a = Math.abs(v);
  if (!Number.isFinite(v)) return "–";
  if (a === 0) return "0";
  if (a >= 100) return whole(Math.round(v));
  if (a >= 10) return trim(v.toFixed(1));
  if (a >= 0.01) return trim(v.toFixed(2));
  return v.toPrecision(1);
}

function trim(s: string): string {
  return s.includes(".") ? s.replace(/\.?0+$/, "") : s;
}

export function bytes(v: number): string {
  if (!Number.isFinite(v)) return "–";
  let i = 0;
  let n = v;
  while (Math.abs(n) >= 1000 && i < iec.length - 1) {
    n /= 1024;
    i++;
  }
  return `${digits(n)} ${iec[i]}`;
}

export function percent(ratio: number): string {
  if (!Number.isFinite(ratio)) return "–";
  const p = ratio * 100;
  return `${p !== 0 && Math.abs(p) < 10 ? trim(p.toFixed(1)) : Math.round(p)} %`;
}

export type Unit = "bytes" | "bytes/s" | "ratio" | "percent" | "seconds" | "count" | "per second" | "load";

/** amount writes a value with its unit. */
export function amount(v: number | null | undefined, unit: Unit): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  switch (unit) {
    case "bytes":
      return bytes(v);
    case "bytes/s":
      return `${bytes(v)}/s`;
    case "ratio":
      return percent(v);
    case "percent":
      return percent(v / 100);
    case "seconds":
      return duration(v * 1000);
    case "per second":
      return `${digits(v)}/s`;
    case "count":
    case "load":
      return digits(v);
  }
}

/** duration writes milliseconds: "0.18 s", "4.2 s", "3 min 5 s", "2 h 10 min". */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const s = ms / 1000;
  if (s === 0) return "0 s";
  if (s < 0.001) return `${digits(ms * 1000)} µs`;
  if (s < 1) return `${digits(ms)} ms`;
  if (s < 60) return `${digits(s)} s`;
  if (s < 3600) return two(Math.floor(s / 60), "min", Math.round(s % 60), "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.round((s % 3600) / 60), "min");
  return two(Math.floor(s / 86400), "d", Math.round((s % 86400) / 3600), "h");
}

function two(a: number, ua: string, b: number, ub: string): string {
  return b > 0 ? `${a} ${ua} ${b} ${ub}` : `${a} ${ua}`;
}

/** nanos is a Go duration of the API in milliseconds. */
export function nanos(ns: number | undefined): number {
  return (ns ?? 0) / 1e6;
}

/** zero is the time that Go writes for none. */
export function isTime(at: string | undefined): at is string {
  return !!at && !at.startsWith("0001-");
}

/** ago is a time in words while it is recent: "just now", "3 min ago", "2 h ago", then its date. */
export function ago(at: string | number, from = now()): string {
  const t = typeof at === "number" ? at : Date.parse(at);
  const s = (from - t) / 1000;
  if (!Number.isFinite(s)) return "–";
  if (s < -5) return `in ${span(-s)}`;
  if (s < 5) return "just now";
  if (s < 7 * 86400) return `${span(s)} ago`;
  return date(t);
}

function span(s: number): string {
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

const dateForm = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const timeForm = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const bothForm = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const date = (t: string | number): string => dateForm.format(new Date(t));
export const clockTime = (t: string | number): string => timeForm.format(new Date(t));
export const dateTime = (t: string | number): string => bothForm.format(new Date(t));
/** utc is the exact time for a title: "2026-01-02 03:04:05 UTC". */
export const utc = (t: string | number): string => `${new Date(t).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** counted is a number with its noun: "1 host", "3,000 hosts". */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${whole(n)} ${n === 1 ? one : many}`;
}

/** listed names a few and counts the rest: "a, b and 3 more". */
export function listed(names: string[], most = 3): string {
  if (names.length <= most) return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, most).join(", ")} and ${whole(names.length - most)} more`;
}

/** short is a hash as everywhere in Drover: ten letters. */
export const short = (hash: string | undefined): string => (hash ?? "").slice(0, 10);

/** compareNames orders as people count: web-2 before web-10. */
export const compareNames: (a: string, b: string) => number = new Intl.Collator("en", { numeric: true }).compare;
