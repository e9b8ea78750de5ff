import type { HostRow } from "~/app/overview";
import { words, type Health, type Word } from "./health";
import type { Load } from "./load";

// The filter of the list of hosts: terms that must all be true.
//
//   web            the name, a label, a group or the system has this in it
//   group:web      key:value; also state, label, os, name, alert, agent, revision, kernel, address
//   env=prod       a label, as label:env=prod
//   state:failed,away   one of several
//   cpu>80         more than 80 %; also memory, disk
//   -state:paused  not this
//   name:web-*     * stands for anything
//   "two words"    one term

export type Term = { key: Key; op: ":" | ">" | "<"; values: string[]; not: boolean; raw: string };
export type Key = "text" | "name" | "group" | "label" | "state" | "os" | "alert" | "agent" | "revision" | "kernel" | "address" | "cpu" | "memory" | "disk";
export type Problem = { raw: string; why: string };
export type Filter = { terms: Term[]; problems: Problem[] };

const keys = new Map<string, Key>(
  Object.entries({
    name: "name", host: "name", group: "group", label: "label", state: "state", is: "state", os: "os", alert: "alert", agent: "agent",
    revision: "revision", rev: "revision", kernel: "kernel", address: "address", ip: "address", cpu: "cpu", memory: "memory", mem: "memory", disk: "disk",
  }),
);
const measured = new Set<Key>(["cpu", "memory", "disk"]);

