import { memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type KeyboardEvent, type MouseEvent } from "react";
import { useNavigate, useRouter } from "@tanstack/react-router";
import { useMediaQuery } from "@mantine/hooks";
import { counted, percent, whole } from "~/format";
import { Ago, State } from "~/pieces/states";
import { useTableKeys } from "~/pieces/table/tablekeys";
import type { Subject } from "./filter";
import { detailOf } from "./health";
import { HostLink } from "./HostLink";
import { HostTile } from "./HostTile";
import { measures } from "./load";
import { Meter } from "./Meter";
import { groupsOf, labelsOf, linesOf, type Group, type Order } from "./subjects";
import { offsets, useSight } from "./window";
import css from "./HostList.module.css";

const heights = { row: 32, phone: 64, tile: 104, heading: 44 };
const tileWidth = 216;

const columns = [
  { key: "name", head: "Host" },
  { key: "state", head: "State" },
  { key: "", head: "Detail" },
  { key: "cpu", head: "CPU", num: true },
  { key: "memory", head: "Memory", num: true },
  { key: "disk", head: "Disk", num: true },
  { key: "converged", head: "Last converge" },
  { key: "drifted", head: "Last drift" },
] as const;

export type Selection = { selected: ReadonlySet<string>; toggle: (names: string[], on: boolean) => void };

