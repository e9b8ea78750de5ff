import { useState } from "react";
import { Button } from "@mantine/core";
import { Failure } from "~/api/client";
import { useConfirm, useToast } from "../actions";
import { CopyButton } from "../CopyButton";
import { KeyValues } from "../KeyValues";
import { Part } from "../Page";
import { SideDrawer } from "../SideDrawer";
import { Spark } from "../Spark";
import { Stat } from "../Stat";
import { Ago, Empty, ErrorBox, Loading, State } from "../states";
import { Tabs, useTab } from "../Tabs";
import { hostile, longName, waves } from "./samples";
import css from "./Show.module.css";

export function ShowSmall() {
  const confirm = useConfirm();
  const toast = useToast();
  const [drawer, setDrawer] = useState(false);
  const tab = useTab("tab", "one");
  const later = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
  return (
    <>
      <Part title="Stat">
        <div className={css.stats}>
          <Stat label="Hosts" value="42" change="2 more than yesterday" />
          <Stat label="CPU" value="38 %" change="+4 % in an hour" normal="usual 20–45 %" spark={waves(30, 0.4, 0.2, 3)} />
          <Stat label="Disk" value="94 %" tone="bad" change="full in 9 hours" spark={[0.7, 0.74, 0.79, null, 0.85, 0.9, 0.94]} />
          <Stat label="Drifted today" value="3" tone="warn" normal="usual 0" />
          <Stat label="Without a value" value="–" />
        </div>
      </Part>
      <Part title="State, age and spark">
        <p className={css.row}>
          <State tone="ok">converged</State> <State tone="info">converging</State> <State tone="warn">drifted</State> <State tone="bad">failed</State> <State tone="idle">away</State>
        </p>
        <p className={css.row}>
          <Ago at={new Date(Date.now() - 3000).toISOString()} /> <Ago at={new Date(Date.now() - 200_000).toISOString()} /> <Ago at={new Date(Date.now() - 9e9).toISOString()} /> <Ago at={undefined} />
        </p>
        <p className={css.row}>
          <Spark values={waves(40, 5, 3, 2)} label="A sample" /> <Spark values={waves(40, 5, 3, 4).map((v, i) => (i > 14 && i < 22 ? null : v))} label="A sample with a gap" /> <Spark values={[0, 0, 0]} label="A sample of zeros" />{" "}
          <Spark values={[]} label="A sample without values" />
        </p>
      </Part>
      <Part title="Names and values">
        <KeyValues
          items={[
            ["Name", <span className="mono">{hostile}</span>],
            ["A long name", <span className="mono">{longName}</span>],
            ["Groups", "web, eu, canary"],
            ["Description", ""],
            ["Left out", undefined],
            ["Certificate", <Ago at={new Date(Date.now() + 20 * 86_400_000).toISOString()} />],
          ]}
        />
      </Part>
      <Part title="Tabs">
        <Tabs
          param="tab"
          items={[
            { key: "one", label: "Overview" },
            { key: "two", label: "Files", count: 12 },
            { key: "three", label: "Hosts", count: 3000 },
          ]}
        />
        <p>The address bar says {tab}.</p>
      </Part>
      <Part title="Questions and messages">
        <div className={css.row}>
          <Button
            variant="default"
            onClick={async () => {
              const yes = await confirm({ title: "Restart nginx", body: <p>It restarts on 12 hosts of web, 3 at a time, and stops at the first that fails.</p>, verb: "Restart on 12 hosts" });
              toast(yes ? { tone: "ok", text: "Restarted nginx on 12 hosts", detail: "It took 4.2 s.", undo: () => later(600) } : { tone: "idle", text: "Nothing was restarted" });
            }}
          >
            Ask
          </Button>
          <Button
            variant="default"
            onClick={async () => {
              const yes = await confirm({ title: "Remove 3 hosts", body: <p>Their certificates are refused from then on. What runs on them goes on.</p>, verb: "Remove 3 hosts", danger: true, type: "3 hosts" });
              if (yes) toast({ tone: "bad", text: "Cannot remove sample-1: it is converging", detail: "Wait until it has ended, or cancel it." });
            }}
          >
            Ask for a word
          </Button>
          <Button variant="default" onClick={() => toast({ tone: "info", text: "A run has begun", href: "/runs" })}>
            Say something
          </Button>
          <Button variant="default" onClick={() => setDrawer(true)}>
            Open a drawer
          </Button>
          <CopyButton text="copied from the pieces" label="Copy a text" />
        </div>
        <SideDrawer open={drawer} onClose={() => setDrawer(false)} title="A drawer">
          <p>It lies over the list, and gives the focus back when it closes.</p>
          <KeyValues items={[["Name", "sample-1"]]} />
        </SideDrawer>
      </Part>
      <Part title="Loading, failing, empty">
        <Loading what="a sample" />
        <ErrorBox what="read the sample" failure={new Failure({ code: "unavailable", message: "sample-1 is away since 10 minutes", remedy: "look at its agent: systemctl status drover-agent", place: { file: "site.yml", line: 12, column: 3 } as never })} retry={() => undefined} />
        <Empty command="drover hosts token">Nothing is here. This says what would be, and the one command that brings it.</Empty>
      </Part>
    </>
  );
}
