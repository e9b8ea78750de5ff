import { memo, useState, type FormEvent } from "react";
import { Button, Modal, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import type { HostRow } from "~/app/overview";
import { failureOf, type Failure } from "~/api/client";
import { counted } from "~/format";
import { many } from "~/pieces/actions";
import { ErrorBox } from "~/pieces/states";
import { Radius } from "./Radius";
import { patternOf, runCommand } from "./doing";
import css from "./dialogs.module.css";

/** RunDialog runs one command on chosen hosts, after it has said on which. */
export const RunDialog = memo(function RunDialog({ hosts, all, open, onClose }: { hosts: HostRow[]; all: number; open: boolean; onClose: () => void }) {
  return (
    <Modal opened={open} onClose={onClose} title={hosts.length === 1 ? `Run a command on ${hosts[0]!.name}` : `Run a command on ${counted(hosts.length, "host")}`} size={620} closeButtonProps={{ "aria-label": "Cancel" }}>
      <Form hosts={hosts} all={all} onClose={onClose} />
    </Modal>
  );
});

function Form({ hosts, all, onClose }: { hosts: HostRow[]; all: number; onClose: () => void }) {
  const [command, setCommand] = useState("");
  const [user, setUser] = useState("");
  const [seconds, setSeconds] = useState("60");
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const navigate = useNavigate();
  const asked = hosts.filter((h) => h.connected).length;
  const sure = hosts.length <= many || typed.trim() === String(hosts.length);
  const time = Number(seconds);
  const ready = command.trim() !== "" && sure && time > 0 && asked > 0;
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const run = await runCommand(command, patternOf(hosts.map((h) => h.name), all), user.trim(), time);
      onClose();
      await navigate({ to: "/runs/$id", params: { id: run.id } });
    } catch (e) {
      setFailure(failureOf(e));
      setBusy(false);
    }
  };
  return (
    <form onSubmit={(e) => void submit(e)} className={css.form}>
      <TextInput label="Command" description="Run by /bin/sh -c on each host" value={command} onChange={(e) => setCommand(e.currentTarget.value)} classNames={{ input: "mono" }} spellCheck={false} autoComplete="off" autoCapitalize="none" data-autofocus required />
      <div className={css.pair}>
        <TextInput label="As user" placeholder="root" value={user} onChange={(e) => setUser(e.currentTarget.value)} spellCheck={false} autoComplete="off" autoCapitalize="none" />
        <TextInput label="End after, in seconds" inputMode="numeric" value={seconds} onChange={(e) => setSeconds(e.currentTarget.value)} error={time > 0 ? undefined : "A number above 0"} />
      </div>
      <Radius hosts={hosts} verb="runs on" />
      {hosts.length > many && (
        <TextInput
          label={
            <>
              Type <strong className="mono">{hosts.length}</strong>, the number of hosts, to go on
            </>
          }
          value={typed}
          onChange={(e) => setTyped(e.currentTarget.value)}
          inputMode="numeric"
          autoComplete="off"
        />
      )}
      {failure && <ErrorBox failure={failure} what="run the command" />}
      <div className={css.buttons}>
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" loading={busy} disabled={!ready}>
          Run on {counted(asked, "host")}
        </Button>
      </div>
    </form>
  );
}
