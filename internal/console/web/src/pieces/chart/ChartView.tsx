import { useCallback, useMemo, useState, type ReactNode } from "react";
import type { Failure } from "~/api/client";
import type { FleetEvent } from "~/app/live";
import { toneOf } from "~/events/words";
import { amount, ago, type Unit } from "~/format";
import { ErrorBox } from "../states";
import { canAdd, few, nearest, summary, type Named } from "./columns";
import { Legend, legendHeight, Numbers, Values } from "./Legend";
import { Marks } from "./Marks";
import { left, Plot, right, type Kind, type Threshold } from "./Plot";
import css from "./Chart.module.css";

const never: FleetEvent[] = [];
const noThresholds: Threshold[] = [];
const nobody: ReadonlySet<string> = new Set();

/** ChartView draws values that are there; Chart asks for them. */
export function ChartView(p: {
  title: string;
  unit: Unit;
  times: number[];
  /** Undefined while they are read for the first time. */
  series: Named[] | undefined;
  from: number;
  to: number;
  kind?: Kind | undefined;
  thresholds?: Threshold[] | undefined;
  events?: FleetEvent[] | undefined;
  max?: number | undefined;
  zero?: boolean | undefined;
  height?: number | undefined;
  note?: ReactNode;
  failure?: Failure | undefined;
  retry?: (() => void) | undefined;
  /** When the values were read, if they are old. */
  stale?: number | undefined;
  /** Rows that the legend has room for, so that nothing moves when the values come. */
  rows?: number | undefined;
  onZoom?: ((from: number, to: number) => void) | undefined;
}) {
  const { unit, times, series, from, to, kind = "line", thresholds = noThresholds, events = never, height = 180, rows = 1 } = p;
  const [table, setTable] = useState(false);
  const [hover, setHover] = useState<number>();
  const [pinned, setPinned] = useState<number>();
  const [hidden, setHidden] = useState(nobody);
  // Beside single lines a sum would press them to the ground.
  const adds = (kind === "stacked" || kind === "bars") && canAdd(unit);
  const { lines, others } = useMemo(() => few(series ?? [], adds), [series, adds]);
  const rest = others > 0 ? lines.length - 1 : undefined;
  const empty = series !== undefined && series.every((s) => s.values.every((v) => v === null));
  const marks = useMemo(() => events.map((e) => ({ time: Date.parse(e.time) / 1000, tone: toneOf(e) })), [events]);
  const only = useCallback(
    (name: string, add: boolean) => {
      setHidden((old) => {
        const names = lines.map((l) => l.name);
        const next = new Set(old);
        if (add) {
          if (!next.delete(name)) next.add(name);
        } else if (old.size === names.length - 1 && !old.has(name)) return nobody;
        else return new Set(names.filter((n) => n !== name));
        return next.size === names.length ? nobody : next;
      });
    },
    [lines],
  );
  const index = hover ?? (pinned === undefined ? undefined : nearest(times, pinned));
  const at = index === undefined ? undefined : times[index];
  const share = at === undefined ? 0 : (at - from) / (to - from);
  const label = `${p.title}: ${
    lines.length === 0 ? "no values" : lines.map((l) => `${l.name} ${amount(summary(l.values).last, unit)}`).join(", ")
  }. Arrow keys read the values; the table has them all.`;
  return (
    <figure className={css.chart} aria-label={p.title}>
      <figcaption className={css.head}>
        <h3>{p.title}</h3>
        {p.note && <span className={css.note}>{p.note}</span>}
        {p.stale !== undefined && (
          <span className={css.stale} role="status">
            From {ago(p.stale)}: cannot be read anew
          </span>
        )}
        <button type="button" className={css.switch} aria-pressed={table} onClick={() => setTable(!table)} disabled={!series || empty}>
          Table
        </button>
      </figcaption>
      <div className={css.area} data-quiet={table || undefined}>
        {table && series && !empty ? (
          <Numbers times={times} lines={lines} unit={unit} height={height + 20} title={p.title} />
        ) : (
          <>
            <Marks events={events} from={from} to={to} />
            {series && !empty ? (
              <Plot
                times={times}
                lines={lines}
                rest={rest}
                hidden={hidden}
                from={from}
                to={to}
                unit={unit}
                kind={kind}
                height={height}
                max={p.max}
                zero={p.zero}
                thresholds={thresholds}
                marks={marks}
                pinned={pinned}
                label={label}
                onHover={setHover}
                onPin={setPinned}
                onZoom={p.onZoom ?? ignore}
              />
            ) : (
              <div className={css.place} style={{ height }} data-state={p.failure ? "failing" : series ? "empty" : "loading"}>
                {p.failure ? (
                  <ErrorBox failure={p.failure} what={`read ${p.title.charAt(0).toLowerCase()}${p.title.slice(1)}`} retry={p.retry} />
                ) : series ? (
                  <p>No values in this time.</p>
                ) : (
                  <span role="status" className="visually-hidden">
                    Loading {p.title}
                  </span>
                )}
              </div>
            )}
            {series && at !== undefined && index !== undefined && (
              <div
                className={css.values}
                data-pinned={hover === undefined || undefined}
                style={share < 0.5 ? { left: `calc(${left}px + (100% - ${left + right}px) * ${share} + 14px)` } : { right: `calc(${right}px + (100% - ${left + right}px) * ${1 - share} + 14px)` }}
                role="status"
              >
                <Values time={at} index={index} lines={lines} rest={rest} hidden={hidden} unit={unit} onClose={hover === undefined ? () => setPinned(undefined) : undefined} />
              </div>
            )}
          </>
        )}
      </div>
      {series && !empty ? <Legend lines={lines} rest={rest} unit={unit} hidden={hidden} only={only} title={p.title} rows={rows} /> : <div style={{ height: legendHeight(rows) }} />}
    </figure>
  );
}

function ignore(): void {}
