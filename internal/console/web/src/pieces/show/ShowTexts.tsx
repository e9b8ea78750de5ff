import { useEffect, useMemo, useState } from "react";
import { Button } from "@mantine/core";
import { Code } from "../Code";
import { CopyCommand } from "../CopyCommand";
import { Diff } from "../diff/Diff";
import { Patch } from "../diff/Patch";
import { Output, type Chunk } from "../output/Output";
import { Part } from "../Page";
import { Empty } from "../states";
import { TaskTree } from "../TaskTree";
import { Timeline } from "../Timeline";
import { afterFile, beforeFile, bigOutput, sampleEvents, sampleOutput, samplePatch, sampleTasks } from "./samples";
import css from "./Show.module.css";

function Growing() {
  const [chunks, setChunks] = useState<Chunk[]>([]);
  const [on, setOn] = useState(false);
  useEffect(() => {
    if (!on) return;
    const t = setInterval(() => setChunks((old) => [...old, { text: `line ${old.length + 1} of a sample that grows\n`, stderr: old.length % 9 === 8 }]), 150);
    return () => clearInterval(t);
  }, [on]);
  return (
    <>
      <Button variant="default" size="xs" onClick={() => setOn(!on)}>
        {on ? "Stop" : "Let it grow"}
      </Button>
      <Output chunks={chunks} follow label="A growing output" />
    </>
  );
}

export function ShowTexts() {
  const [big, setBig] = useState(false);
  const huge = useMemo(() => (big ? bigOutput() : ""), [big]);
  const events = useMemo(() => sampleEvents(Date.now()), []);
  return (
    <>
      <Part title="Output" hint="colours, search, wrap; what a terminal would do otherwise is left out">
        <Output chunks={sampleOutput} label="Output of a sample" />
        <Growing />
        {big ? (
          <Output chunks={huge} label="A large output" truncated total={12_400_000} />
        ) : (
          <Button variant="default" size="xs" onClick={() => setBig(true)} className={css.gap ?? ""}>
            Show 5 MB
          </Button>
        )}
      </Part>
      <Part title="Difference">
        <Diff before={beforeFile} after={afterFile} path="group_vars/sample.yml" />
        <Patch text={samplePatch} path="roles/nginx/templates/site.conf.j2" note="changed" />
        <Diff before={"\0\x01"} after={"\0\x02"} path="files/logo.png" />
        <Diff before="same" after="same" path="files/unchanged" />
      </Part>
      <Part title="Tasks">
        <TaskTree tasks={sampleTasks} />
      </Part>
      <Part title="Tasks that changed or failed">
        <TaskTree tasks={sampleTasks} onlyChanges />
      </Part>
      <Part title="Tasks of a quiet run">
        <TaskTree tasks={sampleTasks.filter((t) => t.status === "ok")} onlyChanges />
      </Part>
      <Part title="Timeline">
        <Timeline events={events} empty={null} />
      </Part>
      <Part title="Empty timeline">
        <Timeline events={[]} empty={<Empty>Nothing has happened in this time.</Empty>} />
      </Part>
      <Part title="Code">
        <Code text={beforeFile} language="yaml" label="A sample in YAML" />
        <CopyCommand command="drover run 'systemctl reload nginx' -l 'web:&eu'" />
      </Part>
    </>
  );
}
