import { useMemo } from "react";
import { Button } from "@mantine/core";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Failure, failureOf } from "~/api/client";
import { query as queryOf, read, send } from "~/api/json";
import { useEvents, type FleetEvent } from "~/app/live";
import { useFilters } from "~/app/search";
import { useSession } from "~/app/session";
import { counted, dateTime } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { Code } from "~/pieces/Code";
import { CopyCommand } from "~/pieces/CopyCommand";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State } from "~/pieces/states";
import { Tabs, useTab } from "~/pieces/Tabs";
import { Timeline } from "~/pieces/Timeline";
import { Editor } from "./Editor";
import { Fields } from "./Fields";
import { quoteCommands, who } from "./KindPage";
import { objectPath, useDocument, useHistory, useKinds, useObject } from "./queries";
import { mayWrite } from "./rights";
import { at, plain, schemaOf, words, type Document } from "./schema";
import { editable, yaml } from "./text";
import type { Kind, Obj } from "./types";
import { Value } from "./Value";
import css from "./Declared.module.css";

export function ObjectPage() {
  const { plural, name } = useParams({ strict: false }) as { plural: string; name: string };
  const kinds = useKinds();
  const doc = useDocument();
  const object = useObject(plural, name);
  const kind = kinds.data?.find((k) => k.plural === plural);
  if (kinds.data && !kind)
    return (
      <Page title={name} mono>
        <ErrorBox failure={new Failure({ code: "not_found", message: `there is no kind "${plural}"` })} what="show it" />
      </Page>
    );
  if (kind && doc.data && object.data) return <Detail kind={kind} doc={doc.data} object={object.data} stale={object.error ? failureOf(object.error) : undefined} />;
  return (
    <Page title={name} mono>
      <Async query={(kinds.data ? (doc.data ? object : doc) : kinds) as typeof object} what={kind ? `this ${kind.name}` : "it"} lines={8}>
        {() => null}
      </Async>
    </Page>
  );
}

function Detail({ kind, doc, object, stale }: { kind: Kind; doc: Document; object: Obj; stale: Failure | undefined }) {
  const [f, set] = useFilters("edit");
  const { me } = useSession();
  const client = useQueryClient();
  const navigate = useNavigate();
  const confirm = useConfirm();
  const toast = useToast();
  const tab = useTab("tab", "detail");
  const schema = useMemo(() => schemaOf(doc, kind.plural), [doc, kind.plural]);
  const may = mayWrite(kind, me?.role);
  const update = kind.verbs.includes("update") || kind.verbs.includes("patch");
  const remove = kind.verbs.includes("delete");
  const title = plain(object.name, {}, "name");
  useEvents((e) => about(e, kind, object.name), () => void client.invalidateQueries({ queryKey: ["object", kind.plural, object.name] }));

  const onDelete = async () => {
    const sure = await confirm({
      title: `Delete the ${kind.name} ${title}?`,
      body: (
        <p>
          {kind.doc} This cannot be undone.
        </p>
      ),
      verb: `Delete ${title}`,
      danger: true,
      type: object.name,
    });
    if (!sure) return;
    try {
      await send("DELETE", `${objectPath(kind.plural, object.name)}${queryOf({ revision: undefined })}`);
      toast({ tone: "ok", text: `${title} is deleted.` });
      await navigate({ to: "/declared/$plural", params: { plural: kind.plural } });
    } catch (e) {
      const failure = failureOf(e);
      toast({ tone: "bad", text: `Cannot delete ${title}: ${failure.message}`, detail: failure.remedy });
    }
  };

  if (f.edit && update && may)
    return (
      <Page title={`Edit ${title}`} mono>
        <Editor
          kind={kind}
          doc={doc}
          schema={schema}
          base={object}
          start={yaml(editable(object))}
          onDone={(saved) => {
            if (saved) client.setQueryData(["object", kind.plural, object.name], saved);
            void client.invalidateQueries({ queryKey: ["object", kind.plural, object.name] });
            set({ edit: "" });
          }}
        />
      </Page>
    );
  return (
    <Page
      title={title}
      mono
      fact={facts(kind, doc, schema, object)}
      actions={
        <>
          <CopyCommand command={`drover get ${kind.name} ${object.name} -o yaml`} />
          {update && may && (
            <Button variant="default" onClick={() => set({ edit: "1" })}>
              Edit
            </Button>
          )}
          {remove && may && (
            <Button variant="default" className={css.danger} onClick={() => void onDelete()}>
              Delete…
            </Button>
          )}
        </>
      }
    >
      {stale && <p className={css.none}>It cannot be read anew: {stale.message}.</p>}
      <p className={css.lead}>
        {words(kind.name)}
        {object.updated && (
          <>
            , changed <Ago at={object.updated} />
          </>
        )}
        {object.created && (
          <>
            , made <Ago at={object.created} />
          </>
        )}
        . {!update && !remove ? kind.made ? <>It is only read here: {quoteCommands(kind.made)}.</> : "Only the server changes it." : !may ? `Only ${who(kind.write)} may change it.` : !update ? "It can be deleted, not changed." : null}
        {kind.name === "host" && (
          <>
            {" "}
            <Link to="/hosts/$name" params={{ name: object.name }}>
              See the host itself
            </Link>
          </>
        )}
        {kind.name === "revision" && (
          <>
            {" "}
            <Link to="/changes/$revision" params={{ revision: object.name }}>
              See the change itself
            </Link>
          </>
        )}
      </p>
      <Tabs
        param="tab"
        items={[
          { key: "detail", label: "Detail" },
          { key: "yaml", label: "YAML" },
          { key: "history", label: "History" },
          { key: "events", label: "Events" },
        ]}
      />
      {tab === "yaml" ? (
        <Code text={yaml(object)} language="yaml" label={`${title} as YAML`} />
      ) : tab === "history" ? (
        <History kind={kind} name={object.name} />
      ) : tab === "events" ? (
        <Events kind={kind} name={object.name} />
      ) : (
        <>
          {Object.keys(object.labels ?? {}).length > 0 && (
            <Part title="Labels">
              <Value value={object.labels} schema={at(doc, schema, "labels")} path="labels" />
            </Part>
          )}
          <div className={css.columns}>
            <Part title="Specification" hint={update ? "what people decide" : undefined}>
              <Fields doc={doc} schema={at(doc, schema, "spec")} value={object.spec} path="spec" />
            </Part>
            {at(doc, schema, "status").properties && (
              <Part title="Status" hint="what is known">
                <Fields doc={doc} schema={at(doc, schema, "status")} value={object.status} path="status" />
              </Part>
            )}
          </div>
        </>
      )}
    </Page>
  );
}

