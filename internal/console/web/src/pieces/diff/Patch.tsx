import { useMemo } from "react";
import { languageOf } from "../paint";
import { DiffRows } from "./DiffRows";
import { patchRows } from "./rows";

/** Patch is what a unified patch of one file changes. */
export function Patch({ text, path, note }: { text: string; path: string; note?: string | undefined }) {
  const rows = useMemo(() => patchRows(text), [text]);
  return <DiffRows rows={rows} path={path} language={languageOf(path)} note={note} />;
}
