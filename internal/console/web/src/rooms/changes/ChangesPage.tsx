import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, data } from "~/api/client";
import { useEvents, type FleetEvent } from "~/app/live";
import { useOverview, type HostRow } from "~/app/overview";
import { useTick } from "~/app/time";
import { counted, short, whole } from "~/format";
import { SharesBar } from "~/pieces/SharesBar";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, Empty, State } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { Timeline } from "~/pieces/Timeline";
import { added } from "./feed";
import { useRevisions } from "./queries";
import { author, fact, progressOf, segments, stillAt, type Revision } from "./words";
import css from "./Changes.module.css";

export function ChangesPage() {
  const revisions = useRevisions();
  const overview = useOverview();
  useTick();
  const active = revisions.data?.find((r) => r.status?.active);
  return (
    <Page title="Changes" fact={revisions.data && fact(active, overview.hosts)}>
      {active && overview.hosts && <Now active={active} hosts={overview.hosts} />}
      <div className={css.beside}>
        <Part title="Revisions" hint={revisions.data && revisions.data.length > 0 ? counted(revisions.data.length, "push", "pushes") : undefined}>
          <Async query={revisions} what="the revisions" lines={6}>
            {(list) => <Revisions list={list} hosts={overview.hosts} />}
          </Async>
        </Part>
        <Part title="What happens" hint={<Link to="/events">All events</Link>}>
          <Recent />
        </Part>
      </div>
    </Page>
  );
}

function Now({ active, hosts }: { active: Revision; hosts: HostRow[] }) {
  const p = progressOf(active.name, hosts);
  if (p.total === 0) return null;
  return (
    <div className={css.now} aria-live="polite">
      <SharesBar shares={segments(p)} total={p.total} label="Hosts of the active revision" />
    </div>
  );
}

function Revisions({ list, hosts }: { list: Revision[]; hosts: HostRow[] | undefined }) {
  const columns: Column<Revision>[] = [
    {
      // Beyond a hundred rows the table gives widths by what is in them.
      key: "subject", head: "Change", ...(list.length <= 100 ? { width: "100%" } : {}), sort: (r) => r.spec.subject, export: (r) => r.spec.subject,
      cell: (r) => (
        <span className={css.subject}>
          {r.spec.subject || "No subject"}
        </span>
      ),
    },
    { key: "name", head: "Revision", width: "104px", export: (r) => r.name, cell: (r) => <span className="mono">{short(r.name)}</span> },
    { key: "author", head: "Author", width: "130px", hide: "phone", sort: (r) => author(r.spec.author), export: (r) => r.spec.author, cell: (r) => author(r.spec.author) },
    { key: "when", head: "Pushed", width: "104px", hide: "phone", sort: (r) => Date.parse(r.spec.when), export: (r) => r.spec.when, cell: (r) => <Ago at={r.spec.when} /> },
    {
      key: "hosts", head: "Hosts", width: "150px", export: (r) => (hosts ? String(stillAt(r.name, hosts)) : ""),
      cell: (r) => (r.status?.active ? <Active name={r.name} hosts={hosts} /> : <Past n={hosts ? stillAt(r.name, hosts) : 0} />),
    },
  ];
  return (
    <DataTable
      rows={list}
      columns={columns}
      rowKey={(r) => r.name}
      rowHref={(r) => `/changes/${r.name}`}
      label="Revisions, the newest first"
      empty={<Empty command="git push">Nothing has been pushed yet. A push to the fleet repository is the deploy; each one will be here, with how far the hosts are.</Empty>}
    />
  );
}

function Active({ name, hosts }: { name: string; hosts: HostRow[] | undefined }) {
  if (!hosts) return <State tone="info">active</State>;
  const p = progressOf(name, hosts);
  const tone = p.failed > 0 ? "bad" : p.waiting > 0 ? "info" : "ok";
  return (
    <State tone={tone}>
      active, {p.failed > 0 ? `${whole(p.failed)} failed` : `${whole(p.converged)} of ${whole(p.total)}`}
    </State>
  );
}

/** Past says of an old revision only what is still of interest: that hosts are left on it. */
function Past({ n }: { n: number }) {
  return n > 0 ? <State tone="idle">{counted(n, "host")} still there</State> : <span className={css.quiet}>replaced</span>;
}

const telling = (e: FleetEvent): boolean => e.type !== "host.converged" && e.type !== "host.connected";

function Recent() {
  const [fresh, setFresh] = useState<FleetEvent[]>([]);
  // That every host has taken a change is in the bar above; here is what is worth a line of its own.
  useEvents(telling, (batch) => setFresh((old) => added({ events: old, skipped: 0 }, batch, 0, 15).events));
  const query = useQuery({ queryKey: ["events", "recent"], queryFn: async () => (await data(api.GET("/v1/events", { params: { query: { limit: 200 } } }))).items ?? [] });
  return (
    <Async query={query} what="the events" lines={6}>
      {(items) => <Timeline events={added({ events: fresh, skipped: 0 }, (items as FleetEvent[]).filter(telling), 0, 200).events.sort((a, b) => b.seq - a.seq).slice(0, 15)} showHost empty={<Empty>Nothing has happened yet. Every push, converge and sign of a host will be here.</Empty>} />}
    </Async>
  );
}
