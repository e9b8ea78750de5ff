import type { Schemas } from "~/api/client";
import { compareNames } from "~/format";

export type HostRow = Schemas["HostRow"];

/** byName orders as people count; names that count alike have an order too. */
export const byName = (a: { name: string }, b: { name: string }): number => compareNames(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

export function sorted(hosts: HostRow[]): HostRow[] {
  return [...hosts].sort(byName);
}

/** merged takes in what changed; rows that did not stay the same objects. */
export function merged(hosts: HostRow[], rows: HostRow[], removed: string[]): HostRow[] {
  if (rows.length === 0 && removed.length === 0) return hosts;
  const changed = new Map(rows.map((r) => [r.name, r]));
  const gone = new Set(removed.filter((name) => !changed.has(name)));
  const out: HostRow[] = [];
  for (const h of hosts) {
    const now = changed.get(h.name);
    if (now) {
      out.push(now);
      changed.delete(h.name);
    } else if (!gone.has(h.name)) out.push(h);
  }
  if (changed.size === 0) return out;
  out.push(...changed.values());
  return out.sort(byName);
}
