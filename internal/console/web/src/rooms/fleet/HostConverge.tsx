import { useState } from "react";
import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "~/api/client";
import { failureOf } from "~/api/client";
import type { HostRow } from "~/app/overview";
import { counted, duration, nanos, short } from "~/format";
import { Part } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State } from "~/pieces/states";
import { TaskTree } from "~/pieces/TaskTree";
import { Timeline } from "~/pieces/Timeline";
import { Elapsed } from "./Elapsed";
import { useHostEvents, useReport } from "./host";
import type { HostRun, useHostRun } from "./hostrun";
import css from "./HostPage.module.css";

type Report = Schemas["Report"];

/** Why a host converged, as a person would say it. */
const reasons: Record<string, string> = { new: "a new revision", timer: "its timer", start: "the agent's start", request: "a request" };

export const tasksOf = (r: Report) => Object.values(r.sections ?? {}).flatMap((s) => s.tasks ?? []);

/** outcome says how a converge went: "2 changed, 1 failed, 40 ok, in 3.1 s". */
export function outcome(r: Report): string {
  const sum = (key: "ok" | "changes" | "failures" | "skipped") => Object.values(r.sections ?? {}).reduce((n, s) => n + (s[key] ?? 0), 0);
  const [failed, changed, ok, skipped] = [sum("failures"), sum("changes"), sum("ok"), sum("skipped")];
  const parts = [failed > 0 && `${failed} failed`, `${changed} changed`, ok > 0 && `${ok} ok`, skipped > 0 && `${skipped} skipped`].filter(Boolean);
  return `${parts.join(", ")}, in ${duration(nanos(r.duration))}`;
}

/** HostConverge is the last converge task by task, the one that runs now, and what had drifted. */
export function HostConverge({ row, live }: { row: HostRow; live: ReturnType<typeof useHostRun> }) {
  const report = useReport(row.name, row.converged !== undefined);
  const drift = useHostEvents(row.name, "host.drifted");
  const [quiet, setQuiet] = useState(false);
  const none = row.converged === undefined || (report.error && failureOf(report.error).status === 404);
  return (
    <>
      {live.run && <Now run={live.run} stop={live.stop} clear={live.clear} />}
      <Part
        title="Last converge"
        actions={
          report.data && (
            <Button size="xs" variant={quiet ? "light" : "default"} aria-pressed={quiet} onClick={() => setQuiet(!quiet)}>
              Changes only
            </Button>
          )
        }
      >
        {none ? (
          <Empty>{row.name} has not converged yet. What it does task by task is shown here as soon as a revision names it.</Empty>
        ) : (
          <Async query={report} what="the last converge" lines={8}>
            {(r) => (
              <>
                <p className={css.facts}>
                  <State tone={r.failed ? "bad" : r.changed ? "info" : "ok"}>{r.failed ? "failed" : r.changed ? "changed" : "ok"}</State> <Ago at={r.start} />, because of {reasons[r.reason] ?? r.reason}, at{" "}
                  <Link to="/changes/$revision" params={{ revision: r.commit }} className="mono">
                    {short(r.commit)}
                  </Link>
                  : {outcome(r)}.
                </p>
                {r.message && <p className={css.wrap}>{r.message}</p>}
                <TaskTree tasks={tasksOf(r)} onlyChanges={quiet} />
              </>
            )}
          </Async>
        )}
      </Part>
      <Part title="Drift">
        <Async query={drift} what="the drift" lines={3}>
          {(list) => <Timeline events={list.items} showHost={false} empty={<Empty>Nobody has changed by hand what the fleet declares for this host. What a converge puts right is listed here.</Empty>} />}
        </Async>
      </Part>
    </>
  );
}

function Now({ run, stop, clear }: { run: HostRun; stop: () => void; clear: () => void }) {
  const check = run.what === "check";
  const report = run.done?.report;
  const title = run.state === "running" ? (check ? "Checking now" : "Converging now") : check ? "What would change" : "This converge";
  const tasks = report ? tasksOf(report) : [];
  return (
    <Part title={title}>
      <div className={css.running} role="status">
        {run.state === "running" ? (
          <>
            <State tone="info">
              running for <Elapsed since={run.began} />
            </State>
            <Button size="xs" variant="default" onClick={stop}>
              Stop
            </Button>
          </>
        ) : (
          <>
            {report ? (
              <span>
                <State tone={report.failed ? "bad" : report.changed ? "info" : "ok"}>
                  {report.failed ? "failed" : check ? (tasks.length > 0 ? `${counted(tasks.length, "task")} would change something` : "nothing would change") : report.changed ? "changed" : "nothing to change"}
                </State>{" "}
                <span className={css.quiet}>in {duration(nanos(report.duration))}</span>
              </span>
            ) : (
              !run.failure && <State tone="bad">{run.away ? "The host is away" : (run.done?.error ?? "It was stopped")}</State>
            )}
            <Button size="xs" variant="default" onClick={clear}>
              Put away
            </Button>
          </>
        )}
      </div>
      {run.failure && <ErrorBox failure={run.failure} what={check ? "check the host" : "converge the host"} />}
      {report?.message && <p className={css.wrap}>{report.message}</p>}
      {tasks.length > 0 && <TaskTree tasks={tasks} onlyChanges />}
    </Part>
  );
}
