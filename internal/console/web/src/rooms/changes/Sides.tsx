import { useMemo, useState } from "react";
import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "~/api/client";
import { counted, listed, whole } from "~/format";
import { alikeTasks } from "~/pieces/alike";
import { Patch } from "~/pieces/diff/Patch";
import { Async, Loading } from "~/pieces/states";
import { TaskTree } from "~/pieces/TaskTree";
import { reportsAtFirst, useReports, useRevisionDiff } from "./queries";
import type { FileDiff, HostPart } from "./words";
import css from "./Changes.module.css";

/** Sides puts what was written beside what it did: the repository's diff and the hosts'. */
export function Sides({ name, hosts, failed }: { name: string; hosts: HostPart[] | undefined; failed: boolean }) {
  const diff = useRevisionDiff(name);
  return (
    <div className={css.sides}>
      <section aria-labelledby="side-files">
        <h3 id="side-files">In the repository{diff.data ? `: ${counted((diff.data.files ?? []).length, "file")}` : ""}</h3>
        <Async query={diff} what="the diff of the repository" lines={8}>
          {(d) =>
            (d.files ?? []).length === 0 ? (
              <p className={css.quiet}>No file differs.</p>
            ) : (
              <>
                {d.files.map((f, i) => (
                  <File key={f.path} file={f} open={i < 8} />
                ))}
                {d.truncated && <p className={css.quiet}>The diff is too large to show in full; git show {name.slice(0, 10)} has all of it.</p>}
              </>
            )
          }
        </Async>
      </section>
      <section aria-labelledby="side-hosts">
        <h3 id="side-hosts">On the hosts</h3>
        {hosts === undefined ? failed ? <p className={css.quiet}>What became of the hosts cannot be read; see below.</p> : <Loading what="what changed on the hosts" lines={8} /> : <OnHosts hosts={hosts} />}
      </section>
    </div>
  );
}

const words: Record<string, string> = { added: "new", removed: "removed", renamed: "renamed", changed: "" };

function File({ file, open }: { file: FileDiff; open: boolean }) {
  const [shown, setShown] = useState(open);
  const note = file.from && file.from !== file.path ? `was ${file.from}` : (words[file.status ?? "changed"] ?? file.status);
  if (shown && file.patch && !file.binary)
    return (
      <div className={css.file}>
        <Patch text={file.patch} path={file.path} {...(note ? { note } : {})} />
        {file.cut && <p className={css.quiet}>It is too large to show in full.</p>}
      </div>
    );
  return (
    <p className={css.closed}>
      <span className="mono">{file.path}</span>
      <span className={css.quiet}>
        {note ? `${note}, ` : ""}
        {file.binary ? "a binary file" : !file.patch ? (file.mode ? `only its mode: ${file.mode}` : "too large to show") : ""}
        {!file.binary && (
          <>
            {" "}
            <span className={css.plus}>+{file.added}</span> <span className={css.minus}>−{file.removed}</span>
          </>
        )}
      </span>
      {file.patch && !file.binary && (
        <Button variant="subtle" size="compact-sm" aria-label={`Show ${file.path}`} onClick={() => setShown(true)}>
          Show
        </Button>
      )}
    </p>
  );
}

function OnHosts({ hosts }: { hosts: HostPart[] }) {
  const [all, setAll] = useState(false);
  const touched = useMemo(() => hosts.filter((h) => h.run && (h.state === "changed" || h.state === "failed" || (h.changed ?? 0) > 0)).map((h) => ({ host: h.host, run: h.run! })), [hosts]);
  const asked = all ? touched : touched.slice(0, reportsAtFirst);
  const reports = useReports(asked);
  const waiting = hosts.filter((h) => h.state === "waiting" || h.state === "applying").length;
  if (touched.length === 0)
    return (
      <p className={css.quiet}>
        {hosts.length === 0 ? "No host takes part." : waiting > 0 ? `${counted(waiting, "host")} still to report; nothing has changed so far.` : "Nothing changed on any host."}
      </p>
    );
  return (
    <Async query={reports} what="what changed on the hosts" lines={8}>
      {(d) => (
        <>
          <Groups reports={d.reports} runs={new Map(touched.map((t) => [t.host, t.run]))} />
          {d.missing.length > 0 && <p className={css.quiet}>The reports of {counted(d.missing.length, "host")} are not kept any more.</p>}
          {touched.length > asked.length && (
            <p className={css.quiet}>
              This is from {asked.length} of {counted(touched.length, "host")} that changed.{" "}
              <Button variant="default" size="compact-sm" onClick={() => setAll(true)}>
                Read all
              </Button>
            </p>
          )}
          {waiting > 0 && <p className={css.quiet}>{counted(waiting, "host")} still to report.</p>}
        </>
      )}
    </Async>
  );
}

function Groups({ reports, runs }: { reports: { host: string; report: Schemas["Report"] }[]; runs: Map<string, string> }) {
  const groups = useMemo(
    () => alikeTasks(reports.map(({ host, report }) => ({ host, failed: report.failed, message: report.message ?? "", tasks: Object.values(report.sections ?? {}).flatMap((s) => (s as Schemas["Result"]).tasks ?? []) }))),
    [reports],
  );
  return groups.map((g) => (
    <section key={g.key} className={css.group} aria-label={`${g.failed ? "Failed" : "Changed"} on ${listed(g.hosts, 2)}`}>
      <p className={css.names}>
        {g.hosts.length > 1 && `${counted(g.hosts.length, "host")} ${g.failed ? "failed" : "changed"} alike: `}
        {g.hosts.slice(0, 8).map((h, i) => (
          <span key={h}>
            {i > 0 && ", "}
            <Link to="/runs/$id" params={{ id: runs.get(h) ?? "" }} className="mono">
              {h}
            </Link>
          </span>
        ))}
        {g.hosts.length > 8 && ` and ${whole(g.hosts.length - 8)} more`}
      </p>
      {g.message && <p className={css.why}>{g.message}</p>}
      {g.tasks.length > 0 ? <TaskTree tasks={g.tasks} onlyChanges /> : <p className={css.quiet}>No task is named in its report.</p>}
    </section>
  ));
}
