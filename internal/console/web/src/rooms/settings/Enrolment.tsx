import { useMemo, useRef, useState, type FormEvent } from "react";
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { failureOf, type Failure } from "~/api/client";
import { read, send } from "~/api/json";
import { now } from "~/app/clock";
import { useOverview } from "~/app/overview";
import { useEvents, type FleetEvent } from "~/app/live";
import { counted, listed, whole } from "~/format";
import { CopyButton } from "~/pieces/CopyButton";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State } from "~/pieces/states";
import { useRevoke, useTokens } from "./Tokens";
import type { JoinInfo, NewToken } from "./types";
import { joinLine, tokenState } from "./words";
import css from "./Settings.module.css";

/** Enrolment makes the one line that adds a host, and shows it come in. */
export function Enrolment() {
  const overview = useOverview();
  const info = useQuery({ queryKey: ["join"], queryFn: ({ signal }) => read<JoinInfo>("/v1/join", signal) });
  const tokens = useTokens();
  const revoke = useRevoke();
  const hosts = overview.hosts;
  const online = hosts?.filter((h) => h.connected).length ?? 0;
  const open = (tokens.data ?? []).filter((t) => t.spec.join && tokenState(t, now()).word === "open");
  return (
    <Page title="Enrolment" fact={hosts && (hosts.length === 0 ? "No host is enrolled yet." : online === hosts.length ? `${counted(hosts.length, "agent")} ${hosts.length === 1 ? "is" : "are"} on the line.` : `${whole(online)} of ${counted(hosts.length, "agent")} are on the line.`)}>
      <Async query={info} what="what enrolling needs" lines={6}>
        {(i) => <Steps info={i} />}
      </Async>
      {open.length > 0 && (
        <Part title="Open join tokens" hint={counted(open.length, "token")}>
          <ul className={css.came}>
            {open.map((t) => (
              <li key={t.name}>
                <span className="mono">{t.name}</span>
                <span className={css.quiet}>
                  for {t.spec.host ?? "any one host"}, ends <Ago at={t.spec.expires} />
                </span>
                <Button variant="subtle" size="compact-sm" aria-label={`Revoke ${t.name}`} onClick={() => void revoke(t)}>
                  Revoke…
                </Button>
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Part title="Agents that this server gives">
        {(info.data?.agents ?? []).length === 0 ? (
          info.data && <Empty>This server has no agent program to give; put drover-agent beside drover and start it again.</Empty>
        ) : (
          <p className={css.lead}>{listed((info.data?.agents ?? []).map((a) => `${a.os} ${a.arch}${a.version ? ` (${a.version})` : ""}`), 6)}.</p>
        )}
      </Part>
    </Page>
  );
}

function Steps({ info }: { info: JoinInfo }) {
  const client = useQueryClient();
  const [host, setHost] = useState("");
  const [life, setLife] = useState("1");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const [made, setMade] = useState<{ token: NewToken; since: number }>();
  const line = made ? joinLine(info.command, made.token.secret) : "";
  const box = useRef<HTMLElement>(null);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const token = await send<NewToken>("POST", "/v1/tokens", { kind: "token", name: "", spec: { join: true, role: "", expires: new Date(now() + Number(life) * 3_600_000).toISOString(), note: "made in the console", ...(host.trim() ? { host: host.trim() } : {}) } });
      setMade({ token, since: now() });
      void client.invalidateQueries({ queryKey: ["tokens"] });
      setTimeout(() => box.current?.focus(), 0);
    } catch (e) {
      setFailure(failureOf(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <ol className={css.steps}>
      <li>
        <h2>Make a line for one host</h2>
        <form onSubmit={(e) => void submit(e)} className={css.row}>
          <TextInput label="Its name" value={host} onChange={(e) => setHost(e.currentTarget.value)} placeholder="what it calls itself" autoCapitalize="none" autoComplete="off" spellCheck={false} error={failure?.field === "name" || failure?.field === "spec.host" ? failure.message : undefined} />
          <NativeSelect label="Good for" value={life} onChange={(e) => setLife(e.currentTarget.value)} data={[{ value: "1", label: "1 hour" }, { value: "24", label: "1 day" }, { value: "168", label: "7 days" }]} />
          <Button type="submit" variant={made ? "default" : "filled"} loading={busy}>
            {made ? "Make another line" : "Make the line"}
          </Button>
        </form>
        {failure && <ErrorBox failure={failure} what="make a join token" />}
      </li>
      <li>
        <h2>Run it on the host, as root</h2>
        {made ? (
          <div className={css.lineBox}>
            <code className={css.line} tabIndex={-1} ref={box} aria-label="The line to run">
              {line}
            </code>
            <CopyButton text={line} label="Copy the line" />
            <span className={css.quiet}>It has a secret in it, which is shown this once: it enrols {host.trim() || "one host"}, and is then used up.</span>
          </div>
        ) : (
          <p className={css.quiet}>One line: it fetches the agent from this server, checks its hash, and joins.</p>
        )}
      </li>
      <li>
        <h2>It comes in</h2>
        <Incoming since={made?.since} want={host.trim()} />
      </li>
    </ol>
  );
}

/** Incoming shows hosts as they enrol and connect, without anything to press. */
function Incoming({ since, want }: { since: number | undefined; want: string }) {
  const overview = useOverview();
  const [enrolled, setEnrolled] = useState<FleetEvent[]>([]);
  const client = useQueryClient();
  useEvents(
    (e) => e.type === "host.enrolled",
    (batch) => {
      setEnrolled((old) => [...batch.reverse(), ...old].slice(0, 20));
      void client.invalidateQueries({ queryKey: ["tokens"] });
    },
  );
  const came = useMemo(() => enrolled.filter((e) => since === undefined || Date.parse(e.time) >= since - 2000), [enrolled, since]);
  return (
    <div aria-live="polite">
      {came.length === 0 ? (
        <p className={css.quiet}>{since === undefined ? "The host will be shown here as soon as it joins." : `Waiting for ${want || "a host"} to join.`}</p>
      ) : (
        <ul className={css.came}>
          {came.map((e) => {
            const row = overview.byName.get(e.host ?? "");
            return (
              <li key={e.seq}>
                <Link to="/hosts/$name" params={{ name: e.host ?? "" }} className="mono">
                  {e.host}
                </Link>
                <State tone={row?.connected ? "ok" : "info"}>{row?.connected ? `connected, ${row.state ?? "new"}` : "joined, connecting"}</State>
                <Ago at={e.time} />
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}
