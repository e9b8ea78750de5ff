import { useState, type FormEvent } from "react";
import { Button, Menu, Modal, NativeSelect, PasswordInput, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { failureOf, request, type Failure } from "~/api/client";
import { read, send } from "~/api/json";
import { useSession } from "~/app/session";
import { counted } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { Page } from "~/pieces/Page";
import { Ago, Async, Empty, ErrorBox, State } from "~/pieces/states";
import { DataTable, type Column } from "~/pieces/table/DataTable";
import type { Person } from "./types";
import { lastAdmin, passwordProblem, roles } from "./words";
import css from "./Settings.module.css";

const path = (name: string) => `/v1/people/${encodeURIComponent(name)}`;
const roleWord = (r: string) => roles.find((x) => x.value === r)?.label ?? r;

export function People() {
  const { me } = useSession();
  const client = useQueryClient();
  const confirm = useConfirm();
  const toast = useToast();
  const [making, setMaking] = useState(false);
  const [password, setPassword] = useState<string>();
  const query = useQuery({ queryKey: ["people"], queryFn: async ({ signal }) => (await read<{ items: Person[] }>("/v1/people?limit=5000", signal)).items ?? [] });
  const people = query.data ?? [];
  const again = () => void client.invalidateQueries({ queryKey: ["people"] });

  const change = async (p: Person, spec: Partial<Person["spec"]>, said: string, back: Partial<Person["spec"]>) => {
    try {
      await send("PATCH", path(p.name), { spec });
      toast({
        tone: "ok", text: said,
        undo: async () => {
          await send("PATCH", path(p.name), { spec: back });
          again();
        },
      });
    } catch (e) {
      const f = failureOf(e);
      toast({ tone: "bad", text: `Cannot change ${p.name}: ${f.message}`, detail: f.remedy });
    } finally {
      again();
    }
  };
  const disable = async (p: Person) => {
    if (p.spec.disabled) return change(p, { disabled: false }, `${p.name} may sign in again.`, { disabled: true });
    const sure = await confirm({
      title: `Disable ${p.name}?`,
      body: <p>They can no longer sign in, and what they are signed in with stops working at once. Nothing of theirs is deleted; they can be enabled again.</p>,
      verb: `Disable ${p.name}`,
      danger: true,
    });
    if (sure) await change(p, { disabled: true }, `${p.name} is disabled.`, { disabled: false });
  };
  const remove = async (p: Person) => {
    const sure = await confirm({ title: `Delete ${p.name}?`, body: <p>Their password, sessions and tokens go with them: programs that use their tokens stop working. What they did stays in the audit. This cannot be undone.</p>, verb: `Delete ${p.name}`, danger: true, type: p.name });
    if (!sure) return;
    try {
      await send("DELETE", path(p.name));
      toast({ tone: "ok", text: `${p.name} is deleted.` });
    } catch (e) {
      const f = failureOf(e);
      toast({ tone: "bad", text: `Cannot delete ${p.name}: ${f.message}`, detail: f.remedy });
    }
    again();
  };

  const columns: Column<Person>[] = [
    { key: "name", head: "Name", sort: (p) => p.name, export: (p) => p.name, cell: (p) => <span className={css.cell}>{p.name}{p.name === me?.person && <span className={css.quiet}> (you)</span>}</span> },
    { key: "full", head: "Full name", hide: "phone", sort: (p) => p.spec.fullName ?? "", export: (p) => p.spec.fullName ?? "", cell: (p) => <span className={css.cell}>{p.spec.fullName}</span> },
    { key: "role", head: "Role", width: "140px", sort: (p) => p.spec.role, export: (p) => p.spec.role, cell: (p) => roleWord(p.spec.role) },
    { key: "state", head: "State", width: "110px", sort: (p) => (p.spec.disabled ? 1 : 0), export: (p) => (p.spec.disabled ? "disabled" : "active"), cell: (p) => (p.spec.disabled ? <State tone="idle">disabled</State> : <State tone="ok">active</State>) },
    { key: "created", head: "Since", width: "110px", hide: "phone", sort: (p) => Date.parse(p.created ?? "") || 0, cell: (p) => <Ago at={p.created} none="" /> },
    {
      key: "actions", head: "Action", width: "96px", align: "right",
      cell: (p) => {
        const last = lastAdmin(people, p.name);
        return (
          <Menu position="bottom-end" width={260}>
            <Menu.Target>
              <Button variant="subtle" size="compact-sm" aria-label={`Change ${p.name}`} onClick={(e) => e.stopPropagation()}>
                Change
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              {last && <Menu.Label>The last administrator: make somebody else one first to change the role, disable or delete.</Menu.Label>}
              {roles.map((r) => (
                <Menu.Item key={r.value} role="menuitemradio" aria-checked={p.spec.role === r.value} disabled={p.spec.role === r.value || last} onClick={() => void change(p, { role: r.value }, `${p.name} is ${r.value === "viewer" ? "a" : "an"} ${r.label.toLowerCase()} now.`, { role: p.spec.role })}>
                  {p.spec.role === r.value ? `Is ${r.label.toLowerCase()}` : `Make ${r.label.toLowerCase()}`}
                </Menu.Item>
              ))}
              <Menu.Divider />
              <Menu.Item onClick={() => setPassword(p.name)}>Set a new password…</Menu.Item>
              <Menu.Item disabled={last} onClick={() => void disable(p)}>
                {p.spec.disabled ? "Enable" : "Disable…"}
              </Menu.Item>
              <Menu.Item disabled={last} onClick={() => void remove(p)}>
                Delete…
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        );
      },
    },
  ];
  const admins = people.filter((p) => p.spec.role === "admin" && !p.spec.disabled).length;
  return (
    <Page title="People" fact={query.data && (people.length === 1 ? "One person may sign in, an administrator." : `${counted(people.length, "person", "people")} may sign in, ${counted(admins, "administrator")} among them.`)} actions={<Button onClick={() => setMaking(true)}>New person</Button>}>
      <Async query={query} what="the people" lines={5}>
        {(list) => <DataTable rows={list} columns={columns} rowKey={(p) => p.name} label="People" empty={<Empty command="drover person create NAME --role viewer">Nobody has been made yet.</Empty>} />}
      </Async>
      <Modal opened={making} onClose={() => setMaking(false)} title="New person">
        <NewPerson
          done={(made) => {
            setMaking(false);
            if (made) {
              toast({ tone: "ok", text: `${made} may sign in now.` });
              again();
            }
          }}
        />
      </Modal>
      <Modal opened={password !== undefined} onClose={() => setPassword(undefined)} title={`A new password for ${password ?? ""}`}>
        {password && <SetPassword name={password} own={password === me?.person} done={(ok) => { setPassword(undefined); if (ok) toast({ tone: "ok", text: `${password} has a new password. What they were signed in with has ended.` }); }} />}
      </Modal>
    </Page>
  );
}

function NewPerson({ done }: { done: (made?: string) => void }) {
  const [name, setName] = useState("");
  const [full, setFull] = useState("");
  const [role, setRole] = useState("viewer");
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const problem = passwordProblem(password, name);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (busy || problem) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await send("POST", "/v1/people", { kind: "person", name, spec: { role, ...(full ? { fullName: full } : {}) }, password });
      done(name);
    } catch (e) {
      setFailure(failureOf(e));
      setBusy(false);
    }
  };
  const wrong = (f: string) => (failure?.field === f ? `${failure.message}${failure.remedy ? `; ${failure.remedy}` : ""}` : undefined);
  return (
    <form className={css.form} onSubmit={(e) => void submit(e)}>
      <TextInput label="Name" description="What they sign in with" value={name} onChange={(e) => setName(e.currentTarget.value)} required data-autofocus autoComplete="off" autoCapitalize="none" spellCheck={false} error={wrong("name")} />
      <TextInput label="Full name" value={full} onChange={(e) => setFull(e.currentTarget.value)} autoComplete="off" />
      <NativeSelect label="Role" value={role} onChange={(e) => setRole(e.currentTarget.value)} data={roles.map((r) => ({ value: r.value, label: `${r.label}: ${r.may}` }))} error={wrong("spec.role")} />
      <PasswordInput label="First password" description="They can change it themselves" value={password} onChange={(e) => setPassword(e.currentTarget.value)} required autoComplete="new-password" error={problem ?? wrong("password")} />
      {failure && !["name", "spec.role", "password"].includes(failure.field ?? "") && <ErrorBox failure={failure} what={`make ${name}`} />}
      <div className={css.foot}>
        <Button variant="default" onClick={() => done()}>
          Cancel
        </Button>
        <Button type="submit" loading={busy} disabled={!name || !password || !!problem}>
          Make {name || "the person"}
        </Button>
      </div>
    </form>
  );
}

