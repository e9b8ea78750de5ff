// A made-up fleet for pictures that are the same each time: 42 hosts at a fixed
// hour, one of everything that a page has to show. Nothing in it is random. The
// answers are held against the server's own description (schema.mjs), so that
// they cannot grow apart from what it says.

export const now = Date.parse("2026-03-02T14:30:00Z");
const at = (secondsAgo) => new Date(now - secondsAgo * 1000).toISOString();
const s = 1e9; // nanoseconds
const took = (seconds) => Math.round(seconds * s);
const min = 60;
const h = 3600;

export const fleetID = "fleet-0f3a9c5d7e1b2864";
const sha = (n) => (0x9e3779b1 * (n + 1)).toString(16).padStart(12, "0").slice(-8).repeat(5);
export const commits = Array.from({ length: 14 }, (_, i) => sha(i));
const [active, before] = commits;

const kinds = [
  ["web", 18, ["web", "prod"], { role: "web" }],
  ["db", 6, ["db", "prod"], { role: "db" }],
  ["cache", 6, ["cache", "prod"], { role: "cache" }],
  ["edge-fra", 8, ["edge", "prod"], { role: "edge", site: "fra" }],
  ["build", 4, ["build"], { role: "build" }],
];

export const rows = kinds.flatMap(([prefix, n, groups, labels]) =>
  Array.from({ length: n }, (_, i) => ({
    name: `${prefix}-${i + 1}`,
    state: "converged",
    connected: true,
    revision: active,
    assigned: active,
    groups,
    labels: { ...labels, env: prefix === "build" ? "ci" : "prod" },
    address: `10.${prefix.length}.0.${i + 11}`,
    os: "Debian 12",
    kernel: "6.1.0-31-amd64",
    cpus: prefix === "db" ? 16 : 4,
    memoryMB: prefix === "db" ? 65536 : 8192,
    agent: "v0.4.0",
    converged: at(90 + i * 37),
    took: took(2.1 + (i % 5) * 0.4),
    changed: 0,
    failed: 0,
  })),
);
const row = (name) => rows.find((r) => r.name === name);
Object.assign(row("web-3"), { state: "failed", changed: 2, failed: 1, message: "nginx -t failed: unknown directive \"proxy_cache_pathh\" in /etc/nginx/sites-enabled/shop:14" });
Object.assign(row("web-7"), { state: "converging", revision: before, converged: at(26 * min) });
Object.assign(row("edge-fra-4"), { state: "converged", connected: false, lastSeen: at(47 * min), converged: at(49 * min) });
delete row("edge-fra-4").revision;
Object.assign(row("build-2"), { state: "paused", paused: true, revision: commits[3], assigned: active });
Object.assign(row("db-4"), { drifted: at(3 * h), changed: 1 });
Object.assign(row("cache-6"), { state: "new" });
for (const key of ["revision", "converged", "took", "changed", "failed"]) delete row("cache-6")[key];

const task = (name, module, status, more = {}) => ({ name, module, status, start: at(95), duration: took(0.18), place: { file: "roles/web/tasks/main.yml", line: 12, column: 3 }, ...more });
export const tasks = [
  task("Packages", "apt", "ok", { duration: took(0.9), place: { file: "roles/base/tasks/main.yml", line: 2, column: 3 } }),
  task("Message of the day", "template", "ok", { place: { file: "roles/base/tasks/main.yml", line: 9, column: 3 } }),
  task("Site configuration", "template", "changed", {
    diff: [
      {
        before_header: "/etc/nginx/sites-available/shop",
        after_header: "/etc/nginx/sites-available/shop",
        before: "server {\n    listen 80;\n    server_name shop.example.org;\n    root /srv/shop;\n}\n",
        after: "server {\n    listen 80;\n    server_name shop.example.org www.shop.example.org;\n    proxy_cache_pathh /var/cache/shop;\n    root /srv/shop;\n}\n",
      },
    ],
  }),
  task("Enable the site", "file", "changed", { place: { file: "roles/web/tasks/main.yml", line: 21, column: 3 } }),
  task("Check the configuration", "command", "failed", { message: row("web-3").message, result: { rc: 1, stderr: row("web-3").message, stdout: "" } }),
  task("Start nginx", "systemd", "skipped", { duration: 0 }),
];
export const reportOf = (name) => {
  const r = row(name) ?? rows[0];
  const failed = r.state === "failed";
  return {
    id: `r-${r.name}`, host: r.name, commit: r.revision ?? active, hash: "sha256:" + sha(40).slice(0, 16), reason: failed ? "new revision" : "timer", start: at(95), duration: r.took ?? 2 * s,
    agent: "v0.4.0", changed: (r.changed ?? 0) > 0, failed, ...(failed ? { message: r.message } : {}),
    sections: { play: { changed: (r.changed ?? 0) > 0, changes: r.changed ?? 0, failed, failures: r.failed ?? 0, ok: failed ? 2 : 5, skipped: 1, tasks: failed ? tasks : r.changed ? tasks.filter((t) => t.status !== "failed") : tasks.slice(0, 2) } },
  };
};

