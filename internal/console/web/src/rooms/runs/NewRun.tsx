import { useMemo, useState, type FormEvent } from "react";
import { Button, Checkbox, Modal, NativeSelect, Textarea, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { failureOf, type Failure } from "~/api/client";
import { send } from "~/api/json";
import { useOverview } from "~/app/overview";
import { useFilters } from "~/app/search";
import { counted, listed, whole } from "~/format";
import { many, useConfirm } from "~/pieces/actions";
import { CopyCommand } from "~/pieces/CopyCommand";
import { ErrorBox } from "~/pieces/states";
import { convergeLine, quote, runLine } from "~/run/command";
import { match } from "./pattern";
import type { RunRecord } from "./types";
import css from "./Runs.module.css";

const timeouts = [
  ["", "1 minute"],
  ["5m", "5 minutes"],
  ["30m", "30 minutes"],
  ["2h", "2 hours"],
  ["24h", "1 day"],
] as const;

const seconds: Record<string, number> = { "": 0, "5m": 300, "30m": 1800, "2h": 7200, "24h": 86400 };

/** NewRun asks what to run and where, says how many hosts that is, and begins it. */
export function NewRun({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="New run" size="lg">
      <Form onClose={onClose} />
    </Modal>
  );
}

function Form({ onClose }: { onClose: () => void }) {
  // What another page fills in comes by the address; what is typed here stays here.
  const [from] = useFilters("new", "hosts", "command", "user");
  const [kind, setKind] = useState(from.new === "converge" ? "converge" : "command");
  const [command, setCommand] = useState(from.command);
  const [hosts, setHosts] = useState(from.hosts);
  const [user, setUser] = useState(from.user);
  const [timeout, setLimit] = useState("");
  const [check, setCheck] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const overview = useOverview();
  const confirm = useConfirm();
  const navigate = useNavigate();

  const found = useMemo(() => match(hosts, overview.hosts ?? []), [hosts, overview.hosts]);
  const online = found.hosts.filter((h) => overview.byName.get(h)?.connected);
  const away = found.hosts.length - online.length;
  const on = counted(online.length, "host");
  const ready = online.length > 0 && (kind === "converge" || command.trim() !== "");
  const changes = kind === "command" || !check;
  const verb = kind === "command" ? `Run on ${on}` : check ? `Check ${on}` : `Converge ${on}`;

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!ready || busy) return;
    if (changes) {
      const sure = await confirm({
        title: kind === "command" ? `Run this on ${on}?` : `Converge ${on} now?`,
        body: (
          <>
            {kind === "command" ? (
              <pre className={css.command}>{command}</pre>
            ) : (
              <p>Each of them becomes what the active revision says, now and all at once. What somebody changed on them by hand is put right.</p>
            )}
            <p>
              On {listed(online, 6)}
              {kind === "command" ? `, as ${user || "root"}, all at once.` : "."}
              {away > 0 && ` ${counted(away, "host that matches is", "hosts that match are")} away and will be left out.`}
            </p>
          </>
        ),
        verb,
        ...(online.length > many ? { type: String(online.length) } : {}),
      });
      if (!sure) return;
    }
    setBusy(true);
    setFailure(undefined);
    try {
      const limit = seconds[timeout] ? { timeout: seconds[timeout]! * 1e9 } : {};
      const where = hosts.trim() ? { hosts: hosts.trim() } : {};
      const record =
        kind === "command"
          ? await send<RunRecord>("POST", "/v1/runs", { command, ...where, ...limit, ...(user.trim() ? { user: user.trim() } : {}), detach: true })
          : await send<RunRecord>("POST", "/v1/converge", { ...where, ...limit, check, detach: true });
      await navigate({ to: "/runs/$id", params: { id: record.id }, search: {} as never });
    } catch (e) {
      setFailure(failureOf(e));
      setBusy(false);
    }
  };
  const wrong = (field: string) => (failure?.field === field ? `${failure.message}${failure.remedy ? `; ${failure.remedy}` : ""}` : undefined);

  return (
    <form className={css.form} onSubmit={(e) => void submit(e)}>
      <fieldset className={css.kinds}>
        <legend className="visually-hidden">What to run</legend>
        {[
          ["command", "A command"],
          ["converge", "A converge"],
        ].map(([value, label]) => (
          <label key={value}>
            <input type="radio" name="kind" value={value} checked={kind === value} onChange={() => setKind(value!)} />
            {label}
          </label>
        ))}
      </fieldset>
      {kind === "command" ? (
        <Textarea label="Command" description="By /bin/sh -c" value={command} onChange={(e) => setCommand(e.currentTarget.value)} required data-autofocus autosize minRows={2} maxRows={10} spellCheck={false} error={wrong("command")} styles={mono} />
      ) : (
        <Checkbox label="Check only: say what would change, and change nothing" checked={check} onChange={(e) => setCheck(e.currentTarget.checked)} />
      )}
      <TextInput label="Hosts" description="Names, groups, label:KEY=VALUE; ',' joins, '!' leaves out, '&' for both. Empty: all." value={hosts} onChange={(e) => setHosts(e.currentTarget.value)} placeholder="all" spellCheck={false} error={wrong("hosts") ?? found.problem} styles={mono} />
      <p className={css.count} aria-live="polite">
        {overview.hosts === undefined ? (
          "The hosts are being read."
        ) : found.hosts.length === 0 ? (
          found.problem ? "" : "No enrolled host matches."
        ) : (
          <>
            <strong>{on}</strong>
            {away > 0 && `, and ${whole(away)} away`}: {listed(online.length ? online : found.hosts, 5)}
          </>
        )}
      </p>
      {kind === "command" && (
        <div className={css.row}>
          <NativeSelect label="End it after" value={timeout} onChange={(e) => setLimit(e.currentTarget.value)} data={timeouts.map(([value, label]) => ({ value, label }))} error={wrong("timeout")} />
          <TextInput label="As user" value={user} onChange={(e) => setUser(e.currentTarget.value)} placeholder="root" spellCheck={false} autoCapitalize="none" />
        </div>
      )}
      {failure && !["command", "hosts", "timeout"].includes(failure.field ?? "") && <ErrorBox failure={failure} what="begin the run" />}
      <div className={css.foot}>
        <CopyCommand command={kind === "command" && !command ? "drover run COMMAND" : text(kind, command, hosts, user, timeout, check)} />
        <div className={css.buttons}>
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" disabled={!ready} loading={busy}>
            {verb}
            {changes ? "…" : ""}
          </Button>
        </div>
      </div>
    </form>
  );
}

const mono = { input: { fontFamily: "var(--font-mono)" } };

function text(kind: string, command: string, hosts: string, user: string, timeout: string, check: boolean): string {
  if (kind !== "command") return convergeLine(check, hosts.trim());
  return runLine(command, hosts.trim(), user.trim()) + (timeout ? ` --timeout ${quote(timeout)}` : "");
}
