import type { ReactNode } from "react";
import type { UseQueryResult } from "@tanstack/react-query";
import { Button } from "@mantine/core";
import { failureOf, type Failure } from "~/api/client";
import { ago, isTime, utc, dateTime } from "~/format";
import { useTick } from "~/app/time";
import css from "./states.module.css";

export type Tone = "ok" | "warn" | "bad" | "info" | "idle";

export const shapes: Record<Tone, string> = { ok: "●", warn: "▲", bad: "■", info: "◆", idle: "○" };

/** State is a state as shape, colour and word: never colour alone. */
export function State({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={css.state} data-tone={tone}>
      <span aria-hidden="true">{shapes[tone]}</span> {children}
    </span>
  );
}

/** Ago is a time in words with the exact one on hover. */
export function Ago({ at, none = "never" }: { at: string | undefined; none?: string }) {
  useTick();
  if (!isTime(at)) return <span className={css.none}>{none}</span>;
  return (
    <time dateTime={at} title={`${dateTime(at)} here, ${utc(at)}`}>
      {ago(at)}
    </time>
  );
}

/** Loading holds the place of what is being read, in its final shape when `lines` says so. */
export function Loading({ what, lines }: { what: string; lines?: number }) {
  return (
    <div role="status" className={css.loading} aria-busy="true">
      <span className="visually-hidden">Loading {what}</span>
      {Array.from({ length: lines ?? 3 }, (_, i) => (
        <div key={i} className={css.bone} style={{ width: `${[92, 78, 85, 64, 88][i % 5]}%` }} />
      ))}
    </div>
  );
}

/** ErrorBox says beside the part that failed what failed, why, and what to do. */
export function ErrorBox({ failure, what, retry }: { failure: Failure; what: string; retry?: (() => void) | undefined }) {
  return (
    <div role="alert" className={css.error}>
      <div>
        <strong>
          Cannot {what}: {failure.message.replace(/^cannot [^:]*: /, "")}
        </strong>
        {failure.place && <div className="mono">{failure.place}</div>}
        {failure.remedy && <div>{sentence(failure.remedy)}</div>}
        {failure.request && failure.code === "internal" && <div className={css.none}>Request {failure.request}</div>}
      </div>
      {retry && (
        <Button variant="default" size="xs" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

function sentence(s: string): string {
  return s.charAt(0).toUpperCase() + s.slice(1) + (/[.?`]$/.test(s) ? "" : ".");
}

/** Empty says what would be here, and the one command that brings it. */
export function Empty({ children, command }: { children: ReactNode; command?: string }) {
  return (
    <div className={css.empty}>
      <p>{children}</p>
      {command && <code>{command}</code>}
    </div>
  );
}

/** Async shows a query in its honest state: loading, failing, or the data, with its age when it is old. */
export function Async<T>(p: {
  query: UseQueryResult<T>;
  /** "the alerts": what is loaded, in the words of an error too. */
  what: string;
  lines?: number;
  children: (data: T) => ReactNode;
}) {
  const { query } = p;
  if (query.data === undefined) {
    if (query.error) return <ErrorBox failure={failureOf(query.error)} what={`read ${p.what}`} retry={() => void query.refetch()} />;
    return <Loading what={p.what} {...(p.lines ? { lines: p.lines } : {})} />;
  }
  return (
    <>
      {query.error && (
        <p role="status" className={css.stale}>
          This is from {ago(query.dataUpdatedAt, Date.now())}; it cannot be read anew: {failureOf(query.error).message}.
        </p>
      )}
      {p.children(query.data)}
    </>
  );
}
