import { useEffect, type RefObject } from "react";

/** typing says whether a key belongs to what has the focus: a field, a menu, a dialog. */
export function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "submit", "reset", "range"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.closest("[role=menu],[role=listbox]") !== null;
}

/** covered says whether a dialog lies over the page, so that the page's keys rest. */
export function covered(): boolean {
  return document.querySelector("[aria-modal=true]") !== null;
}

/** useKey calls back for a key that nobody else wants. */
export function useKey(key: string, on: (e: KeyboardEvent) => void, { over = false } = {}): void {
  useEffect(() => {
    const listen = (e: KeyboardEvent) => {
      if (e.key !== key || e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
      if (!over && covered()) return;
      on(e);
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  });
}

/** useFilterKey makes "/" go to the page's filter. */
export function useFilterKey(ref: RefObject<HTMLInputElement | null>): void {
  useKey("/", (e) => {
    if (!ref.current) return;
    e.preventDefault();
    ref.current.focus();
    ref.current.select();
  });
}
