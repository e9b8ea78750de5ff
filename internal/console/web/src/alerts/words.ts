import type { Alert } from "./alerts";

const severe: Record<string, number> = { critical: 0, warning: 1, info: 2 };
export const bySeverity = (a: Alert, b: Alert): number => (severe[a.severity] ?? 3) - (severe[b.severity] ?? 3);

/** stripHost takes a host's name off the beginning of a summary: "db-2: / is full" is "/ is full", "db-2 has failed" is "has failed". */
export function stripHost(summary: string, host: string | undefined): string {
  if (!host || !summary.startsWith(host)) return summary;
  const rest = /^:? +([^]+)$/.exec(summary.slice(host.length));
  return rest ? rest[1]! : summary;
}

/** joint stands between a host and what is wrong with it: "web-1 is away" is a sentence, a message comes behind a point. */
export const joint = (what: string): string => (/^(is|are|was|were|has|have|had|could) /.test(what) ? " " : " · ");

/** clauseOf is an alert as part of a sentence: "on db-2, / is full in about 9 hours", "db-2 has 97 % of its memory in use". */
export function clauseOf(a: Alert): string {
  const summary = a.summary.replace(/\.$/, "");
  if (a.host && summary.startsWith(`${a.host}: `)) return `on ${a.host}, ${summary.slice(a.host.length + 2)}`;
  if (a.host && summary.startsWith(a.host)) return summary;
  // "The clock of db-2 is off" in the middle of a sentence; an abbreviation stays.
  return /^[A-Z][a-z]/.test(summary) ? summary.charAt(0).toLowerCase() + summary.slice(1) : summary;
}
