import { memo, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type CSSProperties, type KeyboardEvent, type MouseEvent, type ReactNode } from "react";
import { Link, useNavigate } from "@tanstack/react-router";
import { useMediaQuery } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useParam } from "~/app/params";
import { counted, whole } from "~/format";
import { save } from "../save";
import { useTableKeys } from "./tablekeys";
import { csv, filtered, nameOf, nextSort, sorted, sortOf, widths, type Column } from "./rows";
import css from "./DataTable.module.css";

export type { Column } from "./rows";

const many = 100; // beyond it only the rows in sight are drawn
const phoneHeight = 56;

export type Select = {
  selected: Set<string>;
  onChange: (selected: Set<string>) => void;
  /** What can be done with the selected: shown with their count. */
  actions?: ReactNode;
};

/** DataTable is a table of things: sorted, filtered, chosen and left by mouse and by keys. */
export function DataTable<R>(p: {
  rows: R[];
  columns: Column<R>[];
  rowKey: (r: R) => string;
  label: string;
  rowHref?: ((r: R) => string) | undefined;
  /** Words that must all occur; looked for in what columns export or sort by. */
  filter?: string | undefined;
  select?: Select | undefined;
  empty: ReactNode;
  rowHeight?: number;
  /** The name of the order in the address bar, for a second table on a page. */
  sortParam?: string;
  /** The order when the address bar has none: "name" or "-start". */
  sort?: string;
  /** What is counted below: ["host", "hosts"]. */
  noun?: [one: string, many: string];
}) {
  const { rows, columns, rowKey, rowHref, select, rowHeight = 32 } = p;
  const [param, setParam] = useParam(p.sortParam ?? "sort");
  const sort = sortOf(param ?? p.sort, columns);
  const shown = useMemo(() => sorted(filtered(rows, columns, p.filter), columns, sort), [rows, columns, p.filter, sort?.key, sort?.down]); // eslint-disable-line
  const phone = useMediaQuery("(max-width: 760px)") ?? false;
  const virtual = rows.length > many;
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ top: 0, width: 0 });
  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const measure = () => {
      const r = el.getBoundingClientRect();
      const next = { top: Math.round(r.top + window.scrollY), width: Math.floor(r.width) };
      setSize((old) => (old.top === next.top && old.width === next.width ? old : next));
    };
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    watch.observe(document.body); // what stands above may grow
    return () => watch.disconnect();
  }, []);
  const height = phone ? phoneHeight : rowHeight;
  const head = phone ? 0 : 36;
  const virtualizer = useWindowVirtualizer({ count: shown.length, estimateSize: () => height, overscan: 8, scrollMargin: size.top + head, enabled: virtual });
  useEffect(() => virtualizer.measure(), [height, virtualizer]);
  const inSight = virtual ? virtualizer.getVirtualItems() : undefined;
  const first = inSight?.[0]?.index ?? 0;
  const drawn = virtual ? shown.slice(first, (inSight?.at(-1)?.index ?? -1) + 1) : shown;
  const above = first * height;
  const below = (shown.length - first - drawn.length) * height;
  // Without this, columns would move while other rows come into sight.
  const cols = useMemo(() => (virtual && size.width > 0 && !phone ? widths(rows, columns, size.width - (select ? 36 : 0)) : undefined), [virtual, size.width, phone, rows, columns, select !== undefined]); // eslint-disable-line

  const [active, setActive] = useState<string>();
  const at = active === undefined ? -1 : shown.findIndex((r) => rowKey(r) === active);
  const navigate = useNavigate();
  const hint = useId();
  const table = useRef<HTMLTableElement>(null);
  const anchor = useRef<string>(undefined);

  const go = (to: number) => {
    const r = shown[Math.max(0, Math.min(shown.length - 1, to))];
    if (!r) return;
    const key = rowKey(r);
    setActive(key);
    if (virtual) virtualizer.scrollToIndex(shown.indexOf(r), { align: "auto" });
    // The row may only now come into being.
    requestAnimationFrame(() => {
      const el = table.current?.querySelector<HTMLElement>(`tr[data-row="${CSS.escape(key)}"]`);
      el?.focus({ preventScroll: virtual });
    });
  };
  const open = (r: R | undefined) => {
    if (r && rowHref) void navigate({ href: rowHref(r) } as never);
  };
  const toggle = (r: R | undefined, range = false) => {
    if (!r || !select) return;
    const next = new Set(select.selected);
    const key = rowKey(r);
    const from = range ? shown.findIndex((s) => rowKey(s) === anchor.current) : -1;
    if (from >= 0) {
      const to = shown.indexOf(r);
      const on = next.has(anchor.current!);
      for (const each of shown.slice(Math.min(from, to), Math.max(from, to) + 1)) {
        if (on) next.add(rowKey(each));
        else next.delete(rowKey(each));
      }
    } else if (!next.delete(key)) next.add(key);
    anchor.current = key;
    select.onChange(next);
  };
  // Rows that stay as they are are not drawn again while others come into sight.
  const latest = useRef({ open, toggle });
  latest.current = { open, toggle };
  const does = useMemo<Does<R>>(() => ({ open: (r) => latest.current.open(r), toggle: (r, range) => latest.current.toggle(r, range), reach: setActive }), []);
  useTableKeys(box, {
    next: () => go(at + 1),
    previous: () => go(at < 0 ? 0 : at - 1),
    open: () => open(shown[at]),
    toggle: () => toggle(shown[at]),
  });
  const onKeyDown = (e: KeyboardEvent) => {
    if (!(e.target instanceof HTMLTableRowElement)) return;
    const step = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1, PageDown: at + 15, PageUp: at - 15 }[e.key];
    if (step === undefined) return;
    e.preventDefault();
    go(step);
  };

  if (rows.length === 0) return <div ref={box}>{p.empty}</div>;
  const [one, more] = p.noun ?? ["row", "rows"];
  const chosen = select ? shown.filter((r) => select.selected.has(rowKey(r))) : [];
  const all = chosen.length > 0 && chosen.length === shown.length;
  return (
    <div ref={box} className={css.box} data-virtual={virtual || undefined}>
      <table
        ref={table}
        role="table"
        className={css.table}
        aria-label={p.label}
        aria-rowcount={shown.length + 1}
        aria-describedby={hint}
        data-fixed={cols ? true : undefined}
        style={{ "--row": `${height}px` } as CSSProperties}
        onKeyDown={onKeyDown}
      >
        {cols && (
          <colgroup>
            {select && <col style={{ width: 36 }} />}
            {cols.map((w, i) => (
              <col key={columns[i]!.key} style={{ width: w }} />
            ))}
          </colgroup>
        )}
        <thead role="rowgroup">
          <tr role="row" aria-rowindex={1}>
            {select && (
              <th role="columnheader" scope="col" className={css.check}>
                <input
                  type="checkbox"
                  aria-label={all ? "Select none" : `Select all ${counted(shown.length, one, more)}`}
                  checked={all}
                  ref={(el) => {
                    if (el) el.indeterminate = chosen.length > 0 && !all;
                  }}
                  onChange={() => select.onChange(all ? new Set() : new Set(shown.map(rowKey)))}
                />
              </th>
            )}
            {columns.map((c) => (
              <Head key={c.key} c={c} sort={sort} onSort={() => setParam(nextSort(sort, c.key))} {...(cols ? {} : { width: c.width })} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {above > 0 && <tr aria-hidden="true" className={css.spacer} style={{ height: above }} />}
          {drawn.map((r, i) => {
            const key = rowKey(r);
            return (
              <OneRow
                key={key}
                id={key}
                r={r}
                columns={columns}
                index={first + i + 2}
                href={rowHref?.(r)}
                selected={select ? select.selected.has(key) : undefined}
                reached={key === active || (at < 0 && first + i === 0)}
                titles={cols !== undefined}
                does={does}
              />
            );
          })}
          {below > 0 && <tr aria-hidden="true" className={css.spacer} style={{ height: below }} />}
        </tbody>
      </table>
      {shown.length === 0 && (
        <p className={css.none} role="status">
          None of {counted(rows.length, one, more)} matches “{p.filter}”.
        </p>
      )}
      <div className={css.foot}>
        <span>{shown.length === rows.length ? counted(rows.length, one, more) : `${whole(shown.length)} of ${counted(rows.length, one, more)}`}</span>
        <button type="button" className={css.export} onClick={() => save(`${p.label}.csv`, csv(chosen.length > 0 ? chosen : shown, columns))}>
          Export {chosen.length > 0 ? `${whole(chosen.length)} selected` : "CSV"}
        </button>
        <span id={hint} className="visually-hidden">
          j and k or the arrow keys go from row to row{rowHref ? ", Enter opens one" : ""}
          {select ? ", x selects it" : ""}.
        </span>
      </div>
      {select && select.selected.size > 0 && (
        <div className={css.bulk} role="group" aria-label="Selected">
          <strong aria-live="polite">{counted(select.selected.size, one, more)} selected</strong>
          <div className={css.bulkActions}>{select.actions}</div>
          <button type="button" className={css.export} onClick={() => select.onChange(new Set())}>
            Clear
          </button>
        </div>
      )}
    </div>
  );
}

type Does<R> = { open: (r: R) => void; toggle: (r: R, range: boolean) => void; reach: (key: string) => void };

type RowProps<R> = {
  id: string;
  r: R;
  columns: Column<R>[];
  index: number;
  href: string | undefined;
  selected: boolean | undefined;
  /** Tab comes to this row. */
  reached: boolean;
  titles: boolean;
  does: Does<R>;
};

function RowOf<R>({ id, r, columns, index, href, selected, reached, titles, does }: RowProps<R>) {
  return (
    <tr
      role="row"
      data-row={id}
      aria-rowindex={index}
      {...(selected !== undefined ? { "aria-selected": selected } : {})}
      tabIndex={reached ? 0 : -1}
      onFocus={(e) => {
        if (e.target === e.currentTarget) does.reach(id);
      }}
      onClick={(e) => {
        if (href !== undefined && isPlain(e)) does.open(r);
      }}
      data-link={href !== undefined || undefined}
    >
      {selected !== undefined && (
        <td role="cell" className={css.check}>
          <input
            type="checkbox"
            aria-label={`Select ${id}`}
            checked={selected}
            tabIndex={-1}
            onClick={(e) => {
              e.stopPropagation();
              does.toggle(r, e.shiftKey);
            }}
            onChange={() => undefined}
          />
        </td>
      )}
      {columns.map((c, n) => (
        <td key={c.key} role="cell" data-align={c.align} data-hide={c.hide} data-order={n} title={titles ? textOfTitle(c, r) : undefined}>
          {n === 0 && href !== undefined ? (
            <Link to={href as never} className={css.link} tabIndex={-1}>
              {c.cell(r)}
            </Link>
          ) : (
            c.cell(r)
          )}
        </td>
      ))}
    </tr>
  );
}

const OneRow = memo(RowOf) as typeof RowOf;

function textOfTitle<R>(c: Column<R>, r: R): string | undefined {
  return c.export?.(r);
}

/** isPlain: a click on the row itself, not on something in it, and not the end of choosing text. */
function isPlain(e: MouseEvent): boolean {
  if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return false;
  if ((e.target as HTMLElement).closest("a,button,input,label,select,[role=menuitem]")) return false;
  return (window.getSelection()?.toString() ?? "") === "";
}

function Head<R>({ c, sort, onSort, width }: { c: Column<R>; sort: { key: string; down: boolean } | undefined; onSort: () => void; width?: number | string | undefined }) {
  const by = sort?.key === c.key;
  return (
    <th role="columnheader" scope="col" data-align={c.align} data-hide={c.hide} style={width === undefined ? undefined : { width }} {...(c.sort ? { "aria-sort": by ? (sort.down ? "descending" : "ascending") : "none" } : {})}>
      {c.sort ? (
        <button type="button" onClick={onSort} className={css.sort}>
          {c.head}
          <span aria-hidden="true" className={css.arrow}>
            {by ? (sort.down ? "↓" : "↑") : "↕"}
          </span>
        </button>
      ) : c.head === "" ? (
        <span className="visually-hidden">{nameOf(c)}</span>
      ) : (
        c.head
      )}
    </th>
  );
}
