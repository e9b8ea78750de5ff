import { Ago, State } from "~/pieces/states";
import { show, type Schema } from "./schema";
import css from "./Declared.module.css";

/** Value shows one value as its schema says it reads. */
export function Value({ value, schema, path, cell }: { value: unknown; schema: Schema; path: string; cell?: boolean }) {
  const w = show(value, schema, path);
  switch (w.as) {
    case "none":
      return cell ? null : <span className={css.none}>none</span>;
    case "time":
      return <Ago at={w.at} />;
    case "yes":
      return <span>yes</span>;
    case "no":
      return <span className={css.none}>no</span>;
    case "text": {
      const last = path.split(".").at(-1);
      if (last === "state" || path === "status.state") return <State tone={toneOf(w.text)}>{w.text}</State>;
      return (
        <span className={[w.mono ? "mono" : "", w.right ? "num" : "", cell ? css.cut : css.wrap].join(" ")} title={w.hint}>
          {w.text}
        </span>
      );
    }
    case "list":
      return cell ? (
        <span className={css.cut}>{w.items.join(", ")}</span>
      ) : (
        <ul className={css.items}>
          {w.items.map((i, n) => (
            <li key={n}>{i}</li>
          ))}
        </ul>
      );
    case "pairs":
      return (
        <span className={cell ? css.cut : css.pairs}>
          {w.pairs.map(([k, v]) => (
            <span key={k} className={css.pair}>
              <span className={css.none}>{k}</span> {v}
            </span>
          ))}
        </span>
      );
    case "tree":
      return <span className={css.none}>{Array.isArray(value) ? `${value.length} items` : `${Object.keys(value as object).length} fields`}</span>;
  }
}

const good = new Set(["converged", "ok", "active", "ready", "running", "healthy", "up"]);
const bad = new Set(["failed", "error", "lost", "firing", "down", "unhealthy"]);
const busy = new Set(["converging", "pending", "progressing", "waiting"]);

function toneOf(word: string) {
  const w = word.toLowerCase();
  return good.has(w) ? "ok" : bad.has(w) ? "bad" : busy.has(w) ? "info" : "idle";
}
