import { useMemo, useState, type ReactNode } from "react";
import { Button } from "@mantine/core";
import { Sentence } from "~/events/Sentence";
import { toneOf } from "~/events/words";
import type { FleetEvent } from "~/app/live";
import { clockTime, date, dateTime, utc, whole } from "~/format";
import { now } from "~/app/clock";
import { shapes } from "./states";
import css from "./Timeline.module.css";

const step = 200;

/** Timeline is what happened, newest first, a day under the other. */
export function Timeline({ events, showHost = true, empty }: { events: FleetEvent[]; showHost?: boolean; empty: ReactNode }) {
  const [most, setMost] = useState(step);
  const newest = useMemo(() => [...events].sort((a, b) => b.seq - a.seq), [events]);
  if (newest.length === 0) return <>{empty}</>;
  const days: { day: string; events: FleetEvent[] }[] = [];
  for (const e of newest.slice(0, most)) {
    const day = date(e.time);
    if (days.at(-1)?.day !== day) days.push({ day, events: [] });
    days.at(-1)!.events.push(e);
  }
  const today = date(now());
  return (
    <div className={css.timeline}>
      {days.map((d) => (
        <section key={d.day} aria-label={d.day}>
          {(days.length > 1 || d.day !== today) && <h3 className={css.day}>{d.day === today ? "Today" : d.day}</h3>}
          <ol className={css.list}>
            {d.events.map((e) => (
              <li key={e.seq} data-tone={toneOf(e)} data-type={e.type}>
                <time dateTime={e.time} title={`${dateTime(e.time)} here, ${utc(e.time)}`}>
                  {clockTime(e.time)}
                </time>
                <span className={css.shape} aria-hidden="true">
                  {shapes[toneOf(e)]}
                </span>
                <span className={css.words}>
                  <Sentence event={e} links={showHost || !onlyHost(e)} />
                </span>
              </li>
            ))}
          </ol>
        </section>
      ))}
      {newest.length > most && (
        <Button variant="default" size="xs" onClick={() => setMost(most + step)}>
          Show {whole(Math.min(step, newest.length - most))} more
        </Button>
      )}
    </div>
  );
}

/** On a host's own page its name leads nowhere; a revision still does. */
function onlyHost(e: FleetEvent): boolean {
  return e.host !== undefined && e.data?.commit === undefined && e.data?.run === undefined;
}
