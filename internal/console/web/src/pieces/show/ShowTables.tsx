import { useMemo, useRef, useState } from "react";
import { Button, TextInput } from "@mantine/core";
import { useParam } from "~/app/params";
import { bytes, duration } from "~/format";
import { useFilterKey } from "../keys";
import { Part } from "../Page";
import { Spark } from "../Spark";
import { Ago, Empty, State, type Tone } from "../states";
import { DataTable, type Column } from "../table/DataTable";
import { hostile, longName, waves } from "./samples";
import css from "./Show.module.css";

type Row = { name: string; tone: Tone; word: string; memory: number; took: number; at: string; cpu: number[] };

function rows(n: number): Row[] {
  const states: [Tone, string][] = [["ok", "converged"], ["ok", "converged"], ["info", "converging"], ["bad", "failed"], ["idle", "away"]];
  return Array.from({ length: n }, (_, i) => {
    const [tone, word] = states[(i * 7) % 5]!;
    return {
      name: i === 1 ? hostile : i === 2 ? longName : `sample-${i + 1}`,
      tone,
      word,
      memory: ((i * 7919) % 64) * 2 ** 28,
      took: 200 + ((i * 104729) % 90_000),
      at: new Date(Date.now() - ((i * 37) % 9000) * 1000).toISOString(),
      cpu: waves(24, 0.4, 0.3, i % 50),
    };
  });
}

const columns: Column<Row>[] = [
  { key: "name", head: "Host", cell: (r) => <span className="mono">{r.name}</span>, sort: (r) => r.name },
  { key: "state", head: "State", cell: (r) => <State tone={r.tone}>{r.word}</State>, sort: (r) => r.word, width: 130 },
  { key: "memory", head: "Memory", cell: (r) => bytes(r.memory), sort: (r) => r.memory, export: (r) => String(r.memory), align: "right" },
  { key: "took", head: "Took", cell: (r) => duration(r.took), sort: (r) => r.took, export: (r) => String(r.took), align: "right" },
  { key: "at", head: "Converged", cell: (r) => <Ago at={r.at} />, sort: (r) => Date.parse(r.at), export: (r) => r.at, width: 140 },
  { key: "cpu", head: "CPU", cell: (r) => <Spark values={r.cpu} label="CPU, the last hour" max={1} height={20} />, width: 130, hide: "phone", export: () => "" },
];

export function ShowTables() {
  const few = useMemo(() => rows(6), []);
  const many = useMemo(() => rows(3000), []);
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const [filter, setFilter] = useParam("filter");
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  return (
    <>
      <Part title="Table" hint="select, sort, export; j, k, Enter and x">
        <DataTable
          rows={few}
          columns={columns}
          rowKey={(r) => r.name}
          rowHref={(r) => `/hosts/${encodeURIComponent(r.name)}`}
          label="A few samples"
          noun={["host", "hosts"]}
          select={{ selected, onChange: setSelected, actions: <Button size="xs">Converge</Button> }}
          empty={null}
        />
      </Part>
      <Part title="Empty table">
        <DataTable rows={[]} columns={columns} rowKey={(r) => r.name} label="No samples" empty={<Empty command="drover hosts token">No host has joined yet. Make a token, and give it to a host.</Empty>} />
      </Part>
      <Part title="3,000 rows" actions={<TextInput ref={input} size="xs" aria-label="Filter the samples" placeholder="Filter" value={filter ?? ""} onChange={(e) => setFilter(e.currentTarget.value)} className={css.filter ?? ""} rightSection={<kbd>/</kbd>} />}>
        <DataTable rows={many} columns={columns} rowKey={(r) => r.name} rowHref={(r) => `/hosts/${encodeURIComponent(r.name)}`} label="Many samples" noun={["host", "hosts"]} filter={filter} sortParam="sort2" empty={null} />
      </Part>
    </>
  );
}
