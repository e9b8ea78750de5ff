import { useMemo } from "react";
import { Link, useParams } from "@tanstack/react-router";
import type { Schemas } from "~/api/client";
import { counted, duration, listed, nanos, short } from "~/format";
import { SharesBar } from "~/pieces/SharesBar";
import { Page, Part } from "~/pieces/Page";
import { Prose } from "~/pieces/Prose";
import { Ago, Async, Empty, State } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { TaskTree } from "~/pieces/TaskTree";
import { Sides } from "./Sides";
import { usePlan, useRevision, useRevisionHosts } from "./queries";
import { author, hostStates, planned, revisionFact, segmentsOf, sortHosts, waves, type HostPart, type Revision } from "./words";
import css from "./Changes.module.css";

export function RevisionPage() {
  const { revision: name } = useParams({ strict: false }) as { revision: string };
  const revision = useRevision(name);
  const hosts = useRevisionHosts(name);
  const r = revision.data;
  return (
    <Page title={`Revision ${short(name)}`} fact={r && revisionFact(r, hosts.data)}>
      <Async query={revision} what="this revision" lines={4}>
        {(rev) => (
          <>
            <Meta rev={rev} />
            {hosts.data && hosts.data.items.length > 0 && (
              <div aria-live="polite">
                <SharesBar shares={segmentsOf(hosts.data.items)} total={hosts.data.items.length} label="Hosts" />
              </div>
            )}
            <Part title="What changed" hint={rev.spec.parent ? <>against <Link to="/changes/$revision" params={{ revision: rev.spec.parent }} className="mono">{short(rev.spec.parent)}</Link></> : "the first revision"}>
              <Sides name={name} hosts={hosts.data?.items} failed={hosts.error !== null} />
            </Part>
            <Part title="Hosts" hint={hosts.data && waves(hosts.data)}>
              <Async query={hosts} what="what became of the hosts" lines={5}>
                {(h) => <Hosts items={h.items} />}
              </Async>
            </Part>
            <Part title="Plan" hint="what the push printed before anything was changed">
              <Plan name={name} />
            </Part>
          </>
        )}
      </Async>
    </Page>
  );
}

function Meta({ rev }: { rev: Revision }) {
  const by = author(rev.spec.author);
  return (
    <>
      <p className={css.meta}>
        {rev.status?.active ? <State tone="ok">active</State> : <State tone="idle">replaced</State>}
        <span title={rev.spec.author}>
          by {by}
          {rev.spec.pusher && rev.spec.pusher !== by ? `, pushed by ${rev.spec.pusher}` : ""}
        </span>
        <span>
          pushed <Ago at={rev.spec.when} />
        </span>
        <span>compiled for {counted(rev.status?.hosts ?? 0, "host")}</span>
      </p>
      {(rev.status?.problems ?? []).length > 0 && (
        <ul className={css.problems} aria-label="Warnings of the compile">
          {rev.status!.problems!.map((p) => (
            <li key={p}>
              <State tone="warn">warning</State> {p}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const columns: Column<HostPart>[] = [
  { key: "host", head: "Host", sort: (h) => h.host, export: (h) => h.host, cell: (h) => <span className="mono">{h.host}</span> },
  { key: "state", head: "State", width: "130px", sort: (h) => Object.keys(hostStates).indexOf(h.state), export: (h) => h.state, cell: (h) => <State tone={hostStates[h.state].tone}>{hostStates[h.state].word}</State> },
  { key: "changed", head: "Changed", width: "90px", align: "right", hide: "phone", sort: (h) => h.changed ?? 0, export: (h) => String(h.changed ?? 0), cell: (h) => (h.changed ? h.changed : <span className={css.quiet}>{h.at ? 0 : ""}</span>) },
  { key: "failed", head: "Failed", width: "80px", align: "right", hide: "phone", sort: (h) => h.failed ?? 0, export: (h) => String(h.failed ?? 0), cell: (h) => (h.failed ? h.failed : <span className={css.quiet}>{h.at ? 0 : ""}</span>) },
  { key: "took", head: "Took", width: "90px", align: "right", hide: "phone", sort: (h) => h.took ?? 0, export: (h) => String(nanos(h.took) / 1000), cell: (h) => (h.took ? duration(nanos(h.took)) : "") },
  { key: "at", head: "When", width: "110px", hide: "phone", sort: (h) => (h.at ? Date.parse(h.at) : 0), export: (h) => h.at ?? "", cell: (h) => (h.at ? <Ago at={h.at} /> : "") },
];

function Hosts({ items }: { items: HostPart[] }) {
  const rows = useMemo(() => sortHosts(items), [items]);
  return (
    <DataTable
      rows={rows}
      columns={columns}
      rowKey={(h) => h.host}
      rowHref={(h) => (h.run ? `/runs/${encodeURIComponent(h.run)}` : `/hosts/${encodeURIComponent(h.host)}`)}
      label="Hosts of this revision"
      empty={<Empty>No enrolled host is in the inventory of this revision.</Empty>}
    />
  );
}

function Plan({ name }: { name: string }) {
  const query = usePlan(name);
  return (
    <Async query={query} what="the plan of the push" lines={4}>
      {(p) => ("none" in p ? <p className={css.lead}><Prose text={p.none} end="." /></p> : <PlanView plan={p.plan} />)}
    </Async>
  );
}

function PlanView({ plan }: { plan: Schemas["Plan"] }) {
  const groups = (plan.groups ?? []) as Schemas["PlanGroup"][];
  const busy = groups.filter((g) => g.failed || (g.tasks ?? []).length > 0);
  const quiet = groups.filter((g) => !g.failed && (g.tasks ?? []).length === 0).flatMap((g) => g.hosts);
  return (
    <>
      <p className={css.lead}>
        {planned(plan)}
        {(plan.notEnrolled ?? []).length > 0 && ` In the inventory without an agent: ${listed(plan.notEnrolled!, 5)}.`}
        {(plan.notDeclared ?? []).length > 0 && ` With an agent in no inventory: ${listed(plan.notDeclared!, 5)}.`}
      </p>
      {busy.map((g) => (
        <section key={g.hosts[0]} className={css.group} aria-label={`Planned for ${listed(g.hosts, 2)}`}>
          <h3>
            {g.failed ? `The check failed on ${counted(g.hosts.length, "host")}` : `${counted(g.hosts.length, "host")} would change${g.hosts.length > 1 ? " alike" : ""}`}
          </h3>
          <p className={`${css.names} mono`}>{listed(g.hosts, 8)}</p>
          {g.error && <p className={css.why}>{g.error}</p>}
          {(g.tasks ?? []).length > 0 && <TaskTree tasks={g.tasks!} onlyChanges />}
        </section>
      ))}
      {quiet.length > 0 && (
        <p className={css.lead}>
          Nothing would change on {listed(quiet, 5)}.
        </p>
      )}
    </>
  );
}
