import { useRef } from "react";
import { TextInput } from "@mantine/core";
import type { HostRow } from "~/app/overview";
import { useParam } from "~/app/params";
import { bytes, counted, digits } from "~/format";
import { useFilterKey } from "~/pieces/keys";
import { Ago, Async, Empty } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { useProcesses, type Process } from "./host";
import css from "./HostPage.module.css";

const columns: Column<Process>[] = [
  { key: "name", head: "Process", cell: (p) => <span className="mono">{p.name}</span>, sort: (p) => p.name, width: 160 },
  { key: "pid", head: "PID", cell: (p) => p.pid, sort: (p) => p.pid, align: "right", hide: "phone", width: 80 },
  { key: "user", head: "User", cell: (p) => p.user, sort: (p) => p.user, width: 120 },
  { key: "cpu", head: "CPU", cell: (p) => `${digits(Math.round(p.cpuPercent * 10) / 10)} %`, sort: (p) => p.cpuPercent, align: "right", width: 80, export: (p) => String(p.cpuPercent) },
  { key: "rss", head: "Memory", cell: (p) => bytes(p.rss), sort: (p) => p.rss, align: "right", width: 90, export: (p) => String(p.rss) },
  { key: "start", head: "Started", cell: (p) => <Ago at={p.start} />, sort: (p) => Date.parse(p.start), hide: "phone", width: 110, export: (p) => p.start },
  { key: "command", head: "Command", cell: (p) => <span className="mono" title={p.command}>{p.command || <span className={css.quiet}>kernel</span>}</span>, hide: "phone", export: (p) => p.command ?? "" },
];

/** HostProcesses is what runs now, the busiest first. */
export function HostProcesses({ row }: { row: HostRow }) {
  const query = useProcesses(row.name, row.connected);
  const [filter, setFilter] = useParam("q");
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  if (!row.connected && !query.data) return <Empty>The processes of a host can be seen while it is connected.</Empty>;
  return (
    <Async query={query} what="the processes" lines={10}>
      {(list) => (
        <>
          <TextInput ref={input} className={css.filter} type="search" placeholder="Filter processes" aria-label="Filter processes" value={filter ?? ""} onChange={(e) => setFilter(e.currentTarget.value)} spellCheck={false} />
          <p className={css.facts}>
            {counted(list.total, "process", "processes")} on the host{list.items.length < list.total ? `; here are the ${list.items.length} busiest and largest` : ""}. CPU is of one processor.
          </p>
          <DataTable rows={list.items} columns={columns} rowKey={(p) => String(p.pid)} label="Processes" filter={filter} sort="-cpu" empty={<Empty>Nothing runs there, it says.</Empty>} noun={["process", "processes"]} />
        </>
      )}
    </Async>
  );
}
