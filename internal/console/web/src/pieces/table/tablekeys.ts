import { useEffect, useRef, type RefObject } from "react";
import { covered, typing } from "../keys";

type Moves = { next: () => void; previous: () => void; open: () => void; toggle: () => void };

// Of several tables on a page the one with the focus has the keys; when none
// has it, the first.
const tables = new Set<RefObject<HTMLElement | null>>();

function owner(): RefObject<HTMLElement | null> | undefined {
  let first: RefObject<HTMLElement | null> | undefined;
  for (const t of tables) {
    if (!t.current) continue;
    if (t.current.contains(document.activeElement)) return t;
    if (!first?.current || first.current.compareDocumentPosition(t.current) & Node.DOCUMENT_POSITION_PRECEDING) first = t;
  }
  return first;
}

/** useTableKeys gives a table j, k, Enter and x. */
export function useTableKeys(box: RefObject<HTMLElement | null>, moves: Moves): void {
  const now = useRef(moves);
  now.current = moves;
  useEffect(() => {
    tables.add(box);
    const listen = (e: KeyboardEvent) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.target) || covered() || owner() !== box) return;
      const onRow = e.target instanceof HTMLTableRowElement;
      if (e.key === "j") now.current.next();
      else if (e.key === "k") now.current.previous();
      else if (e.key === "Enter" && onRow) now.current.open();
      else if (e.key === "x" && onRow) now.current.toggle();
      else return;
      e.preventDefault();
    };
    document.addEventListener("keydown", listen);
    return () => {
      tables.delete(box);
      document.removeEventListener("keydown", listen);
    };
  }, [box]);
}
