import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { failureOf } from "~/api/client";
import { read } from "~/api/json";
import { now } from "~/app/clock";
import { useOverview } from "~/app/overview";
import { amount, bytes, counted, duration, isTime, listed, nanos, percent, whole } from "~/format";
import { KeyValues } from "~/pieces/KeyValues";
import { Page, Part } from "~/pieces/Page";
import { Ago, Async, State } from "~/pieces/states";
import type { MetricsStatus, ServerInfo } from "./types";
import css from "./Settings.module.css";

export function useServer() {
  return useQuery({ queryKey: ["server"], queryFn: ({ signal }) => read<ServerInfo>("/v1/server", signal), refetchInterval: 30_000 });
}

/** Server says whether the server itself is well. */
export function Server() {
  const server = useServer();
  const overview = useOverview();
  const metrics = useQuery({ queryKey: ["metrics-status"], queryFn: ({ signal }) => read<MetricsStatus>("/v1/metrics/status", signal), refetchInterval: 30_000, retry: (n, e) => failureOf(e).code !== "not_found" && n < 2 });
  const s = server.data;
  const problems = [...(s?.problems ?? []), ...(metrics.data?.problems ?? [])];
  const fact = s && (problems.length > 0 ? `The server has ${counted(problems.length, "problem")}: ${problems[0]}.` : `The server is well and has run for ${duration(now() - Date.parse(s.started))}.`);
  const agents = new Map<string, number>();
  for (const h of overview.hosts ?? []) if (h.agent) agents.set(h.agent, (agents.get(h.agent) ?? 0) + 1);
  return (
    <Page title="Server" fact={fact}>
      <Async query={server} what="how the server is" lines={8}>
        {(i) => (
          <>
            {problems.length > 1 && (
              <ul className={css.came}>
                {problems.map((p) => (
                  <li key={p}>
                    <State tone="bad">problem</State> {p}
                  </li>
                ))}
              </ul>
            )}
            <Part title="What it is">
              <KeyValues
                items={[
                  ["Version", i.version],
                  ["Started", <Ago key="s" at={i.started} />],
                  ["Fleet", <span key="f" className="mono">{i.fleet}</span>],
                  ["API", <span key="a" className="mono">{i.api}</span>],
                  ["Agents dial", (i.link ?? []).length > 0 ? <span key="l" className="mono">{listed(i.link, 4)}</span> : "none"],
                  ["Agents on the line", whole(i.agents)],
                  ["Agents' versions", agents.size > 0 ? [...agents].sort((a, b) => b[1] - a[1]).map(([v, n]) => `${v} on ${counted(n, "host")}`).join(", ") : undefined],
                ]}
              />
            </Part>
            <Part title="What it keeps" hint={<span className="mono">{i.dataDir}</span>}>
              <KeyValues
                items={[
                  ["Disk", i.diskTotal > 0 ? <Disk key="d" free={i.diskFree} total={i.diskTotal} /> : undefined],
                  ["Store", `${bytes(i.storeBytes)}${i.storeQuota ? ` of at most ${bytes(i.storeQuota)}` : ""}, ${i.storeEngine}`],
                  ["Events in the journal", whole(i.journalEvents)],
                ]}
              />
            </Part>
          </>
        )}
      </Async>
      <Part title="Metrics">
        <Async query={metrics} what="how the metrics are kept" lines={4}>
          {(m) => (
            <KeyValues
              items={[
                ["Series", whole(m.series)],
                ["Coming in", amount(m.samplesPerSecond, "per second").replace("/s", " samples a second")],
                ["Kept", `${bytes(m.bytes)}${m.maxBytes ? ` of at most ${bytes(m.maxBytes)}` : ""}`],
                ["Oldest", isTime(m.oldest) ? <Ago key="o" at={m.oldest} /> : "none yet"],
                ["Kept for", duration(nanos(m.retention))],
              ]}
            />
          )}
        </Async>
      </Part>
      <p className={`${css.lead} ${css.apart}`}>
        Its certificates are in <Link to="/settings/$section" params={{ section: "certificates" }}>Certificates</Link>; its own metrics are at <a href="/metrics">/metrics</a>, the API's description at <a href="/openapi.json">/openapi.json</a>.
      </p>
    </Page>
  );
}

function Disk({ free, total }: { free: number; total: number }) {
  const used = total - free;
  return (
    <div className={css.disk}>
      <span className="num">
        {bytes(free)} free of {bytes(total)}, {percent(used / total)} used
      </span>
      <progress value={used} max={total} aria-label="Disk used" />
    </div>
  );
}