/** facts makes a sentence of the columns that the kind is listed by. */
function facts(kind: Kind, doc: Document, schema: ReturnType<typeof schemaOf>, o: Obj): string {
  const parts = kind.columns
    .filter((c) => c.path !== "name" && !c.wide)
    .map((c) => [c.head.toLowerCase(), plain(c.path.split(".").reduce<unknown>((v, k) => (v as Record<string, unknown> | undefined)?.[k], o), at(doc, schema, c.path), c.path)] as const)
    .filter(([, v]) => v !== "")
    .slice(0, 3)
    .map(([h, v]) => (v === "yes" ? h : v === "no" ? `not ${h}` : h === "state" || h === "subject" ? v : `${h} ${v}`));
  const s = parts.join(", ");
  return s ? `${s.charAt(0).toUpperCase()}${s.slice(1)}.` : `A ${kind.name}.`;
}

function about(e: FleetEvent, kind: Kind, name: string): boolean {
  if (kind.name === "host") return e.host === name;
  return e.type.startsWith(`${kind.name}.`) && JSON.stringify(e.data ?? {}).includes(name);
}

function History({ kind, name }: { kind: Kind; name: string }) {
  const q = useHistory(kind.plural, name, true);
  return (
    <Async query={q} what="its history" lines={5}>
      {(items) =>
        items.length === 0 ? (
          <Empty>Nobody has changed this {kind.name} by the API.</Empty>
        ) : (
          <table className={css.history}>
            <caption className="visually-hidden">Who changed {name}</caption>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">What</th>
                <th scope="col">Result</th>
                <th scope="col">Detail</th>
              </tr>
            </thead>
            <tbody>
              {items.map((i, n) => (
                <tr key={n}>
                  <td title={dateTime(i.time)}>
                    <Ago at={i.time} />
                  </td>
                  <td>{i.actor}</td>
                  <td className="mono">{i.action}</td>
                  <td>{i.result === "ok" ? <State tone="ok">done</State> : <State tone="bad">{i.result}</State>}</td>
                  <td>{i.detail ?? ""}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )
      }
    </Async>
  );
}

function Events({ kind, name }: { kind: Kind; name: string }) {
  const filter = kind.name === "host" ? { host: name, limit: 200 } : { type: `${kind.name}.*`, limit: 1000 };
  const q = useQuery({ queryKey: ["events", kind.plural, name], queryFn: async ({ signal }) => (await read<{ items: FleetEvent[] }>(`/v1/events${queryOf(filter)}`, signal)).items ?? [] });
  return (
    <Async query={q} what="the events about it" lines={5}>
      {(items) => {
        const mine = items.filter((e) => about(e, kind, name)).sort((a, b) => b.seq - a.seq).slice(0, 200);
        return (
          <Part title={counted(mine.length, "event")}>
            <Timeline events={mine} empty={<Empty>No event is about this {kind.name}.</Empty>} />
          </Part>
        );
      }}
    </Async>
  );
}
