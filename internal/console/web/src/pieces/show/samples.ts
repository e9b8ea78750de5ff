import type { FleetEvent } from "~/app/live";
import type { Named } from "../chart/columns";
import type { Task } from "../tasks";

// Made up on the spot, the same each time, and named as samples: nothing on
// the page of pieces is a measurement.

/** waves gives numbers that look measured: a base, a daily swing and a jitter that is always the same. */
export function waves(n: number, base: number, swing: number, seed: number): number[] {
  let s = seed * 9301 + 49297;
  const random = () => (s = (s * 9301 + 49297) % 233280) / 233280;
  let drift = 0;
  return Array.from({ length: n }, (_, i) => {
    drift = drift * 0.9 + (random() - 0.5) * swing * 0.5;
    return Math.max(0, base + Math.sin((i / n) * 9 + seed) * swing + drift);
  });
}

export function sampleLines(n: number, count: number, base: number, swing: number, names: (i: number) => string): Named[] {
  return Array.from({ length: count }, (_, i) => ({ name: names(i), values: waves(n, base * (1 + i * 0.35), swing, i + 1) }));
}

export function withGap(line: Named, from: number, to: number): Named {
  return { ...line, values: line.values.map((v, i) => (i >= from && i < to ? null : v)) };
}

export const hostile = 'web-1"><img src=x onerror=alert(1)>';
export const longName = "a-host-with-a-name-that-somebody-must-have-thought-about-for-long.eu-central-1.compute.internal.example.com";

const commit = "5b1c9e02f7a3d4e6b8c0a1f2e3d4c5b6a7980f1e";

export function sampleEvents(now: number): FleetEvent[] {
  const at = (minutes: number) => new Date(now - minutes * 60_000).toISOString();
  return [
    { seq: 1, time: at(1500), type: "host.enrolled", host: "sample-db-1", actor: "token/join", message: "sample-db-1 joined the fleet" },
    { seq: 2, time: at(52), type: "revision.accepted", actor: "person/ada", message: "", data: { commit, subject: "Raise the connection limit of the sample database" } },
    { seq: 3, time: at(51), type: "host.changed", host: "sample-db-1", message: "sample-db-1 changed: 3 things", data: { commit, changes: [{ what: "file /etc/postgresql/15/main/postgresql.conf" }, { what: "unit postgresql" }, { what: "file /etc/motd" }] } },
    { seq: 4, time: at(50.8), type: "host.converged", host: "sample-db-1", message: "sample-db-1 is converged at 5b1c9e02f7", data: { commit } },
    { seq: 5, time: at(33), type: "run.started", actor: "person/ada", message: "", data: { run: "sample", command: "systemctl reload nginx", count: 12, away: 1 } },
    { seq: 6, time: at(32.9), type: "run.ended", message: "", data: { run: "sample", ok: 10, failed: 1, lost: 1, seconds: 4.2 } },
    { seq: 7, time: at(21), type: "host.disconnected", host: "sample-db-1", message: "sample-db-1 is away" },
    { seq: 8, time: at(17), type: "host.connected", host: "sample-db-1", message: "sample-db-1 is connected" },
    { seq: 9, time: at(9), type: "alert.firing", host: "sample-db-1", message: "sample-db-1: / is full in about 9 hours", data: { severity: "warning" } },
    { seq: 10, time: at(4), type: "host.failed", host: "sample-db-1", message: "sample-db-1 failed: apt: Could not get lock /var/lib/dpkg/lock-frontend", data: { commit } },
  ];
}

