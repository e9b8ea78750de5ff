// The console of a real server, page by page: by links, by address and by keys.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, become, contextOf, fits, launch, open, phone, settled, signIn } from "./browser.mjs";
import { World } from "./world.mjs";

const password = "correct horse battery staple";
let w, browser, state, start;

before(async () => {
  // Ring 4 brings a server with real hosts; else there are three simulated ones.
  w = process.env.DROVER_CONSOLE_URL ? World.of(process.env.DROVER_CONSOLE_URL, process.env.DROVER_CONFIG) : await World.begin();
  browser = await launch();
  const page = await open(browser);
  await become(page, process.env.DROVER_CONSOLE_LINK ?? (await w.signInLink()), "ann", password);
  state = await page.context().storageState();
  await page.context().close();
  if (process.env.DROVER_CONSOLE_URL) {
    start = (await w.call("GET", "/v1/overview")).hosts[0].name;
  } else {
    start = "sim-1";
    await w.sim(3);
    await w.push(["sim-1", "sim-2", "sim-3"]);
    await w.drover("wait", "hosts", "--for", "converged", "--timeout", "60s");
  }
  await w.drover("run", "echo hello");
});
after(async () => {
  await browser?.close();
  await w?.end();
});

/** shapeOf is what is alike of two addresses: pages of two hosts are one. */
const shapeOf = (path) => path.replace(/#.*/, "").replace(/\?.*/, "").replace(/^(\/(?:hosts|changes|runs|declared\/[^/]+)\/)[^/]+/, "$1*");

test("every link leads to a page that works, accessible and without an error", { timeout: 300_000 }, async () => {
  const page = await open(browser, { state });
  const waiting = ["/"];
  const seen = new Set([shapeOf("/")]);
  for (let path; (path = waiting.shift()) && seen.size < 80; ) {
    await page.goto(w.url + path);
    await settled(page);
    const where = new URL(page.url()).pathname;
    assert.equal(await page.locator("h1").count(), 1, `${path} has one first heading`);
    assert.deepEqual(await page.getByRole("alert").allInnerTexts(), [], `${path} shows an error`);
    assert.equal(await page.getByText(/there is no such page|no page/i).count(), 0, `${path} leads nowhere`);
    await accessible(page, where);
    page.check();
    for (const href of await page.locator('a[href^="/"]').evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
      if (/^\/(openapi\.json|v1\/|api\/|metrics)/.test(href) || seen.has(shapeOf(href))) continue;
      seen.add(shapeOf(href));
      waiting.push(href);
    }
  }
  for (const must of ["/runs", "/changes", "/alerts", "/declared", "/settings", "/hosts/*"]) assert.ok(seen.has(must), `no link leads to ${must}; there are ${[...seen].join(" ")}`);
  await page.context().close();

  const small = await open(browser, { state, viewport: phone });
  for (const path of seen) {
    const real = path.replace("/hosts/*", `/hosts/${start}`);
    if (real.includes("*")) continue;
    await small.goto(w.url + real);
    await settled(small);
    await fits(small, real);
  }
  small.check();
  await small.context().close();
});

test("an address with a filter is shown as it was shared", async () => {
  const page = await open(browser, { state });
  const name = start;
  await page.goto(`${w.url}/?q=${name}`);
  await settled(page);
  await page.getByText(/^1 of \d+ hosts$/).waitFor();
  assert.equal(await page.getByLabel("Filter hosts").inputValue(), name);
  await page.getByLabel("Filter hosts").fill("state:failed");
  await page.waitForURL(/q=state(:|%3A)failed/);
  page.check();
  await page.context().close();
});

test("an address of nothing says so, and offers the way back", async () => {
  const page = await open(browser, { state, allow: [/status of 404/] });
  for (const path of ["/no/such/page", "/hosts/no-such-host", "/runs/no-such-run", "/changes/0000000000000000000000000000000000000000", "/declared/people/nobody"]) {
    await page.goto(w.url + path);
    await settled(page);
    await page.getByText(/there is no|not found|no such|does not exist|no (page|host|run|revision|person)/i).first().waitFor();
    await accessible(page, path);
  }
  page.check();
  await page.context().close();
});

test("programs that do not arrive are asked for once more, and then it is said", async () => {
  const page = await open(browser, { state, scheme: "dark", allow: [/ERR_FAILED/, /dynamically imported/] });
  let left = 1;
  await page.route(/\/assets\/main-/, (r) => (left-- > 0 ? r.abort() : r.continue()));
  await page.goto(w.url);
  await settled(page);
  assert.match(await page.locator("h1").textContent(), /Fleet/);

  left = Infinity;
  await page.evaluate(() => sessionStorage.clear());
  await page.goto(w.url);
  await page.getByRole("heading", { name: "The console could not be loaded" }).waitFor();
  await page.getByText(/The browser says: .*assets\/main-/).waitFor();
  await accessible(page, "a console that was not loaded");
  const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
  assert.ok(Math.max(...back) < 60, `a dark page begins with rgb(${back})`);
  left = 0;
  await page.getByRole("link", { name: "Load it again" }).click();
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  page.check();
  await page.context().close();
});

test("everything goes by keyboard", async () => {
  const page = await open(browser, { state });
  await page.goto(w.url);
  await settled(page);
  await page.keyboard.press("Tab");
  assert.match(await page.evaluate(() => document.activeElement.textContent), /Skip to the page/, "the first stop skips the navigation");
  await page.keyboard.press("Control+k");
  const palette = page.getByRole("combobox", { name: "Search or do" });
  await palette.fill(start);
  await page.getByRole("option", { name: start }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`/hosts/${start}$`));
  await settled(page);
  for (const [keys, where] of [["gr", /\/runs$/], ["gc", /\/changes$/], ["ga", /\/alerts$/], ["gd", /\/declared$/], ["gs", /\/settings/], ["gf", /:\d+\/$/]]) {
    for (const key of keys) await page.keyboard.press(key);
    await page.waitForURL(where);
    await settled(page);
  }
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Filter hosts");
  await page.keyboard.type(start);
  await page.getByText(/^1 of \d+ hosts$/).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.waitForFunction(() => document.activeElement?.dataset.host);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/hosts\//);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor({ state: "hidden" });
  page.check();
  await page.context().close();
});

