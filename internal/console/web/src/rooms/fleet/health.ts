import type { Alert } from "~/alerts/alerts";
import { bySeverity, stripHost } from "~/alerts/words";
import type { HostRow } from "~/app/overview";
import type { Tone } from "~/pieces/states";

// What a host is, in one word, and everything else that is true of it. The
// words are those of the filter (state:failed) and of the counted chips.

export type Word = "failed" | "away" | "alerting" | "converging" | "behind" | "drifted" | "paused" | "new" | "converged";

/** Worst first: the first that is true of a host is its state in a list. */
export const words: { word: Word; tone: Tone; says: string }[] = [
  { word: "failed", tone: "bad", says: "the last converge failed" },
  { word: "away", tone: "bad", says: "the agent is not connected" },
  { word: "alerting", tone: "warn", says: "an alert fires" },
  { word: "converging", tone: "info", says: "it works towards its revision" },
  { word: "behind", tone: "warn", says: "it is not at its revision yet" },
  { word: "drifted", tone: "warn", says: "something was changed by hand within a day" },
  { word: "paused", tone: "idle", says: "it converges nothing" },
  { word: "new", tone: "idle", says: "no revision says yet what it should be" },
  { word: "converged", tone: "ok", says: "it is what its revision says" },
];

export const rank: Record<Word, number> = Object.fromEntries(words.map((w, i) => [w.word, i])) as Record<Word, number>;
export const toneOf: Record<Word, Tone> = Object.fromEntries(words.map((w) => [w.word, w.tone])) as Record<Word, Tone>;

/** How long a host counts as drifted after a converge put it right. */
export const driftHours = 24;

export const driftedLately = (h: HostRow, now: number): boolean => h.drifted !== undefined && now - Date.parse(h.drifted) < driftHours * 3_600_000;

export const isPaused = (h: HostRow): boolean => h.paused === true || h.state === "paused";

export const isBehind = (h: HostRow): boolean =>
  h.connected && !isPaused(h) && h.state === "converged" && !!h.assigned && h.assigned !== h.revision;

export type Health = {
  /** The worst, for one word. */
  word: Word;
  tone: Tone;
  /** All that is true. */
  all: Set<Word>;
  /** Firing on this host, worst first. */
  alerts: Alert[];
};

/* Alerts that say of a host what its row says already. */
const said: Record<string, Word> = { HostDown: "away", ConvergeFailed: "failed", HostDrifted: "drifted" };

/** isSaid tells that a host's state in the list says the same as this alert. */
export function isSaid(a: Alert, all: ReadonlySet<Word>): boolean {
  const word = said[a.name];
  return word !== undefined && all.has(word);
}

/** healthOf says what a host is. Alerts are those that fire on it. */
export function healthOf(h: HostRow, alerts: Alert[] | undefined, now: number): Health {
  const all = new Set<Word>();
  if (h.state === "failed") all.add("failed");
  if (!h.connected) all.add("away");
  if (h.state === "converging") all.add("converging");
  if (isBehind(h)) all.add("behind");
  if (driftedLately(h, now)) all.add("drifted");
  if (isPaused(h)) all.add("paused");
  if (h.state === "new" || !h.state) all.add("new");
  if (h.state === "converged" && !isBehind(h) && !isPaused(h)) all.add("converged");
  const more = (alerts ?? []).filter((a) => !isSaid(a, all)).sort(bySeverity);
  if (more.some((a) => a.severity !== "info")) all.add("alerting");
  const word = words.find((w) => all.has(w.word))?.word ?? "new";
  const tone = word === "alerting" && more[0]?.severity === "critical" ? "bad" : toneOf[word];
  return { word, tone, all, alerts: more };
}

/** detailOf is the one thing to know of a host beside its state. */
export function detailOf(h: HostRow, health: Health): string {
  if (health.word === "failed") return h.message ?? (h.failed ? `${h.failed} ${h.failed === 1 ? "task" : "tasks"} failed` : "");
  const alert = health.alerts[0];
  if (alert) return stripHost(alert.summary, h.name);
  return "";
}
