import { useMemo } from "react";
import { languageOf } from "../paint";
import { DiffRows, type Mode } from "./DiffRows";
import { compare } from "./rows";

/** Diff is what differs between two texts. */
export function Diff({ before, after, path, mode }: { before: string; after: string; path?: string | undefined; mode?: Mode | undefined }) {
  const rows = useMemo(() => compare(before, after), [before, after]);
  return <DiffRows rows={rows} path={path} language={languageOf(path)} mode={mode} />;
}
