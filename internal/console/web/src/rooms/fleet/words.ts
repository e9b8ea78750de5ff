import type { HostRow } from "~/app/overview";
import { counted, whole } from "~/format";
import type { Item } from "./attention";
import { isPaused } from "./health";

// The first sentence of the fleet's page: a fact, the worst first.

/** sentence says how the fleet is. Items are what needs attention, worst first. */
export function sentence(hosts: HostRow[], items: Item[]): string {
  if (hosts.length === 0) return "No host is enrolled yet.";
  const clauses = items.map((i) => i.clause).filter(Boolean);
  const rest = calm(hosts, clauses.length > 0);
  const names = new Set(hosts.map((h) => h.name));
  if (clauses.length === 0) return `${upper(rest, names)}.`;
  // Two say what there is to do; the list below says all.
  const shown = clauses.slice(0, 2);
  const more = clauses.length - shown.length;
  if (more > 0) shown.push(more === 1 ? (clauses[2] as string) : `${whole(more)} more things need attention`);
  return `${upper([...shown, ...(more > 0 ? [] : [rest])].filter(Boolean).join("; "), names)}.`;
}

/* What is as it should be, or on its way there. */
function calm(hosts: HostRow[], besides: boolean): string {
  const all = hosts.length;
  const count = (f: (h: HostRow) => boolean) => hosts.filter(f).length;
  const well = (h: HostRow) => h.connected && !isPaused(h);
  const converged = count((h) => well(h) && h.state === "converged");
  const converging = count((h) => well(h) && h.state === "converging");
  const fresh = count((h) => well(h) && (h.state === "new" || !h.state));
  const paused = count((h) => h.connected && isPaused(h));
  const others = [
    converging > 0 && `${whole(converging)} ${be(converging)} converging`,
    paused > 0 && `${whole(paused)} ${be(paused)} paused`,
    fresh > 0 && `${whole(fresh)} ${fresh === 1 ? "waits" : "wait"} for a first revision`,
  ].filter((s): s is string => s !== false);
  if (all === 1) {
    const h = hosts[0]!;
    if (besides) return "";
    if (isPaused(h)) return `${h.name} is paused`;
    if (h.state === "converging") return `${h.name} is converging`;
    return h.state === "converged" ? `${h.name} is converged` : `${h.name} waits for a first revision`;
  }
  if (converged === all) return `all ${whole(all)} hosts are converged`;
  if (fresh === all) return `${counted(all, "host")} ${all === 1 ? "waits" : "wait"} for a first revision`;
  if (converging === all) return `all ${whole(all)} hosts are converging`;
  const main = `${whole(converged)} of ${counted(all, "host")} ${be(converged)} converged`;
  return [main, ...others].join(", ").replace(/, ([^,]*)$/, others.length > 0 ? " and $1" : ", $1");
}

const be = (n: number): string => (n === 1 ? "is" : "are");

/* A host's name is written as it is, also where a sentence begins. */
function upper(s: string, names: Set<string>): string {
  return names.has(s.split(/[\s']/, 1)[0] ?? "") ? s : s.charAt(0).toUpperCase() + s.slice(1);
}