/** HostList draws hosts as rows or tiles, of thousands only those in sight. */
export const HostList = memo(function HostList(p: {
  subjects: Subject[];
  groups: Group[] | undefined;
  view: "rows" | "tiles";
  order: Order;
  onOrder: (key: string) => void;
  selection: Selection | undefined;
}) {
  const { subjects, groups, view, selection } = p;
  const phone = useMediaQuery("(max-width: 760px)") ?? false;
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(1000);
  useLayoutEffect(() => {
    const el = box.current;
    if (!el || view !== "tiles") return; // rows need no width, and asking for it costs a layout
    const measure = () => setWidth(Math.floor(el.clientWidth));
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    return () => watch.disconnect();
  }, [view]);
  const across = view === "tiles" ? Math.max(1, Math.floor((width + 8) / (tileWidth + 8))) : 1;
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const { lines, shown, lineOf } = useMemo(() => linesOf(subjects, groups, across, closed), [subjects, groups, across, closed]);
  const high = view === "tiles" ? heights.tile : phone ? heights.phone : heights.row;
  const starts = useMemo(() => offsets(lines.map((l) => (l.kind === "group" ? heights.heading : high))), [lines, high]);
  const [from, to] = useSight(box, starts);

  const [active, setActive] = useState<string>();
  const at = active === undefined ? -1 : shown.findIndex((s) => s.host.name === active);
  const wanted = useRef<string>(undefined);
  const navigate = useNavigate();
  const router = useRouter();
  const go = (index: number) => {
    const i = Math.max(0, Math.min(shown.length - 1, index));
    const s = shown[i];
    const el = box.current;
    if (!s || !el) return;
    const line = lineOf[i]!;
    const top = el.getBoundingClientRect().top + starts[line]!;
    const head = 96;
    if (top < head) window.scrollBy({ top: top - head });
    else if (top + high > window.innerHeight - 80) window.scrollBy({ top: top + high - window.innerHeight + 80 });
    wanted.current = s.host.name;
    setActive(s.host.name);
  };
  useEffect(() => {
    // The row that the keys lead to may have come into being only now.
    if (wanted.current === undefined) return;
    const el = box.current?.querySelector<HTMLElement>(`[data-host="${CSS.escape(wanted.current)}"]`);
    if (!el) return;
    el.focus({ preventScroll: true });
    wanted.current = undefined;
  });
  const anchor = useRef<number>(-1);
  const now = useRef({ shown, selection, lineOf });
  now.current = { shown, selection, lineOf };
  const pick = useCallback((name: string, range: boolean) => {
    const { shown, selection } = now.current;
    if (!selection) return;
    const i = shown.findIndex((s) => s.host.name === name);
    const on = !selection.selected.has(name);
    if (range && anchor.current >= 0) {
      const [a, b] = [Math.min(anchor.current, i), Math.max(anchor.current, i)];
      selection.toggle(shown.slice(a, b + 1).map((s) => s.host.name), on);
    } else selection.toggle([name], on);
    anchor.current = i;
  }, []);
  const onKeyDown = (e: KeyboardEvent) => {
    if (!(e.target instanceof HTMLElement) || e.target.dataset.host === undefined || e.ctrlKey || e.metaKey || e.altKey) return;
    const moves: Record<string, number> = { ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: shown.length - 1, PageDown: at + 15, PageUp: at - 15 };
    if (across > 1) Object.assign(moves, { ArrowRight: at + 1, ArrowLeft: at - 1 });
    if (e.key in moves) go(moves[e.key]!);
    else if (e.key === "x" || e.key === " ") pick(e.target.dataset.host, false);
    else if (e.key === "Enter") void navigate({ to: "/hosts/$name", params: { name: e.target.dataset.host } });
    else return;
    e.preventDefault();
  };
  useTableKeys(box, { next: () => go(at + 1), previous: () => go(at < 0 ? 0 : at - 1), open: () => undefined, toggle: () => undefined });
  const onClick = (e: MouseEvent) => {
    const el = e.target as HTMLElement;
    const name = el.closest<HTMLElement>("[data-host]")?.dataset.host;
    if (!name) return;
    if (el instanceof HTMLInputElement) return pick(name, e.shiftKey);
    if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || el.closest("button,label")) return;
    if (el.closest("a")) e.preventDefault();
    else if ((window.getSelection()?.toString() ?? "") !== "") return;
    void navigate({ to: "/hosts/$name", params: { name } });
  };
  const onFocus = (e: { target: EventTarget }) => {
    if (e.target instanceof HTMLElement && e.target.dataset.host !== undefined) setActive(e.target.dataset.host);
  };

  const first = shown[0]?.host.name;
  const focused = at >= 0 ? active : first;
  const chosen = selection ? subjects.reduce((n, s) => n + Number(selection.selected.has(s.host.name)), 0) : 0;
  const table = view === "rows";
  return (
    <div className={css.list} role={table ? "table" : undefined} aria-label={table ? "Hosts" : undefined} aria-rowcount={table ? lines.length + 1 : undefined} data-select={selection ? true : undefined}>
      {table && (
        <div role="rowgroup" className={css.headGroup}>
          <div role="row" className={css.head} aria-rowindex={1}>
            {selection && (
              <div role="columnheader" className={css.check}>
                <Box
                  label={chosen === subjects.length ? "Select none" : `Select all ${counted(subjects.length, "host")}`}
                  checked={chosen > 0 && chosen === subjects.length}
                  some={chosen > 0 && chosen < subjects.length}
                  onClick={() => selection.toggle(subjects.map((s) => s.host.name), chosen !== subjects.length)}
                />
              </div>
            )}
            {columns.map((c) => (
              <div key={c.head} role="columnheader" data-num={"num" in c || undefined} {...(c.key && { "aria-sort": p.order.key !== c.key ? "none" : p.order.down ? "descending" : "ascending" })}>
                {c.key ? (
                  <button type="button" className={css.sort} onClick={() => p.onOrder(c.key)}>
                    {c.head}
                    <span aria-hidden="true" data-on={p.order.key === c.key || undefined}>
                      {p.order.key !== c.key ? "↕" : p.order.down ? "↓" : "↑"}
                    </span>
                  </button>
                ) : (
                  c.head
                )}
              </div>
            ))}
          </div>
        </div>
      )}
      <div
        ref={box}
        role={table ? "rowgroup" : "list"}
        aria-label={table ? undefined : "Hosts"}
        className={css.body}
        style={{ height: starts.at(-1) }}
        onKeyDown={onKeyDown}
        onClick={onClick}
        onFocus={onFocus}
        onPointerEnter={() => first !== undefined && void router.preloadRoute({ to: "/hosts/$name", params: { name: first } })}
      >
        {lines.slice(from, to).map((l, i) =>
          l.kind === "group" ? (
            <Heading key={l.key} group={l.group} top={starts[from + i]!} table={table} index={from + i + 2} open={!closed.has(l.group.name)} setOpen={(open) => setClosed((old) => flip(old, l.group.name, !open))} />
          ) : table ? (
            <Row
              key={l.key}
              subject={l.subjects[0]!}
              top={starts[from + i]!}
              index={from + i + 2}
              phone={phone}
              focusable={l.subjects[0]!.host.name === focused}
              {...(selection ? { selected: selection.selected.has(l.subjects[0]!.host.name) } : {})}
            />
          ) : (
            <div key={l.key} role="presentation" className={css.tiles} style={{ top: starts[from + i], gridTemplateColumns: `repeat(${across}, minmax(0, 1fr))` }}>
              {l.subjects.map((s) => (
                <HostTile key={s.host.name} subject={s} focusable={s.host.name === focused} {...(selection ? { selected: selection.selected.has(s.host.name) } : {})} />
              ))}
            </div>
          ),
        )}
      </div>
    </div>
  );
});