const facts = (r) => ({ hostname: r.name, distribution: "Debian", distribution_version: "12", kernel: r.kernel, architecture: "x86_64", processor_vcpus: r.cpus, memtotal_mb: r.memoryMB, os_family: "Debian", default_ipv4: { address: r.address, interface: "ens3" } });
export const hosts = rows.map((r, i) => ({
  kind: "host", name: r.name, uid: `u-${i}`, created: at(40 * 24 * h), updated: at(90), revision: 900 + i, generation: 1, labels: r.labels,
  spec: { address: r.address, ...(r.paused ? { paused: true } : {}) },
  status: {
    connected: r.connected, state: r.state, groups: r.groups, agentVersion: r.agent, assignedRevision: r.assigned, certExpires: at(-60 * 24 * h), facts: facts(r),
    ...(r.revision ? { fleetRevision: r.revision } : {}), ...(r.lastSeen ? { lastSeen: r.lastSeen } : {}), ...(r.drifted ? { driftedAt: r.drifted } : {}), ...(r.converged ? { last: reportOf(r.name) } : {}),
  },
}));

const subjects = ["Cache the shop's pages", "Raise the connection limit of the databases", "New certificate for the edge", "Move logs to /var/log/shop", "Add cache-6", "Debian point release", "Tidy up the base role", "Shorter DNS timeouts", "Let build hosts use 8 jobs", "Rotate the deploy key", "Give every site its own user", "First version of the edge role", "Monitoring of disks", "A small web fleet"];
export const revisions = subjects.map((subject, i) => ({
  kind: "revision", name: commits[i], uid: `rev-${i}`, created: at(25 * min + i * 9 * h), updated: at(20 * min + i * 9 * h), revision: 800 - i, generation: 1,
  spec: { subject, author: i % 3 ? "Ann Ito" : "Ben Okafor", pusher: i % 3 ? "ann" : "ben", when: at(26 * min + i * 9 * h), ...(commits[i + 1] ? { parent: commits[i + 1] } : {}) },
  status: { active: i === 0, hosts: i === 0 ? 41 : 0, ...(i === 0 ? { problems: [] } : {}) },
}));
export const diff = {
  base: before, truncated: false,
  files: [
    { path: "roles/web/templates/shop.conf.j2", status: "changed", added: 2, removed: 1, binary: false, patch: "@@ -1,6 +1,7 @@\n server {\n     listen 80;\n-    server_name shop.example.org;\n+    server_name {{ shop_names | join(' ') }};\n+    proxy_cache_pathh /var/cache/shop;\n     root /srv/shop;\n     index index.html;\n }\n" },
    { path: "inventory/group_vars/web.yml", status: "changed", added: 3, removed: 0, binary: false, patch: "@@ -4,3 +4,6 @@\n site_title: Hello from Drover\n workers: 4\n+shop_names:\n+  - shop.example.org\n+  - www.shop.example.org\n keepalive: 30\n" },
    { path: "roles/web/files/logo.png", status: "added", added: 0, removed: 0, binary: true, patch: "" },
    { path: "roles/web/templates/old.conf.j2", status: "removed", added: 0, removed: 4, binary: false, patch: "@@ -1,4 +0,0 @@\n-server {\n-    listen 8080;\n-    root /srv/old;\n-}\n" },
  ],
};
const web = rows.filter((r) => r.groups.includes("web")).map((r) => r.name);
export const plan = { base: before, commit: active, declared: 42, errors: 0, unchanged: 24, changed: web, notAsked: ["edge-fra-4"], groups: [{ hosts: web, failed: false, tasks: tasks.filter((t) => t.status === "changed") }] };
export const revisionHosts = {
  waves: [{ name: "canary", hosts: web.slice(0, 2) }, { name: "the rest", hosts: web.slice(2) }],
  items: rows.map((r) => ({
    host: r.name, state: r.state === "failed" ? "failed" : r.state === "converging" ? "applying" : !r.connected ? "away" : r.state === "new" ? "waiting" : r.changed ? "changed" : "converged",
    changed: r.changed ?? 0, failed: r.failed ?? 0, run: `a-${r.name}`, at: r.converged ?? at(60), took: r.took ?? 0,
  })),
};

