import { useEffect, useRef, useState, type FormEvent } from "react";
import { Button, Modal, PasswordInput, TextInput } from "@mantine/core";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { api, data, failureOf, type Failure } from "~/api/client";
import { ErrorBox } from "~/pieces/states";
import { inWords, retryAfter } from "./patience";
import { useSession } from "./session";
import css from "./SignIn.module.css";

/** Only ways within the console: a link must not lead elsewhere. */
export const within = (next: string | undefined): string => (next && /^\/(?![/\\])/.test(next) && !next.startsWith("/signin") ? next : "/");

/** SignInPage is /signin; with ?code= it makes the first administrator. */
export function SignInPage() {
  const search = useSearch({ strict: false }) as { code?: string | number; next?: string };
  const code = search.code === undefined ? undefined : String(search.code);
  const navigate = useNavigate();
  const { me, refresh } = useSession();
  useEffect(() => {
    document.title = "Sign in · Drover";
  }, []);
  const done = async () => {
    await refresh();
    await navigate({ href: within(search.next), replace: true } as never);
  };
  return (
    <main className={css.page}>
      <p className={css.brand}>Drover</p>
      <h1>{code ? "Make the first administrator" : "Sign in"}</h1>
      {code && <p>This link works once. Choose the name and the password that you will sign in with from now on.</p>}
      {me && !code && (
        <p>
          You are signed in as {me.person ?? me.actor}. <Link to={within(search.next) as never}>Go on</Link>
        </p>
      )}
      {/* A page that is left by another code must not keep what was said of the first. */}
      <Form key={code ?? ""} code={code} done={done} />
    </main>
  );
}

/** SignInOver asks to sign in again over a page whose session ended. What was typed there stays. */
export function SignInOver() {
  const { ended, refresh, me } = useSession();
  return (
    <Modal opened={ended !== undefined} onClose={() => undefined} withCloseButton={false} closeOnEscape={false} closeOnClickOutside={false} title="Your session has ended" zIndex={1000}>
      <p className={css.over}>Sign in again to go on. The page is as you left it, with what you typed. What you did last may not have been done: look, and do it again.</p>
      <Form person={me?.person} done={refresh} />
    </Modal>
  );
}

function Form({ code, person, done }: { code?: string | undefined; person?: string | undefined; done: () => Promise<void> }) {
  const [name, setName] = useState(person ?? "");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const [until, setUntil] = useState(0);
  const left = useCountdown(until);
  const field = useRef<HTMLInputElement>(null);
  const short = code !== undefined && password !== "" && [...password].length < 10;
  const differs = code !== undefined && again !== "" && again !== password;
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (busy || differs || short || left > 0) return;
    setBusy(true);
    setFailure(undefined);
    try {
      if (code) await data(api.POST("/v1/login/first", { body: { code, person: name.trim(), password } as never }));
      else await data(api.POST("/v1/login", { body: { person: name.trim(), password } as never }));
      await done();
    } catch (e) {
      const f = failureOf(e);
      setFailure(f);
      // Only what the server counts is counted down; where it is away a try is free.
      if (f.code === "unavailable" && /too many/.test(f.message)) setUntil(Date.now() + Math.max(2, retryAfter(f.remedy, f.retryAfter)) * 1000);
      if (f.code === "unauthorized" && !code) {
        setPassword("");
        field.current?.focus();
      }
    } finally {
      setBusy(false);
    }
  };
  const waiting = failure?.code === "unavailable" && /too many/.test(failure.message);
  return (
    <form onSubmit={(e) => void submit(e)} className={css.form}>
      <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} autoComplete="username" required autoFocus={!person} spellCheck={false} autoCapitalize="none" error={failure?.field === "name" ? `${failure.message}${failure.remedy ? `; ${failure.remedy}` : ""}` : undefined} />
      <PasswordInput
        ref={field}
        label="Password"
        description={code ? "At least 10 characters; a few words will do" : undefined}
        value={password}
        onChange={(e) => setPassword(e.currentTarget.value)}
        autoComplete={code ? "new-password" : "current-password"}
        required
        autoFocus={!!person}
        data-autofocus={person ? true : undefined}
        error={short ? "At least 10 characters" : failure?.field === "password" ? `${failure.message}${failure.remedy ? `; ${failure.remedy}` : ""}` : undefined}
      />
      {code && (
        <PasswordInput label="Password again" value={again} onChange={(e) => setAgain(e.currentTarget.value)} autoComplete="new-password" required error={differs ? "The two differ" : undefined} />
      )}
      {failure && waiting ? (
        <p className={css.wait} role="alert">
          <strong>There were too many wrong passwords.</strong> {left > 0 ? "The next try is possible soon; nothing is lost." : "You can try again now."}
        </p>
      ) : (
        failure && failure.field !== "name" && failure.field !== "password" && <ErrorBox failure={failure} what={code ? "use the one-time link" : "sign in"} />
      )}
      {code && failure?.code === "unauthorized" && (
        <p className={css.over}>
          <Link to="/signin">Sign in with a name and a password instead</Link>
        </p>
      )}
      <Button type="submit" loading={busy} disabled={!name.trim() || !password || differs || short || (code !== undefined && !again) || left > 0}>
        {left > 0 ? `Try again in ${inWords(left)}` : code ? "Make administrator and sign in" : "Sign in"}
      </Button>
    </form>
  );
}

/** useCountdown gives the seconds that are left, once a second. */
function useCountdown(until: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (until <= Date.now()) return;
    setNow(Date.now());
    const t = setInterval(() => {
      setNow(Date.now());
      if (Date.now() >= until) clearInterval(t);
    }, 500);
    return () => clearInterval(t);
  }, [until]);
  return Math.max(0, (until - now) / 1000);
}
