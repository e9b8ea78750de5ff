import type { ReactNode } from "react";

export type Column<R> = {
  key: string;
  head: ReactNode;
  cell: (r: R) => ReactNode;
  sort?: (r: R) => string | number;
  align?: "right";
  width?: number | string;
  hide?: "phone";
  /** The cell as text: for CSV, and for the filter to look in. */
  export?: (r: R) => string;
  /** What the head is called where it must be text; by default `head`, or the key. */
  name?: string;
};

export type Sort = { key: string; down: boolean };

/** sortOf reads "name" and "-name" of the address bar; a column that cannot sort is no order. */
export function sortOf<R>(value: string | undefined, columns: Column<R>[]): Sort | undefined {
  if (!value) return undefined;
  const down = value.startsWith("-");
  const key = down ? value.slice(1) : value;
  return columns.some((c) => c.key === key && c.sort) ? { key, down } : undefined;
}

/** nextSort goes up, down, and back to the order that the rows came in. */
export function nextSort(now: Sort | undefined, key: string): string | undefined {
  if (now?.key !== key) return key;
  return now.down ? undefined : `-${key}`;
}

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function isNone(v: string | number): boolean {
  return v === "" || (typeof v === "number" && Number.isNaN(v));
}

/** sorted gives the rows in order: db-2 before db-10, and what has no value last either way. */
export function sorted<R>(rows: R[], columns: Column<R>[], sort: Sort | undefined): R[] {
  const by = columns.find((c) => c.key === sort?.key)?.sort;
  if (!sort || !by) return rows;
  const keyed = rows.map((r, i) => ({ r, i, v: by(r) }));
  const sign = sort.down ? -1 : 1;
  keyed.sort((a, b) => {
    const none = Number(isNone(a.v)) - Number(isNone(b.v));
    if (none) return none;
    const order = typeof a.v === "number" && typeof b.v === "number" ? a.v - b.v : collator.compare(String(a.v), String(b.v));
    return order ? sign * order : a.i - b.i;
  });
  return keyed.map((k) => k.r);
}

/** textOf is a cell as text, as far as a column says it. */
export function textOf<R>(c: Column<R>, r: R): string {
  if (c.export) return c.export(r);
  const v = c.sort?.(r);
  if (v !== undefined) return String(v);
  const cell = c.cell(r);
  return typeof cell === "string" || typeof cell === "number" ? String(cell) : "";
}

/** nameOf is what a column's head says. */
export function nameOf<R>(c: Column<R>): string {
  return c.name ?? (typeof c.head === "string" ? c.head : c.key);
}

/** filtered keeps the rows in which every word occurs somewhere. */
export function filtered<R>(rows: R[], columns: Column<R>[], filter: string | undefined): R[] {
  const words = (filter ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((r) => {
    const text = columns.map((c) => textOf(c, r)).join("\n").toLowerCase();
    return words.every((w) => text.includes(w));
  });
}

/** csv writes the rows as RFC 4180 says. A text that a spreadsheet would run as a formula is kept text. */
export function csv<R>(rows: R[], columns: Column<R>[]): string {
  const quote = (s: string) => {
    const safe = /^[=+@\t\r]|^-[^\d.]/.test(s) ? `'${s}` : s;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const kept = columns.filter((c) => c.export || c.sort || nameOf(c) !== "");
  const lines = [kept.map((c) => quote(nameOf(c)))].concat(rows.map((r) => kept.map((c) => quote(textOf(c, r)))));
  return lines.map((l) => l.join(",") + "\r\n").join("");
}

const sample = 200;

/** widths shares a width among columns by what stands in them, so that they stay as they are while rows come and go. */
export function widths<R>(rows: R[], columns: Column<R>[], total: number): number[] {
  const step = Math.max(1, Math.floor(rows.length / sample));
  const want = columns.map((c) => {
    if (typeof c.width === "number") return c.width;
    const given = /^(\d+(?:\.\d+)?)px$/.exec(c.width ?? "");
    if (given) return Number(given[1]);
    const lengths: number[] = [];
    for (let i = 0; i < rows.length; i += step) lengths.push(textOf(c, rows[i]!).length);
    lengths.sort((a, b) => a - b);
    const usual = lengths[Math.floor(lengths.length * 0.95)] ?? 8;
    return Math.max(nameOf(c).length * 7.5 + 34, Math.min(usual, 44) * 7.6 + 24, 56);
  });
  const sum = want.reduce((a, b) => a + b, 0);
  if (sum === 0) return want;
  const fixed = columns.map((c) => c.width !== undefined);
  const loose = want.reduce((a, w, i) => a + (fixed[i] ? 0 : w), 0);
  if (loose === 0) return want.map((w) => (w * total) / sum);
  const factor = Math.max((total - (sum - loose)) / loose, 0.55); // narrower than that cannot be read
  return want.map((w, i) => (fixed[i] ? w : w * factor));
}
