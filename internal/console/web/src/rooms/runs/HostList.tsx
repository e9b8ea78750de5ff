import { useMemo, useRef, useState } from "react";
import { TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { counted, whole } from "~/format";
import { useFilterKey } from "~/pieces/keys";
import { State } from "~/pieces/states";
import { stateOf, type Live } from "~/run/live";
import { hostStates, sortResults } from "./words";
import type { RunDetail, RunResult } from "./types";
import css from "./Runs.module.css";

/** HostList is every host of the run with how it stands, what needs a look first. */
export function HostList({ run, live, host }: { run: RunDetail; live: { live: Live; version: number } | undefined; host: string }) {
  const [filter, setFilter] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const search = useRef<HTMLInputElement>(null);
  useFilterKey(search);
  const rows = useMemo(() => {
    // While it runs the stream knows earlier than the record.
    const now = run.results.filter((r) => r.host.toLowerCase().includes(filter.toLowerCase())).map((r) => (r.state === "running" && live ? { ...r, ...said(live.live, r) } : r));
    return sortResults(now);
  }, [run.results, live?.version, filter]);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => 32, overscan: 20 });
  const to = (name: string | undefined) => ({ to: ".", search: ((old: object) => ({ ...old, host: name })) as never, resetScroll: false, replace: true }) as never as { to: "." };
  return (
    <nav className={css.hosts} aria-label="Hosts of this run">
      {run.results.length > 12 && <TextInput ref={search} size="xs" aria-label="Filter the hosts" placeholder={`Filter ${counted(run.results.length, "host")}`} value={filter} onChange={(e) => setFilter(e.currentTarget.value)} />}
      <Link {...to(undefined)} className={css.host} aria-current={host === "" ? "true" : undefined}>
        <span>All together</span>
        <span className={`${css.side} num`}>{whole(run.results.length)}</span>
      </Link>
      <div ref={box} className={css.hostList} tabIndex={-1}>
        <ul style={{ position: "relative", height: virtual.getTotalSize(), margin: 0, padding: 0, listStyle: "none" }}>
          {virtual.getVirtualItems().map((v) => {
            const r = rows[v.index]!;
            const s = hostStates[r.state];
            return (
              <li key={r.host} style={{ position: "absolute", top: v.start, left: 0, right: 0 }} aria-setsize={rows.length} aria-posinset={v.index + 1}>
                <Link {...to(r.host)} className={css.host} aria-current={r.host === host ? "true" : undefined}>
                  <span className={`${css.name} mono`}>{r.host}</span>
                  <span className={css.side}>
                    <State tone={s.tone}>{run.kind === "command" && r.state === "failed" ? `exit ${r.exit}` : s.word}</State>
                  </span>
                </Link>
              </li>
            );
          })}
        </ul>
        {rows.length === 0 && <p className={css.silent}>No host of this name.</p>}
      </div>
    </nav>
  );
}

function said(live: Live, r: RunResult): Partial<RunResult> {
  const h = live.hosts.get(r.host);
  return h?.done ? { state: stateOf(h), exit: h.done.exit } : {};
}
