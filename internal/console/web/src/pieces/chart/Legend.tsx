import { useMemo, useState } from "react";
import { amount, clockTime, compareNames, dateTime, type Unit, utc } from "~/format";
import { summary, type Named, type Summary } from "./columns";
import css from "./Chart.module.css";

type Key = "name" | keyof Summary;
const heads: [Key, string][] = [
  ["name", "Name"],
  ["last", "Last"],
  ["min", "Min"],
  ["max", "Max"],
];

/** Legend says what each line is, and its last, least and greatest value. A name shows its line alone. */
export function Legend(p: { lines: Named[]; rest: number | undefined; unit: Unit; hidden: ReadonlySet<string>; only: (name: string, add: boolean) => void; title: string; rows: number }) {
  const [sort, setSort] = useState<{ key: Key; down: boolean }>();
  const rows = useMemo(() => {
    const all = p.lines.map((l, i) => ({ name: l.name, i, ...summary(l.values) }));
    if (!sort) return all;
    const sign = sort.down ? -1 : 1;
    return all.sort((a, b) => (sort.key === "name" ? sign * compareNames(a.name, b.name) : sign * ((a[sort.key] ?? -Infinity) - (b[sort.key] ?? -Infinity))));
  }, [p.lines, sort]);
  const several = p.lines.length > 1;
  return (
    <div className={css.legend} style={{ height: legendHeight(p.rows) }} {...(p.lines.length > p.rows ? { tabIndex: 0, role: "region", "aria-label": `Lines of ${p.title}` } : {})}>
      <table>
        <thead>
          <tr>
            {heads.map(([key, word]) => (
              <th key={key} scope="col" aria-sort={sort?.key === key ? (sort.down ? "descending" : "ascending") : "none"}>
                {several ? (
                  <button type="button" onClick={() => setSort(sort?.key !== key ? { key, down: key !== "name" } : sort.down === (key !== "name") ? { key, down: !sort.down } : undefined)}>
                    {word}
                    <span aria-hidden="true">{sort?.key === key ? (sort.down ? " ↓" : " ↑") : ""}</span>
                  </button>
                ) : (
                  word
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.name} data-off={p.hidden.has(r.name) || undefined}>
              <td>
                {several ? (
                  <button type="button" aria-pressed={!p.hidden.has(r.name)} title="Show alone; with Ctrl, add or take away" onClick={(e) => p.only(r.name, e.ctrlKey || e.metaKey || e.shiftKey)}>
                    <Swatch i={r.i} rest={p.rest === r.i} />
                    {r.name}
                  </button>
                ) : (
                  <span className={css.alone}>
                    <Swatch i={r.i} rest={p.rest === r.i} />
                    {r.name}
                  </span>
                )}
              </td>
              <td>{amount(r.last, p.unit)}</td>
              <td>{amount(r.min, p.unit)}</td>
              <td>{amount(r.max, p.unit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const legendHeight = (rows: number): number => 24 + rows * 22;

export function Swatch({ i, rest }: { i: number; rest: boolean }) {
  return <span aria-hidden="true" className={css.swatch} data-series={rest ? "rest" : (i % 8) + 1} />;
}

const listed = 10;

/** Values are what all lines are at one time, the greatest first. */
export function Values(p: { time: number; index: number; lines: Named[]; rest: number | undefined; hidden: ReadonlySet<string>; unit: Unit; onClose?: (() => void) | undefined }) {
  const rows = p.lines
    .map((l, i) => ({ name: l.name, i, v: l.values[p.index] ?? null }))
    .filter((r) => !p.hidden.has(r.name))
    .sort((a, b) => (b.v ?? -Infinity) - (a.v ?? -Infinity));
  return (
    <>
      <div className={css.when}>
        <time dateTime={new Date(p.time * 1000).toISOString()} title={utc(p.time * 1000)}>
          {Date.now() - p.time * 1000 < 20 * 3600_000 ? clockTime(p.time * 1000) : dateTime(p.time * 1000)}
        </time>
        {p.onClose && (
          <button type="button" onClick={p.onClose} aria-label="Unpin">
            Unpin
          </button>
        )}
      </div>
      <table>
        <tbody>
          {rows.slice(0, listed).map((r) => (
            <tr key={r.name}>
              <th scope="row">
                <Swatch i={r.i} rest={p.rest === r.i} />
                {r.name}
              </th>
              <td>{r.v === null ? "no value" : amount(r.v, p.unit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const mostRows = 240;

/** Numbers are the chart for those who cannot see it, and for those who want to copy it. */
export function Numbers(p: { times: number[]; lines: Named[]; unit: Unit; height: number; title: string }) {
  const every = Math.max(1, Math.ceil(p.times.length / mostRows));
  const rows: number[] = [];
  for (let i = p.times.length - 1; i >= 0; i -= every) rows.push(i);
  const days = (p.times.at(-1) ?? 0) - (p.times[0] ?? 0) > 86_400;
  return (
    <div className={css.numbers} style={{ height: p.height }} tabIndex={0} role="region" aria-label={`Numbers of ${p.title}`}>
      <table>
        <caption className="visually-hidden">{p.title}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {p.lines.map((l) => (
              <th key={l.name} scope="col">
                {l.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((i) => (
            <tr key={i}>
              <th scope="row" title={utc(p.times[i]! * 1000)}>
                {days ? dateTime(p.times[i]! * 1000) : clockTime(p.times[i]! * 1000)}
              </th>
              {p.lines.map((l) => (
                <td key={l.name}>{amount(l.values[i], p.unit)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
