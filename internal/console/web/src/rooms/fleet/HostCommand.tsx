import { useState, type FormEvent } from "react";
import { Button, TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { HostRow } from "~/app/overview";
import { bytes, duration } from "~/format";
import { CopyCommand } from "~/pieces/CopyCommand";
import { Output } from "~/pieces/output/Output";
import { Empty, ErrorBox, State } from "~/pieces/states";
import { runLine } from "~/run/command";
import { Elapsed } from "./Elapsed";
import type { HostRun, useHostRun } from "./hostrun";
import css from "./HostPage.module.css";

/** HostCommand runs one command on the host and shows what it prints while it runs. */
export function HostCommand({ row, live }: { row: HostRow; live: ReturnType<typeof useHostRun> }) {
  const [command, setCommand] = useState("");
  const [user, setUser] = useState("");
  const [seconds, setSeconds] = useState("60");
  const running = live.run?.state === "running";
  const time = Number(seconds);
  const ready = command.trim() !== "" && row.connected && time > 0;
  const submit = (e: FormEvent) => {
    e.preventDefault();
    if (!ready || running) return;
    live.start(command, runLine(command, row.name, user.trim()), "/v1/runs", { command, hosts: row.name, timeout: time * 1e9, ...(user.trim() ? { user: user.trim() } : {}) });
  };
  if (!row.connected && !live.run) return <Empty>{row.name} is away: a command can be run on it when it is connected again.</Empty>;
  return (
    <>
      <form className={css.row} onSubmit={submit}>
        <TextInput className={css.grow} label="Command" value={command} onChange={(e) => setCommand(e.currentTarget.value)} classNames={{ input: "mono" }} spellCheck={false} autoComplete="off" autoCapitalize="none" />
        <TextInput label="As user" placeholder="root" value={user} onChange={(e) => setUser(e.currentTarget.value)} w={120} spellCheck={false} autoComplete="off" autoCapitalize="none" />
        <TextInput label="End after, s" inputMode="numeric" value={seconds} onChange={(e) => setSeconds(e.currentTarget.value)} w={110} error={time > 0 ? undefined : "Above 0"} />
        {running ? (
          <Button variant="default" onClick={live.stop}>
            Stop
          </Button>
        ) : (
          <Button type="submit" disabled={!ready}>
            Run on {row.name.length > 24 ? "this host" : row.name}
          </Button>
        )}
      </form>
      {live.run ? (
        <Result run={live.run} />
      ) : (
        <Empty>
          What it prints is shown here as it comes. It is kept with the <Link to="/runs" search={{ host: row.name } as never}>runs on this host</Link>.
        </Empty>
      )}
    </>
  );
}

function Result({ run }: { run: HostRun }) {
  const exit = run.done?.exit;
  return (
    <>
      <div className={css.running} role="status">
        {run.state === "running" ? (
          <State tone="info">
            running for <Elapsed since={run.began} />
          </State>
        ) : run.away ? (
          <State tone="bad">the host is away</State>
        ) : run.done?.error ? (
          <State tone="bad">{run.done.error}</State>
        ) : exit !== undefined ? (
          <State tone={exit === 0 ? "ok" : "bad"}>{exit === 0 ? "done" : `ended with exit status ${exit}`}</State>
        ) : (
          !run.failure && <State tone="warn">stopped</State>
        )}
        {run.state !== "running" && <span className={css.quiet}>{duration(run.took)}</span>}
        {run.bytes > 0 && <span className={css.quiet}>{bytes(run.bytes)}</span>}
        {run.id && (
          <Link to="/runs/$id" params={{ id: run.id }}>
            See the run
          </Link>
        )}
      </div>
      {run.failure && <ErrorBox failure={run.failure} what="run the command" />}
      <Output chunks={run.chunks} follow={run.state === "running"} truncated={run.cut} {...(run.cut ? { total: run.bytes } : {})} label={`Output of ${run.what.length > 60 ? `${run.what.slice(0, 60)}…` : run.what}`} />
      <div className={css.same}>
        <CopyCommand command={run.line} />
      </div>
    </>
  );
}
