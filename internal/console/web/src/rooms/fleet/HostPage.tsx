import { useEffect, useMemo, useRef, useState } from "react";
import { Button, Menu } from "@mantine/core";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { byHost, useAlerts } from "~/alerts/alerts";
import { failureOf } from "~/api/client";
import { now } from "~/app/clock";
import { useOverview, type HostRow } from "~/app/overview";
import { useParam } from "~/app/params";
import { useSession } from "~/app/session";
import { useTick } from "~/app/time";
import { ago } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { Page } from "~/pieces/Page";
import { Empty, ErrorBox, Loading, State } from "~/pieces/states";
import { Tabs, useTab } from "~/pieces/Tabs";
import { convergeLine } from "~/run/command";
import { HostCommand } from "./HostCommand";
import { HostConverge } from "./HostConverge";
import { HostEvents } from "./HostEvents";
import { HostFacts } from "./HostFacts";
import { HostOverview } from "./HostOverview";
import { HostProcesses } from "./HostProcesses";
import { HostUnits } from "./HostUnits";
import { LabelsDialog } from "./LabelsDialog";
import { removeHost, usePause } from "./doing";
import { healthOf } from "./health";
import { useHostLive } from "./host";
import { useHostRun } from "./hostrun";
import { hostSays } from "./hostwords";
import css from "./HostPage.module.css";

/** HostPage is one host: how it is, what is wrong, what to do, and everything that is known of it. */
export function HostPage() {
  const { name } = useParams({ strict: false }) as { name: string };
  const { hosts, byName, failure } = useOverview();
  const row = byName.get(name);
  if (row) return <OneHost key={name} row={row} />;
  if (hosts === undefined) {
    if (failure)
      return (
        <Page title={name} mono fact="The host cannot be read.">
          <ErrorBox failure={failure} what="read the host" />
        </Page>
      );
    return (
      <Page title={name} mono>
        <Loading what="the host" lines={10} />
      </Page>
    );
  }
  return (
    <Page title={name} mono fact={`No host of the fleet is called ${name}.`}>
      <Empty>
        It was never enrolled, or was removed. <Link to="/">See all hosts</Link>.
      </Empty>
    </Page>
  );
}

