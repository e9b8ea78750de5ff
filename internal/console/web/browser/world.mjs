// A real server with real and simulated hosts, for the tests that look at the
// console in a browser. Everything is in a temporary folder and on loopback.
import { spawn, execFile } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../../", import.meta.url));
const drover = join(root, "bin/drover");

/** until waits for a thing itself: it asks again until the answer is not false, and says what did not come. */
export async function until(what, ask, timeout = 30_000) {
  const end = Date.now() + timeout;
  for (;;) {
    let value, wrong;
    try {
      value = await ask();
    } catch (e) {
      wrong = e;
    }
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come within ${timeout / 1000} s${wrong ? `: ${wrong.message}` : ""}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

export function freePort() {
  return new Promise((done, failed) => {
    const s = createServer();
    s.once("error", failed);
    s.listen(0, "127.0.0.1", () => {
      const { port } = s.address();
      s.close(() => done(port));
    });
  });
}

function ended(child) {
  return new Promise((done) => (child.exitCode !== null || child.signalCode !== null ? done() : child.once("exit", done)));
}

export class World {
  #children = new Set();
  #server;

  /** A server that answers. With `from` = a folder of data, of a server that is there already (ring 4). */
  static async begin() {
    const w = new World();
    w.dir = mkdtempSync(join(tmpdir(), "drover-console-"));
    [w.port, w.link] = [await freePort(), await freePort()];
    w.url = `https://127.0.0.1:${w.port}`;
    w.config = join(w.dir, "data/admin.yml");
    try {
      await w.startServer();
    } catch (e) {
      await w.end();
      throw e;
    }
    return w;
  }

  /** of is the world of a server that somebody else has started: its address, and its admin.yml. */
  static of(url, config) {
    const w = new World();
    Object.assign(w, { url, config, dir: mkdtempSync(join(tmpdir(), "drover-console-")) });
    w.#read();
    return w;
  }

  #read() {
    const text = readFileSync(this.config, "utf8");
    this.token = /token: (\S+)/.exec(text)[1];
    this.ca = /ca: \|\n((?: +.*\n?)+)/.exec(text)?.[1].replace(/^ +/gm, "");
  }

  #start(name, command, args, options = {}) {
    const log = createWriteStream(join(this.dir, `${name}.log`), { flags: "a" });
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once("exit", () => {
      this.#children.delete(child);
      log.end();
    });
    this.#children.add(child);
    return child;
  }

  log(name) {
    const path = join(this.dir, `${name}.log`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async startServer() {
    this.#server = this.#start("server", drover, ["server", "--data", join(this.dir, "data"), "--listen", `127.0.0.1:${this.port}`, "--link", `127.0.0.1:${this.link}`]);
    const child = this.#server;
    await until("the server", () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${this.log("server").slice(-2000)}`);
      return existsSync(this.config);
    }, 60_000);
    await this.drover("wait", "server", "--timeout", "60s");
    this.#read();
  }

  async stopServer(signal = "SIGTERM") {
    this.#server.kill(signal);
    await ended(this.#server);
  }

  /** signInLink is the link that makes the first administrator. */
  signInLink() {
    return until("the sign-in link", () => {
      const m = /(?:--once |signin\?code=)([A-Za-z0-9]+)/.exec(this.log("server"));
      return m && `${this.url}/signin?code=${m[1]}`;
    });
  }

  /** drover runs the command as root's administrator; with an exit status other than 0 it throws what was said. */
  drover(...args) {
    return new Promise((done, failed) =>
      execFile(drover, args, { env: { ...process.env, DROVER_CONFIG: this.config, NO_COLOR: "1" }, maxBuffer: 64 << 20 }, (e, stdout, stderr) =>
        e ? failed(new Error(`drover ${args.join(" ")}: ${stderr || e.message}`)) : done(stdout),
      ),
    );
  }

  /** call asks the API; errors of the API are thrown with their status. */
  call(method, path, body, { token = this.token, cookie, headers = {} } = {}) {
    return new Promise((done, failed) => {
      const raw = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
      const r = request(
        new URL(path, this.url),
        {
          method,
          ...(this.ca ? { ca: this.ca } : { rejectUnauthorized: false }),
          agent: false,
          headers: {
            ...(cookie ? { Cookie: cookie } : token ? { Authorization: `Bearer ${token}` } : {}),
            ...(raw === undefined ? {} : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(raw) }),
            ...headers,
          },
        },
        (res) => {
          let text = "";
          res.setEncoding("utf8");
          res.on("data", (d) => (text += d));
          res.on("end", () => {
            let value = text;
            if (/json/.test(res.headers["content-type"] ?? "")) value = JSON.parse(text);
            if (res.statusCode < 400) return done(value);
            failed(Object.assign(new Error(`${method} ${path}: ${res.statusCode} ${value.message ?? text}`), { status: res.statusCode, body: value }));
          });
        },
      );
      r.once("error", failed);
      r.end(raw);
    });
  }

  async person(name, role, password) {
    await this.call("POST", "/v1/people", { name, password, spec: { role } });
  }

  /** sim connects n simulated hosts, PREFIX-1 …, until end() or its stop(). */
  async sim(n, prefix = "sim", ...more) {
    const child = this.#start(`sim-${prefix}`, drover, ["sim", "-n", String(n), "--prefix", prefix, ...more], { env: { ...process.env, DROVER_CONFIG: this.config } });
    const connected = async () => {
      if (child.exitCode !== null) throw new Error(`drover sim ended: ${this.log(`sim-${prefix}`).slice(-500)}`);
      const { hosts } = await this.call("GET", "/v1/overview");
      return hosts.filter((h) => h.connected && h.name.startsWith(`${prefix}-`)).length >= n;
    };
    await until(`${n} simulated hosts`, connected, 180_000);
    return {
      stop: async (signal = "SIGINT") => {
        child.kill(signal);
        await ended(child);
      },
    };
  }

  /** real makes this machine a host of the fleet: a real agent that runs commands. It is in no inventory, so nothing is changed on it. */
  async real(name) {
    const state = join(this.dir, `agent-${name}`);
    mkdirSync(state, { mode: 0o700 });
    const made = await this.call("POST", "/v1/tokens", { spec: { join: true, host: name, expires: new Date(Date.now() + 3600_000).toISOString() } });
    const { fingerprint } = await this.call("GET", "/v1/ca");
    const agent = join(root, "bin/drover-agent");
    await new Promise((done, failed) =>
      execFile(agent, ["join", "--no-install", "--server", this.url, "--name", name, "--ca-fingerprint", fingerprint, "--state", state], { env: { ...process.env, DROVER_TOKEN: made.secret } }, (e, _out, err) =>
        e ? failed(new Error(`cannot join: ${err}`)) : done(),
      ),
    );
    const child = this.#start(`agent-${name}`, agent, ["run", "--state", state]);
    await until(`the agent of ${name}`, async () => (await this.call("GET", "/v1/overview")).hosts.some((h) => h.name === name && h.connected));
    return {
      stop: async () => {
        child.kill("SIGTERM");
        await ended(child);
      },
    };
  }

  /** push sends examples/web with an inventory of the hosts given, and returns the working copy's folder. */
  async push(hosts) {
    const fleet = join(this.dir, "fleet");
    await this.drover("clone", fleet, "--from", join(root, "examples/web"));
    this.#inventory(fleet, hosts);
    rmSync(join(fleet, "inventory/host_vars"), { recursive: true, force: true });
    await this.git(fleet, "config", "user.name", "test");
    await this.git(fleet, "config", "user.email", "test@localhost");
    await this.commit(fleet, "A small web fleet");
    return fleet;
  }

  #inventory(fleet, hosts) {
    writeFileSync(join(fleet, "inventory/hosts.yml"), `all:\n  children:\n    web:\n      hosts:\n${hosts.map((h) => `        ${h}:\n`).join("")}`);
  }

  /** commit pushes what is changed in the working copy. */
  async commit(fleet, message) {
    await this.git(fleet, "add", "-A");
    await this.git(fleet, "commit", "-q", "-m", message);
    await this.git(fleet, "push", "-q", "origin", "HEAD:main");
  }

  git(dir, ...args) {
    return new Promise((done, failed) =>
      execFile("git", ["-C", dir, ...args], { env: { ...process.env, DROVER_CONFIG: this.config, PATH: `${join(root, "bin")}:${process.env.PATH}` } }, (e, out, err) =>
        e ? failed(new Error(`git ${args.join(" ")}: ${err || e.message}`)) : done(out),
      ),
    );
  }

  async end() {
    // What was started last goes first, so that hosts are taken out while there is a server.
    for (const child of [...this.#children].reverse()) {
      child.kill(child === this.#server ? "SIGTERM" : "SIGKILL");
      await ended(child);
    }
    if (process.env.KEEP) console.error(`kept: ${this.dir}`);
    else rmSync(this.dir, { recursive: true, force: true });
  }
}
