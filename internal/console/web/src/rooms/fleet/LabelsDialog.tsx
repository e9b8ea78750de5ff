import { useState, type FormEvent } from "react";
import { Button, Modal, Textarea } from "@mantine/core";
import { failureOf, type Failure } from "~/api/client";
import type { HostRow } from "~/app/overview";
import { useToast } from "~/pieces/actions";
import { ErrorBox } from "~/pieces/states";
import { patchHost } from "./doing";
import { labelPatch, readLabels, writeLabels } from "./hostwords";
import css from "./dialogs.module.css";

/** LabelsDialog changes a host's labels, a line each. */
export function LabelsDialog({ row, open, onClose }: { row: HostRow; open: boolean; onClose: () => void }) {
  return (
    <Modal opened={open} onClose={onClose} title={`Labels of ${row.name}`} size={520} closeButtonProps={{ "aria-label": "Cancel" }}>
      <Form row={row} onClose={onClose} />
    </Modal>
  );
}

function Form({ row, onClose }: { row: HostRow; onClose: () => void }) {
  const [text, setText] = useState(() => writeLabels(row.labels));
  const [before] = useState(row.labels);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const toast = useToast();
  const { labels, problems } = readLabels(text);
  const patch = labelPatch(before, labels);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!patch || problems.length > 0 || busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await patchHost(row.name, { labels: patch });
      const back = labelPatch(labels, before ?? {});
      toast({ tone: "ok", text: `Changed the labels of ${row.name}`, ...(back ? { undo: () => patchHost(row.name, { labels: back }) } : {}) });
      onClose();
    } catch (e) {
      setFailure(failureOf(e));
      setBusy(false);
    }
  };
  return (
    <form className={css.form} onSubmit={(e) => void submit(e)}>
      <Textarea
        label="Labels" description="A line each, key=value. Commands and plays select by them: label:env=prod" value={text} onChange={(e) => setText(e.currentTarget.value)}
        rows={Math.min(14, Math.max(5, text.split("\n").length + 1))} error={problems[0]} classNames={{ input: "mono" }} spellCheck={false} autoCapitalize="none" data-autofocus
      />
      {failure && <ErrorBox failure={failure} what="change the labels" />}
      <div className={css.buttons}>
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" loading={busy} disabled={!patch || problems.length > 0}>
          Save labels
        </Button>
      </div>
    </form>
  );
}
