// Pages that stay open while things happen: they show what happened without
// being loaded anew, say when they cannot, and come back by themselves.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { become, contextOf, launch, open, settled, signIn } from "./browser.mjs";
import { rows, now } from "./standin/fleet.mjs";
import { standIn } from "./standin/server.mjs";
import { until, World } from "./world.mjs";

const dist = fileURLToPath(new URL("../../dist/app", import.meta.url));
const password = "correct horse battery staple";
const markup = `<img src=x onerror="window.hit=1">`;
let w, browser, state;

before(async () => {
  [w, browser] = await Promise.all([World.begin(), launch()]);
  await Promise.all([
    w.sim(3),
    (async () => {
      const page = await open(browser);
      await become(page, await w.signInLink(), "ann", password);
      state = await page.context().storageState();
      await page.context().close();
    })(),
  ]);
  await w.push(["sim-1", "sim-2", "sim-3"]);
  await w.drover("wait", "hosts", "--for", "converged", "--timeout", "60s");
});
after(async () => {
  await browser?.close();
  await w?.end();
});

/** same marks the page, so that one can tell whether it was loaded anew. */
const mark = (page) => page.evaluate(() => (document.body.dataset.same = "yes"));
const same = async (page) => assert.equal(await page.evaluate(() => document.body.dataset.same), "yes", "the page was loaded anew");

test("what happens on a host is on the open page by itself", async () => {
  const page = await open(browser, { state });
  await page.goto(`${w.url}/events`);
  await settled(page);
  await page.getByText("New events come in at the top.").waitFor();
  await mark(page);
  await w.drover("run", "echo seen-on-the-page", "-l", "sim-2");
  await page.getByText("echo seen-on-the-page").first().waitFor();
  await same(page);
  page.check();
  await page.context().close();
});

test("a host that goes and comes is shown so in the list", async () => {
  const page = await open(browser, { state });
  const real = await w.real("here-1");
  await page.goto(`${w.url}/?q=here-1`);
  await settled(page);
  await page.getByRole("link", { name: "here-1" }).first().waitFor();
  await mark(page);
  await page.getByText("1 of 4 hosts").waitFor();
  await real.stop();
  await page.getByRole("table", { name: "Hosts" }).getByText("away").first().waitFor();
  await w.call("DELETE", "/v1/hosts/here-1");
  await page.getByText("No host matches.").waitFor();
  await same(page);
  page.check();
  await page.context().close();
});

test("a server that is restarted is missed, and the page goes on by itself", async () => {
  const page = await open(browser, { state, allow: [/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_SOCKET|ERR_CONNECTION_|ERR_HTTP2|ERR_NETWORK|ERR_EMPTY_RESPONSE|status of 503/] });
  await page.goto(`${w.url}/events`);
  await settled(page);
  await page.getByText("New events come in at the top.").waitFor();
  await mark(page);
  await w.stopServer();
  const notice = page.getByRole("status").filter({ hasText: "The server does not answer" });
  await notice.waitFor();
  assert.match(await notice.innerText(), /What you see is from \d/, "it says how old the page is");
  await w.startServer();
  await notice.waitFor({ state: "hidden", timeout: 40_000 });
  await until("the agents", async () => (await w.call("GET", "/v1/overview")).hosts.filter((h) => h.connected && h.name.startsWith("sim-")).length === 3, 60_000);
  await w.drover("run", "echo after-the-restart", "-l", "sim-1");
  await page.getByText("echo after-the-restart").first().waitFor();
  await same(page);
  page.check();
  await page.context().close();
});

