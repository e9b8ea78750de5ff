import { useState } from "react";
import { Button } from "@mantine/core";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useQueryClient } from "@tanstack/react-query";
import { failureOf, type Failure } from "~/api/client";
import { send } from "~/api/json";
import { useFilters } from "~/app/search";
import { useSession } from "~/app/session";
import { counted, short } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { CopyCommand } from "~/pieces/CopyCommand";
import { Page } from "~/pieces/Page";
import { Ago, Async, ErrorBox, State } from "~/pieces/states";
import { AllHosts } from "./AllHosts";
import { HostList } from "./HostList";
import { OneHost } from "./OneHost";
import { useRun, useRunLive } from "./queries";
import { SharesBar } from "~/pieces/SharesBar";
import { command, fact, shares, states, what } from "./words";
import type { RunDetail } from "./types";
import css from "./Runs.module.css";

export function RunPage() {
  const { id } = useParams({ strict: false }) as { id: string };
  const run = useRun(id);
  const r = run.data;
  return (
    <Page title={r ? (r.kind === "command" ? "Command" : what(r)) : "Run"} width="data" fact={r && fact(r)} actions={r && <Actions run={r} />}>
      <Async query={run} what="this run" lines={8}>
        {(detail) => <Body run={detail} />}
      </Async>
    </Page>
  );
}

function Body({ run }: { run: RunDetail }) {
  const live = useRunLive(run);
  const [f, set] = useFilters("host");
  const chosen = run.results.find((r) => r.host === f.host);
  const one = run.results.length === 1;
  return (
    <>
      {run.kind === "command" && <pre className={css.command} aria-label="The command">{run.command ?? run.title}</pre>}
      <p className={css.meta}>
        {run.state === "running" && (
          <>
            <State tone={states.running.tone}>running</State>{" · "}
          </>
        )}
        {run.actor ? `By ${run.actor}` : "By itself"}, <Ago at={run.start} />
        {run.kind === "command" && `, as ${run.user || "root"}`}
        {run.kind === "apply" && run.title ? `, ${run.title}` : ""}
        {run.commit && (
          <>
            {" · "}
            <Link to="/changes/$revision" params={{ revision: run.commit }} className="mono">
              {short(run.commit)}
            </Link>
          </>
        )}
      </p>
      {run.message && <p className={css.why}>{run.message}</p>}
      {!one && run.count > 0 && <div aria-live="polite"><SharesBar shares={shares(run)} total={run.count} label="Hosts" /></div>}
      {live?.failure && <ErrorBox failure={live.failure} what="follow the run" />}
      {one ? (
        <OneHost key={run.id} run={run} result={run.results[0]!} live={live} />
      ) : (
        <div className={css.split} data-host={chosen !== undefined}>
          <HostList run={run} live={live} host={f.host} />
          <div>
            {f.host && !chosen ? (
              <p>
                {f.host} was not part of this run. <Link to="." search={((old: object) => ({ ...old, host: undefined })) as never}>See all hosts</Link>
              </p>
            ) : chosen ? (
              <>
                <Button className={css.back} variant="subtle" size="xs" onClick={() => set({ host: "" })}>
                  ← All {counted(run.results.length, "host")}
                </Button>
                <OneHost key={`${run.id} ${chosen.host}`} run={run} result={chosen} live={live} />
              </>
            ) : (
              <AllHosts run={run} live={live} />
            )}
          </div>
        </div>
      )}
    </>
  );
}

function Actions({ run }: { run: RunDetail }) {
  const { may } = useSession();
  const confirm = useConfirm();
  const toast = useToast();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const cmd = command(run);
  const rest = Math.max(0, run.count - run.ok - run.failed - run.lost - run.away);
  const stop = async () => {
    const sure = await confirm({
      title: `Stop it on ${counted(rest, "host")}?`,
      body: <p>{run.kind === "command" ? "The command is ended where it still runs." : "It is broken off where it still runs; a task that has begun may be half done."} What has ended stays as it is.</p>,
      verb: `Stop on ${counted(rest, "host")}`,
      danger: true,
    });
    if (!sure) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await send("POST", `/v1/runs/${encodeURIComponent(run.id)}/cancel`);
      toast({ tone: "info", text: "The run is being stopped." });
    } catch (e) {
      setFailure(failureOf(e));
    } finally {
      setBusy(false);
      void client.invalidateQueries({ queryKey: ["run", run.id], exact: true });
    }
  };
  const again = () => {
    const q = { new: run.kind === "command" ? "command" : "converge", hosts: run.kind === "apply" ? run.host : run.hosts, command: run.command, user: run.user };
    void navigate({ to: "/runs", search: q as never });
  };
  return (
    <>
      {cmd && <CopyCommand command={cmd} />}
      {may("operator") && run.state === "running" && run.kind !== "apply" && (
        <Button variant="default" className={css.danger} loading={busy} onClick={() => void stop()}>
          Stop…
        </Button>
      )}
      {may("operator") && run.state !== "running" && run.kind !== "play" && (
        <Button variant="default" onClick={again}>
          Run again…
        </Button>
      )}
      {failure && <ErrorBox failure={failure} what="stop the run" />}
    </>
  );
}