const flip = (set: ReadonlySet<string>, name: string, on: boolean): ReadonlySet<string> => {
  const next = new Set(set);
  if (on) next.add(name);
  else next.delete(name);
  return next;
};

function Heading({ group, top, table, index, open, setOpen }: { group: Group; top: number; table: boolean; index: number; open: boolean; setOpen: (open: boolean) => void }) {
  const words = (
    <button type="button" className={css.heading} aria-expanded={open} onClick={() => setOpen(!open)}>
      <span aria-hidden="true">{open ? "▾" : "▸"}</span> <strong>{group.name || "None of them"}</strong> <span className={css.quiet}>{counted(group.subjects.length, "host")}</span>
      {group.bad > 0 && <State tone="bad">{whole(group.bad)} {group.bad === 1 ? "needs" : "need"} attention</State>}
    </button>
  );
  return table ? (
    <div role="row" aria-rowindex={index} className={css.headingLine} style={{ top }}>
      <div role="cell">{words}</div>
    </div>
  ) : (
    <div role="listitem" className={css.headingLine} style={{ top }}>
      {words}
    </div>
  );
}

export function Box({ label, checked, some, onClick, tabIndex }: { label: string; checked: boolean; some?: boolean; onClick?: () => void; tabIndex?: number }) {
  return (
    <input
      type="checkbox"
      aria-label={label}
      checked={checked}
      {...(tabIndex === undefined ? {} : { tabIndex })}
      ref={(el) => {
        if (el) el.indeterminate = some ?? false;
      }}
      onChange={onClick ?? (() => undefined)}
    />
  );
}

/** What there is to know of a host in one line: what is wrong, or else where it belongs. */
function What({ subject, phone }: { subject: Subject; phone: boolean }) {
  const detail = detailOf(subject.host, subject.health);
  if (detail) return <span title={detail}>{detail}</span>;
  if (subject.health.all.has("away"))
    return (
      <span>
        last seen <Ago at={subject.host.lastSeen} />
      </span>
    );
  if (phone && subject.load) {
    const { cpu, memory, disk } = subject.load;
    return <span className={css.quiet}>{[part("CPU", cpu), part("mem", memory), part("disk", disk)].filter(Boolean).join(" · ")}</span>;
  }
  const belongs = [...groupsOf(subject), ...labelsOf(subject)].join(", ");
  return (
    <span className={css.quiet} title={belongs}>
      {belongs || subject.host.os}
    </span>
  );
}

const part = (word: string, v: number | undefined): string => (v === undefined ? "" : `${word} ${percent(Math.round(v * 100) / 100)}`);

const Row = memo(function Row({ subject, top, index, phone, focusable, selected }: { subject: Subject; top: number; index: number; phone: boolean; focusable: boolean; selected?: boolean }) {
  const { host, health, load } = subject;
  const stale = !host.connected;
  return (
    <div role="row" aria-rowindex={index} className={phone ? css.phone : css.row} style={{ top }} data-host={host.name} tabIndex={focusable ? 0 : -1} {...(selected === undefined ? {} : { "aria-selected": selected })}>
      {selected !== undefined && (
        <div role="cell" className={css.check}>
          <Box label={`Select ${host.name}`} checked={selected} tabIndex={-1} />
        </div>
      )}
      <div role="cell" className={css.name}>
        <HostLink name={host.name} />
      </div>
      <div role="cell" className={css.state}>
        <State tone={health.tone}>{health.word}</State>
      </div>
      <div role="cell" className={css.what}>
        <What subject={subject} phone={phone} />
      </div>
      {!phone &&
        measures.map(({ key }) => (
          <div key={key} role="cell">
            <Meter label={key === "cpu" ? "CPU" : key} value={stale ? undefined : load?.[key]} />
          </div>
        ))}
      <div role="cell" className={css.time}>
        <Ago at={host.converged} />
      </div>
      {!phone && (
        <div role="cell" className={css.time}>
          <Ago at={host.drifted} none="–" />
        </div>
      )}
    </div>
  );
});
