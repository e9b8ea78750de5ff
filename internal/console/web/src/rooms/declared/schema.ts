import { ago, bytes, duration, isTime, nanos } from "~/format";

// What the server's OpenAPI document says of an object, and how its values
// read. A new kind has its page by this alone.

export type Schema = {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
};

export type Document = { components?: { schemas?: Record<string, Schema> }; paths?: Record<string, Record<string, unknown>> };

/** resolve follows references; what it cannot find is no schema. A description beside a reference wins over the one behind it. */
export function resolve(doc: Document, s: Schema | undefined, depth = 0): Schema {
  if (!s || depth > 20) return {};
  let out = s;
  if (s.$ref) {
    const name = s.$ref.split("/").at(-1) ?? "";
    const { $ref: _, ...own } = s;
    out = { ...resolve(doc, doc.components?.schemas?.[name], depth + 1), ...own };
  }
  const parts = out.allOf ?? (out.oneOf ?? out.anyOf)?.filter((p) => p.type !== "null");
  if (!parts || parts.length === 0 || (!out.allOf && parts.length > 1)) return out;
  const { allOf: _a, oneOf: _o, anyOf: _n, ...rest } = out;
  return parts.map((p) => resolve(doc, p, depth + 1)).reduce((all, p) => ({ ...all, ...p, ...rest, properties: { ...all.properties, ...p.properties, ...rest.properties } }), rest);
}

/** schemaOf is the schema of a kind's objects: what reading one answers. */
export function schemaOf(doc: Document, plural: string): Schema {
  const get = doc.paths?.[`/v1/${plural}/{name}`]?.get as { responses?: Record<string, { content?: Record<string, { schema?: Schema }> }> } | undefined;
  return resolve(doc, get?.responses?.["200"]?.content?.["application/json"]?.schema ?? get?.responses?.["2XX"]?.content?.["application/json"]?.schema);
}

/** at is the schema behind a dotted path: "status.last.duration". */
export function at(doc: Document, schema: Schema, path: string): Schema {
  let s = resolve(doc, schema);
  for (const part of path.split(".").filter(Boolean)) {
    const next = s.properties?.[part] ?? (typeof s.additionalProperties === "object" ? s.additionalProperties : undefined) ?? (/^\d+$/.test(part) ? s.items : undefined);
    s = resolve(doc, next);
  }
  return s;
}

/** value is what an object has at a dotted path. */
export function value(o: unknown, path: string): unknown {
  let v = o;
  for (const part of path.split(".").filter(Boolean)) {
    if (v === null || typeof v !== "object") return undefined;
    v = (v as Record<string, unknown>)[part];
  }
  return v;
}

const typeOf = (s: Schema): string => (Array.isArray(s.type) ? (s.type.find((t) => t !== "null") ?? "") : (s.type ?? ""));

export type Shown =
  | { as: "none" }
  | { as: "text"; text: string; mono?: boolean; right?: boolean; hint?: string }
  | { as: "time"; at: string }
  | { as: "yes" | "no" }
  | { as: "list"; items: string[] }
  | { as: "pairs"; pairs: [string, string][] }
  | { as: "tree" };

const hash = /^[0-9a-f]{40}$|^[0-9a-f]{64}$/;

/** show decides how a value reads: by its schema, then by what its path says, then by what it is. */
export function show(v: unknown, s: Schema, path: string): Shown {
  if (v === undefined || v === null || v === "") return { as: "none" };
  const last = path.split(".").at(-1) ?? "";
  const doc = s.description ?? "";
  if (typeof v === "boolean") return { as: v ? "yes" : "no" };
  if (typeof v === "string") {
    if (s.format === "date-time" || /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(v)) return isTime(v) ? { as: "time", at: v } : { as: "none" };
    if (hash.test(v)) return { as: "text", text: v.slice(0, 10), mono: true, hint: v };
    return { as: "text", text: v, ...(/name|path|host|address|hash|commit|id$/i.test(last) ? { mono: true } : {}) };
  }
  if (typeof v === "number") {
    if (/nanoseconds?/i.test(doc) || (/^(duration|took|timeout|offset)$/i.test(last) && Math.abs(v) >= 1000)) return { as: "text", text: duration(nanos(v)), right: true };
    if (/\bbytes\b/i.test(doc) || /(bytes|size)$/i.test(last)) return { as: "text", text: bytes(v), right: true };
    if (/\bMiB\b/.test(doc) || /(_mb|MB)$/.test(last)) return { as: "text", text: bytes(v * 1024 * 1024), right: true };
    return { as: "text", text: v.toLocaleString("en-US", { maximumFractionDigits: 3 }), right: true };
  }
  if (Array.isArray(v)) {
    if (v.length === 0) return { as: "none" };
    return v.every((x) => typeof x !== "object" || x === null) ? { as: "list", items: v.map(String) } : { as: "tree" };
  }
  const entries = Object.entries(v as Record<string, unknown>);
  if (entries.length === 0) return { as: "none" };
  // An open set of names is a list of pairs; one with named fields is a part of its own.
  if (!s.properties && entries.every(([, x]) => typeof x !== "object" || x === null)) return { as: "pairs", pairs: entries.map(([k, x]) => [k, String(x)]) };
  return { as: "tree" };
}

