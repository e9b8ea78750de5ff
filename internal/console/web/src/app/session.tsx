import { createContext, useCallback, useContext, useEffect, useState, type ReactNode } from "react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, data, Failure, failureOf, type Schemas } from "~/api/client";
import { timesOf, whoamiPath } from "~/api/early";
import { setServerTime } from "./clock";

export type Me = Schemas["Me"];

// Who is signed in. A session that ends in the middle of an action does not
// throw the page away: SignIn comes up over it, and what was typed stays.

type Session = {
  me: Me | undefined;
  loading: boolean;
  failure: Failure | undefined;
  /** Why it ended, when it did while the page was open. */
  ended: Failure | undefined;
  /** To be called after a sign-in. */
  refresh: () => Promise<void>;
  /** Forgets who was signed in and all that was read. */
  leave: () => void;
  may: (role: "viewer" | "operator" | "admin") => boolean;
};

const Context = createContext<Session | null>(null);

let onEnd: ((f: Failure) => void) | undefined;

/** sessionEnded is told by the API client of every 401. */
export function sessionEnded(f: Failure): void {
  onEnd?.(f);
}

const ranks = { viewer: 1, operator: 2, admin: 3 } as const;

/** whoami is the query of who is signed in. */
export const whoami = {
  queryKey: ["whoami"],
  queryFn: async (): Promise<Me | null> => {
    const times = timesOf(whoamiPath) ?? { asked: Date.now(), answered: 0 };
    const me = await data(api.GET(whoamiPath));
    if (me.time) setServerTime(me.time, times.asked, times.answered || undefined);
    return me;
  },
  staleTime: 5 * 60_000,
  retry: (n: number, e: Error) => failureOf(e).status !== 401 && n < 3,
};

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [ended, setEnded] = useState<Failure>();
  const query = useQuery({ ...whoami, refetchInterval: 5 * 60_000 });
  const me = query.data ?? undefined; // null: signed out
  const signedIn = me !== undefined;
  useEffect(() => {
    onEnd = (f) => {
      if (signedIn) setEnded(f);
    };
    return () => {
      onEnd = undefined;
    };
  }, [signedIn]);
  const forget = useCallback(() => client.removeQueries({ predicate: (q) => q.queryKey[0] !== "whoami" }), [client]);
  const refresh = useCallback(async () => {
    const before = client.getQueryData<Me | null>(["whoami"])?.actor;
    await client.refetchQueries({ queryKey: ["whoami"] });
    const after = client.getQueryData<Me | null>(["whoami"])?.actor;
    setEnded(undefined);
    // Another person must not see what the one before was shown.
    if (before !== after) forget();
    await client.invalidateQueries({ predicate: (q) => q.queryKey[0] !== "whoami" });
  }, [client, forget]);
  const leave = useCallback(() => {
    setEnded(undefined);
    client.setQueryData(["whoami"], null);
    forget();
  }, [client, forget]);
  const session: Session = {
    me,
    loading: query.isPending,
    failure: query.error ? failureOf(query.error) : undefined,
    ended,
    refresh,
    leave,
    may: (role) => (me ? (ranks[me.role as keyof typeof ranks] ?? 0) >= ranks[role] : false),
  };
  return <Context.Provider value={session}>{children}</Context.Provider>;
}

export function useSession(): Session {
  const s = useContext(Context);
  if (!s) throw new Error("useSession is used outside of SessionProvider");
  return s;
}
