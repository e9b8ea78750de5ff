import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useRef } from "react";
import { useFilters } from "~/app/search";
import { useSession } from "~/app/session";
import { counted, duration, nanos, whole } from "~/format";
import { useFilterKey } from "~/pieces/keys";
import { Page } from "~/pieces/Page";
import { Ago, Empty, ErrorBox, Loading, State } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { NewRun } from "./NewRun";
import { useRuns } from "./queries";
import { SharesBar } from "~/pieces/SharesBar";
import { asked, kinds, outcome, shares, states, what, where } from "./words";
import type { RunRecord } from "./types";
import css from "./Runs.module.css";

// What ran takes what the other columns leave; beyond a hundred rows the table gives widths by what is in them.
const columnsOf = (n: number): Column<RunRecord>[] => [
  { key: "what", head: "What", ...(n <= 100 ? { width: "100%" } : {}), sort: what, export: what, cell: (r) => <span className={`${css.rest} ${r.kind === "command" ? "mono" : ""}`}>{what(r)}</span> },
  { key: "state", head: "State", width: "128px", sort: (r) => states[r.state].word, export: (r) => states[r.state].word, cell: (r) => <State tone={states[r.state].tone}>{states[r.state].word}</State> },
  { key: "where", head: "On", width: "190px", hide: "phone", sort: (r) => r.count, export: where, cell: (r) => <span className={css.cell}>{where(r)}</span> },
  {
    key: "outcome", head: "How it went", width: "250px", hide: "phone", export: outcome,
    cell: (r) => (r.state === "running" ? <SharesBar shares={shares(r)} total={r.count} label="Progress" words={false} /> : <span className={`${css.cell} ${css.outcome}`}>{r.kind === "apply" ? counted(r.changed, "change") : outcome(r)}</span>),
  },
  { key: "actor", head: "Who", width: "110px", hide: "phone", sort: (r) => r.actor ?? "", export: (r) => r.actor ?? "", cell: (r) => r.actor ?? "by itself" },
  { key: "start", head: "When", width: "104px", sort: (r) => Date.parse(r.start), export: (r) => r.start, cell: (r) => <Ago at={r.start} /> },
  { key: "took", head: "Took", width: "84px", align: "right", hide: "phone", sort: (r) => r.took ?? 0, export: (r) => String(nanos(r.took) / 1000), cell: (r) => (r.took ? duration(nanos(r.took)) : "") },
];

export function RunsPage() {
  const [f, set] = useFilters("kind", "host", "actor", "state", "commit", "new");
  const { may } = useSession();
  // One push makes as many applies as there are hosts: they are shown when they are asked for, or when one host or revision is.
  const kind = f.kind || (f.host || f.commit ? "all" : "asked");
  const filters = { kind: kind === "all" ? "" : kind === "asked" ? asked : kind, host: f.host, actor: f.actor, state: f.state, commit: f.commit };
  const runs = useRuns(filters);
  const filtered = [f.kind, f.host, f.actor, f.state, f.commit].some(Boolean);
  const first = useRef<HTMLInputElement>(null);
  useFilterKey(first);
  return (
    <Page
      title="Runs"
      width="data"
      fact={sentence(runs.items, filtered, runs.next !== undefined)}
      actions={may("operator") && <Button onClick={() => set({ new: "command" })}>New run</Button>}
    >
      <div className={css.filters} role="search" aria-label="Filter the runs">
        <TextInput label="Host" ref={first} key={`h${f.host}`} defaultValue={f.host} placeholder="web-1" onBlur={(e) => set({ host: e.currentTarget.value.trim() })} onKeyDown={(e) => e.key === "Enter" && set({ host: e.currentTarget.value.trim() })} spellCheck={false} />
        <TextInput label="Who" key={`a${f.actor}`} defaultValue={f.actor} placeholder="person or token/NAME" onBlur={(e) => set({ actor: e.currentTarget.value.trim() })} onKeyDown={(e) => e.key === "Enter" && set({ actor: e.currentTarget.value.trim() })} spellCheck={false} />
        <NativeSelect label="Kind" value={kind} onChange={(e) => set({ kind: e.currentTarget.value })} data={[{ value: "asked", label: "What people asked for" }, { value: "all", label: "Every kind" }, ...Object.entries(kinds).map(([value, label]) => ({ value, label }))]} />
        <NativeSelect label="State" value={f.state} onChange={(e) => set({ state: e.currentTarget.value })} data={[{ value: "", label: "Every state" }, ...Object.entries(states).map(([value, s]) => ({ value, label: s.word }))]} />
        {filtered && (
          <Button variant="subtle" onClick={() => set({ kind: "", host: "", actor: "", state: "", commit: "" })}>
            Clear
          </Button>
        )}
      </div>
      {runs.failure && <ErrorBox failure={runs.failure} what="read the runs" retry={runs.retry} />}
      {runs.items === undefined
        ? !runs.failure && <Loading what="the runs" lines={8} />
        : (
          <>
            <DataTable
              rows={runs.items}
              columns={columnsOf(runs.items.length)}
              rowKey={(r) => r.id}
              rowHref={(r) => `/runs/${encodeURIComponent(r.id)}`}
              label="Runs, the newest first"
              empty={filtered ? <Empty>No run passes these filters.</Empty> : <Empty command="drover run uptime">Nothing has run yet. Every command, converge and play will be here, with what each host said.</Empty>}
            />
            {runs.next && (
              <div className={css.more}>
                <Button variant="default" loading={runs.busy} onClick={() => void runs.more()}>
                  Read older runs
                </Button>
              </div>
            )}
          </>
        )}
      <NewRun opened={f.new !== "" && may("operator")} onClose={() => set({ new: "", hosts: "", command: "", timeout: "", user: "" } as never)} />
    </Page>
  );
}

function sentence(items: RunRecord[] | undefined, filtered: boolean, more: boolean): string | undefined {
  if (!items) return undefined;
  const running = items.filter((r) => r.state === "running").length;
  const failed = items.filter((r) => r.state === "failed" || r.state === "partial").length;
  if (items.length === 0) return filtered ? "No run passes these filters." : "Nothing has run yet.";
  const of = more ? `the last ${counted(items.length, "run")}` : counted(items.length, "run");
  if (running > 0) return `${counted(running, "run is", "runs are")} under way${failed > 0 ? `; of ${of} ${whole(failed)} failed somewhere` : ""}.`;
  if (failed === 0) return more ? `Of ${of} none failed.` : items.length === 1 ? "One run, and it went well." : `None of ${of} failed.`;
  return `Of ${of} ${whole(failed)} failed on some host.`;
}
