import type { Schemas } from "~/api/client";

export type HostRow = Schemas["HostRow"];

const collator = new Intl.Collator("en", { numeric: true });

/** byName orders as people count: web-2 before web-10. */
export const byName = (a: { name: string }, b: { name: string }): number => collator.compare(a.name, b.name) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

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