test("nothing that happened while the server's line was cut is missing afterwards", async () => {
  const page = await open(browser, { state, allow: [/ERR_INTERNET_DISCONNECTED|ERR_NETWORK/] });
  await page.goto(`${w.url}/events`);
  await settled(page);
  await page.getByText("New events come in at the top.").waitFor();
  await mark(page);
  await page.context().setOffline(true);
  await w.stopServer("SIGKILL"); // what is open ends only with the other end
  await w.startServer();
  await until("the agents", async () => (await w.call("GET", "/v1/overview")).hosts.filter((h) => h.connected && h.name.startsWith("sim-")).length === 3, 60_000);
  await w.drover("run", "echo while-cut-off", "-l", "sim-3");
  await page.context().setOffline(false);
  await page.getByText("echo while-cut-off").first().waitFor({ timeout: 40_000 });
  await same(page);
  page.problems.length = 0;
  await page.context().close();
});

for (const [words, skew] of [["a day ahead", 86_400_000], ["a day behind", -86_400_000]])
  test(`ages are right by a browser whose clock is ${words}`, async () => {
    const context = await contextOf(browser, { state });
    await context.addInitScript((by) => {
      const Real = Date;
      globalThis.Date = class extends Real {
        constructor(...args) {
          if (args.length > 0) super(...args);
          else super(Real.now() + by);
        }
        static now() {
          return Real.now() + by;
        }
      };
    }, skew);
    const page = await open(browser, { context });
    await w.drover("run", `echo ${words.replace(/ /g, "-")}`, "-l", "sim-1");
    await page.goto(`${w.url}/runs`);
    await settled(page);
    await page.getByText(`echo ${words.replace(/ /g, "-")}`).first().waitFor();
    assert.equal(await page.evaluate(() => document.querySelectorAll("main time").length > 0), true, "there are ages");
    await until("the right ages", async () => {
      const ages = await page.locator("main time").allInnerTexts();
      return ages.length > 0 && ages.every((a) => !/day|yesterday|tomorrow|in \d/i.test(a));
    });
    page.check();
    await context.close();
  });

test("markup that a host says is text", async () => {
  const page = await open(browser, { state });
  const before = new Set((await w.call("GET", "/v1/runs")).items.map((r) => r.id));
  await w.drover("run", `echo '${markup}'`, "-l", "sim-1");
  const { id } = (await w.call("GET", "/v1/runs")).items.find((r) => !before.has(r.id));
  for (const path of [`/runs/${id}`, "/runs", "/events"]) {
    await page.goto(w.url + path);
    await settled(page);
    await page.getByText("<img src=x").first().waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined, `${path} ran what a host said`);
    assert.equal(await page.locator('main img[src="x"]').count(), 0);
  }
  page.check();
  await page.context().close();
});

test("even a server that lies about names puts nothing into the page", async () => {
  const fleet = { rows: [{ ...rows[0], name: markup, message: markup, groups: [markup], labels: { [markup]: markup }, os: markup, state: "failed", failed: 1 }] };
  const server = standIn(dist, { fleet });
  const url = await server.listen();
  const page = await open(browser);
  await page.clock.setFixedTime(now);
  for (const path of ["/", `/hosts/${encodeURIComponent(markup)}`, `/?q=${encodeURIComponent(markup)}`, `/runs/${encodeURIComponent(markup)}`, `/declared/${encodeURIComponent(markup)}/${encodeURIComponent(markup)}`]) {
    await page.goto(url + path);
    await page.locator("h1").first().waitFor();
    await page.getByText("<img src=x").first().waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined, `${path} ran a name`);
  }
  await page.context().close();
  await server.close();
});

