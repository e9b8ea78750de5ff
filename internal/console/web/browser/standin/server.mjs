// A stand-in for the server: it serves the build of the console and answers from
// the made-up fleet, in one of four states. For pictures, and for what a real
// server cannot be brought to: 10,000 events a second, a host's name with markup.
import { createServer } from "node:http";
import { existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as f from "./fleet.mjs";

const kinds = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
const described = fileURLToPath(new URL("../../openapi.json", import.meta.url)); // as the server describes itself
const failure = { code: "invalid", message: "cannot read the store: it does not answer", remedy: "look at the server's log" }; // a code at which pages do not ask again
const missing = (path) => ({ code: "notFound", message: `there is nothing at ${path}` });

class Unknown extends Error {}

/** answer is what a GET is answered with. state: full, empty. */
function answer(path, query, state, fleet, page = "") {
  const full = state === "full";
  const list = (items) => ({ items: full ? items : [] });
  const rows = fleet?.rows ?? f.rows;
  const named = (items, name) => items.find((i) => i.name === name) ?? items[0];
  const p = path.split("/").slice(1).map(decodeURIComponent);
  if (p[0] === "api") return prometheus(p, query, full);
  const [, what, name, sub] = p;
  switch (what) {
    case "whoami":
      return f.me;
    case "version":
      return { version: f.me.version, fleet: f.fleetID, link: 3 };
    case "overview":
      // The page of a host is empty when the host has just come.
      if (!full && /\/hosts\/./.test(page)) return { fleet: f.fleetID, hosts: [{ name: "web-3", connected: true, state: "new" }] };
      return { fleet: f.fleetID, hosts: full ? rows : [], ...(full ? { active: f.commits[0] } : {}) };
    case "kinds":
      return { items: f.kindList };
    case "events": {
      const of = f.events.filter((e) => (!query.get("host") || e.host === query.get("host")) && (!query.get("type") || e.type === query.get("type")));
      return { items: full ? of : [], last: full ? 4821 : 0 };
    }
    case "alerts":
      return list(f.alerts);
    case "audit":
      return name === "verify" ? { intact: true, last: 300, hash: f.audit[0].hash } : list(f.audit);
    case "sessions":
      return { items: full ? f.sessions : f.sessions.slice(0, 1) };
    case "server":
      return full ? f.server : { ...f.server, agents: 0, journalEvents: 0 };
    case "metrics":
      return full ? f.metricsStatus : { ...f.metricsStatus, series: 0, samplesPerSecond: 0, bytes: 0 };
    case "ca":
      return { certificate: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", fingerprint: f.server.certificates[0].fingerprint, fleet: f.fleetID };
    case "join":
      return { fleet: f.fleetID, url: f.server.api, link: f.server.link, ca: "", pin: f.server.certificates[0].fingerprint, command: "drover enroll ssh://root@HOST", script: "", agents: [] };
    case "runs":
      if (!name) return list(f.runs.filter((r) => (!query.get("kind") || query.get("kind").split(",").includes(r.kind)) && (!query.get("host") || r.host === query.get("host")) && (!query.get("state") || r.state === query.get("state"))));
      if (sub === "output") return full ? f.output : "";
      if (sub === "report") return f.reportOf(query.get("host"));
      if (sub === "tasks") return list(f.tasks);
      return full ? f.runDetail(name) : { ...f.runDetail(name), results: [], count: 0, ok: 0, failed: 0 };
    case "hosts":
      if (sub === "processes") return full ? f.processes : { ...f.processes, total: 0, items: [] };
      if (sub === "units") return list(f.units);
      if (sub === "facts") return full ? named(f.hosts, name).status.facts : {};
      if (sub === "report") return f.reportOf(name);
      break;
    case "revisions":
      if (sub === "diff") return full ? f.diff : { ...f.diff, files: [] };
      if (sub === "plan") return full ? f.plan : { ...f.plan, changed: [], groups: [], unchanged: 42 };
      if (sub === "hosts") return full ? f.revisionHosts : { waves: [], items: [] };
      break;
  }
  if (sub === "history") return full ? f.history : { items: [] };
  if (f.lists[what] && name) {
    const found = named(f.lists[what], name);
    if (full || what !== "hosts") return found;
    return { ...found, status: { connected: false, state: "new" } }; // it has joined, and said nothing yet
  }
  if (f.lists[what]) return { ...list(f.lists[what]), revision: 900 };
  throw new Unknown(path);
}

// What a value between 0 and 1 is times, for what a query is about.
const scales = [
  [/mode=~"(?!user|system)/, 0.05],
  [/mode=~/, 0.5],
  [/ratio|percent|node_filesystem/, 1],
  [/load/, 2],
  [/pressure/, 0.2],
  [/MemTotal/, 8 * 2 ** 30],
  [/MemAvailable/, 3 * 2 ** 30],
  [/bytes/, 4e6],
  [/count|connected/, 40],
];

/** prometheus answers every query with the series that one would expect of it. */
function prometheus(p, query, full) {
  const expr = query.get("query") ?? "";
  const last = p[p.length - 1];
  if (last === "rules") return { status: "success", data: { groups: full ? f.ruleGroups : [] } };
  if (last !== "query" && last !== "query_range") return { status: "success", data: [] };
  const data = (resultType, result) => ({ status: "success", data: { resultType, result } });
  if (!full) return data(last === "query" ? "vector" : "matrix", []);
  const host = /instance=~?"([^"]+)"/.exec(expr)?.[1];
  const instances = host && !/[|*]/.test(host) ? [host] : f.rows.map((r) => r.name);
  const by = [...expr.matchAll(/by\s*\(([^)]*)\)/g)].flatMap((m) => m[1].split(",").map((x) => x.trim()));
  if (/node_filesystem/.test(expr)) by.push("mountpoint");
  const values = { mode: ["user", "system", "iowait"], device: ["sda", "sdb"], mountpoint: ["/", "/srv"], fstype: ["ext4"], interface: ["ens3"] };
  let sets = /^(sum|avg|max|min|count)\b/.test(expr) && !by.includes("instance") ? [{}] : instances.map((instance) => ({ instance }));
  for (const label of by.filter((l) => values[l])) sets = sets.flatMap((x) => values[label].map((v) => ({ ...x, [label]: v })));
  const scale = scales.find(([match]) => match.test(expr))?.[1] ?? 1;
  const value = (labels, t) => (f.wave(expr + JSON.stringify(labels), t) * scale).toPrecision(6);
  const end = f.now / 1000;
  if (last === "query") return data("vector", sets.map((metric) => ({ metric, value: [end, value(metric, end)] })));
  const [from, to, step] = ["start", "end", "step"].map((k) => Number(query.get(k)));
  // A gap in the middle, because there are gaps.
  const hole = from + (to - from) * 0.62;
  const times = Array.from({ length: Math.min(400, Math.floor((to - from) / step) + 1) }, (_, i) => from + i * step).filter((t) => t < hole || t > hole + (to - from) * 0.03);
  return data("matrix", sets.slice(0, 60).map((metric) => ({ metric, values: times.map((t) => [t, value(metric, t)]) })));
}

