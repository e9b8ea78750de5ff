import { memo, useState } from "react";
import { Button, Modal } from "@mantine/core";
import { api, data, failureOf, request, type Failure, type Schemas } from "~/api/client";
import { useSession } from "~/app/session";
import { now } from "~/app/clock";
import { dateTime } from "~/format";
import { CopyCommand } from "~/pieces/CopyCommand";
import { ErrorBox } from "~/pieces/states";
import css from "./dialogs.module.css";

const hours = 2;

/** AddHostDialog is the ways to enrol a host. */
export const AddHostDialog = memo(function AddHostDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Modal opened={open} onClose={onClose} title="Add a host" size={720} closeButtonProps={{ "aria-label": "Close" }}>
      <Enrol />
    </Modal>
  );
});

/** Enrol shows the line for a shell with SSH, and makes the one for the host itself. */
export function Enrol() {
  const { may } = useSession();
  const [made, setMade] = useState<{ command: string; until: string }>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const make = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const info = await data(api.GET("/v1/join"));
      const until = new Date(now() + hours * 3_600_000).toISOString();
      const response = await request("/v1/tokens", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ kind: "token", spec: { join: true, expires: until, note: "made in the console" } }),
      });
      const token = (await response.json()) as Schemas["NewToken"];
      setMade({ command: info.command.replaceAll("TOKEN", token.secret), until });
    } catch (e) {
      setFailure(failureOf(e));
    } finally {
      setBusy(false);
    }
  };
  return (
    <ul className={css.steps}>
      <li>
        <strong>By SSH, from your machine</strong>
        <p className={css.hint}>As root, or as a user with sudo without a password. It takes about a second, and the host appears here by itself.</p>
        <CopyCommand command="drover enroll ssh://root@HOST" />
      </li>
      <li>
        <strong>From the host itself</strong>
        <p className={css.hint}>A line that works once, to be run there as root. It needs nothing but curl.</p>
        {made ? (
          <>
            <CopyCommand command={made.command} />
            <p className={css.hint}>It enrols one host, until {dateTime(made.until)}.</p>
          </>
        ) : may("operator") ? (
          <Button variant="default" loading={busy} onClick={() => void make()}>
            Make the line
          </Button>
        ) : (
          <CopyCommand command="drover token join --host HOST" />
        )}
        {failure && <ErrorBox failure={failure} what="make the line" retry={() => void make()} />}
      </li>
    </ul>
  );
}
