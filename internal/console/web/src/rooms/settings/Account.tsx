import { useState } from "react";
import { Button } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { failureOf, type Failure } from "~/api/client";
import { read, send } from "~/api/json";
import { now } from "~/app/clock";
import { useSession } from "~/app/session";
import { useSignOut } from "~/app/signout";
import { counted } from "~/format";
import { useConfirm, useToast } from "~/pieces/actions";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, ErrorBox, State } from "~/pieces/states";
import { SetPassword } from "./People";
import type { Session } from "./types";
import { browser, expiry, roles } from "./words";
import css from "./Settings.module.css";

/** Account is one's own: who one is, what one is signed in with, the password. */
export function Account() {
  const { me, refresh, leave } = useSession();
  const toast = useToast();
  const confirm = useConfirm();
  const client = useQueryClient();
  const navigate = useNavigate();
  const signOut = useSignOut();
  const [failure, setFailure] = useState<Failure>();
  const sessions = useQuery({ queryKey: ["sessions"], queryFn: async ({ signal }) => (await read<{ items: Session[] }>("/v1/sessions", signal)).items ?? [] });
  const role = roles.find((r) => r.value === me?.role);
  const end = async (s: Session) => {
    setFailure(undefined);
    try {
      if (s.current) return await signOut();
      await send("DELETE", `/v1/sessions/${encodeURIComponent(s.id)}`);
      toast({ tone: "ok", text: "That session has ended." });
    } catch (e) {
      setFailure(failureOf(e));
    }
    void client.invalidateQueries({ queryKey: ["sessions"] });
  };
  const everywhere = async () => {
    const n = sessions.data?.length ?? 0;
    const sure = await confirm({
      title: "Sign out everywhere?",
      body: <p>All {counted(n, "session")} end at once, this one too: browsers and the command line must sign in again. Tokens that were made for programs stay.</p>,
      verb: `End ${counted(n, "session")}`,
      danger: true,
    });
    if (!sure) return;
    try {
      await send("DELETE", "/v1/sessions");
      await navigate({ to: "/signin" });
      leave();
    } catch (e) {
      setFailure(failureOf(e));
    }
  };
  return (
    <Page title={`Account of ${me?.person ?? me?.actor ?? "you"}`} fact={me && (role ? role.you : `You are signed in as ${me.actor}.`)}>
      <Part
        title="Where you are signed in"
        actions={
          (sessions.data?.length ?? 0) > 0 && (
            <Button variant="default" size="xs" onClick={() => void everywhere()}>
              Sign out everywhere…
            </Button>
          )
        }
      >
        {failure && <ErrorBox failure={failure} what="end the session" />}
        <Async query={sessions} what="your sessions" lines={4}>
          {(list) => (
            <ul className={css.sessions}>
              {list.map((s) => (
                <li key={s.id}>
                  <div>
                    <b>{s.kind === "token" ? s.note || "A program" : browser(s.note) || "A browser"}</b> {s.current && <State tone="ok">this one</State>}
                    <p>
                      {s.remote ? `From ${s.remote}, signed` : "Signed"} in <Ago at={s.created} />
                      {s.used && (
                        <>
                          , used <Ago at={s.used} />
                        </>
                      )}
                      {s.expires && `, ${expiry(s.expires, now()).text}`}
                    </p>
                  </div>
                  <Button variant="subtle" size="compact-sm" aria-label={s.current ? "Sign out here" : `End the session from ${s.remote ?? "elsewhere"}`} onClick={() => void end(s)}>
                    {s.current ? "Sign out" : "End"}
                  </Button>
                </li>
              ))}
            </ul>
          )}
        </Async>
      </Part>
      {me?.person && (
        <Part title="Password">
          <p className={css.lead}>A new password ends all your other sessions.</p>
          <SetPassword
            name={me.person}
            own
            inline
            done={(ok) => {
              if (!ok) return;
              toast({ tone: "ok", text: "Your password is changed. All other sessions have ended." });
              void refresh();
            }}
          />
        </Part>
      )}
    </Page>
  );
}
