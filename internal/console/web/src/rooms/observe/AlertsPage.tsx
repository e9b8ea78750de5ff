import { useMemo, useRef, useState, type ReactNode } from "react";
import { TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useAlerts, type Alert } from "~/alerts/alerts";
import { joint, stripHost } from "~/alerts/words";
import { failureOf, request } from "~/api/client";
import { useOverview } from "~/app/overview";
import { useParam } from "~/app/params";
import { counted, digits, duration, whole } from "~/format";
import { CopyCommand } from "~/pieces/CopyCommand";
import { useFilterKey } from "~/pieces/keys";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State, type Tone } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { alertsSay, groupsOfAlerts, matches, rulesOf, type AlertGroup, type Rule } from "./words";
import css from "./AlertsPage.module.css";

const tones: Record<string, Tone> = { critical: "bad", warning: "warn", info: "info" };

/** AlertsPage is what fires, what will, and which rules watch. */
export function AlertsPage() {
  const alerts = useAlerts();
  const { hosts } = useOverview();
  const rules = useQuery({
    queryKey: ["rules"],
    queryFn: async ({ signal }) => rulesOf(await (await request("/api/v1/rules", { signal })).json()),
    refetchInterval: 30_000,
  });
  const [filter, setFilter] = useParam("q");
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  const all = alerts.data;
  const shown = useMemo(() => (all ?? []).filter((a) => matches(a, filter ?? "")), [all, filter]);
  const firing = shown.filter((a) => a.state === "firing");
  const pending = shown.filter((a) => a.state !== "firing");
  const watching = rules.data?.filter((r) => r.type === "alerting").length;
  const fact = all ? alertsSay(all, watching, hosts?.length) : alerts.error ? "The alerts cannot be read." : <span className={css.quiet}>Reading the alerts</span>;
  const any = (all?.length ?? 0) > 0;
  return (
    <Page title="Alerts" fact={fact}>
      {any && (
        <TextInput ref={input} className={css.filter} type="search" placeholder="Filter: a host, a rule, critical" aria-label="Filter alerts" value={filter ?? ""} onChange={(e) => setFilter(e.currentTarget.value)} spellCheck={false} />
      )}
      {alerts.error && !all && <ErrorBox failure={failureOf(alerts.error)} what="read the alerts" retry={() => void alerts.refetch()} />}
      {!(alerts.error && !all) && (
        <Async query={alerts} what="the alerts" lines={4}>
          {() => (
            <>
              {any && shown.length === 0 && (
                <p role="status">
                  None of {counted(all!.length, "alert")} matches “{filter}”.{" "}
                  <button type="button" className={css.link} onClick={() => setFilter(undefined)}>
                    Show all
                  </button>
                </p>
              )}
              {!any && <Empty>What goes wrong is listed here as soon as a rule has seen it for long enough, with what to do.</Empty>}
              {firing.length > 0 && (
                <Part title="Firing" hint={counted(firing.length, "alert")}>
                  <Groups alerts={firing} />
                </Part>
              )}
              {pending.length > 0 && (
                <Part title="Pending" hint="wrong, but not for long enough to say so">
                  <Groups alerts={pending} />
                </Part>
              )}
            </>
          )}
        </Async>
      )}
      <Part title="Rules that watch">
        <Async query={rules} what="the rules" lines={6}>
          {(list) => <Rules rules={list.filter((r) => r.type === "alerting")} />}
        </Async>
        <p className={css.note}>The same rules as a file for Prometheus:</p>
        <CopyCommand command={`curl -H "Authorization: Bearer $TOKEN" ${location.origin}/v1/rules.yml`} />
      </Part>
    </Page>
  );
}

function Groups({ alerts }: { alerts: Alert[] }) {
  const groups = useMemo(() => groupsOfAlerts(alerts), [alerts]);
  return (
    <ul className={css.groups}>
      {groups.map((g) => (
        <Group key={g.name} g={g} />
      ))}
    </ul>
  );
}

