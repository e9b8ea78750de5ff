import { Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { read } from "~/api/json";
import { now } from "~/app/clock";
import { dateTime, isTime } from "~/format";
import { CopyButton } from "~/pieces/CopyButton";
import { Page, Part } from "~/pieces/Page";
import { Async, Empty, State } from "~/pieces/states";
import { useServer } from "./Server";
import { endingSoon, expiry, hostExpiry } from "./words";
import css from "./Settings.module.css";

type HostCert = { name: string; certExpires: string | undefined; connected: boolean };

/** Certificates says of each how long it is good for, worst first. */
export function Certificates() {
  const server = useServer();
  const hosts = useQuery({
    queryKey: ["hosts", "certificates"],
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const all: HostCert[] = [];
      let next = "";
      do {
        const list: { items: { name: string; status?: { certExpires?: string; connected?: boolean } }[]; continue?: string } = await read(`/v1/hosts?limit=5000${next ? `&continue=${encodeURIComponent(next)}` : ""}`, signal);
        all.push(...(list.items ?? []).map((h) => ({ name: h.name, certExpires: h.status?.certExpires, connected: h.status?.connected ?? false })));
        next = list.continue ?? "";
      } while (next);
      return all;
    },
  });
  const soon = endingSoon(hosts.data ?? [], now());
  const first = [...(server.data?.certificates ?? [])].sort((a, b) => Date.parse(a.expires) - Date.parse(b.expires))[0];
  const fact =
    server.data && hosts.data
      ? soon.length > 0
        ? `The certificate of ${soon[0]!.name} ${expiry(soon[0]!.certExpires, now()).text}${soon.length > 1 ? `, and of ${soon.length - 1} more soon` : ""}.`
        : first
          ? `Every certificate is good: the first of the server's, ${first.name}, ${expiry(first.expires, now()).text}.`
          : "Every host's certificate is good."
      : undefined;
  return (
    <Page title="Certificates" fact={fact}>
      <Async query={server} what="the server's certificates" lines={5}>
        {(s) => (
          <table className={css.certs}>
            <caption className="visually-hidden">Certificates of the server</caption>
            <thead>
              <tr>
                <th scope="col">Certificate</th>
                <th scope="col">Ends</th>
                <th scope="col">Subject</th>
                <th scope="col">Fingerprint</th>
              </tr>
            </thead>
            <tbody>
              {(s.certificates ?? []).map((c) => {
                const e = expiry(c.expires, now());
                return (
                  <tr key={c.name + c.fingerprint}>
                    <th scope="row">{c.name}</th>
                    <td title={isTime(c.expires) ? dateTime(c.expires) : undefined}>
                      <State tone={c.renewed && e.tone === "warn" ? "ok" : e.tone}>{e.text}</State>
                      {c.renewed && <span className={css.quiet}>, renewed by itself</span>}
                    </td>
                    <td>{c.subject}</td>
                    <td>
                      <span className={css.finger}>{c.fingerprint}</span> <CopyButton text={c.fingerprint} />
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        )}
      </Async>
      <Part title="Hosts that did not renew theirs" hint="it lasts a day; the agent renews it when 8 hours are left">
        <Async query={hosts} what="the hosts' certificates" lines={3}>
          {(list) =>
            soon.length === 0 ? (
              <Empty>{list.length === 0 ? "No host is enrolled." : "None: every host has renewed its certificate in time."}</Empty>
            ) : (
              <ul className={css.came}>
                {soon.map((h) => (
                  <li key={h.name}>
                    <Link to="/hosts/$name" params={{ name: h.name }} className="mono">
                      {h.name}
                    </Link>
                    <State tone={hostExpiry(h.certExpires, now()).tone}>{hostExpiry(h.certExpires, now()).text}</State>
                    <span className={css.quiet}>
                      {h.connected ? "connected; its agent's log says why it was not renewed" : Date.parse(h.certExpires ?? "") < now() ? "away; it must be enrolled again to come back" : "away; it is renewed when the host comes back before then"}
                    </span>
                  </li>
                ))}
              </ul>
            )
          }
        </Async>
      </Part>
    </Page>
  );
}
