import { expect, test } from "vitest";
import { csv, filtered, nextSort, sorted, sortOf, widths, type Column } from "./rows";

type Host = { name: string; cpu: number; os: string };
const rows: Host[] = [
  { name: "db-10", cpu: 0.5, os: "Debian 12" },
  { name: "db-2", cpu: NaN, os: "Debian 12" },
  { name: "web-1", cpu: 0.1, os: "Alpine, edge" },
];
const columns: Column<Host>[] = [
  { key: "name", head: "Host", cell: (r) => r.name, sort: (r) => r.name },
  { key: "cpu", head: "CPU", cell: (r) => r.cpu, sort: (r) => r.cpu, export: (r) => (Number.isNaN(r.cpu) ? "" : String(r.cpu)) },
  { key: "os", head: "System", cell: (r) => r.os },
];
const names = (list: Host[]) => list.map((r) => r.name);

test("names sort by their numbers", () => {
  expect(names(sorted(rows, columns, { key: "name", down: false }))).toEqual(["db-2", "db-10", "web-1"]);
});

test("a row without a value is last, whichever way", () => {
  expect(names(sorted(rows, columns, { key: "cpu", down: false }))).toEqual(["web-1", "db-10", "db-2"]);
  expect(names(sorted(rows, columns, { key: "cpu", down: true }))).toEqual(["db-10", "web-1", "db-2"]);
});

test("equal rows keep their order", () => {
  const same: Column<Host>[] = [{ key: "x", head: "X", cell: () => "", sort: () => 1 }];
  expect(names(sorted(rows, same, { key: "x", down: true }))).toEqual(names(rows));
});

test("the order in the address bar is only what a column can do", () => {
  expect(sortOf("-cpu", columns)).toEqual({ key: "cpu", down: true });
  expect(sortOf("os", columns)).toBeUndefined();
  expect(sortOf("nothing", columns)).toBeUndefined();
  expect([nextSort(undefined, "cpu"), nextSort({ key: "cpu", down: false }, "cpu"), nextSort({ key: "cpu", down: true }, "cpu")]).toEqual(["cpu", "-cpu", undefined]);
});

test("a filter wants every word, in any column, in any case", () => {
  expect(names(filtered(rows, columns, "DEBIAN db"))).toEqual(["db-10", "db-2"]);
  expect(filtered(rows, columns, "debian web")).toEqual([]);
  expect(filtered(rows, columns, "  ")).toBe(rows);
});

test("CSV quotes commas and lets no cell be a formula", () => {
  expect(csv(rows, columns)).toBe('Host,CPU,System\r\ndb-10,0.5,Debian 12\r\ndb-2,,Debian 12\r\nweb-1,0.1,"Alpine, edge"\r\n');
  expect(csv([{ name: '=1+"1"', cpu: 1, os: "-5" }], columns)).toBe(`Host,CPU,System\r\n"'=1+""1""",1,-5\r\n`);
});

test("columns fill the width, and a given width stays", () => {
  const w = widths(rows, [{ ...columns[0]!, width: 200 }, columns[1]!, columns[2]!], 1000);
  expect(w[0]).toBe(200);
  expect(w.reduce((a, b) => a + b, 0)).toBeCloseTo(1000);
});
