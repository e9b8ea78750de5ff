import { useMemo } from "react";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "~/api/client";
import { useSession } from "~/app/session";
import { bytes, counted, listed } from "~/format";
import { alikeTasks } from "~/pieces/alike";
import { Output } from "~/pieces/output/Output";
import { Loading, State } from "~/pieces/states";
import { TaskTree } from "~/pieces/TaskTree";
import { alike, rank, type HostState, type Live } from "~/run/live";
import { compareLimit } from "./queries";
import { hostStates } from "./words";
import type { RunDetail } from "./types";
import { HostNames } from "./HostNames";
import css from "./Runs.module.css";

type LiveRun = { live: Live; version: number; state: string } | undefined;

/** AllHosts shows a run as few things as there are: hosts that said the same are one. */
export function AllHosts({ run, live }: { run: RunDetail; live: LiveRun }) {
  const { may } = useSession();
  if (run.kind === "play") return <Counts run={run} />;
  if (!may("operator")) {
    return (
      <>
        <ForOperators />
        <Counts run={run} />
      </>
    );
  }
  if (!live) {
    const total = run.results.reduce((n, r) => n + (r.bytes ?? 0), 0);
    return total > compareLimit ? (
      <p className={css.silent}>The hosts printed {bytes(total)}, too much to compare here. Choose a host to read what it said.</p>
    ) : (
      <Loading what="what the hosts said" lines={6} />
    );
  }
  if (live.live.hosts.size === 0) {
    if (live.state === "ended" || run.state !== "running") return <Counts run={run} />;
    return <p className={css.silent}>No host has said anything yet.</p>;
  }
  return run.kind === "command" ? <Answers run={run} live={live} /> : <Changes run={run} live={live} />;
}

function Answers({ run, live }: { run: RunDetail; live: NonNullable<LiveRun> }) {
  const groups = useMemo(() => alike(live.live), [live.live, live.version]);
  const running = [...live.live.hosts].filter(([, h]) => !h.done).map(([name]) => name);
  const silent = run.results.filter((r) => r.state === "running" && !live.live.hosts.has(r.host)).map((r) => r.host);
  const away = run.results.filter((r) => r.state === "away").map((r) => r.host);
  return (
    <>
      {groups.map((g) => (
        <section key={g.key} className={css.group} aria-label={`${listed(g.hosts, 2)}: ${hostStates[g.state].word}`}>
          <GroupHead n={g.hosts.length} state={g.state} words={g.hosts.length > 1 ? "said the same" : ""} exit={g.exit} />
          <HostNames hosts={g.hosts} />
          {g.error && <p className={css.why}>{g.error}</p>}
          {g.chunks.length === 0 ? <p className={css.silent}>{g.error ? "It printed nothing before." : "Nothing was printed."}</p> : <Output chunks={g.chunks} truncated={g.cut} label={`Output of ${g.hosts[0]}${g.hosts.length > 1 ? ` and ${counted(g.hosts.length - 1, "other")}` : ""}`} />}
        </section>
      ))}
      {(running.length > 0 || silent.length > 0) && run.state === "running" && <Rest state="running" hosts={[...running, ...silent]} />}
      {away.length > 0 && <Rest state="away" hosts={away} />}
    </>
  );
}

function Changes({ run, live }: { run: RunDetail; live: NonNullable<LiveRun> }) {
  const groups = useMemo(() => {
    const reports = [...live.live.hosts].flatMap(([host, h]) => (h.done ? [{ host, failed: h.done.report?.failed ?? (h.done.exit !== 0 || !!h.done.error), message: h.done.error || h.done.report?.message || "", tasks: tasksOf(h.done.report) }] : []));
    return alikeTasks(reports);
  }, [live.live, live.version]);
  const done = new Set(groups.flatMap((g) => g.hosts));
  const open = run.results.filter((r) => !done.has(r.host) && r.state === "running").map((r) => r.host);
  const away = run.results.filter((r) => r.state === "away").map((r) => r.host);
  return (
    <>
      {groups.map((g) => {
        const state: HostState = g.failed ? "failed" : g.tasks.length > 0 ? "changed" : "ok";
        const words = g.failed ? "failed alike" : g.tasks.length === 0 ? (run.check ? "would change nothing" : "had nothing to change") : run.check ? "would change alike" : "changed alike";
        return (
          <section key={g.key} className={css.group} aria-label={`${listed(g.hosts, 2)} ${words}`}>
            <GroupHead n={g.hosts.length} state={state} words={g.hosts.length > 1 || (!g.failed && g.tasks.length === 0) ? words : ""} />
            <HostNames hosts={g.hosts} />
            {g.message && <p className={css.why}>{g.message}</p>}
            {g.tasks.length > 0 && <TaskTree tasks={g.tasks} onlyChanges />}
          </section>
        );
      })}
      {open.length > 0 && <Rest state="running" hosts={open} />}
      {away.length > 0 && <Rest state="away" hosts={away} />}
    </>
  );
}

function tasksOf(r: Schemas["Report"] | undefined): Schemas["TaskResult"][] {
  return Object.values(r?.sections ?? {}).flatMap((s) => (s as Schemas["Result"]).tasks ?? []);
}

/** ForOperators is in the place of what a viewer is not told. */
export function ForOperators() {
  return <p className={css.silent}>What hosts print may hold secrets, so it is shown to operators. Ask an administrator for that role.</p>;
}

function GroupHead({ n, state, words, exit }: { n: number; state: HostState; words: string; exit?: number }) {
  const s = hostStates[state];
  return (
    <div className={css.groupHead}>
      <h2>
        {counted(n, "host")} {words}
      </h2>
      <State tone={s.tone}>
        {s.word}
        {state === "failed" && exit !== undefined ? ` with exit ${exit}` : ""}
      </State>
    </div>
  );
}

function Rest({ state, hosts }: { state: HostState; hosts: string[] }) {
  return (
    <section className={css.group} aria-label={`${counted(hosts.length, "host")}: ${hostStates[state].word}`}>
      <GroupHead n={hosts.length} state={state} words="" />
      <HostNames hosts={hosts} />
    </section>
  );
}

/** Counts is a run by its hosts' counts, where there is nothing to compare. */
function Counts({ run }: { run: RunDetail }) {
  return (
    <table className={css.counts}>
      <caption className="visually-hidden">Tasks by host</caption>
      <thead>
        <tr>
          <th scope="col">Host</th>
          <th scope="col">State</th>
          <th scope="col">Well</th>
          <th scope="col">Changed</th>
          <th scope="col">Failed</th>
          <th scope="col">Skipped</th>
        </tr>
      </thead>
      <tbody>
        {[...run.results].sort((a, b) => rank(a.state) - rank(b.state)).slice(0, 500).map((r) => (
          <tr key={r.host}>
            <th scope="row">
              <Link to="." search={((old: object) => ({ ...old, host: r.host })) as never} className="mono">
                {r.host}
              </Link>
            </th>
            <td>
              <State tone={hostStates[r.state].tone}>{hostStates[r.state].word}</State>
            </td>
            {(["ok", "changed", "failed", "skipped"] as const).map((k) => (
              <td key={k} className="num" data-zero={!r.tasks?.[k]}>
                {r.tasks ? r.tasks[k] : "–"}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
