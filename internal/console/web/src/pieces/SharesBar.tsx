import type { Tone } from "./states";
import { whole } from "~/format";
import css from "./SharesBar.module.css";

export type Share = { key: string; word: string; tone: Tone; n: number };

/** SharesBar is progress as a bar with its words: colour is never the only one to say it. */
export function SharesBar({ shares, total, label, words = true }: { shares: Share[]; total: number; label: string; words?: boolean }) {
  const text = shares.map((s) => `${whole(s.n)} ${s.word}`).join(", ");
  return (
    <div className={css.shares}>
      <div className={css.bar} role="img" aria-label={`${label}: ${text || "nothing yet"}`}>
        {shares.map((s) => (
          <span key={s.key} data-tone={s.tone} data-key={s.key} style={{ flexGrow: s.n, flexBasis: 0 }} hidden={total === 0} />
        ))}
      </div>
      {words && (
        <ul className={css.legend} aria-hidden="true">
          {shares.map((s) => (
            <li key={s.key} data-tone={s.tone} data-key={s.key}>
              <b className="num">{whole(s.n)}</b> {s.word}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
