import { useEffect, useId, useMemo, useRef, useState } from "react";
import { useElementSize } from "@mantine/hooks";
import { Sentence } from "~/events/Sentence";
import { plain, toneOf } from "~/events/words";
import type { FleetEvent } from "~/app/live";
import { clockTime, counted, dateTime, utc } from "~/format";
import { shapes } from "../states";
import { cluster } from "./marks";
import { left, right } from "./Plot";
import css from "./Chart.module.css";

const told = 6; // stories that are shown of one mark

/** Marks are what happened, on the top edge of a chart: a shape, and its story for who asks. */
export function Marks({ events, from, to }: { events: FleetEvent[]; from: number; to: number }) {
  const { ref, width } = useElementSize<HTMLDivElement>();
  const [open, setOpen] = useState<number>();
  const [held, setHeld] = useState(false);
  const id = useId();
  const strip = useRef<HTMLDivElement>(null);
  const room = Math.max(width - left - right, 0);
  const xOf = (e: FleetEvent) => ((Date.parse(e.time) / 1000 - from) / (to - from)) * room;
  const marks = useMemo(
    () => (room === 0 ? [] : cluster(events.filter((e) => inside(e, from, to)), xOf, toneOf, 24)),
    [events, from, to, room], // eslint-disable-line
  );
  // A mark is known by its first event: others may join it while its story is read.
  const at = marks.find((m) => m.events.some((e) => e.seq === open));
  useEffect(() => {
    if (!held) return;
    const away = (e: Event) => {
      if (e instanceof KeyboardEvent ? e.key === "Escape" : !strip.current?.contains(e.target as Node)) {
        setHeld(false);
        setOpen(undefined);
      }
    };
    document.addEventListener("keydown", away);
    document.addEventListener("pointerdown", away);
    return () => {
      document.removeEventListener("keydown", away);
      document.removeEventListener("pointerdown", away);
    };
  }, [held]);
  return (
    <div ref={strip} className={css.marks} onMouseLeave={() => !held && setOpen(undefined)}>
      <div ref={ref} className={css.strip}>
        <ul aria-label={counted(events.length, "event")}>
          {marks.map((m) => {
            const first = m.events[0]!;
            const chosen = at === m;
            return (
              <li key={first.seq} style={{ left: left + m.x }}>
                <button
                  type="button"
                  className={css.mark}
                  data-tone={m.tone}
                  data-event={m.events.map((e) => e.seq).join(" ")}
                  aria-expanded={chosen}
                  aria-controls={id}
                  aria-label={`${clockTime(first.time)}: ${m.events.length === 1 ? plain(first) : `${counted(m.events.length, "event")}, first: ${plain(first)}`}`}
                  onMouseEnter={() => !held && setOpen(first.seq)}
                  onFocus={() => !held && setOpen(first.seq)}
                  onBlur={() => !held && setOpen(undefined)}
                  onClick={() => {
                    setHeld(!(held && chosen));
                    setOpen(held && chosen ? undefined : first.seq);
                  }}
                >
                  {m.events.length === 1 ? shapes[m.tone] : <span>{m.events.length > 99 ? "99+" : m.events.length}</span>}
                </button>
              </li>
            );
          })}
        </ul>
      </div>
      <div id={id} hidden={!at}>
        {at && (
          <div className={css.story} style={at.x < room / 2 ? { left: Math.max(left + at.x - 16, 0) } : { right: Math.max(width - left - at.x - 16, 0) }}>
            <ul>
              {at.events.slice(-told).map((e) => (
                <li key={e.seq} data-tone={toneOf(e)}>
                  <span aria-hidden="true" className={css.shape}>
                    {shapes[toneOf(e)]}
                  </span>
                  <time dateTime={e.time} title={`${dateTime(e.time)} here, ${utc(e.time)}`}>
                    {clockTime(e.time)}
                  </time>
                  <span>
                    <Sentence event={e} links={held} />
                  </span>
                </li>
              ))}
            </ul>
            {at.events.length > told && <p>and {counted(at.events.length - told, "event")} before</p>}
          </div>
        )}
      </div>
    </div>
  );
}

function inside(e: FleetEvent, from: number, to: number): boolean {
  const t = Date.parse(e.time) / 1000;
  return t >= from && t <= to;
}
