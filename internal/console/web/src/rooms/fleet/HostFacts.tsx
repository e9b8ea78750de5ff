import { useMemo, useRef } from "react";
import { TextInput } from "@mantine/core";
import { useParam } from "~/app/params";
import { useFilterKey } from "~/pieces/keys";
import { Async, Empty } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { useFacts } from "./host";
import { flat, type Fact } from "./hostwords";
import css from "./HostPage.module.css";

const columns: Column<Fact>[] = [
  { key: "key", head: "Fact", cell: (f) => <span className="mono">{f.key}</span>, sort: (f) => f.key, export: (f) => f.key },
  { key: "value", head: "Value", cell: (f) => <span className="mono" title={f.value}>{f.value === "" ? <span className={css.quiet}>none</span> : f.value}</span>, export: (f) => f.value },
];

/** HostFacts is what the host says of itself, by Ansible's names. */
export function HostFacts({ name }: { name: string }) {
  const query = useFacts(name);
  const facts = useMemo(() => (query.data ? flat(query.data) : []), [query.data]);
  const [filter, setFilter] = useParam("q");
  const input = useRef<HTMLInputElement>(null);
  useFilterKey(input);
  return (
    <Async query={query} what="the facts" lines={10}>
      {() => (
        <>
          <TextInput ref={input} className={css.filter} type="search" placeholder="Filter facts, by key or value" aria-label="Filter facts" value={filter ?? ""} onChange={(e) => setFilter(e.currentTarget.value)} spellCheck={false} />
          <DataTable rows={facts} columns={columns} rowKey={(f) => f.key} label={`Facts of ${name}`} filter={filter} empty={<Empty>The host has sent no facts yet. It does when it connects, and when they change.</Empty>} noun={["fact", "facts"]} />
        </>
      )}
    </Async>
  );
}
