// Changes of an object as a merge patch (RFC 7396), and what to do when
// somebody else was faster: theirs is taken, mine is put on top, and where
// both touched the same field it is said.

type Json = unknown;
type Dict = Record<string, Json>;

const isDict = (v: Json): v is Dict => v !== null && typeof v === "object" && !Array.isArray(v);

export function same(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => same(x, b[i]));
  if (!isDict(a) || !isDict(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((k) => same(a[k], b[k]));
}

/** diff is the merge patch that makes `to` of `from`; undefined: nothing differs. */
export function diff(from: Json, to: Json): Json | undefined {
  if (same(from, to)) return undefined;
  if (!isDict(from) || !isDict(to)) return to;
  const out: Dict = {};
  for (const k of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (!(k in to)) out[k] = null;
    else if (!(k in from)) out[k] = to[k];
    else {
      const d = diff(from[k], to[k]);
      if (d !== undefined) out[k] = d;
    }
  }
  return out;
}

export function apply(target: Json, patch: Json): Json {
  if (!isDict(patch)) return patch;
  const out: Dict = isDict(target) ? { ...target } : {};
  for (const [k, v] of Object.entries(patch)) {
    if (v === null) delete out[k];
    else out[k] = apply(out[k], v);
  }
  return out;
}

/** paths are the fields that a patch touches: "spec.paused". */
export function paths(patch: Json, at = ""): string[] {
  if (patch === undefined) return [];
  if (!isDict(patch) || (Object.keys(patch).length === 0 && at)) return at ? [at] : [];
  return Object.entries(patch).flatMap(([k, v]) => paths(v, at ? `${at}.${k}` : k));
}

const overlaps = (a: string, b: string): boolean => a === b || a.startsWith(`${b}.`) || b.startsWith(`${a}.`);

export type Merge = { merged: Json; /** Fields that they changed. */ theirs: string[]; /** Fields that both changed; mine is in `merged`. */ both: string[] };

export function merge(base: Json, mine: Json, theirs: Json): Merge {
  const myPatch = diff(base, mine);
  const their = paths(diff(base, theirs));
  const my = paths(myPatch);
  return {
    merged: myPatch === undefined ? theirs : apply(theirs, myPatch),
    theirs: their,
    both: their.filter((t) => my.some((m) => overlaps(m, t)) && !same(read(mine, t), read(theirs, t))),
  };
}

export function read(o: Json, path: string): Json {
  return path.split(".").reduce<Json>((v, k) => (isDict(v) ? v[k] : undefined), o);
}