const few = 4;

function Group({ g }: { g: AlertGroup }) {
  const [all, setAll] = useState(false);
  const shown = all ? g.alerts.slice(0, 300) : g.alerts.slice(0, few);
  const details = [...new Set(g.alerts.map((a) => a.detail ?? ""))];
  // What to do is mostly the same for all of a rule: it is said once.
  const shared = details.length === 1 ? details[0] : undefined;
  return (
    <li className={css.group}>
      <div className={css.head}>
        <State tone={tones[g.severity] ?? "warn"}>{g.severity}</State>
        <h3>{g.name}</h3>
        {g.alerts.length > 1 && <span className={css.quiet}>{counted(g.alerts.length, "time")}</span>}
      </div>
      <ul className={css.alerts}>
        {shown.map((a, i) => (
          <OneAlert key={`${a.host}/${i}`} a={a} detail={shared === undefined ? a.detail : undefined} />
        ))}
      </ul>
      {g.alerts.length > few && (
        <button type="button" className={css.link} aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show a few" : `Show ${whole(Math.min(g.alerts.length, 300) - few)} more`}
        </button>
      )}
      {all && g.alerts.length > 300 && <p className={css.note}>These are the newest 300 of {whole(g.alerts.length)}: filter to see others.</p>}
      {shared && <p className={css.detail}>{ticks(shared)}</p>}
      {g.alerts[0]!.expr && (
        <details className={css.rule}>
          <summary>The rule</summary>
          <code>{g.alerts[0]!.expr}</code>
        </details>
      )}
    </li>
  );
}

function OneAlert({ a, detail }: { a: Alert; detail: string | undefined }) {
  return (
    <li>
      <span className={css.words}>
        {a.host && (
          <>
            <Link to="/hosts/$name" params={{ name: a.host }} className={css.host}>
              {a.host}
            </Link>
            {joint(stripHost(a.summary, a.host))}
          </>
        )}
        {stripHost(a.summary, a.host)}
      </span>
      {/* That something is so, 1, or is not, 0, the sentence has said. */}
      <span className={css.value}>{Number.isFinite(a.value) && a.value !== 0 && a.value !== 1 ? `value ${digits(a.value)}` : ""}</span>
      <span className={css.time}>
        <Ago at={a.since} />
      </span>
      {detail && <span className={css.own}>{ticks(detail)}</span>}
    </li>
  );
}

/** ticks shows what stands between backquotes as code, as rules write commands. */
function ticks(text: string): ReactNode[] {
  return text.split("`").map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part));
}

const columns: Column<Rule>[] = [
  { key: "name", head: "Rule", cell: (r) => r.name, sort: (r) => r.name, width: 160 },
  {
    key: "state", head: "State", width: 150, sort: (r) => (r.problem ? 0 : r.firing > 0 ? 1 : r.pending > 0 ? 2 : 3), export: (r) => (r.problem ? "broken" : r.state),
    cell: (r) =>
      r.problem ? <State tone="bad">broken</State> : r.firing > 0 ? <State tone="warn">{r.firing} firing</State> : r.pending > 0 ? <State tone="info">{r.pending} pending</State> : <State tone="ok">quiet</State>,
  },
  { key: "for", head: "After", width: 90, cell: (r) => (r.seconds > 0 ? duration(r.seconds * 1000) : "at once"), sort: (r) => r.seconds, hide: "phone", export: (r) => String(r.seconds) },
  { key: "query", head: "Expression", hide: "phone", cell: (r) => <span className="mono" title={r.problem || r.query}>{r.problem || r.query}</span>, export: (r) => r.query },
];

function Rules({ rules }: { rules: Rule[] }) {
  return <DataTable rows={rules} columns={columns} rowKey={(r) => `${r.group}/${r.name}/${r.query}`} label="Rules" empty={<Empty>No rule watches: the server makes its own when it keeps metrics.</Empty>} noun={["rule", "rules"]} />;
}