/** parse never fails: what it does not understand is a problem, and filters nothing. */
export function parse(text: string): Filter {
  const terms: Term[] = [];
  const problems: Problem[] = [];
  for (const raw of split(text)) {
    const not = raw.length > 1 && (raw[0] === "-" || raw[0] === "!");
    const word = not ? raw.slice(1) : raw;
    const m = /^([a-z]+)(:|>=|<=|>|<)([^]*)$/i.exec(word);
    if (m) {
      const key = keys.get(m[1]!.toLowerCase());
      const op = m[2] === ":" ? ":" : m[2]![0] === ">" ? ">" : "<";
      if (!key) {
        problems.push({ raw, why: `nothing filters by ${m[1]}; there are name, group, label, state, os, alert, cpu, memory, disk, agent, revision, kernel and address` });
        continue;
      }
      if (measured.has(key)) {
        const value = m[3]!.replace(/%$/, "");
        if (op === ":" || value === "" || !Number.isFinite(Number(value))) {
          problems.push({ raw, why: `${key} is compared with a number of percent: ${key}>80` });
          continue;
        }
        terms.push({ key, op, values: [String(Number(value) / 100)], not, raw });
        continue;
      }
      if (op !== ":") {
        problems.push({ raw, why: `${key} is no number: write ${key}:${m[3] || "value"}` });
        continue;
      }
      const values = commas(m[3]!);
      if (values.length === 0) continue; // still being typed
      if (key === "state") {
        const unknown = values.find((v) => !words.some((w) => w.word.startsWith(v)));
        if (unknown !== undefined) {
          problems.push({ raw, why: `no state is ${unknown}; there are ${words.map((w) => w.word).join(", ")}` });
          continue;
        }
      }
      terms.push({ key, op: ":", values, not, raw });
      continue;
    }
    if (/^[^=\s"]+=/.test(word)) {
      terms.push({ key: "label", op: ":", values: [unquote(word).toLowerCase()], not, raw });
      continue;
    }
    const value = unquote(word).toLowerCase();
    if (value) terms.push({ key: "text", op: ":", values: [value], not, raw });
  }
  return { terms, problems };
}

/** split takes terms apart at spaces that are not quoted. A quote that is not closed reaches to the end. */
export function split(text: string): string[] {
  return text.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? [];
}

const unquote = (s: string): string => s.replace(/"/g, "");

function commas(s: string): string[] {
  return (s.match(/(?:"[^"]*(?:"|$)|[^,"])+/g) ?? []).map((v) => unquote(v).trim().toLowerCase()).filter(Boolean);
}

export type Subject = { host: HostRow; health: Health; load: Load | undefined };

/** matcher makes one function of a filter, for thousands of hosts. Terms on `except` are left out, for counts of what else there is. */
export function matcher(filter: Filter, except?: Key): (s: Subject) => boolean {
  const tests = filter.terms.filter((t) => t.key !== except).map(test);
  return (s) => tests.every((t) => t(s));
}

function test(t: Term): (s: Subject) => boolean {
  const positive = positiveTest(t);
  return t.not ? (s) => !positive(s) : positive;
}

function positiveTest({ key, op, values }: Term): (s: Subject) => boolean {
  if (op !== ":") {
    const limit = Number(values[0]);
    return ({ load }) => {
      const v = load?.[key as "cpu" | "memory" | "disk"];
      return v !== undefined && (op === ">" ? v > limit : v < limit);
    };
  }
  const globs = values.map((v) => (v.includes("*") ? glob(v) : null));
  const has = (s: string | undefined) => s !== undefined && values.some((v, i) => (globs[i] ? globs[i](s) : s.toLowerCase().includes(v)));
  const is = (s: string) => values.some((v, i) => (globs[i] ? globs[i](s) : s.toLowerCase() === v));
  switch (key) {
    case "name":
      return ({ host }) => has(host.name);
    case "group":
      return ({ host }) => host.groups?.some(is) ?? false;
    case "label":
      return ({ host }) => (host.labels ? Object.entries(host.labels).some(([k, v]) => is(`${k}=${v}`) || is(k)) : false);
    case "state": {
      const wanted = words.filter((w) => values.some((v) => w.word.startsWith(v))).map((w) => w.word);
      return ({ health }) => wanted.some((w) => health.all.has(w));
    }
    case "os":
      return ({ host }) => has(host.os);
    case "kernel":
      return ({ host }) => has(host.kernel);
    case "address":
      return ({ host }) => has(host.address);
    case "agent":
      return ({ host }) => has(host.agent);
    case "alert":
      return ({ health }) => health.alerts.some((a) => has(a.name));
    case "revision":
      return ({ host }) => values.some((v) => host.revision?.startsWith(v));
    default: {
      // A bare word is one value.
      const [pattern] = globs;
      if (pattern) return ({ host }) => textOf(host).lines.some(pattern);
      const [value] = values;
      return ({ host }) => textOf(host).all.includes(value!);
    }
  }
}

type Text = { lines: string[]; all: string };
const texts = new WeakMap<HostRow, Text>();

/* What a bare word is looked for in, made once for each host: every key that is typed asks for all of them. */
function textOf(host: HostRow): Text {
  let text = texts.get(host);
  if (!text) {
    const lines = [host.name, host.os, host.address, ...(host.groups ?? []), ...Object.entries(host.labels ?? {}).map(([k, v]) => `${k}=${v}`)].filter((l) => l !== undefined);
    texts.set(host, (text = { lines, all: lines.join("\n").toLowerCase() }));
  }
  return text;
}

/* Only * is special. Each part is looked for once, behind the one before, so
   that no pattern is slow. */
function glob(pattern: string): (s: string) => boolean {
  const parts = pattern.split("*");
  const first = parts[0]!;
  const last = parts.at(-1)!;
  const middle = parts.slice(1, -1);
  return (text) => {
    const s = text.toLowerCase();
    if (s.length < first.length + last.length || !s.startsWith(first) || !s.endsWith(last)) return false;
    let at = first.length;
    for (const part of middle) {
      const found = s.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= s.length - last.length;
  };
}

const quoted = (v: string): string => (/[\s",]/.test(v) ? `"${v.replace(/"/g, "")}"` : v);

/** termOf writes a term: termOf("group", "web") is "group:web". */
export const termOf = (key: Key, value: string): string => `${key}:${quoted(value)}`;

/** chosen tells whether a filter asks for exactly this value. */
export function chosen(filter: Filter, key: Key, value: string): boolean {
  return filter.terms.some((t) => t.key === key && !t.not && t.values.includes(value.toLowerCase()));
}

/** toggle adds a value to a filter's text, or takes it out; values of one key are joined, so that a second one widens. */
export function toggle(text: string, key: Key, value: string): string {
  const raw = split(text);
  const { terms } = parse(text);
  const mine = terms.find((t) => t.key === key && !t.not && t.op === ":");
  if (!mine) return [...raw, termOf(key, value)].join(" ");
  const low = value.toLowerCase();
  const values = mine.values.includes(low) ? mine.values.filter((v) => v !== low) : [...mine.values, low];
  const term = values.length > 0 ? [`${key}:${values.map(quoted).join(",")}`] : [];
  return raw.flatMap((r) => (r === mine.raw ? term : [r])).join(" ");
}

export type Facet = { value: string; count: number; chosen: boolean };

/** counter counts values among the hosts that match all the other terms, the chosen and the many first. */
export function counter(subjects: Subject[], filter: Filter): (key: Key, values: (s: Subject) => Iterable<string>) => Facet[] {
  let matched: Subject[] | undefined;
  return (key, values) => {
    const asked = filter.terms.some((t) => t.key === key);
    const among = asked ? subjects.filter(matcher(filter, key)) : (matched ??= subjects.filter(matcher(filter)));
    const counts = new Map<string, number>();
    for (const s of among) for (const v of values(s)) counts.set(v, (counts.get(v) ?? 0) + 1);
    for (const t of filter.terms) {
      if (t.key !== key || t.not) continue;
      for (const v of t.values) if (![...counts.keys()].some((k) => k.toLowerCase() === v)) counts.set(v, 0);
    }
    return [...counts]
      .map(([value, count]) => ({ value, count, chosen: chosen(filter, key, value) }))
      .sort((a, b) => Number(b.chosen) - Number(a.chosen) || b.count - a.count || (a.value < b.value ? -1 : 1));
  };
}

/** stateFacets are those of states, in the order of their weight. */
export function stateFacets(count: ReturnType<typeof counter>): (Facet & { value: Word })[] {
  const found = new Map(count("state", (s) => s.health.all).map((f) => [f.value, f]));
  return words.flatMap((w) => {
    const f = found.get(w.word);
    return f && (f.count > 0 || f.chosen) ? [{ ...f, value: w.word }] : [];
  });
}