const run = (id, kind, title, secondsAgo, took, more) => ({
  id, kind, title, start: at(secondsAgo), ...(took ? { end: at(secondsAgo - took), took: Math.round(took * s) } : {}), state: "ok", count: 18, ok: 18, failed: 0, lost: 0, away: 0, changed: 0,
  ...(kind === "apply" ? {} : { actor: "person/ann", hosts: "web" }), ...more,
});
export const runs = [
  run("run-9", "command", "journalctl -u nginx --since -1h | tail -50", 40, 0, { state: "running", ok: 11 }),
  run("run-8", "apply", "new revision", 95, 3, { state: "failed", host: "web-3", commit: active, count: 1, ok: 0, failed: 1, changed: 1 }),
  run("run-7", "converge", "Converge", 9 * min, 14, { hosts: "web:&prod", state: "partial", ok: 16, failed: 1, lost: 1, changed: 4 }),
  run("run-6", "command", "systemctl is-active nginx", 31 * min, 0.42, { state: "partial", ok: 17, failed: 1 }),
  run("run-5", "play", "patch.yml", 2 * h, 84, { actor: "person/ben", hosts: "db", count: 6, ok: 6, changed: 6 }),
  run("run-4", "converge", "Check", 3 * h, 11, { check: true, changed: 2 }),
  run("run-3", "command", "uptime", 5 * h, 0.2, { hosts: "all", count: 42, ok: 41, away: 1 }),
  run("run-2", "command", "sleep 600", 26 * h, 31, { state: "cancelled", ok: 0, lost: 18 }),
  run("run-1", "play", "restore.yml", 49 * h, 8, { actor: "token/ci", hosts: "db-2", state: "lost", count: 1, ok: 0, lost: 1 }),
];
const stateOf = (r, i) => {
  if (r.state === "running") return i < r.ok ? "ok" : "running";
  if (i < r.failed) return "failed";
  if (i < r.failed + r.lost) return "lost";
  if (i < r.failed + r.lost + r.away) return "away";
  return i < r.failed + r.lost + r.away + r.changed ? "changed" : "ok";
};
export const runDetail = (id) => {
  const r = runs.find((each) => each.id === id) ?? runs[3];
  const names = r.host ? [r.host] : rows.slice(0, r.count).map((each) => each.name);
  const command = r.kind === "command";
  return {
    ...r, ...(command ? { command: r.title } : {}),
    results: names.map((host, i) => {
      const state = stateOf(r, i);
      return {
        host, state, exit: state === "failed" && command ? 3 : 0, took: took(0.1 + i * 0.02), ...(state === "failed" ? { error: command ? "exit status 3" : tasks[4].message } : {}),
        ...(command ? { bytes: 420 } : { tasks: { ok: 4, changed: state === "changed" || state === "failed" ? 2 : 0, failed: state === "failed" ? 1 : 0, skipped: 1 }, report: `r-${host}` }),
      };
    }),
  };
};
export const output = "\x1b[1mnginx\x1b[0m: the configuration file /etc/nginx/nginx.conf syntax is \x1b[32mok\x1b[0m\n2026/03/02 14:29:12 [\x1b[33mwarn\x1b[0m] 812#812: conflicting server name \"shop.example.org\" on 0.0.0.0:80, ignored\n2026/03/02 14:29:31 [\x1b[31merror\x1b[0m] 812#812: *4411 connect() failed (111: Connection refused) while connecting to upstream\n<script>alert('text is text')</script>\ninactive\n";
/** runEvents are what the stream of a run says of one of its hosts. */
export const runEvents = (run, r) => {
  const end = (more) => ({ done: [{ host: r.host, exit: r.exit, ...more }] });
  if (r.state === "running" || r.state === "away") return [];
  if (r.state === "lost") return [end({ exit: -1, error: "the host did not answer in time" })];
  // Of a report what changed or failed is told.
  const named = tasks.filter((t) => (r.state === "failed" && t.status === "failed") || (r.state !== "ok" && t.status === "changed"));
  if (run.kind !== "command") return [end({ report: { ...reportOf(r.host), changed: r.state !== "ok", failed: r.state === "failed", ...(r.error ? { message: r.error } : {}), sections: { play: { tasks: named } } } })];
  const text = r.state === "failed" ? output : "active\n";
  return [{ output: [{ host: r.host, data: Buffer.from(text).toString("base64") }] }, end({})];
};

