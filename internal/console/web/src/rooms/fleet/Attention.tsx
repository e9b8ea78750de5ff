import { Link } from "@tanstack/react-router";
import { memo, useState } from "react";
import { joint } from "~/alerts/words";
import { whole } from "~/format";
import { Part } from "~/pieces/Page";
import { Ago, shapes } from "~/pieces/states";
import type { Item } from "./attention";
import css from "./Attention.module.css";

/** How many items stand there before "more". */
const most = 5;

const said = { bad: "Bad: ", warn: "Warning: ", info: "Note: ", ok: "", idle: "" };

/** Attention is what needs a person, in words, worst first, each with the next step. */
export const Attention = memo(function Attention({ items }: { items: Item[] }) {
  const [all, setAll] = useState(false);
  if (items.length === 0) return null;
  const shown = all ? items : items.slice(0, most);
  return (
    <Part title="Needs attention">
      <ul className={css.list}>
        {shown.map((i) => (
          <li key={i.key} data-tone={i.tone}>
            <span className={css.shape} aria-hidden="true">
              {shapes[i.tone]}
            </span>
            <span className={css.words}>
              <span className="visually-hidden">{said[i.tone]}</span>
              <Who item={i} />
              {i.hosts.length === 1 ? joint(i.what) : i.hosts.length > 1 ? " " : ""}
              {i.what}
            </span>
            <span className={css.time}>{i.since && <Ago at={i.since} />}</span>
            <Link to={i.next.to as never} search={(i.next.search ?? {}) as never} className={css.next} resetScroll={false}>
              {i.next.words}
            </Link>
          </li>
        ))}
      </ul>
      {items.length > most && (
        <button type="button" className={css.more} aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show the worst only" : `${whole(items.length - most)} more`}
        </button>
      )}
    </Part>
  );
});

function Who({ item }: { item: Item }) {
  const names = item.hosts.slice(0, 3);
  const more = item.hosts.length - names.length;
  return (
    <>
      {more > 0 && <strong>{whole(item.hosts.length)} hosts</strong>}
      {more === 0 &&
        names.map((name, i) => (
          <span key={name}>
            {i > 0 && (i === names.length - 1 ? " and " : ", ")}
            <Link to="/hosts/$name" params={{ name }} className={css.host}>
              {name}
            </Link>
          </span>
        ))}
    </>
  );
}
