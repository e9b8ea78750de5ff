import { lazy, Suspense, useMemo, useRef } from "react";
import { Button, TextInput } from "@mantine/core";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useFilters } from "~/app/search";
import { useSession } from "~/app/session";
import { counted } from "~/format";
import { CopyCommand } from "~/pieces/CopyCommand";
import { useFilterKey } from "~/pieces/keys";
import { Page } from "~/pieces/Page";
import { Async, Empty, ErrorBox, Loading } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import { Failure } from "~/api/client";
import { useDocument, useKinds } from "./queries";
import { mayRead, mayWrite } from "./rights";
import { at, head, plain, schemaOf, show, sortKey, value, words, type Document } from "./schema";
import type { Kind, Obj } from "./types";
import { Value } from "./Value";
import { useKind } from "./watch";
import css from "./Declared.module.css";

// Reading and writing YAML is only needed by who makes one.
const NewObject = lazy(async () => ({ default: (await import("./NewObject")).NewObject }));

export function KindPage() {
  const { plural } = useParams({ strict: false }) as { plural: string };
  const kinds = useKinds();
  const doc = useDocument();
  const { me } = useSession();
  const kind = kinds.data?.find((k) => k.plural === plural || k.name === plural || (k.short ?? []).includes(plural));
  if (!kinds.data || !doc.data)
    return (
      <Page title={words(plural)}>
        <Async query={(kinds.data ? doc : kinds) as typeof kinds} what="this kind">{() => null}</Async>
      </Page>
    );
  if (!kind)
    return (
      <Page title={plural} fact="There is no such kind.">
        <ErrorBox failure={new Failure({ code: "not_found", message: `there is no kind "${plural}"`, remedy: `there are ${kinds.data.map((k) => k.plural).join(", ")}` })} what="show it" />
      </Page>
    );
  if (!mayRead(kind, me?.role))
    return (
      <Page title={words(kind.plural)} fact={`Only ${who(kind.read)} may read ${kind.plural}.`}>
        <p>{kind.doc} You are signed in as {me?.actor} with the role {me?.role}.</p>
      </Page>
    );
  return <List kind={kind} doc={doc.data} />;
}

export const who = (rule: string): string => ({ admin: "administrators", operator: "operators and administrators" })[rule] ?? rule;

function List({ kind, doc }: { kind: Kind; doc: Document }) {
  const [f, set] = useFilters("selector", "new");
  const { me } = useSession();
  const seen = useKind(kind.plural, f.selector);
  const navigate = useNavigate();
  const search = useRef<HTMLInputElement>(null);
  useFilterKey(search);
  const schema = useMemo(() => schemaOf(doc, kind.plural), [doc, kind.plural]);
  const columns = useMemo(() => columnsOf(kind, doc, schema), [kind, doc, schema]);
  const create = kind.verbs.includes("create") && mayWrite(kind, me?.role);
  const n = seen.objects?.length;
  if (create && f.new)
    return (
      <Page title={`New ${kind.name}`}>
        <Suspense fallback={<Loading what="the editor" lines={8} />}>
          <NewObject kind={kind} doc={doc} schema={schema} onDone={(o) => (o ? void navigate({ to: "/declared/$plural/$name", params: { plural: kind.plural, name: o.name } }) : set({ new: "" }))} />
        </Suspense>
      </Page>
    );
  return (
    <Page
      title={words(kind.plural)}
      width="data"
      fact={n === undefined ? undefined : f.selector ? `${counted(n, kind.name, kind.plural)} with these labels.` : n === 0 ? `There are no ${kind.plural}.` : `${counted(n, kind.name, kind.plural)}.`}
      actions={
        <>
          <CopyCommand command={`drover get ${kind.plural}${f.selector ? ` -l '${f.selector}'` : ""}`} />
          {create && <Button onClick={() => set({ new: "1" })}>New {kind.name}</Button>}
        </>
      }
    >
      <p className={css.lead}>
        {kind.doc}
        {!create && kind.made && <> To get one, {quoteCommands(kind.made)}.</>}
      </p>
      <div className={css.bar} role="search" aria-label={`Select ${kind.plural}`}>
        <TextInput
          ref={search}
          key={f.selector}
          label="Labels"
          defaultValue={f.selector}
          placeholder="env=prod,tier!=db"
          spellCheck={false}
          error={seen.failure?.field === "selector" ? seen.failure.message : undefined}
          onBlur={(e) => set({ selector: e.currentTarget.value.trim() })}
          onKeyDown={(e) => e.key === "Enter" && set({ selector: e.currentTarget.value.trim() })}
        />
      </div>
      {seen.failure && seen.failure.field !== "selector" && <ErrorBox failure={seen.failure} what={`read the ${kind.plural}`} retry={seen.retry} />}
      {seen.objects === undefined ? (
        !seen.failure && <Loading what={kind.plural} lines={8} />
      ) : (
        <DataTable
          rows={seen.objects}
          columns={columns}
          rowKey={(o) => o.name}
          rowHref={(o) => `/declared/${kind.plural}/${encodeURIComponent(o.name)}`}
          label={words(kind.plural)}
          empty={<Empty>{f.selector ? `No ${kind.name} has these labels.` : `There are no ${kind.plural} yet.${kind.made ? ` To get one, ${kind.made.replaceAll("`", "")}.` : ""}`}</Empty>}
        />
      )}
    </Page>
  );
}

/** quoteCommands sets what is between backticks as code. */
export function quoteCommands(text: string) {
  return text.split("`").map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part));
}

function columnsOf(kind: Kind, doc: Document, schema: ReturnType<typeof schemaOf>): Column<Obj>[] {
  return kind.columns.map((c, i) => {
    const s = at(doc, schema, c.path);
    const right = (s.type === "integer" || s.type === "number") && !s.format?.includes("date");
    return {
      key: c.path,
      head: head(c.head),
      sort: (o: Obj) => sortKey(value(o, c.path), s, c.path),
      export: (o: Obj) => exported(value(o, c.path)),
      cell: (o: Obj) => (c.path === "name" && show(o.name, s, c.path).as === "text" ? <span className={`mono ${css.cut}`}>{plain(o.name, s, c.path)}</span> : <Value value={value(o, c.path)} schema={s} path={c.path} cell />),
      ...(right ? { align: "right" as const } : {}),
      // On a phone the name and what comes next say enough; the rest is on the object's page.
      ...(i >= 3 || c.wide ? { hide: "phone" as const } : {}),
    };
  });
}

const exported = (v: unknown): string => (v === undefined || v === null ? "" : typeof v === "object" ? JSON.stringify(v) : String(v));