/** plain is a value as one line of text: for a cell's sort, the filter and the export. */
export function plain(v: unknown, s: Schema, path: string): string {
  const w = show(v, s, path);
  switch (w.as) {
    case "none":
      return "";
    case "text":
      return w.text;
    case "time":
      return ago(w.at);
    case "yes":
    case "no":
      return w.as;
    case "list":
      return w.items.join(", ");
    case "pairs":
      return w.pairs.map(([k, x]) => `${k}=${x}`).join(", ");
    case "tree":
      return Array.isArray(v) ? `${v.length} items` : `${Object.keys(v as object).length} fields`;
  }
}

/** sortKey orders numbers and times by what they are, everything else as it reads. */
export function sortKey(v: unknown, s: Schema, path: string): string | number {
  if (typeof v === "number") return v;
  if (typeof v === "boolean") return v ? 1 : 0;
  if (typeof v === "string" && (s.format === "date-time" || /^\d{4}-\d\d-\d\dT/.test(v))) return isTime(v) ? Date.parse(v) : 0;
  return plain(v, s, path);
}

export type Field = { key: string; path: string; label: string; schema: Schema; value: unknown };

/** fieldsOf are the fields of an object: those of the schema in its order, then what it has beside them. Fields without a value are left out unless `empty`. */
export function fieldsOf(doc: Document, schema: Schema, o: unknown, path: string, empty = false): Field[] {
  const s = resolve(doc, schema);
  const have = o !== null && typeof o === "object" && !Array.isArray(o) ? (o as Record<string, unknown>) : {};
  const keys = [...Object.keys(s.properties ?? {}), ...Object.keys(have).filter((k) => !s.properties?.[k])];
  const open = typeof s.additionalProperties === "object" ? s.additionalProperties : undefined;
  return keys
    .filter((k) => empty || !(have[k] === undefined || have[k] === null || have[k] === ""))
    .map((k) => ({ key: k, path: path ? `${path}.${k}` : k, label: s.properties?.[k] ? words(k) : k, schema: resolve(doc, s.properties?.[k] ?? open), value: have[k] }));
}

/** words writes a field's name as people do: "certExpires" is "Cert expires", "fleetRevision" "Fleet revision". */
export function words(key: string): string {
  const w = key.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll(/[_-]+/g, " ").split(" ").map((p) => (/^[A-Z0-9]{2,}$/.test(p) ? p : p.toLowerCase())).join(" ");
  return w.charAt(0).toUpperCase() + w.slice(1);
}

/** skeleton is an object to begin with: the required fields, empty, each by its type. */
export function skeleton(doc: Document, schema: Schema, depth = 0): Record<string, unknown> {
  const s = resolve(doc, schema);
  const out: Record<string, unknown> = {};
  const server = new Set(["kind", "uid", "generation", "revision", "created", "updated", "status"]);
  for (const [k, p] of Object.entries(s.properties ?? {})) {
    if (depth === 0 && server.has(k)) continue;
    const r = resolve(doc, p);
    if (!(s.required ?? []).includes(k) && !(depth === 0 && k === "spec")) continue;
    if (typeOf(r) === "object" || r.properties) out[k] = depth < 4 ? skeleton(doc, r, depth + 1) : {};
    else out[k] = { string: "", integer: 0, number: 0, boolean: false, array: [] as unknown[] }[typeOf(r)] ?? null;
  }
  return out;
}

/** the head of a column as a sentence has it: "LAST SEEN" is "Last seen". */
export function head(h: string): string {
  return h.charAt(0).toUpperCase() + h.slice(1).toLowerCase();
}
