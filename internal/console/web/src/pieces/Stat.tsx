import type { ReactNode } from "react";
import { Spark } from "./Spark";
import { State, type Tone } from "./states";
import css from "./Stat.module.css";

/** Stat is one number with its unit, how it changed and what is normal. */
export function Stat(p: { label: string; value: ReactNode; change?: string | undefined; normal?: string | undefined; tone?: Tone | undefined; spark?: (number | null)[] | undefined }) {
  return (
    <div className={css.stat} role="group" aria-label={p.label}>
      <div className={css.label}>{p.label}</div>
      <div className={css.row}>
        <div className={css.value}>{p.tone && p.tone !== "idle" && p.tone !== "ok" ? <State tone={p.tone}>{p.value}</State> : p.value}</div>
        {p.spark && p.spark.length > 1 && <Spark values={p.spark} label={`${p.label}, the last while`} width={88} height={28} />}
      </div>
      {(p.change || p.normal) && (
        <div className={css.foot}>
          {p.change && <span>{p.change}</span>}
          {p.normal && <span>{p.normal}</span>}
        </div>
      )}
    </div>
  );
}
