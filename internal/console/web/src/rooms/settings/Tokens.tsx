import { useState, type FormEvent } from "react";
import { Button, Modal, NativeSelect, TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { failureOf, type Failure } from "~/api/client";
import { read, send } from "~/api/json";
import { now } from "~/app/clock";
import { useSession } from "~/app/session";
import { counted } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { CopyButton } from "~/pieces/CopyButton";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import type { NewToken, Token } from "./types";
import { expiry, roles, tokenState } from "./words";
import css from "./Settings.module.css";

const lives = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "1 year"],
  ["", "It does not end"],
] as const;

export function useTokens() {
  return useQuery({ queryKey: ["tokens"], queryFn: async ({ signal }) => (await read<{ items: Token[] }>("/v1/tokens?limit=5000", signal)).items ?? [] });
}

/** useRevoke asks, and ends a token. */
export function useRevoke() {
  const confirm = useConfirm();
  const toast = useToast();
  const client = useQueryClient();
  return async (t: Token) => {
    const what = t.spec.join ? "join token" : "token";
    const sure = await confirm({
      title: `Revoke the ${what} ${t.name}?`,
      body: t.spec.join ? <p>No host can join with it any more. Hosts that have joined stay.</p> : <p>Whatever signs in with it stops working at once. This cannot be undone.</p>,
      verb: `Revoke ${t.name}`,
      danger: true,
    });
    if (!sure) return;
    try {
      await send("DELETE", `/v1/tokens/${encodeURIComponent(t.name)}`);
      toast({ tone: "ok", text: `${t.name} is revoked.` });
    } catch (e) {
      const f = failureOf(e);
      toast({ tone: "bad", text: `Cannot revoke ${t.name}: ${f.message}`, detail: f.remedy });
    }
    void client.invalidateQueries({ queryKey: ["tokens"] });
  };
}

