import { useMemo, useRef } from "react";
import { TextInput } from "@mantine/core";
import type { HostRow } from "~/app/overview";
import { useParam } from "~/app/params";
import { counted, listed } from "~/format";
import { useFilterKey } from "~/pieces/keys";
import { Ago, Async, Empty, State, type Tone } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { useUnits, type Unit } from "./host";
import css from "./HostPage.module.css";

const tones: Record<string, Tone> = { active: "ok", reloading: "info", activating: "info", deactivating: "info", failed: "bad" };
const rank: Record<string, number> = { failed: 0, activating: 1, deactivating: 1, reloading: 1, active: 2, inactive: 3 };

const columns: Column<Unit>[] = [
  { key: "name", head: "Unit", cell: (u) => <span className="mono">{u.name}</span>, sort: (u) => u.name },
  { key: "active", head: "State", cell: (u) => <State tone={tones[u.active] ?? "idle"}>{u.active}</State>, sort: (u) => rank[u.active] ?? 9, export: (u) => u.active, width: 130 },
  { key: "sub", head: "Detail", cell: (u) => u.sub, sort: (u) => u.sub, width: 110 },
  { key: "since", head: "Since", cell: (u) => <Ago at={u.since} none="–" />, sort: (u) => (u.since ? Date.parse(u.since) : 0), width: 120, export: (u) => u.since ?? "" },
  { key: "description", head: "Description", cell: (u) => u.description ?? "", hide: "phone", export: (u) => u.description ?? "" },
];

/** HostUnits is what systemd keeps, what failed first. */
export function HostUnits({ row }: { row: HostRow }) {
  const query = useUnits(row.name, row.connected);
  const [filter, setFilter] = useParam("q");
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  const items = query.data?.items;
  const sorted = useMemo(() => [...(items ?? [])].sort((a, b) => (rank[a.active] ?? 9) - (rank[b.active] ?? 9) || (a.name < b.name ? -1 : 1)), [items]);
  if (!row.connected && !query.data) return <Empty>The units of a host can be seen while it is connected.</Empty>;
  return (
    <Async query={query} what="the units" lines={10}>
      {() => {
        const failed = sorted.filter((u) => u.active === "failed").map((u) => u.name);
        return (
          <>
            <p className={css.facts}>
              {failed.length > 0 ? (
                <>
                  <State tone="bad">{counted(failed.length, "unit")} failed</State>: <span className="mono">{listed(failed)}</span>. On the host, <code>systemctl status</code> and <code>journalctl -u</code> say why.
                </>
              ) : (
                `None of ${counted(sorted.length, "unit")} failed.`
              )}
            </p>
            <TextInput ref={input} className={css.filter} type="search" placeholder="Filter units" aria-label="Filter units" value={filter ?? ""} onChange={(e) => setFilter(e.currentTarget.value)} spellCheck={false} />
            <DataTable rows={sorted} columns={columns} rowKey={(u) => u.name} label="Units" filter={filter} empty={<Empty>systemd has no units there.</Empty>} noun={["unit", "units"]} />
          </>
        );
      }}
    </Async>
  );
}
