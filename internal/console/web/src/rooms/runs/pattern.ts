// Which hosts a pattern names, as the server will decide it: Ansible's
// patterns over names and groups, with labels as further groups. The count in
// the form must be there while one types, so it is made here; what the server
// answers counts.

export type Known = { name: string; groups?: string[] | undefined; labels?: Record<string, string> | undefined };

export type Matched = { hosts: string[]; /** What is wrong with the pattern. */ problem?: string };

/** split takes a pattern apart at ',' or ':', not within brackets and not in a label's value. */
export function split(pattern: string): string[] {
  const parts: string[] = [];
  let part = "";
  let depth = 0;
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === "[") depth++;
    if (c === "]") depth--;
    const label = c === ":" && /(^|[!&])label$/.test(part);
    if (depth === 0 && (c === "," || (c === ":" && !label))) {
      parts.push(part.trim());
      part = "";
    } else part += c;
  }
  parts.push(part.trim());
  return parts.filter(Boolean);
}

export function match(pattern: string, hosts: Known[]): Matched {
  const parts = split(pattern);
  const all = hosts.map((h) => h.name);
  if (parts.length === 0) return { hosts: all };
  let problem: string | undefined;
  const find = (p: string): Set<string> => {
    const found = one(p, hosts);
    if (typeof found !== "string") return new Set(found);
    problem ??= found;
    return new Set();
  };
  // The order is Ansible's: first what is named, then what must be in too, then what is left out.
  const plain = parts.filter((p) => !/^[!&]/.test(p));
  let set = new Set<string>();
  for (const p of plain.length > 0 ? plain : ["all"]) for (const h of find(p)) set.add(h);
  for (const p of parts.filter((x) => x.startsWith("&"))) {
    const also = find(p.slice(1));
    set = new Set([...set].filter((h) => also.has(h)));
  }
  for (const p of parts.filter((x) => x.startsWith("!"))) for (const h of find(p.slice(1))) set.delete(h);
  const out = { hosts: all.filter((h) => set.has(h)) };
  return problem === undefined ? out : { ...out, problem };
}

function one(p: string, hosts: Known[]): string[] | string {
  if (p === "all" || p === "*") return hosts.map((h) => h.name);
  const label = /^label:([A-Za-z0-9_./-]+)=([A-Za-z0-9_./-]*)$/.exec(p);
  if (label) return hosts.filter((h) => h.labels?.[label[1]!] === label[2]).map((h) => h.name);
  if (p.startsWith("label:")) return `"${p}" is not label:KEY=VALUE`;
  let test: (name: string) => boolean;
  // As in Ansible "web[1]" is the second of web, never a set of letters; a regular expression has no such part.
  const slice = p.startsWith("~") ? null : /^(.+)\[(-?\d+)(?:[:-](\d*))?\]$/.exec(p);
  const name = slice ? slice[1]! : p;
  if (name.startsWith("~")) {
    try {
      const re = new RegExp(`^(?:${name.slice(1)})`);
      test = (n) => re.test(n);
    } catch {
      return `"${name}" is not a regular expression`;
    }
  } else if (/[*?[]/.test(name)) {
    const re = new RegExp(`^${name.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".").replaceAll("[!", "[^")}$`);
    test = (n) => re.test(n);
  } else test = (n) => n === name;
  const found = hosts.filter((h) => test(h.name) || (h.groups ?? []).some(test)).map((h) => h.name);
  if (!slice) return found;
  const at = (s: string) => (Number(s) < 0 ? found.length + Number(s) : Number(s));
  if (slice[3] === undefined) return found.slice(at(slice[2]!), at(slice[2]!) + 1);
  return found.slice(at(slice[2]!), slice[3] ? at(slice[3]) + 1 : undefined);
}
