import { useMemo, useState, type ReactNode } from "react";
import { useMediaQuery } from "@mantine/hooks";
import { counted, whole } from "~/format";
import { paint, type Language } from "../paint";
import type { Mark } from "./diff";
import { count, unify, type Row, type Side } from "./rows";
import css from "./Diff.module.css";

export type Mode = "unified" | "split";

const most = 1500; // rows that are drawn at once

let chosen: Mode | undefined; // the reader's choice holds for all diffs until the page is loaded again
const kept = "drover-diff";

function remembered(): Mode {
  try {
    chosen ??= localStorage.getItem(kept) === "split" ? "split" : "unified";
  } catch {
    chosen = "unified"; // a browser may keep nothing
  }
  return chosen;
}

/** DiffRows shows rows of a diff, unified or split, with what is folded to be opened. */
export function DiffRows({ rows, path, language, mode, note }: { rows: Row[]; path: string | undefined; language: Language; mode?: Mode | undefined; note?: string | undefined }) {
  const [own, setOwn] = useState<Mode>();
  const narrow = useMediaQuery("(max-width: 900px)") ?? false;
  const [limit, setLimit] = useState(most);
  const [opened, setOpened] = useState<ReadonlySet<Row>>(new Set());
  const now = narrow ? "unified" : (own ?? mode ?? remembered());
  const open = useMemo(() => rows.flatMap((r) => (r.kind === "fold" && opened.has(r) ? r.rows : [r])), [rows, opened]);
  const list = useMemo(() => (now === "unified" ? unify(open) : open), [open, now]);
  const { added, removed } = useMemo(() => count(rows), [rows]);
  const choose = (m: Mode) => {
    setOwn(m);
    chosen = m;
    try {
      localStorage.setItem(kept, m);
    } catch {
      // Then it holds for this page only.
    }
  };
  const shown = list.slice(0, limit);
  const label = path ?? "Difference";
  const same = rows.every((r) => r.kind === "fold" || r.kind === "equal");
  return (
    <div className={css.diff} role="group" aria-label={label}>
      <div className={css.head}>
        {path && <span className={`mono ${css.path}`}>{path}</span>}
        <span className={css.counts}>
          {note && <>{note} </>}
          {added > 0 && (
            <span className={css.plus}>
              +{whole(added)}
              <span className="visually-hidden"> {added === 1 ? "line" : "lines"} added</span>
            </span>
          )}{" "}
          {removed > 0 && (
            <span className={css.minus}>
              −{whole(removed)}
              <span className="visually-hidden"> removed</span>
            </span>
          )}
        </span>
        {!narrow && added > 0 && removed > 0 && (
          <span className={css.modes} role="group" aria-label="View">
            {(["unified", "split"] as const).map((m) => (
              <button key={m} type="button" aria-pressed={now === m} onClick={() => choose(m)}>
                {m === "unified" ? "Unified" : "Split"}
              </button>
            ))}
          </span>
        )}
      </div>
      {same && <p className={css.none}>Nothing differs.</p>}
      <table className={css.table} data-mode={now} hidden={same}>
        <caption className="visually-hidden">{label}</caption>
        <colgroup>
          <col className={css.slim} />
          <col className={now === "split" ? undefined : css.slim} />
          {now === "split" && <col className={css.slim} />}
          <col />
        </colgroup>
        <tbody>
          {shown.map((r, i) => (
            <OneRow key={i} r={r} split={now === "split"} language={language} open={() => setOpened(new Set(opened).add(r))} />
          ))}
        </tbody>
      </table>
      {list.length > limit && (
        <button type="button" className={css.more} onClick={() => setLimit(limit + 10 * most)}>
          Show {counted(list.length - limit, "more line")}
        </button>
      )}
    </div>
  );
}

function OneRow({ r, split, language, open }: { r: Row; split: boolean; language: Language; open: () => void }) {
  const wide = split ? 4 : 3;
  if (r.kind === "note")
    return (
      <tr className={css.note}>
        <td colSpan={wide}>{r.text}</td>
      </tr>
    );
  if (r.kind === "fold")
    return (
      <tr className={css.fold}>
        <td colSpan={wide}>
          {r.rows.length > 0 ? (
            <button type="button" onClick={open}>
              Show {counted(r.n, "equal line")}
            </button>
          ) : (
            <span>
              {r.n > 0 ? counted(r.n, "line") : ""} {r.head && <code>{r.head}</code>}
            </span>
          )}
        </td>
      </tr>
    );
  const equal = r.kind === "equal";
  if (split)
    return (
      <tr>
        <Number side={r.before} kind={equal ? "" : "removed"} />
        <Cell side={r.before} kind={equal ? "" : "removed"} language={language} />
        <Number side={r.after} kind={equal ? "" : "added"} />
        <Cell side={r.after} kind={equal ? "" : "added"} language={language} />
      </tr>
    );
  const kind = equal ? "" : r.before ? "removed" : "added";
  return (
    <tr>
      <Number side={r.before} kind={kind} />
      <Number side={r.after} kind={kind} />
      <Cell side={r.before ?? r.after} kind={kind} language={language} />
    </tr>
  );
}

function Number({ side, kind }: { side: Side | undefined; kind: string }) {
  return <td className={css.number} data-kind={kind || undefined} data-line={side?.line} aria-hidden="true" />;
}

function Cell({ side, kind, language }: { side: Side | undefined; kind: string; language: Language }) {
  if (!side) return <td className={css.blank} />;
  return (
    <td className={css.text} data-kind={kind || undefined}>
      {kind && <span className="visually-hidden">{kind}: </span>}
      <code>{pieces(side.text, language, side.marks)}</code>
    </td>
  );
}

/** pieces lays the marks of what differs over the colours of the language. */
function pieces(text: string, language: Language, marks: Mark[] = []): ReactNode {
  let at = 0;
  return paint(text, language).map((part) => {
    const start = at;
    at += part.text.length;
    const own: ReactNode[] = [];
    let from = start;
    for (const [a, b] of marks) {
      const x = Math.max(a, from);
      const y = Math.min(b, at);
      if (y <= x) continue;
      own.push(text.slice(from, x), <mark key={x}>{text.slice(x, y)}</mark>);
      from = y;
    }
    own.push(text.slice(from, at));
    return (
      <span key={start} data-kind={part.kind}>
        {own}
      </span>
    );
  });
}