const event = (seq, type, secondsAgo, message, more = {}) => ({ seq, time: at(secondsAgo), type, message, ...more });
export const events = [
  event(4821, "alert.firing", 12 * min, "db-2: / is full in about 9 hours", { host: "db-2", data: { severity: "warning" } }),
  event(4820, "host.failed", 92, `web-3 failed: ${row("web-3").message}`, { host: "web-3", data: { commit: active, changed: 2, failed: 1 } }),
  event(4819, "run.ended", 31 * min, "a command ended", { actor: "person/ann", data: { run: "run-6", ok: 17, failed: 1, lost: 0, took: took(0.42) } }),
  event(4818, "host.changed", 95, "web-1 changed 2 things", { host: "web-1", data: { commit: active, changed: 2 } }),
  event(4817, "revision.accepted", 25 * min, "revision accepted", { actor: "person/ann", data: { commit: active, subject: subjects[0] } }),
  event(4816, "host.disconnected", 47 * min, "edge-fra-4 is away", { host: "edge-fra-4" }),
  event(4815, "host.drifted", 3 * h, "db-4 had drifted", { host: "db-4", data: { commit: active, changed: 1 } }),
  event(4814, "host.enrolled", 4 * h, "cache-6 joined the fleet", { host: "cache-6", actor: "person/ben" }),
  event(4813, "run.started", 31 * min, "a command began", { actor: "person/ann", data: { run: "run-6", command: "systemctl is-active nginx", hosts: "web", count: 18 } }),
]
  .sort((a, b) => a.time.localeCompare(b.time))
  .map((e, i, all) => ({ ...e, seq: 4821 - all.length + 1 + i }));

