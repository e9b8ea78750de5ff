import { useState } from "react";
import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "~/api/client";
import { request } from "~/api/client";
import { read } from "~/api/json";
import { useSession } from "~/app/session";
import { bytes, duration, nanos } from "~/format";
import { CopyButton } from "~/pieces/CopyButton";
import { Output } from "~/pieces/output/Output";
import { Async, State } from "~/pieces/states";
import { TaskTree } from "~/pieces/TaskTree";
import type { Live } from "~/run/live";
import { ForOperators } from "./AllHosts";
import { hostStates } from "./words";
import type { RunDetail, RunResult } from "./types";
import css from "./Runs.module.css";

type LiveRun = { live: Live; version: number } | undefined;

/** OneHost is all that a run knows of one host. Its address can be passed on. */
export function OneHost({ run, result, live }: { run: RunDetail; result: RunResult; live: LiveRun }) {
  const { may } = useSession();
  const heard = live?.live.hosts.get(result.host);
  const s = hostStates[result.state];
  const told = heard && (heard.chunks.length > 0 || heard.done) ? heard : undefined;
  const running = result.state === "running";
  // Where the output comes from is settled at first: a reader who searches in it must not lose the place to the same text told again.
  const [stored] = useState(!running && !(told?.done && !told.cut));
  return (
    <section aria-label={result.host}>
      <div className={css.groupHead}>
        <h2>
          <Link to="/hosts/$name" params={{ name: result.host }} className="mono">
            {result.host}
          </Link>
        </h2>
        <State tone={s.tone}>
          {s.word}
          {run.kind === "command" && result.state === "failed" ? ` with exit ${result.exit}` : ""}
        </State>
        {result.took ? <span className={css.outcome}>in {duration(nanos(result.took))}</span> : null}
        {result.tasks && (
          <span className={css.outcome}>
            {result.tasks.changed} changed, {result.tasks.failed} failed, {result.tasks.ok} well, {result.tasks.skipped} skipped
          </span>
        )}
        {run.kind === "command" && (result.bytes ?? 0) > 0 && <CopyButton text={`${location.origin}/runs/${encodeURIComponent(run.id)}?host=${encodeURIComponent(result.host)}`} label="Copy link" />}
      </div>
      {result.error && <p className={css.why}>{result.error}</p>}
      {!may("operator") && (run.kind === "command" || run.kind === "play") ? (
        <ForOperators />
      ) : run.kind === "command" ? (
        result.state === "away" ? (
          <p className={css.silent}>It was away when the run began, so nothing ran there.</p>
        ) : !stored && told && (running || !told.cut) ? (
          told.chunks.length > 0 ? (
            <Output chunks={told.chunks.slice()} follow={run.state === "running"} truncated={told.cut || (result.truncated ?? false)} label={`Output of ${result.host}`} {...(result.bytes ? { total: result.bytes } : {})} />
          ) : (
            <p className={css.silent}>Nothing was printed.</p>
          )
        ) : running ? (
          <p className={css.silent}>It has not printed anything yet.</p>
        ) : (
          <Stored run={run} result={result} />
        )
      ) : running || result.state === "away" ? (
        <p className={css.silent}>{result.state === "away" ? "It was away when the run began." : "It is at it; its tasks are here when it has ended."}</p>
      ) : (
        <Tasks run={run} result={result} />
      )}
    </section>
  );
}

/** Stored is the output as the server keeps it. */
function Stored({ run, result }: { run: RunDetail; result: RunResult }) {
  const q = useQuery({
    queryKey: ["run", run.id, "output", result.host],
    staleTime: Infinity,
    enabled: (result.bytes ?? 0) > 0,
    queryFn: async ({ signal }) => (await request(`/v1/runs/${encodeURIComponent(run.id)}/output?host=${encodeURIComponent(result.host)}`, { signal })).text(),
  });
  if (!result.bytes) return <p className={css.silent}>Nothing was printed.</p>;
  return (
    <>
      {result.truncated && <p className={css.silent}>It printed {bytes(result.bytes)}; not all of it was kept.</p>}
      <Async query={q} what={`what ${result.host} printed`} lines={6}>
        {(text) => <Output chunks={text} total={result.bytes!} truncated={result.truncated ?? false} label={`Output of ${result.host}`} />}
      </Async>
    </>
  );
}

function Tasks({ run, result }: { run: RunDetail; result: RunResult }) {
  const where = `/v1/runs/${encodeURIComponent(run.id)}`;
  const host = `?host=${encodeURIComponent(result.host)}`;
  const q = useQuery({
    queryKey: ["run", run.id, "tasks", result.host],
    staleTime: Infinity,
    queryFn: async ({ signal }): Promise<{ tasks: Schemas["TaskResult"][]; message?: string | undefined; truncated: boolean }> => {
      if (run.kind === "play") {
        const list = await read<{ items: Schemas["TaskResult"][]; truncated?: boolean }>(`${where}/tasks${host}`, signal);
        return { tasks: list.items ?? [], truncated: list.truncated ?? false };
      }
      const report = await read<Schemas["Report"]>(`${where}/report${host}`, signal);
      return { tasks: Object.values(report.sections ?? {}).flatMap((s) => (s as Schemas["Result"]).tasks ?? []), message: report.message, truncated: result.truncated ?? false };
    },
  });
  return (
    <Async query={q} what={`the tasks on ${result.host}`} lines={8}>
      {(d) => (
        <>
          {d.message && <p className={css.why}>{d.message}</p>}
          {d.truncated && <p className={css.silent}>Not all tasks were kept.</p>}
          {d.tasks.length === 0 ? <p className={css.silent}>No task was recorded.</p> : <TaskTree tasks={d.tasks} />}
        </>
      )}
    </Async>
  );
}
