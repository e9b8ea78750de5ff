import { useCallback } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";

/** useParam is one parameter of the address bar as text; undefined takes it away. */
export function useParam(name: string): [string | undefined, (value: string | undefined) => void] {
  const search = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const raw = search[name];
  const set = useCallback(
    (value: string | undefined) => {
      void navigate({
        to: ".",
        search: ((old: Record<string, unknown>) => ({ ...old, [name]: value === "" ? undefined : value })) as never,
        replace: true,
        resetScroll: false,
      });
    },
    [name, navigate],
  );
  return [raw === undefined || raw === null || typeof raw === "object" ? undefined : String(raw), set];
}