const alert = (name, host, state, severity, summary, since, value, more = {}) => ({ name, host, state, severity, summary, since: at(since), value, labels: { instance: host, severity, alertname: name }, expr: exprs[name], ...more });
const exprs = {
  ConvergeFailed: "drover_host_converge_failed == 1",
  DiskWillFill: "predict_linear(node_filesystem_avail_bytes[6h], 86400) < 0",
  HostDown: "drover_host_connected == 0",
  MemoryLow: "drover:host_memory:ratio > 0.95",
  UnitFailed: 'node_systemd_unit_state{state="failed"} == 1',
  HostDrifted: "drover_host_drifted == 1",
};
export const alerts = [
  alert("ConvergeFailed", "web-3", "firing", "critical", "web-3: the last converge failed", 90, 1),
  alert("DiskWillFill", "db-2", "firing", "warning", "db-2: / is full in about 9 hours", 12 * min, 0.93),
  alert("HostDown", "edge-fra-4", "firing", "critical", "edge-fra-4: no sign of life for 47 minutes", 45 * min, 0),
  alert("MemoryLow", "db-5", "pending", "warning", "db-5: 4 % of memory is left", 2 * min, 0.04),
  alert("UnitFailed", "web-9", "firing", "warning", "web-9: shop-sync.service has failed", 8 * min, 1, { unit: "shop-sync.service" }),
  alert("HostDrifted", "db-4", "firing", "info", "db-4: changed by hand 3 hours ago", 3 * h, 1),
];
export const ruleGroups = [
  {
    name: "hosts", file: "drover", interval: 15, lastEvaluation: at(5), evaluationTime: 0.004,
    rules: alerts.map((a) => ({ type: "alerting", name: a.name, query: a.expr, duration: 120, labels: { severity: a.severity }, annotations: { summary: a.summary }, state: a.state, health: "ok", evaluationTime: 0.001, lastEvaluation: at(5), alerts: [] })),
  },
];
const processNames = [["postgres", "postgres: writer process"], ["nginx", "nginx: worker process"], ["drover-agent", "/usr/local/bin/drover-agent run"], ["systemd-journal", "/lib/systemd/systemd-journald"], ["sshd", "sshd: /usr/sbin/sshd -D"], ["cron", "/usr/sbin/cron -f"], ["redis-server", "/usr/bin/redis-server 127.0.0.1:6379"]];
export const processes = {
  time: at(0), cpus: 4, cpuPercent: 37.4, memTotal: 8589934592, memUsed: 5153960755, load1: 1.42, uptime: 41 * 24 * h * s, total: 143,
  items: processNames.map(([name, command], i) => ({ pid: 400 + i * 37, user: i === 0 ? "postgres" : i === 1 ? "www-data" : "root", name, command, cpuPercent: [61.2, 38.5, 4.1, 1.3, 0.4, 0.1, 0][i], rss: [2147483648, 188743680, 26843545, 41943040, 9437184, 3145728, 73400320][i], start: at((i + 1) * 5 * h) })),
};
export const units = [["nginx.service", "A high performance web server", "active", "running"], ["shop-sync.service", "Sync of the shop's pictures", "failed", "failed"], ["drover-agent.service", "Drover agent", "active", "running"], ["cron.service", "Regular background program processing daemon", "active", "running"], ["apt-daily.timer", "Daily apt download activities", "active", "waiting"], ["rescue.service", "Rescue shell", "inactive", "dead"]].map(
  ([name, description, active_, sub], i) => ({ name, description, load: "loaded", active: active_, sub, since: at((i + 1) * 3 * h) }),
);