/** SetPassword sets a password; one's own needs the old one. */
export function SetPassword({ name, own, done, inline }: { name: string; own: boolean; done: (ok: boolean) => void; inline?: boolean }) {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [repeat, setRepeat] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const problem = passwordProblem(next, name);
  const differs = repeat !== "" && repeat !== next;
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (busy || problem || differs) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await send("POST", `${path(name)}/password`, own ? { old, new: next } : { new: next });
      setOld("");
      setNext("");
      setRepeat("");
      done(true);
    } catch (e) {
      const f = failureOf(e);
      setFailure(f);
      // The password was wrong, or the session has ended: this asks to sign in again if it was that.
      if (f.status === 401) void request("/v1/whoami").catch(() => undefined);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className={css.form} onSubmit={(e) => void submit(e)}>
      {/* Password managers look for whose it is. */}
      <input type="text" name="username" autoComplete="username" value={name} readOnly hidden />
      {own && <PasswordInput label="Password now" value={old} onChange={(e) => setOld(e.currentTarget.value)} required autoComplete="current-password" {...(inline ? {} : { "data-autofocus": true })} />}
      <PasswordInput label="New password" value={next} onChange={(e) => setNext(e.currentTarget.value)} required autoComplete="new-password" error={problem ?? (failure?.field === "password" ? failure.message : undefined)} {...(own || inline ? {} : { "data-autofocus": true })} />
      <PasswordInput label="New password again" value={repeat} onChange={(e) => setRepeat(e.currentTarget.value)} required autoComplete="new-password" error={differs ? "The two differ" : undefined} />
      {failure && failure.field !== "password" && <ErrorBox failure={failure} what="change the password" />}
      <div className={inline ? undefined : css.foot}>
        {!inline && (
          <Button variant="default" onClick={() => done(false)}>
            Cancel
          </Button>
        )}
        <Button type="submit" loading={busy} disabled={!next || !repeat || (own && !old) || !!problem || differs}>
          {own ? "Change my password" : `Set ${name}'s password`}
        </Button>
      </div>
    </form>
  );
}
