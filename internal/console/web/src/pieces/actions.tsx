import { createContext, useCallback, useContext, useEffect, useId, useMemo, useRef, useState, type ReactNode } from "react";
import { Button, CloseButton, Modal, TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { failureOf } from "~/api/client";
import { State, type Tone } from "./states";
import css from "./actions.module.css";

/** many is the number of hosts above which an action has their number typed. */
export const many = 20;

export type Question = {
  title: string;
  /** What it touches: how many, which, in what order. */
  body: ReactNode;
  /** "Restart on 12 hosts": the button says what it does. */
  verb: string;
  danger?: boolean | undefined;
  /** Must be typed before the button works: a count or a name. */
  type?: string | undefined;
};

export type Toast = { tone: Tone; text: string; detail?: string | undefined; undo?: (() => Promise<void>) | undefined; href?: string | undefined };

type Actions = { confirm: (q: Question) => Promise<boolean>; toast: (t: Toast) => void };

const Context = createContext<Actions | null>(null);

function useActions(): Actions {
  const a = useContext(Context);
  if (!a) throw new Error("actions are used outside of ActionsProvider");
  return a;
}

/** useConfirm asks before something is done; the answer is true only by the button. */
export function useConfirm(): (q: Question) => Promise<boolean> {
  return useActions().confirm;
}

/** useToast says what has happened, with a way back where there is one. */
export function useToast(): (t: Toast) => void {
  return useActions().toast;
}

type Asked = Question & { answer: (yes: boolean) => void; n: number };
type Shown = Toast & { n: number };

const most = 4;

/** ActionsProvider holds toasts and confirmations. */
export function ActionsProvider({ children }: { children: ReactNode }) {
  const [asked, setAsked] = useState<Asked>();
  const [open, setOpen] = useState(false);
  const [toasts, setToasts] = useState<Shown[]>([]);
  const n = useRef(0);
  const current = useRef<Asked>(undefined);
  const toast = useCallback((t: Toast) => setToasts((old) => [...old, { ...t, n: ++n.current }].slice(-most)), []);
  const confirm = useCallback(
    (q: Question) =>
      new Promise<boolean>((answer) => {
        current.current?.answer(false); // one question at a time
        current.current = { ...q, answer, n: ++n.current };
        setAsked(current.current);
        setOpen(true);
      }),
    [],
  );
  const answer = (yes: boolean) => {
    current.current?.answer(yes);
    current.current = undefined;
    setOpen(false);
  };
  const drop = useCallback((gone: number) => setToasts((old) => old.filter((t) => t.n !== gone)), []);
  const actions = useMemo(() => ({ confirm, toast }), [confirm, toast]);
  return (
    <Context.Provider value={actions}>
      {children}
      {/* Above the form or drawer that asked. */}
      <Modal opened={open} onClose={() => answer(false)} title={asked?.title ?? ""} size={520} zIndex={400} closeButtonProps={{ "aria-label": "Cancel" }}>
        {asked && <Ask key={asked.n} q={asked} answer={answer} />}
      </Modal>
      <section className={css.toasts} aria-label="Messages">
        <div role="status" aria-live="polite" aria-relevant="additions">
          {toasts.map((t) => (
            <OneToast key={t.n} t={t} drop={drop} toast={toast} />
          ))}
        </div>
      </section>
    </Context.Provider>
  );
}

function Ask({ q, answer }: { q: Question; answer: (yes: boolean) => void }) {
  const [typed, setTyped] = useState("");
  const ready = q.type === undefined || typed.trim() === q.type;
  const body = useId();
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (ready) answer(true);
      }}
    >
      <div className={css.body} id={body}>
        {q.body}
      </div>
      {q.type !== undefined && (
        <TextInput
          label={
            <>
              Type <strong className="mono">{q.type}</strong> to go on
            </>
          }
          value={typed}
          onChange={(e) => setTyped(e.currentTarget.value)}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          data-autofocus
        />
      )}
      <div className={css.buttons}>
        {/* The safe one has the focus when nothing must be typed and it is dangerous. */}
        <Button variant="default" onClick={() => answer(false)} data-autofocus={q.danger && q.type === undefined ? true : undefined}>
          Cancel
        </Button>
        <Button type="submit" disabled={!ready} className={q.danger ? css.danger : undefined} aria-describedby={body} data-autofocus={!q.danger && q.type === undefined ? true : undefined}>
          {q.verb}
        </Button>
      </div>
    </form>
  );
}

const stay = { short: 6000, long: 12_000 };

function OneToast({ t, drop, toast }: { t: Shown; drop: (n: number) => void; toast: (t: Toast) => void }) {
  const [held, setHeld] = useState(false);
  const [busy, setBusy] = useState(false);
  // What failed stays until it is put away: nobody should miss it.
  const lasting = t.tone === "bad" || held || busy;
  useEffect(() => {
    if (lasting) return;
    const timer = setTimeout(() => drop(t.n), t.undo || t.detail || t.href ? stay.long : stay.short);
    return () => clearTimeout(timer);
  }, [lasting, t, drop]);
  const undo = async () => {
    setBusy(true);
    try {
      await t.undo?.();
      drop(t.n);
      toast({ tone: "ok", text: "Undone" });
    } catch (e) {
      const failure = failureOf(e);
      drop(t.n);
      toast({ tone: "bad", text: `Cannot undo: ${failure.message}`, detail: failure.remedy });
    }
  };
  return (
    <div className={css.toast} data-tone={t.tone} onMouseEnter={() => setHeld(true)} onMouseLeave={() => setHeld(false)} onFocus={() => setHeld(true)} onBlur={() => setHeld(false)}>
      <div className={css.words}>
        <State tone={t.tone}>
          <span className={css.text}>{t.text}</span>
        </State>
        {t.detail && <div className={css.detail}>{t.detail}</div>}
      </div>
      {t.href && (
        <Link to={t.href as never} className={css.link} onClick={() => drop(t.n)}>
          Show
        </Link>
      )}
      {t.undo && (
        <Button size="compact-sm" variant="default" loading={busy} onClick={() => void undo()}>
          Undo
        </Button>
      )}
      <CloseButton size="sm" aria-label={`Put away: ${t.text}`} onClick={() => drop(t.n)} />
    </div>
  );
}