const sse = (type, value, id) => `${id === undefined ? "" : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(value)}\n\n`;

/**
 * standIn serves `dist` (the console's build). The state is that of the page's
 * own address, in the cookie `state`: full, empty, loading or failing.
 * .streams are the open watches of events; .asked every path that was asked for.
 */
export function standIn(dist, { fleet } = {}) {
  const streams = new Set();
  const asked = new Map();
  const unknown = new Set();
  const server = createServer((req, res) => {
    const url = new URL(req.url, "http://x");
    const path = url.pathname;
    if (!path.startsWith("/v1/") && !path.startsWith("/api/") && path !== "/openapi.json") return file(dist, path, res);
    let body = "";
    req.on("data", (d) => (body += d));
    req.on("end", () => {
      if (/x-www-form-urlencoded/.test(req.headers["content-type"] ?? "")) for (const [k, v] of new URLSearchParams(body)) url.searchParams.set(k, v);
      reply(req, res, path, url.searchParams, /state=(\w+)/.exec(req.headers.cookie ?? "")?.[1] ?? "full");
    });
  });
  function reply(req, res, path, query, state) {
    const json = (status, value) => {
      res.writeHead(status, { "Content-Type": "application/json" });
      res.end(JSON.stringify(value));
    };
    if (path === "/v1/whoami") return json(200, f.me);
    if (path === "/openapi.json" && ["full", "empty"].includes(state)) return json(200, JSON.parse(readFileSync(described, "utf8")));
    if (state === "loading") return; // it is never answered; the page's end ends it
    if (state === "failing" && path !== "/v1/events") return json(500, failure);
    try {
      const watch = query.get("watch") === "true" || /^\/v1\/runs\/[^/]+\/events$/.test(path);
      const value = answer(path.replace(/\/events$/, (m) => (path.startsWith("/v1/runs/") ? "" : m)), query, state, fleet, req.headers.referer);
      if (!watch) {
        asked.set(path, value);
        if (typeof value !== "string") return json(200, value);
        res.writeHead(200, { "Content-Type": "text/plain; charset=utf-8", "X-Total-Bytes": String(Buffer.byteLength(value)) });
        return res.end(value);
      }
      res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      res.write(": alive\n\n");
      if (path === "/v1/overview") res.write(sse("snapshot", value));
      if (f.lists[path.slice("/v1/".length)]) {
        for (const o of value.items) res.write(sse("put", o));
        res.write(sse("synced", {}));
      }
      if (path === "/v1/events") {
        streams.add(res);
        res.once("close", () => streams.delete(res));
      }
      if (path.startsWith("/v1/runs/") && path.endsWith("/events") && state === "full") {
        res.write(sse("run", { start: { id: value.id, hosts: value.results.map((r) => r.host) } }));
        for (const r of value.results) for (const e of f.runEvents(value, r)) res.write(sse("run", e));
        if (value.state !== "running") {
          res.write(sse("run", { end: { ok: value.ok, failed: value.failed, lost: value.lost, took: value.took ?? 0 } }));
          res.end();
        }
      }
    } catch (e) {
      if (!(e instanceof Unknown)) throw e;
      unknown.add(path);
      json(404, missing(path));
    }
  }
  return {
    streams,
    asked,
    unknown,
    push(type, value, id) {
      const text = sse(type, value, id);
      for (const s of streams) s.write(text);
    },
    write(text) {
      for (const s of streams) s.write(text);
    },
    listen: () =>
      new Promise((done) =>
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address();
          done(`http://127.0.0.1:${port}`);
        }),
      ),
    close: () =>
      new Promise((done) => {
        server.close(done);
        server.closeAllConnections();
      }),
  };
}

function file(dist, path, res) {
  let name = join(dist, path);
  if (path === "/" || !existsSync(name) || !kinds[extname(name)]) name = join(dist, "index.html");
  const kind = kinds[extname(name)] ?? "text/html; charset=utf-8";
  res.writeHead(200, { "Content-Type": kind, ...(path.startsWith("/assets/") ? { "Cache-Control": "public, max-age=31536000, immutable" } : {}) });
  res.end(readFileSync(name));
}

export { answer };
