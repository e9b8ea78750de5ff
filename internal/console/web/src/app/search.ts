import { useCallback } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";

/** useFilters gives what a page keeps in the address bar, as text, and sets some of it. */
export function useFilters<K extends string>(...keys: readonly K[]): [Record<K, string>, (next: Partial<Record<K, string>>) => void] {
  const search = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const values = Object.fromEntries(keys.map((k) => [k, search[k] === undefined || search[k] === null ? "" : String(search[k])])) as Record<K, string>;
  const set = useCallback(
    (next: Partial<Record<K, string>>) => {
      const clean = Object.fromEntries(Object.entries(next).map(([k, v]) => [k, v === "" ? undefined : v]));
      void navigate({ to: ".", search: ((old: Record<string, unknown>) => ({ ...old, ...clean })) as never, replace: true, resetScroll: false } as never);
    },
    [navigate],
  );
  return [values, set];
}
