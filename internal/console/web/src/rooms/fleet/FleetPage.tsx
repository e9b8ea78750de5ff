import { memo, useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { Button, Menu } from "@mantine/core";
import { byHost, useAlerts } from "~/alerts/alerts";
import { failureOf } from "~/api/client";
import { now } from "~/app/clock";
import { useOverview, type HostRow } from "~/app/overview";
import { useParam } from "~/app/params";
import { useSession } from "~/app/session";
import { useTick } from "~/app/time";
import { ago, counted } from "~/format";
import { many, useConfirm } from "~/pieces/actions";
import { CopyCommand } from "~/pieces/CopyCommand";
import { Page } from "~/pieces/Page";
import { ErrorBox, Loading } from "~/pieces/states";
import { AddHostDialog, Enrol } from "./AddHost";
import { Attention } from "./Attention";
import { attention } from "./attention";
import { FilterBar } from "./FilterBar";
import { matcher, parse, type Subject } from "./filter";
import { HostList } from "./HostList";
import { useLoad } from "./load";
import { Radius } from "./Radius";
import { RunDialog } from "./RunDialog";
import { patternOf, useConverge, usePause } from "./doing";
import { grouped, keeper, ordered, orderOf } from "./subjects";
import { sentence } from "./words";
import css from "./FleetPage.module.css";

/** FleetPage answers "is everything all right?", and then shows every host. */
export function FleetPage() {
  const overview = useOverview();
  const { hosts, failure } = overview;
  if (hosts === undefined) {
    if (failure)
      return (
        <Page title="Fleet" fact="The fleet cannot be read." width="data">
          <ErrorBox failure={failure} what="read the fleet" />
        </Page>
      );
    return (
      <Page title="Fleet" fact={<span className={css.wait}>Reading the fleet</span>} width="data">
        <Loading what="the fleet" lines={12} />
      </Page>
    );
  }
  if (hosts.length === 0) return <EmptyFleet />;
  return <Fleet hosts={hosts} active={overview.active} stale={overview.state === "waiting" || overview.state === "ended" ? overview.at : undefined} />;
}

function EmptyFleet() {
  return (
    <Page title="Fleet" fact="No host is enrolled yet." width="read">
      <p className={css.lead}>A host is in the fleet as soon as its agent has joined. This page shows it at once, and from then on what it is and how it is.</p>
      <Enrol />
    </Page>
  );
}

const shownMark = "hosts-shown";

/** Every minute something may have grown old. */
function useMinute(): number {
  useTick();
  return Math.floor(now() / 60_000) * 60_000;
}

function Fleet({ hosts, active, stale }: { hosts: HostRow[]; active: string | undefined; stale: number | undefined }) {
  const { may } = useSession();
  const minute = useMinute();
  const alerts = useAlerts();
  const { load, failure: loadFailure } = useLoad(true);
  const keep = useMemo(keeper, []);
  const firing = useMemo(() => byHost(alerts.data), [alerts.data]);
  const subjects = useMemo(() => keep(hosts, firing, load, minute), [keep, hosts, firing, load, minute]);
  const items = useMemo(() => attention(hosts, alerts.data, minute), [hosts, alerts.data, minute]);
  const fact = useMemo(() => sentence(hosts, items), [hosts, items]);

  const [text, setText] = useFilterText();
  const filter = useMemo(() => parse(text), [text]);
  const [sort, setSort] = useParam("sort");
  const [by, setBy] = useParam("by");
  const [shownAs, setShownAs] = useParam("view");
  const view = shownAs === "tiles" ? "tiles" : "rows";
  const order = useMemo(() => orderOf(sort), [sort]);
  // Typing waits for nothing: the list follows as soon as there is time.
  const listed = useDeferredValue(filter);
  const found = useMemo(() => {
    const match = matcher(listed);
    return ordered(listed.terms.length > 0 ? subjects.filter(match) : subjects, order);
  }, [listed, subjects, order]);
  const groups = useMemo(() => grouped(found, by), [found, by]);
  const sortBy = useCallback((key: string) => setSort(next(key, order)), [setSort, order]);
  const showAs = useCallback((v: "rows" | "tiles") => setShownAs(v === "rows" ? undefined : v), [setShownAs]);

  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback((names: string[], on: boolean) => {
    setSelected((old) => {
      const next = new Set(old);
      for (const n of names) {
        if (on) next.add(n);
        else next.delete(n);
      }
      return next;
    });
  }, []);
  const operator = may("operator");
  const selection = useMemo(() => (operator ? { selected, toggle } : undefined), [operator, selected, toggle]);
  const chosen = useMemo(() => hosts.filter((h) => selected.has(h.name)), [hosts, selected]);
  const { doing, running, open, adding } = useDoing(hosts);
  useEffect(() => {
    // For who measures: the frame with the hosts is drawn, and the page answers.
    if (performance.getEntriesByName(shownMark).length === 0) requestAnimationFrame(() => setTimeout(() => performance.mark(shownMark)));
  }, []);

  return (
    <Page title="Fleet" fact={fact} width="data" actions={operator && <Head found={found} all={hosts.length} doing={doing} />}>
      {stale !== undefined && (
        <p className={css.stale} role="status">
          The hosts are as they were {ago(stale)}; the server is asked again by itself.
        </p>
      )}
      {!active && (
        <div className={css.first}>
          <p>No revision says yet what hosts should be. Get the fleet repository, name the hosts in inventory/hosts.yml, and push:</p>
          <CopyCommand command="drover clone fleet" />
        </div>
      )}
      <Attention items={items} />
      {alerts.error && (
        <p className={css.stale} role="status">
          Alerts cannot be read, so what they say is missing here: {failureOf(alerts.error).message}.
        </p>
      )}
      <FilterBar text={text} setText={setText} filter={filter} listed={listed} subjects={subjects} shown={found.length} by={by} setBy={setBy} view={view} setView={showAs} />
      {loadFailure && (
        <p className={css.stale} role="status">
          Loads cannot be read: {loadFailure.message}.
        </p>
      )}
      {found.length === 0 ? (
        <p className={css.none}>
          No host matches.{" "}
          <button type="button" onClick={() => setText("")}>
            Show all {counted(hosts.length, "host")}
          </button>
        </p>
      ) : (
        <HostList subjects={found} groups={groups} view={view} order={order} onOrder={sortBy} selection={selection} />
      )}
      {chosen.length > 0 && (
        <div className={css.bulk} role="group" aria-label="What to do with the selected hosts">
          <strong aria-live="polite">{counted(chosen.length, "host")} selected</strong>
          <div className={css.verbs}>
            <Button size="xs" onClick={() => doing.run(chosen)}>
              Run a command
            </Button>
            <Button size="xs" variant="default" onClick={() => void doing.converge(chosen, false)}>
              Converge now
            </Button>
            <Button size="xs" variant="default" onClick={() => void doing.converge(chosen, true)}>
              Check
            </Button>
            {chosen.some((h) => !h.paused) && (
              <Button size="xs" variant="default" onClick={() => void doing.pause(chosen.filter((h) => !h.paused), true)}>
                Pause
              </Button>
            )}
            {chosen.some((h) => h.paused) && (
              <Button size="xs" variant="default" onClick={() => void doing.pause(chosen.filter((h) => h.paused), false)}>
                Resume
              </Button>
            )}
          </div>
          <button type="button" className={css.clear} onClick={() => setSelected(new Set())}>
            Clear
          </button>
        </div>
      )}
      <RunDialog hosts={running} all={hosts.length} open={open} onClose={doing.close} />
      <AddHostDialog open={adding} onClose={doing.endAdding} />
    </Page>
  );
}

/** Head is what can be done with all that the list shows. */
const Head = memo(function Head({ found, all, doing }: { found: Subject[]; all: number; doing: Doing }) {
  return (
    <>
      <Button variant="default" size="sm" onClick={doing.add}>
        Add a host
      </Button>
      <Menu position="bottom-end" width={260}>
        <Menu.Target>
          <Button variant="default" size="sm">
            Do on {found.length === all ? "all hosts" : counted(found.length, "host")}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Do on={found.map((s) => s.host)} doing={doing} />
        </Menu.Dropdown>
      </Menu>
    </>
  );
});

function Do({ on, doing }: { on: HostRow[]; doing: Doing }) {
  return (
    <>
      <Menu.Item onClick={() => doing.run(on)}>Run a command…</Menu.Item>
      <Menu.Item onClick={() => void doing.converge(on, false)}>Converge now…</Menu.Item>
      <Menu.Item onClick={() => void doing.converge(on, true)}>Check what would change…</Menu.Item>
      <Menu.Divider />
      {on.some((h) => !h.paused) && <Menu.Item onClick={() => void doing.pause(on.filter((h) => !h.paused), true)}>Pause…</Menu.Item>}
      {on.some((h) => h.paused) && <Menu.Item onClick={() => void doing.pause(on.filter((h) => h.paused), false)}>Resume…</Menu.Item>}
    </>
  );
}

const next = (key: string, order: { key: string; down: boolean }): string | undefined => {
  // Loads are looked at from the highest down.
  const falls = ["cpu", "memory", "disk", "drifted", "converged"].includes(key);
  if (order.key !== key) return falls ? `-${key}` : key;
  if (order.down === falls) return falls ? key : `-${key}`;
  return undefined;
};

/** The filter is shown at once and written to the address bar when typing rests: browsers count such writes. */
function useFilterText(): [string, (text: string) => void] {
  const [param, setParam] = useParam("q");
  const [text, setText] = useState(param ?? "");
  const written = useRef(param ?? "");
  useEffect(() => {
    // A link or the back key has changed it.
    if ((param ?? "") !== written.current) {
      written.current = param ?? "";
      setText(param ?? "");
    }
  }, [param]);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const set = useCallback(
    (next: string) => {
      setText(next);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => {
        written.current = next.trim();
        setParam(next.trim());
      }, 250);
    },
    [setParam],
  );
  return [text, set];
}

