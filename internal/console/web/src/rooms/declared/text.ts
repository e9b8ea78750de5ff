import { LineCounter, parseDocument, stringify, type Document, type YAMLMap } from "yaml";
import type { Obj } from "./types";

// An object as text, and back. What only the server decides is not in the
// text that is edited; JSON is YAML too.

const server = ["kind", "uid", "generation", "revision", "created", "updated", "status"];

/** editable is what people may change of an object. */
export function editable(o: Obj): Record<string, unknown> {
  return Object.fromEntries(Object.entries(o).filter(([k]) => !server.includes(k)));
}

/** order puts the fields as people expect them. */
const order = ["kind", "name", "labels", "spec", "status"];

export function yaml(o: unknown): string {
  if (o !== null && typeof o === "object" && !Array.isArray(o)) {
    const entries = Object.entries(o);
    const rank = (k: string) => (order.indexOf(k) < 0 ? order.length : order.indexOf(k));
    o = Object.fromEntries(entries.sort(([a], [b]) => rank(a) - rank(b)));
  }
  return stringify(o, { lineWidth: 0, aliasDuplicateObjects: false });
}

export type Problem = { message: string; line?: number; column?: number };
export type Parsed = { value: Record<string, unknown>; document: Document; lines: LineCounter } | { problem: Problem };

export function parse(text: string): Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const error = document.errors[0];
  if (error) {
    const at = lines.linePos(error.pos[0]);
    return { problem: { message: error.message.split("\n")[0] ?? "this is no YAML", line: at.line, column: at.col } };
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (value === null || typeof value !== "object" || Array.isArray(value)) return { problem: { message: "this must be an object: fields with values", line: 1, column: 1 } };
  return { value: value as Record<string, unknown>, document, lines };
}

/** place finds where a field of the API's error is in the text; if it is not there, its nearest parent. */
export function place(text: string, field: string): { line: number; column: number; from: number; to: number } | undefined {
  const p = parse(text);
  if ("problem" in p) return undefined;
  const keys = field.split(".").filter(Boolean);
  while (keys.length > 0) {
    const parent = keys.length === 1 ? p.document.contents : p.document.getIn(keys.slice(0, -1), true);
    const pair = (parent as YAMLMap | null)?.items?.find?.((i) => String((i.key as { value?: unknown })?.value ?? i.key) === keys.at(-1));
    const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range;
    if (range) {
      const end = (pair?.value as { range?: [number, number, number] } | null | undefined)?.range?.[1] ?? range[1];
      const at = p.lines.linePos(range[0]);
      return { line: at.line, column: at.col, from: range[0], to: end };
    }
    keys.pop();
  }
  return undefined;
}