function OneHost({ row }: { row: HostRow }) {
  const name = row.name;
  useHostLive(name);
  useTick();
  const alerts = useAlerts();
  const mine = useMemo(() => byHost(alerts.data).get(name), [alerts.data, name]);
  const health = healthOf(row, mine, now());
  const says = hostSays(row, health, now());
  const { may } = useSession();
  const operator = may("operator");
  const tab = useTab("tab", "overview");
  const [, setTab] = useParam("tab");
  const pause = usePause();
  const remove = useRemove();
  const [labels, setLabels] = useState(false);
  const converge = useHostRun(name);
  const command = useHostRun(name);
  const ask = (check: boolean) => {
    converge.start(check ? "check" : "converge", convergeLine(check, name), "/v1/converge", { hosts: name, check });
    setTab("converge");
  };
  // The palette leads here with ?do=.
  const [asked, setAsked] = useParam("do");
  const confirm = useConfirm();
  const once = useRef(false);
  useEffect(() => {
    if (asked === undefined || once.current) return;
    once.current = true;
    setAsked(undefined);
    void confirm({ title: asked === "check" ? `Check ${name}` : `Converge ${name} now`, body: asked === "check" ? "Nothing is changed." : "The host applies what its revision says.", verb: asked === "check" ? "Check" : "Converge" }).then((yes) => {
      if (yes) ask(asked === "check");
    });
  }, [asked]); // eslint-disable-line
  const items = [
    { key: "overview", label: "Overview" },
    { key: "processes", label: "Processes" },
    { key: "units", label: "Units" },
    { key: "converge", label: "Converge" },
    { key: "events", label: "Events" },
    { key: "facts", label: "Facts" },
    ...(operator ? [{ key: "command", label: "Command" }] : []),
  ];
  const shown = items.some((i) => i.key === tab) ? tab : "overview";
  return (
    <Page
      title={name}
      mono
      width="data"
      fact={says.fact}
      actions={
        operator && (
          <>
            <Button variant="default" disabled={!row.connected || converge.run?.state === "running"} onClick={() => ask(true)}>
              Check what would change
            </Button>
            <Button disabled={!row.connected || row.paused === true || converge.run?.state === "running"} onClick={() => ask(false)}>
              Converge now
            </Button>
            <Menu position="bottom-end" width={220}>
              <Menu.Target>
                <Button variant="default">More</Button>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item onClick={() => void pause([name], !row.paused)}>{row.paused ? "Resume" : "Pause"}</Menu.Item>
                <Menu.Item onClick={() => setLabels(true)}>Edit labels</Menu.Item>
                <Menu.Item component={Link} to="/runs" search={{ host: name } as never}>
                  Runs on this host
                </Menu.Item>
                <Menu.Divider />
                <Menu.Item color="red" onClick={() => void remove(row)}>
                  Remove from the fleet
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          </>
        )
      }
    >
      <div className={css.under}>
        <State tone={health.tone}>{health.word}</State>
        {says.todo && <span>{says.todo}</span>}
        {health.alerts.length > 0 && (
          <Link to="/alerts" search={{ q: name } as never}>
            {health.alerts.length === 1 ? "See the alert" : `See ${health.alerts.length} alerts`}
          </Link>
        )}
        {health.word === "failed" && shown !== "converge" && (
          <button type="button" className={css.link} onClick={() => setTab("converge")}>
            See the failed task
          </button>
        )}
        {row.paused && operator && (
          <button type="button" className={css.link} onClick={() => void pause([name], false)}>
            Resume
          </button>
        )}
      </div>
      {alerts.error && <p className={css.note}>Alerts cannot be read: {failureOf(alerts.error).message}.</p>}
      <Tabs items={items} param="tab" label={`About ${name}`} />
      <div role="tabpanel" aria-label={items.find((i) => i.key === shown)?.label} className={css.panel}>
        {!row.connected && shown !== "events" && shown !== "command" && (
          <p className={css.note} role="status">
            ▲ The host is away. What is here is from before{row.lastSeen ? `, ${ago(row.lastSeen)}` : ""}.
          </p>
        )}
        {shown === "overview" && <HostOverview row={row} onLabels={operator ? () => setLabels(true) : undefined} />}
        {shown === "processes" && <HostProcesses row={row} />}
        {shown === "units" && <HostUnits row={row} />}
        {shown === "converge" && <HostConverge row={row} live={converge} />}
        {shown === "events" && <HostEvents name={name} />}
        {shown === "facts" && <HostFacts name={name} />}
        {shown === "command" && <HostCommand row={row} live={command} />}
      </div>
      <LabelsDialog row={row} open={labels} onClose={() => setLabels(false)} />
    </Page>
  );
}

function useRemove(): (row: HostRow) => Promise<void> {
  const confirm = useConfirm();
  const toast = useToast();
  const navigate = useNavigate();
  return async (row) => {
    const yes = await confirm({
      title: `Remove ${row.name} from the fleet`,
      body: (
        <>
          <p>Its certificate is revoked and its agent is cut off for good. The host itself keeps running as it is; nothing on it is undone.</p>
          <p>Its events and runs stay. To have it back, enrol it again.</p>
        </>
      ),
      verb: `Remove ${row.name}`,
      danger: true,
      type: row.name,
    });
    if (!yes) return;
    try {
      await removeHost(row.name);
      toast({ tone: "ok", text: `Removed ${row.name} from the fleet` });
      await navigate({ to: "/" });
    } catch (e) {
      const f = failureOf(e);
      toast({ tone: "bad", text: `Cannot remove ${row.name}: ${f.message}`, detail: f.remedy });
    }
  };
}