type Doing = ReturnType<typeof useDoing>["doing"];

/** What can be done from here, each asked for before it happens. `doing` stays the same object. */
function useDoing(hosts: HostRow[]) {
  const confirm = useConfirm();
  const converge = useConverge();
  const pause = usePause();
  const [running, setRunning] = useState<HostRow[]>([]);
  const [open, setOpen] = useState(false);
  const [adding, setAdding] = useState(false);
  const [asked, setAsked] = useParam("do");
  const all = useRef(hosts.length);
  all.current = hosts.length;
  const doing = useMemo(
    () => ({
      run: (on: HostRow[]) => {
        setRunning(on);
        setOpen(true);
      },
      close: () => setOpen(false),
      add: () => setAdding(true),
      endAdding: () => setAdding(false),
      converge: async (on: HostRow[], check: boolean) => {
        const there = on.filter((h) => h.connected).length;
        const yes = await confirm({
          title: check ? `Check what would change on ${counted(on.length, "host")}` : `Converge ${counted(on.length, "host")} now`,
          body: (
            <>
              <Radius hosts={on} verb={check ? "asks" : "converges"} />
              <p>{check ? "Nothing is changed. Each host says what a converge would do." : "Each host applies what its revision says, as it does by itself every ten minutes."}</p>
            </>
          ),
          verb: `${check ? "Check" : "Converge"} ${counted(there, "host")}`,
          ...(!check && on.length > many ? { type: String(on.length) } : {}),
        });
        if (yes) await converge(patternOf(on.map((h) => h.name), all.current), check, on.length);
      },
      pause: async (on: HostRow[], paused: boolean) => {
        const yes = await confirm({
          title: `${paused ? "Pause" : "Resume"} ${counted(on.length, "host")}`,
          body: (
            <>
              <Radius hosts={on} verb={paused ? "pauses" : "resumes"} />
              <p>{paused ? "A paused host stays connected, and converges nothing until it is resumed." : "Each host converges to its revision at once."}</p>
            </>
          ),
          verb: `${paused ? "Pause" : "Resume"} ${counted(on.length, "host")}`,
          ...(on.length > many ? { type: String(on.length) } : {}),
        });
        if (yes) await pause(on.map((h) => h.name), paused);
      },
    }),
    [confirm, converge, pause],
  );
  // The palette leads here with ?do=.
  useEffect(() => {
    if (asked === undefined) return;
    setAsked(undefined);
    if (asked === "run") doing.run(hosts);
    else if (asked === "converge" || asked === "check") void doing.converge(hosts, asked === "check");
    else if (asked === "add") doing.add();
    // What there is to do is done once, however often hosts change.
  }, [asked]); // eslint-disable-line
  return { doing, running, open, adding };
}
