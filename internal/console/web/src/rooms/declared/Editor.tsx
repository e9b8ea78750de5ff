import { useMemo, useRef, useState } from "react";
import { Button, UnstyledButton } from "@mantine/core";
import { useBlocker } from "@tanstack/react-router";
import { failureOf, type Failure } from "~/api/client";
import { read, send } from "~/api/json";
import { counted, listed } from "~/format";
import { useToast } from "~/pieces/actions";
import { ErrorBox } from "~/pieces/states";
import { at, fieldsOf, resolve, type Document, type Schema } from "./schema";
import { merge, read as readPath } from "./patch";
import { objectPath } from "./queries";
import { editable, parse, place, yaml, type Problem } from "./text";
import type { Kind, Obj } from "./types";
import css from "./Declared.module.css";

/** Editor changes an object as text. What was typed is never thrown away: not by an error, not by somebody who was faster. */
export function Editor(p: { kind: Kind; doc: Document; schema: Schema; /** undefined: a new one. */ base: Obj | undefined; start: string; onDone: (o: Obj | undefined) => void }) {
  const { kind } = p;
  const [base, setBase] = useState(p.base);
  const [text, setText] = useState(p.start);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem & { field?: string; remedy?: string | undefined }>();
  const [failure, setFailure] = useState<Failure>();
  const [theirs, setTheirs] = useState<{ changed: string[]; both: { path: string; value: unknown }[] }>();
  const area = useRef<HTMLTextAreaElement>(null);
  const toast = useToast();
  const dirty = text !== p.start;
  useBlocker({ shouldBlockFn: () => dirty && !busy && !window.confirm("Leave without saving? What you typed is lost."), enableBeforeUnload: dirty, disabled: !dirty });

  const show = (from: number, to: number) => {
    const a = area.current;
    if (!a) return;
    a.focus();
    a.setSelectionRange(from, to);
    const line = text.slice(0, from).split("\n").length;
    a.scrollTop = Math.max(0, (line - 6) * 20);
  };
  const jump = () => {
    if (!problem?.line) return;
    const lines = text.split("\n");
    const from = lines.slice(0, problem.line - 1).reduce((n, l) => n + l.length + 1, 0);
    show(from, from + (lines[problem.line - 1]?.length ?? 0));
  };

  const save = async () => {
    setProblem(undefined);
    setFailure(undefined);
    const parsed = parse(text);
    if ("problem" in parsed) return setProblem(parsed.problem);
    setBusy(true);
    try {
      const name = String(parsed.value.name ?? "");
      const saved = base
        ? await send<Obj>("PUT", objectPath(kind.plural, base.name), { ...parsed.value, kind: kind.name, revision: base.revision })
        : await send<Obj>("POST", `/v1/${encodeURIComponent(kind.plural)}`, { ...parsed.value, kind: kind.name });
      toast({ tone: "ok", text: base ? `${base.name} is saved.` : `${name} is made.` });
      p.onDone(saved);
    } catch (e) {
      const f = failureOf(e);
      if (f.code === "conflict" && base) await again(parsed.value, base);
      else if (f.field) {
        const where = place(text, f.field);
        setProblem({ message: f.message, field: f.field, remedy: f.remedy, ...(where ? { line: where.line, column: where.column } : {}) });
        if (where) show(where.from, where.to);
      } else setFailure(f);
      setBusy(false);
    }
  };

  // Somebody was faster: their change is taken in, mine stays on top, and
  // nothing is sent before it was looked at.
  const again = async (mine: Record<string, unknown>, old: Obj) => {
    try {
      const now = await read<Obj>(objectPath(kind.plural, old.name));
      const m = merge(editable(old), mine, editable(now));
      setBase(now);
      setText(yaml(m.merged));
      setTheirs({ changed: m.theirs, both: m.both.map((path) => ({ path, value: readPath(editable(now), path) })) });
    } catch (e) {
      setFailure(failureOf(e));
    }
  };

  const hints = useMemo(() => ["labels", "spec"].flatMap((k) => hintsOf(p.doc, at(p.doc, p.schema, k), k)), [p.doc, p.schema]);
  return (
    <div className={css.editor}>
      <div>
        {theirs && (
          <div className={css.changed} role="alert">
            <strong>It was changed while you edited.</strong>{" "}
            {theirs.changed.length > 0 ? `Changed by somebody else: ${listed(theirs.changed, 5)}. ` : "Only what the server notes was changed. "}
            Your changes are on top of it below; look at it and save again.
            {theirs.both.length > 0 && (
              <ul>
                {theirs.both.map((b) => (
                  <li key={b.path}>
                    You both changed <code>{b.path}</code>. Theirs: <code>{JSON.stringify(b.value) ?? "removed"}</code>. Yours is below.
                  </li>
                ))}
              </ul>
            )}
          </div>
        )}
        <textarea
          ref={area}
          className={css.text}
          value={text}
          onChange={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if ((e.ctrlKey || e.metaKey) && e.key === "Enter") void save();
          }}
          aria-label={`${kind.name} as YAML or JSON`}
          aria-invalid={problem !== undefined}
          aria-describedby={problem ? "editor-problem" : undefined}
          rows={Math.min(32, Math.max(14, p.start.split("\n").length + 3))}
          spellCheck={false}
          autoCapitalize="none"
          autoFocus
        />
        {problem && (
          <p className={css.wrong} role="alert" id="editor-problem">
            {problem.line && (
              <UnstyledButton className={css.linkish} onClick={jump}>
                Line {problem.line}
              </UnstyledButton>
            )}
            {problem.line ? ", " : ""}
            {problem.field && <code>{problem.field}</code>}
            {problem.field ? ": " : ""}
            {ended(`${problem.message}${problem.remedy ? `; ${problem.remedy}` : ""}`)}
          </p>
        )}
        {failure && <ErrorBox failure={failure} what={`save the ${kind.name}`} />}
        <div className={css.foot}>
          <Button onClick={() => void save()} loading={busy} disabled={base !== undefined && !dirty}>
            {base ? `Save ${base.name}` : `Make the ${kind.name}`}
          </Button>
          <Button variant="default" onClick={() => p.onDone(undefined)}>
            Cancel
          </Button>
          <span className={css.none}>Ctrl Enter saves</span>
        </div>
      </div>
      <aside className={css.help} aria-label="Fields that can be set" tabIndex={0}>
        <h2>{counted(hints.length, "field")} that can be set</h2>
        <dl>
          {hints.map((h) => (
            <div key={h.path}>
              <dt>
                {h.path}
                {h.type ? `: ${h.type}` : ""}
                {h.required ? ", needed" : ""}
              </dt>
              <dd>{h.doc}</dd>
            </div>
          ))}
        </dl>
      </aside>
    </div>
  );
}

const ended = (s: string): string => (/[.?]$/.test(s) ? s : `${s}.`);

type Hint = { path: string; type: string; doc: string; required: boolean };

function hintsOf(doc: Document, schema: Schema, path: string, depth = 0): Hint[] {
  if (path === "labels") return [{ path, type: "pairs", doc: schema.description ?? "", required: false }];
  const s = resolve(doc, schema);
  return fieldsOf(doc, s, {}, path, true).flatMap((f) => {
    const type = Array.isArray(f.schema.type) ? f.schema.type.join(" or ") : (f.schema.type ?? "");
    const own = { path: f.path, type: f.schema.properties ? "" : type, doc: f.schema.description ?? "", required: (s.required ?? []).includes(f.key) };
    return f.schema.properties && depth < 3 ? [own, ...hintsOf(doc, f.schema, f.path, depth + 1)] : [own];
  });
}
