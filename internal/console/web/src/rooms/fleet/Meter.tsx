import { percent } from "~/format";
import css from "./Meter.module.css";

/** From where a load asks for a look. */
const high = 0.9;

/**
 * Meter is a part of a whole as a number and a thin bar; what is not measured is
 * a dash, never 0. Of few elements and without clips: thousands of them scroll by.
 */
export function Meter({ value, label, words }: { value: number | undefined; label: string; /** Where no head of a column says what it is. */ words?: boolean }) {
  const known = value !== undefined;
  return (
    <span className={css.meter} data-high={(known && value >= high) || undefined} title={known ? undefined : `${label} is not measured`}>
      {words && <span className={css.word}>{label}</span>}
      <span className={css.number}>{known ? percent(Math.round(value * 100) / 100) : "–"}</span>
      <span className={css.bar} aria-hidden="true" style={known ? { backgroundSize: `${Math.max(0, Math.min(100, value * 100))}% 100%` } : undefined} />
    </span>
  );
}
