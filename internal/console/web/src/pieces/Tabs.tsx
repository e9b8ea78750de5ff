import { useRef, type KeyboardEvent, type ReactNode } from "react";
import { useParam } from "~/app/params";
import { whole } from "~/format";
import css from "./Tabs.module.css";

/** useTab is the tab that the address bar names, or the first. */
export function useTab(param: string, first: string): string {
  const [tab] = useParam(param);
  return tab ?? first;
}

/** Tabs choose what a page shows below; the choice is in the address bar. */
export function Tabs({ items, param, label = "Views" }: { items: { key: string; label: ReactNode; count?: number | undefined }[]; param: string; label?: string }) {
  const [chosen, choose] = useParam(param);
  const list = useRef<HTMLDivElement>(null);
  const now = items.some((i) => i.key === chosen) ? chosen : items[0]?.key;
  const at = items.findIndex((i) => i.key === now);
  const onKeyDown = (e: KeyboardEvent) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const next = (to + items.length) % items.length;
    choose(next === 0 ? undefined : items[next]!.key);
    list.current?.querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
  };
  return (
    <div role="tablist" aria-label={label} className={css.tabs} ref={list} onKeyDown={onKeyDown}>
      {items.map((i, n) => (
        <button key={i.key} type="button" role="tab" aria-selected={i.key === now} tabIndex={i.key === now ? 0 : -1} className={css.tab} onClick={() => choose(n === 0 ? undefined : i.key)}>
          {i.label}
          {i.count !== undefined && <span className={css.count}>{whole(i.count)}</span>}
        </button>
      ))}
    </div>
  );
}
