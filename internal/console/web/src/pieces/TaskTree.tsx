import { useMemo, useState } from "react";
import { counted, duration } from "~/format";
import { Diff } from "./diff/Diff";
import { Patch } from "./diff/Patch";
import { Empty, State } from "./states";
import { grouped, quiet, tones, word, type Group, type Node, type Task } from "./tasks";
import css from "./TaskTree.module.css";

/** TaskTree is what a host did, task by task, with what each changed. */
export function TaskTree({ tasks, onlyChanges = false }: { tasks: Task[]; onlyChanges?: boolean | undefined }) {
  const groups = useMemo(() => grouped(tasks, onlyChanges), [tasks, onlyChanges]);
  const longest = Math.max(1, ...groups.flatMap((g) => g.nodes.map((n) => n.took)));
  if (groups.length === 0) return <Empty>{tasks.length === 0 ? "No tasks are known of this run." : `Nothing changed or failed: ${counted(tasks.length, "task")} ran.`}</Empty>;
  return (
    <div className={css.tree}>
      {groups.map((g, i) => (
        <OneGroup key={i} g={g} longest={longest} />
      ))}
    </div>
  );
}

function OneGroup({ g, longest }: { g: Group; longest: number }) {
  const { changed, failed, skipped, ok } = g.counts;
  const said = [failed && `${failed} failed`, changed && `${changed} changed`, ok && `${ok} ok`, skipped && `${skipped} skipped`].filter(Boolean).join(", ");
  return (
    <div className={css.group}>
      <div className={css.head}>
        <h3>{g.role || "Tasks"}</h3>
        <span>{said}</span>
        <span className={css.took}>{g.took > 0 ? duration(g.took) : ""}</span>
      </div>
      <ul className={css.list}>
        {g.nodes.map((n, i) => (
          <OneNode key={i} n={n} longest={longest} />
        ))}
      </ul>
    </div>
  );
}

const hasDetail = (t: Task): boolean => !!t.message || (t.diff?.length ?? 0) > 0 || (t.changes?.length ?? 0) > 0;

function OneNode({ n, longest }: { n: Node; longest: number }) {
  const [open, setOpen] = useState(n.status === "failed" || n.status === "unreachable");
  const [first] = n.tasks;
  const looped = n.tasks.length > 1 || first!.item !== undefined;
  const more = looped || hasDetail(first!) || first!.place !== undefined;
  const line = (
    <>
      <span className={css.status}>
        <State tone={tones[n.status] ?? "idle"}>{word(n.status)}</State>
      </span>
      <span className={css.name}>
        {n.name}
        {looped && <span className={css.faint}> {counted(n.tasks.length, "item")}</span>}
      </span>
      <span className={css.module}>{first!.module}</span>
      <span className={css.bar} aria-hidden="true">
        <span style={{ width: `${Math.max(n.took > 0 ? 2 : 0, (n.took / longest) * 100)}%` }} />
      </span>
      <span className={css.time}>{n.took > 0 ? duration(n.took) : ""}</span>
    </>
  );
  return (
    <li>
      {more ? (
        <button type="button" className={css.row} aria-expanded={open} onClick={() => setOpen(!open)}>
          {line}
        </button>
      ) : (
        <div className={css.row}>{line}</div>
      )}
      {open && (
        <div className={css.detail}>
          {looped ? n.tasks.map((t, i) => <Item key={i} t={t} />) : <Detail t={first!} />}
          {first!.place && <div className={`mono ${css.faint}`}>{[first!.place.file, first!.place.line].filter(Boolean).join(":")}</div>}
        </div>
      )}
    </li>
  );
}

function Item({ t }: { t: Task }) {
  return (
    <div className={css.item}>
      <div>
        <State tone={tones[t.status ?? "ok"] ?? "idle"}>{word(t.status)}</State> <span className="mono">{t.item || "item"}</span>
      </div>
      {(!quiet(t) || t.message) && <Detail t={t} />}
    </div>
  );
}

function Detail({ t }: { t: Task }) {
  return (
    <>
      {t.message && <p className={css.message}>{t.message}</p>}
      {(t.changes?.length ?? 0) > 0 && (
        <ul className={css.changes}>
          {t.changes!.map((c, i) => (
            <li key={i}>
              {c.action} {c.type} <span className="mono">{c.id}</span>
            </li>
          ))}
        </ul>
      )}
      {t.diff?.map((d, i) => {
        const path = d.after_header || d.before_header;
        return d.prepared ? <Patch key={i} text={d.prepared} path={path ?? t.name} /> : <Diff key={i} before={d.before} after={d.after} path={path} />;
      })}
    </>
  );
}