export function Tokens() {
  const query = useTokens();
  const [making, setMaking] = useState(false);
  const revoke = useRevoke();
  const { me, may } = useSession();
  const mayEnd = (t: Token) => may("admin") || (!!t.spec.person && t.spec.person === me?.person) || (!!t.spec.join && may("operator"));
  const end = (t: Token) =>
    mayEnd(t) ? (
      <Button variant="subtle" size="compact-sm" aria-label={`Revoke ${t.name}`} onClick={() => void revoke(t)}>
        Revoke…
      </Button>
    ) : null;
  const usable = (t: Token) => tokenState(t, now());
  const columns: Column<Token>[] = [
    { key: "name", head: "Name", sort: (t) => t.name, export: (t) => t.name, cell: (t) => <span className={`${css.cell} mono`}>{t.name}</span> },
    { key: "note", head: "For", hide: "phone", sort: (t) => t.spec.note ?? "", export: (t) => t.spec.note ?? "", cell: (t) => <span className={css.cell}>{t.spec.note}</span> },
    { key: "whose", head: "Whose", width: "130px", hide: "phone", sort: (t) => t.spec.person ?? "", export: (t) => t.spec.person ?? "", cell: (t) => t.spec.person ?? <span className={css.quiet}>a program's</span> },
    { key: "role", head: "Role", width: "120px", sort: (t) => t.spec.role, export: (t) => t.spec.role, cell: (t) => roles.find((r) => r.value === t.spec.role)?.label ?? t.spec.role },
    { key: "used", head: "Last used", width: "110px", hide: "phone", sort: (t) => Date.parse(t.status?.used ?? "") || 0, cell: (t) => <Ago at={t.status?.used} /> },
    { key: "ends", head: "Ends", width: "150px", hide: "phone", sort: (t) => Date.parse(t.spec.expires ?? "") || Infinity, export: (t) => t.spec.expires ?? "", cell: (t) => <Ends at={t.spec.expires} /> },
    { key: "end", head: "Action", width: "96px", align: "right", cell: end },
  ];
  const joins: Column<Token>[] = [
    { key: "name", head: "Name", sort: (t) => t.name, cell: (t) => <span className={`${css.cell} mono`}>{t.name}</span> },
    { key: "host", head: "For host", hide: "phone", sort: (t) => t.spec.host ?? "", cell: (t) => t.spec.host ?? <span className={css.quiet}>any one host</span> },
    { key: "state", head: "State", width: "190px", cell: (t) => <State tone={usable(t).tone}>{usable(t).word}</State> },
    { key: "ends", head: "Ends", width: "150px", hide: "phone", sort: (t) => Date.parse(t.spec.expires ?? "") || Infinity, cell: (t) => <Ends at={t.spec.expires} /> },
    { key: "end", head: "Action", width: "96px", align: "right", cell: end },
  ];
  const all = query.data ?? [];
  const programs = all.filter((t) => !t.spec.join);
  const join = all.filter((t) => t.spec.join && usable(t).word === "open");
  const over = all.filter((t) => t.spec.join).length - join.length;
  return (
    <Page
      title="Tokens"
      fact={query.data && (programs.length === 0 ? "No program signs in with a token." : `${counted(programs.length, "token lets a program", "tokens let programs")} sign in.`)}
      actions={(may("admin") || me?.person) && <Button onClick={() => setMaking(true)}>New token</Button>}
    >
      <Async query={query} what="the tokens" lines={5}>
        {() => (
          <>
            <DataTable rows={programs} columns={columns} rowKey={(t) => t.name} label="Tokens" empty={<Empty command="drover token create NAME --role viewer">A token lets a program or a signed-in command line act. There is none.</Empty>} />
            <Part title="Join tokens" hint="each lets one host enrol, once">
              <DataTable rows={join} columns={joins} rowKey={(t) => t.name} sortParam="joins" label="Join tokens" empty={<Empty>No join token is open. One is made in <Link to="/settings/$section" params={{ section: "enrolment" }}>Enrolment</Link>.</Empty>} />
              {over > 0 && <p className={css.quiet}>{counted(over, "more was", "more were")} used or ended; they go by themselves after a day.</p>}
            </Part>
          </>
        )}
      </Async>
      <Modal opened={making} onClose={() => setMaking(false)} title="New token" size="lg" closeOnClickOutside={false}>
        <New onClose={() => setMaking(false)} />
      </Modal>
    </Page>
  );
}

function Ends({ at }: { at: string | undefined }) {
  const e = expiry(at, now());
  return e.tone === "idle" || e.tone === "ok" ? <span className={css.quiet} title={at}>{e.text}</span> : <State tone={e.tone}>{e.text}</State>;
}

function New({ onClose }: { onClose: () => void }) {
  const { me, may } = useSession();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [note, setNote] = useState("");
  const [own, setOwn] = useState(!may("admin"));
  const [role, setRole] = useState("viewer");
  const [life, setLife] = useState("90");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const [made, setMade] = useState<NewToken>();
  const rank = { viewer: 1, operator: 2, admin: 3 } as Record<string, number>;
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      const expires = life ? { expires: new Date(now() + Number(life) * 86_400_000).toISOString() } : {};
      setMade(await send<NewToken>("POST", "/v1/tokens", { kind: "token", name, spec: { role, ...expires, ...(note ? { note } : {}), ...(own && me?.person ? { person: me.person } : {}) } }));
      void client.invalidateQueries({ queryKey: ["tokens"] });
    } catch (e) {
      setFailure(failureOf(e));
    } finally {
      setBusy(false);
    }
  };
  if (made)
    return (
      <div className={css.secret}>
        <p>
          <strong>{made.name}</strong> is made. This is its secret; it is shown this once and cannot be read again.
        </p>
        <code className={css.line}>{made.secret}</code>
        <CopyButton text={made.secret} label="Copy the secret" />
        <p className={css.quiet}>A program shows it as a bearer token, or the command drover by the variable DROVER_TOKEN.</p>
        <div className={css.foot}>
          <Button onClick={onClose}>I have kept it</Button>
        </div>
      </div>
    );
  const wrong = (f: string) => (failure?.field === f ? `${failure.message}${failure.remedy ? `; ${failure.remedy}` : ""}` : undefined);
  return (
    <form className={css.form} onSubmit={(e) => void submit(e)}>
      <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} placeholder="ci" required data-autofocus autoComplete="off" autoCapitalize="none" spellCheck={false} error={wrong("name")} />
      <TextInput label="What it is for" value={note} onChange={(e) => setNote(e.currentTarget.value)} autoComplete="off" />
      {may("admin") && me?.person && (
        <NativeSelect label="Whose it is" value={own ? "own" : ""} onChange={(e) => setOwn(e.currentTarget.value === "own")} data={[{ value: "", label: "A program's own" }, { value: "own", label: `${me.person}'s: it ends when they leave` }]} />
      )}
      <NativeSelect label="Role" value={role} onChange={(e) => setRole(e.currentTarget.value)} data={roles.filter((r) => rank[r.value]! <= (rank[me?.role ?? ""] ?? 0)).map((r) => ({ value: r.value, label: `${r.label}: ${r.may}` }))} error={wrong("spec.role")} />
      <NativeSelect label="It ends after" value={life} onChange={(e) => setLife(e.currentTarget.value)} data={lives.map(([value, label]) => ({ value, label }))} error={wrong("spec.expires")} />
      {failure && !["name", "spec.role", "spec.expires"].includes(failure.field ?? "") && <ErrorBox failure={failure} what={`make ${name}`} />}
      <div className={css.foot}>
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" loading={busy} disabled={!name}>
          Make {name || "the token"}
        </Button>
      </div>
    </form>
  );
}