test("what is shown can be read without motion, and at twice the size", async () => {
  const context = await contextOf(browser, { state, viewport: { width: 720, height: 450 } }); // 1440 by 900 at 200 %
  const page = await open(browser, { context });
  for (const path of ["/", `/hosts/${start}`, "/runs", "/changes", "/alerts", "/settings"]) {
    await page.goto(w.url + path);
    await settled(page);
    await fits(page, `${path} at 200 %`);
  }
  page.check();
  await context.close();
});

test("an action says where it acts, runs, and shows what came of it", async () => {
  const page = await open(browser, { state });
  await page.goto(`${w.url}/?q=${start}`);
  await settled(page);
  await page.getByRole("button", { name: /^Do on 1 host/ }).click();
  await page.getByRole("menuitem", { name: /Run a command/ }).click();
  const dialog = page.getByRole("dialog", { name: new RegExp(`Run a command on ${start}`) });
  await dialog.getByRole("textbox", { name: /^Command/ }).fill("echo from-the-console");
  await dialog.getByRole("button", { name: /^Run on/ }).click();
  await page.waitForURL(/\/runs\/[^/]+/);
  await page.getByText("from-the-console", { exact: true }).first().waitFor();
  page.check();
  await page.context().close();
});

test("a viewer sees every page, and is told what is not for viewers", async () => {
  await w.person("mia", "viewer", password);
  const page = await open(browser);
  await page.goto(`${w.url}/signin`);
  await signIn(page, "mia", password);
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  const run = (await w.call("GET", "/v1/runs?kind=command")).items[0].id;
  for (const path of ["/", `/hosts/${start}`, `/hosts/${start}?tab=command`, "/alerts", "/changes", "/runs", "/declared", "/declared/people", "/settings/account", "/settings/people", "/settings/tokens", "/settings/server", "/settings/certificates", "/settings/enrolment"]) {
    await page.goto(w.url + path);
    await settled(page);
    assert.deepEqual(await page.getByRole("alert").allInnerTexts(), [], `${path} shows an error`);
  }
  await page.goto(`${w.url}/runs/${run}`);
  await page.getByText("it is shown to operators").first().waitFor();
  await accessible(page, "a run for a viewer");
  page.check();
  await page.context().close();
});
