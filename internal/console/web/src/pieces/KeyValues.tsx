import type { ReactNode } from "react";
import css from "./KeyValues.module.css";

/** KeyValues is a list of names with their values; what is undefined is left out. */
export function KeyValues({ items }: { items: [label: string, value: ReactNode][] }) {
  return (
    <dl className={css.list}>
      {items
        .filter(([, value]) => value !== undefined && value !== null && value !== false)
        .map(([label, value]) => (
          <div key={label} className={css.item}>
            <dt>{label}</dt>
            <dd>{value === "" ? <span className={css.none}>none</span> : value}</dd>
          </div>
        ))}
    </dl>
  );
}