export const sampleTasks: Task[] = [
  { name: "common : Install the usual packages", module: "apt", status: "ok", duration: 3.1e9, place: { file: "roles/common/tasks/main.yml", line: 3 } },
  { name: "common : Add people", module: "user", status: "ok", item: "ada", duration: 4e7 },
  { name: "common : Add people", module: "user", status: "changed", item: "grace", duration: 9e7, changes: [{ type: "user", id: "grace", action: "create" }] },
  { name: "common : Add people", module: "user", status: "skipped", item: "eve" },
  {
    name: "nginx : Write the site",
    module: "template",
    status: "changed",
    duration: 2.2e8,
    place: { file: "roles/nginx/tasks/main.yml", line: 12 },
    changes: [{ type: "file", id: "/etc/nginx/sites-available/sample", action: "update" }],
    diff: [{ before: "server {\n    listen 80;\n    server_name old.example.com;\n}\n", after: "server {\n    listen 443 ssl;\n    server_name new.example.com;\n}\n", before_header: "/etc/nginx/sites-available/sample", after_header: "/etc/nginx/sites-available/sample" }],
  },
  { name: "nginx : Reload nginx", module: "systemd", status: "failed", duration: 1.4e9, message: "Job for nginx.service failed because the control process exited with error code.\nSee \"systemctl status nginx.service\" for details.", place: { file: "roles/nginx/tasks/main.yml", line: 20 } },
  { name: "nginx : <b>A name with markup</b>", module: "command", status: "skipped" },
];

const esc = "\x1b";

export const sampleOutput = [
  `${esc}[1mPLAY [sample]${esc}[0m ${"*".repeat(60)}`,
  "",
  `${esc}[32mok: [sample-1]${esc}[0m`,
  `${esc}[33mchanged: [sample-2]${esc}[0m`,
  `${esc}[31mfatal: [sample-3]: FAILED! => {"msg": "no space left on device"}${esc}[0m`,
  `${esc}[38;5;208morange of 256${esc}[0m, ${esc}[38;2;255;255;0mtrue yellow${esc}[0m, ${esc}[38;2;0;0;120mtrue navy${esc}[0m, ${esc}[44;97mwhite on blue${esc}[0m, ${esc}[7minverse${esc}[0m`,
  `${esc}[30mblack${esc}[0m ${esc}[34mblue${esc}[0m ${esc}[35mmagenta${esc}[0m ${esc}[36mcyan${esc}[0m ${esc}[37mwhite${esc}[0m ${esc}[90mgrey${esc}[0m ${esc}[93mbright yellow${esc}[0m ${esc}[2mdim${esc}[0m ${esc}[3mitalic${esc}[0m ${esc}[4munderline${esc}[0m`,
  " 10 %\r 55 %\r100 % done",
  "A bell \x07, a NUL \x00, a title \x1b]0;evil\x07 that is not set, and text \u202ethat would turn round",
  "<script>alert('a line is text')</script>",
  `A long line: ${"0123456789 ".repeat(40)}`,
].join("\n");

/** bigOutput is about five megabytes. */
export function bigOutput(): string {
  const out: string[] = [];
  for (let i = 0; i < 62_000; i++) out.push(`${esc}[${31 + (i % 6)}m2026-01-02T03:04:${String(i % 60).padStart(2, "0")}Z${esc}[0m sample[${i}]: request ${i} took ${i % 997} ms${i % 5000 === 4999 ? ", error: timeout" : ""}`);
  return out.join("\n");
}

export const beforeFile = `# The sample site
server:
  name: old.example.com
  port: 80
  workers: 4
  # Keep what follows.
  limits:
    files: 1024
    memory: 512M
  log: /var/log/sample.log
  rotate: daily
  keep: 7
  compress: true
  user: www-data
  group: www-data
  umask: "0027"
  home: /srv/sample
`;

export const afterFile = beforeFile
  .replace("old.example.com", "new.example.com")
  .replace("port: 80", "port: 443\n  tls: true")
  .replace('umask: "0027"', 'umask: "0077"')
  .replace("  keep: 7\n", "");

export const samplePatch = `diff --git a/roles/nginx/templates/site.conf.j2 b/roles/nginx/templates/site.conf.j2
old mode 100644
new mode 100755
--- a/roles/nginx/templates/site.conf.j2
+++ b/roles/nginx/templates/site.conf.j2
@@ -8,7 +8,8 @@ server {
     server_name {{ server_name }};
 
     location / {
-        proxy_pass http://127.0.0.1:8080;
+        proxy_pass http://{{ upstream }};
+        proxy_read_timeout 30s; # a very long line follows here to see that it wraps and does not push the page to the side, whatever its length may be in the end
     }
 }
 # end
`;