test("ten thousand events a second leave the page usable, and the newest is shown", { timeout: 90_000 }, async () => {
  const server = standIn(dist);
  const url = await server.listen();
  const page = await open(browser);
  await page.goto(`${url}/events`);
  await until("the page's watch", () => server.streams.size > 0);
  await settled(page);
  let seq = 5000;
  const seconds = 5;
  const began = Date.now();
  // How often the page draws while they come: what it cannot do, it does not draw.
  const drawn = page.evaluate(
    (ms) =>
      new Promise((done) => {
        let frames = 0, longest = 0, last = performance.now();
        const end = last + ms;
        const frame = (t) => {
          frames++;
          longest = Math.max(longest, t - last);
          last = t;
          if (t < end) requestAnimationFrame(frame);
          else done({ frames, longest: Math.round(longest) });
        };
        requestAnimationFrame(frame);
      }),
    seconds * 1000,
  );
  await new Promise((done) => {
    const each = setInterval(() => {
      const due = Math.min((Date.now() - began) * 10, seconds * 10_000); // 10 a millisecond
      let text = "";
      for (; seq - 5000 < due; seq++) text += `id: ${seq}\nevent: event\ndata: ${JSON.stringify({ seq, time: new Date().toISOString(), type: "host.failed", host: `web-${seq % 9}`, message: `event number ${seq}` })}\n\n`;
      server.write(text);
      if (due < seconds * 10_000) return;
      clearInterval(each);
      done();
    }, 10);
  });
  const { frames, longest } = await drawn;
  await page.getByText(`event number ${seq - 1}`).first().waitFor();
  await page.getByLabel("Host").fill("web-3");
  assert.equal(await page.getByLabel("Host").inputValue(), "web-3");
  console.log(`# ${seq - 5000} events in ${seconds} s: ${Math.round(frames / seconds)} frames a second, the longest took ${longest} ms`);
  assert.ok(frames / seconds > 10, `it drew ${frames} frames in ${seconds} s`);
  page.check();
  await page.context().close();
  await server.close();
});

test("an output that is being read stays, when the run's stream comes behind it", async () => {
  const page = await open(browser, { state });
  await w.drover("run", "echo one thing to find", "-l", "sim-1,sim-2");
  const { id } = (await w.call("GET", "/v1/runs")).items[0];
  let go;
  const held = new Promise((now) => (go = now));
  await page.route(new RegExp(`/v1/runs/${id}/events`), (r) => held.then(() => r.continue()));
  await page.goto(`${w.url}/runs/${id}?host=sim-2`);
  await settled(page);
  const box = page.getByRole("region", { name: "Output of sim-2" });
  await box.waitFor();
  const find = page.getByRole("searchbox", { name: "Find in Output of sim-2" });
  await find.fill("thing");
  const mark = await box.locator("mark").elementHandle();
  // When its stream has ended, the page reads the run once more.
  const again = page.waitForResponse((r) => new URL(r.url()).pathname === `/v1/runs/${id}`);
  go();
  await again;
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.equal(await find.inputValue(), "thing");
  assert.equal(await mark.evaluate((e) => e.isConnected), true, "the output was put there anew");
  page.check();
  await page.context().close();
});

test("five megabytes of a command's output are read to their end", { timeout: 120_000 }, async () => {
  const page = await open(browser, { state });
  const real = await w.real("here-2");
  const before = new Set((await w.call("GET", "/v1/runs")).items.map((r) => r.id));
  await w.drover("run", "seq -f 'line %.0f of many, and some more words on it' 1 100000 | head -c 4999000; echo; echo THE-LAST-LINE", "-l", "here-2");
  const { id } = (await w.call("GET", "/v1/runs")).items.find((r) => !before.has(r.id));
  await page.goto(`${w.url}/runs/${id}`);
  await settled(page);
  const box = page.getByRole("region", { name: /^Output of here-2/ });
  await box.waitFor();
  await box.focus();
  await page.keyboard.press("Control+End");
  // The browser scrolls beside the page's own program: what the search scrolls to must not come before it is done.
  await box.evaluate((e) => new Promise((there) => {
    const look = () => (e.scrollTop + e.clientHeight >= e.scrollHeight - 1 ? there() : requestAnimationFrame(look));
    look();
  }));
  await page.getByText("THE-LAST-LINE", { exact: true }).last().waitFor();
  assert.ok((await page.evaluate(() => document.querySelectorAll("*").length)) < 5000, "only the lines in sight are in the page");
  await page.getByRole("searchbox", { name: /^Find in/ }).fill("line 54321 of");
  await page.getByText("line 54321 of many").first().waitFor();
  page.check();
  await real.stop();
  await page.context().close();
});
