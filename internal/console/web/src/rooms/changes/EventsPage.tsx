import { useEffect, useRef, useState } from "react";
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { failureOf, type Failure } from "~/api/client";
import { query, read } from "~/api/json";
import { useLive, type FleetEvent } from "~/app/live";
import { useFilters } from "~/app/search";
import { useSession } from "~/app/session";
import { useTime } from "~/app/time";
import { clockTime, counted, dateTime } from "~/format";
import { CopyCommand } from "~/pieces/CopyCommand";
import { useFilterKey } from "~/pieces/keys";
import { Page } from "~/pieces/Page";
import { Empty, ErrorBox, Loading } from "~/pieces/states";
import { Timeline } from "~/pieces/Timeline";
import { added, keepEvents, wants, type EventFilters, type Feed } from "./feed";
import css from "./Changes.module.css";

const types = [
  ["", "Every type"],
  ["host.*", "Hosts: all"],
  ["host.changed", "Hosts that changed"],
  ["host.failed", "Hosts that failed"],
  ["host.drifted", "Hosts that drifted"],
  ["host.connected", "Hosts that came"],
  ["host.disconnected", "Hosts that went away"],
  ["revision.*", "Revisions"],
  ["run.*", "Commands"],
  ["converge.*", "Converges"],
  ["play.*", "Plays"],
  ["alert.*", "Alerts"],
] as const;

export function EventsPage() {
  const [f, set] = useFilters("type", "host", "actor");
  const time = useTime();
  const live = useLive();
  const { ended } = useSession();
  const [paused, setPaused] = useState(false);
  const [feed, setFeed] = useState<Feed>();
  const [missed, setMissed] = useState(0);
  const [failure, setFailure] = useState<Failure>();
  const [turn, setTurn] = useState(0);
  const hold = useRef(paused);
  hold.current = paused;
  const filters = useRef<EventFilters>(f);
  filters.current = f;
  const search = useRef<HTMLInputElement>(null);
  useFilterKey(search);

  // What there is already; again when the filters or a fixed time change, or the pause ends.
  const fixed = time.live ? "" : `${time.from}-${time.to}`;
  const range = time.live ? (time.name ?? "1h") : "";
  useEffect(() => {
    if (paused) return;
    const end = new AbortController();
    setMissed(0);
    const q = { ...filters.current, limit: keepEvents, since: new Date(time.from * 1000).toISOString(), until: time.live ? undefined : new Date(time.to * 1000).toISOString() };
    read<{ items: FleetEvent[] }>(`/v1/events${query(q)}`, end.signal)
      .then((list) => {
        setFailure(undefined);
        setFeed((old) => added({ events: [], skipped: old?.skipped ?? 0 }, [...(list.items ?? []), ...(time.live ? (old?.events ?? []).filter((e) => wants(e, filters.current) && e.seq > (list.items?.at(-1)?.seq ?? 0)) : [])], 0));
      })
      .catch((e: unknown) => {
        if (!end.signal.aborted) setFailure(failureOf(e));
      });
    return () => end.abort();
    // The ticking of a live range must not read anew: new events come by the stream.
  }, [f.type, f.host, f.actor, fixed, range, paused, turn, ended === undefined]);
  useEffect(() => setFeed(undefined), [f.type, f.host, f.actor, fixed, range]);

  const { listen } = live;
  useEffect(() => {
    if (!time.live) return;
    let waiting: FleetEvent[] = [];
    let lost = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = listen((b) => {
      const mine = b.events.filter((e) => wants(e, filters.current));
      if (hold.current) {
        if (mine.length > 0) setMissed((n) => n + mine.length + b.skipped);
        return;
      }
      waiting.push(...mine);
      lost += b.skipped;
      // Twice a second is as fast as anybody reads.
      timer ??= setTimeout(() => {
        timer = undefined;
        const batch = waiting;
        const skipped = lost;
        waiting = [];
        lost = 0;
        if (batch.length + skipped > 0) setFeed((old) => added(old ?? { events: [], skipped: 0 }, batch, skipped));
      }, 500);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [listen, time.live]);

  const any = f.type || f.host || f.actor;
  const known = types.some(([value]) => value === f.type);
  const when = time.live ? `in the last ${words(time.name ?? "1h")}` : `between ${dateTime(time.from * 1000)} and ${dateTime(time.to * 1000)}`;
  const command = `drover events${time.live ? " -f" : ""}${f.type ? ` --type '${f.type}'` : ""}${f.host ? ` --host ${f.host}` : ""}${f.actor ? ` --actor ${f.actor}` : ""}`;
  return (
    <Page
      title="Events"
      fact={feed && (feed.events.length === 0 ? `Nothing happened ${when}${any ? " that passes these filters" : ""}.` : `${feed.events.length >= keepEvents ? `The last ${keepEvents} events` : counted(feed.events.length, "event")} ${when}.`)}
      actions={<CopyCommand command={command} />}
    >
      <div className={css.bar} role="search" aria-label="Filter the events">
        <NativeSelect label="Type" value={f.type} onChange={(e) => set({ type: e.currentTarget.value })} data={[...types.map(([value, label]) => ({ value, label })), ...(known ? [] : [{ value: f.type, label: f.type }])]} />
        <TextInput label="Host" ref={search} key={`h${f.host}`} defaultValue={f.host} placeholder="web-1" spellCheck={false} onBlur={(e) => set({ host: e.currentTarget.value.trim() })} onKeyDown={(e) => e.key === "Enter" && set({ host: e.currentTarget.value.trim() })} />
        <TextInput label="Who" key={`a${f.actor}`} defaultValue={f.actor} placeholder="person or token/NAME" spellCheck={false} onBlur={(e) => set({ actor: e.currentTarget.value.trim() })} onKeyDown={(e) => e.key === "Enter" && set({ actor: e.currentTarget.value.trim() })} />
        {any && (
          <Button variant="subtle" onClick={() => set({ type: "", host: "", actor: "" })}>
            Clear
          </Button>
        )}
        {time.live && (
          <Button variant="default" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            {paused ? "Go on" : "Pause"}
          </Button>
        )}
      </div>
      <p className={css.status} role="status">
        {paused ? (
          <span>Paused{missed > 0 ? `; ${counted(missed, "event")} since` : ""}. They are read when it goes on.</span>
        ) : !time.live ? (
          <span>A fixed time: new events are not shown.</span>
        ) : live.state === "live" ? (
          <span>New events come in at the top.</span>
        ) : (
          <span>Not live since {clockTime(live.since)}; it is tried again by itself.</span>
        )}
        {feed !== undefined && feed.skipped > 0 && <span>{counted(feed.skipped, "event")} came too fast to show; narrow the filters or read them by drover events.</span>}
      </p>
      {failure && <ErrorBox failure={failure} what="read the events" retry={() => setTurn((t) => t + 1)} />}
      {feed === undefined ? !failure && <Loading what="the events" lines={10} /> : <Timeline events={feed.events} showHost empty={<Empty>{any ? "No event passes these filters in this time." : "Every push, converge, command and sign of a host will be here as it happens."}</Empty>} />}
    </Page>
  );
}

const names: Record<string, string> = { "15m": "15 minutes", "1h": "hour", "3h": "3 hours", "12h": "12 hours", "1d": "day", "3d": "3 days", "7d": "7 days", "15d": "15 days" };
const words = (range: string): string => names[range] ?? range;