const person = (name, role, fullName) => ({ kind: "person", name, uid: `p-${name}`, created: at(300 * 24 * h), updated: at(30 * 24 * h), revision: 12, generation: 1, spec: { role, fullName } });
export const people = [person("ann", "admin", "Ann Ito"), person("ben", "operator", "Ben Okafor"), person("mia", "viewer", "Mia Larsen")];
export const tokens = [
  { kind: "token", name: "ci", uid: "t-1", created: at(90 * 24 * h), updated: at(90 * 24 * h), revision: 30, generation: 1, spec: { role: "operator", note: "the pipeline", expires: at(-200 * 24 * h) }, status: { used: at(26 * min) } },
  { kind: "token", name: "join-edge", uid: "t-2", created: at(2 * h), updated: at(2 * h), revision: 31, generation: 1, spec: { role: "viewer", join: true, expires: at(-22 * h) }, status: {} },
];
export const assignments = rows.slice(0, 6).map((r, i) => ({ kind: "assignment", name: r.name, uid: `as-${i}`, created: at(40 * 24 * h), updated: at(25 * min), revision: 700 + i, generation: 3, spec: { commit: active, hash: "sha256:" + sha(60 + i), sections: [] } }));
export const me = { actor: "person/ann", person: "ann", fullName: "Ann Ito", role: "admin", session: "s-1", expires: at(-11 * h), fleet: fleetID, version: "v0.4.0", time: at(0) };
export const sessions = [
  { id: "s-1", kind: "browser", created: at(1 * h), expires: at(-11 * h), used: at(10), remote: "10.9.0.4", note: "Firefox on Linux", current: true },
  { id: "s-2", kind: "browser", created: at(30 * h), expires: at(-4 * h), used: at(20 * h), remote: "10.9.0.71", note: "Safari on iPhone", current: false },
  { id: "s-3", kind: "token", created: at(200 * h), used: at(26 * min), remote: "10.9.0.4", note: "drover login on ann-laptop", current: false },
];
export const server = {
  version: "v0.4.0", fleet: fleetID, started: at(9 * 24 * h), time: at(0), storeEngine: "embedded etcd", storeQuota: 8589934592, api: "https://drover.example.org:7440", link: ["drover.example.org:7441"], dataDir: "/var/lib/drover", diskFree: 81604378624, diskTotal: 107374182400,
  storeBytes: 48234496, journalEvents: 4821, agents: 41, problems: [],
  certificates: [
    { name: "CA", subject: `CN=${fleetID}`, expires: at(-3200 * 24 * h), fingerprint: "sha256:" + sha(50) + "00112233", renewed: false },
    { name: "API", subject: "CN=drover.example.org", expires: at(-19 * 24 * h), fingerprint: "sha256:" + sha(51) + "44556677", renewed: true },
  ],
};
export const metricsStatus = { series: 21840, samplesPerSecond: 1456, bytes: 734003200, oldest: at(15 * 24 * h), newest: at(4), retention: 15 * 24 * h * s, free: 81604378624, hosts: 41, problems: [] };
export const audit = [
  ["person/ann", "git.push", `revision/${active}`, "ok"], ["person/ann", "POST /v1/runs", "", "ok"], ["person/ben", "PATCH /v1/hosts/build-2", "host/build-2", "ok"], ["person/mia", "POST /v1/converge", "", "forbidden"], ["host/cache-6", "host.join", "host/cache-6", "ok"],
].map(([actor, action, object, result], i) => ({ seq: 300 - i, time: at(25 * min + i * 40 * min), actor, action, ...(object ? { object } : {}), result, remote: "10.9.0.4", prev: sha(80 + i), hash: sha(81 + i) }));
export const history = { items: audit.slice(0, 3).map(({ time, actor, action, result }) => ({ time, actor, action, result })) };

const columns = {
  host: [["NAME", "name"], ["STATE", "status.state"], ["CONNECTED", "status.connected"], ["SEEN", "status.lastSeen"]],
  revision: [["REVISION", "name"], ["ACTIVE", "status.active"], ["SUBJECT", "spec.subject"]],
  assignment: [["HOST", "name"], ["REVISION", "spec.commit"]],
  person: [["NAME", "name"], ["ROLE", "spec.role"], ["FULL NAME", "spec.fullName"]],
  token: [["NAME", "name"], ["ROLE", "spec.role"], ["EXPIRES", "spec.expires"]],
};
export const kindList = [
  ["host", "hosts", "fleet", "A machine of the fleet.", ["get", "list", "watch", "create", "update", "patch", "delete"]],
  ["revision", "revisions", "fleet", "A push to the fleet repository.", ["get", "list", "watch"]],
  ["assignment", "assignments", "fleet", "What a host is to be.", ["get", "list", "watch"]],
  ["person", "people", "access", "Somebody who signs in.", ["get", "list", "watch", "create", "update", "patch", "delete"]],
  ["token", "tokens", "access", "What a program shows.", ["get", "list", "watch", "delete"]],
].map(([name, plural, room, doc, verbs]) => ({ name, plural, room, doc, verbs, read: "viewer", write: "admin", short: [], columns: columns[name].map(([head, path]) => ({ head, path })) }));
export const lists = { hosts, revisions, assignments, people, tokens };

/** wave is a value between 0 and 1 that depends on the words and the time alone. */
export function wave(words, t) {
  let seed = 2166136261;
  for (const c of words) seed = Math.imul(seed ^ c.charCodeAt(0), 16777619) >>> 0;
  const level = 0.15 + (seed % 997) / 1800;
  return Math.max(0, Math.min(1, level + 0.12 * Math.sin(t / (600 + (seed % 700)) + seed) + 0.05 * Math.sin(t / 97 + seed / 7)));
}
