// Who comes in, who does not, and what happens to a page whose session ends.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { become, launch, open, passwordLabel, settled, signIn } from "./browser.mjs";
import { until, World } from "./world.mjs";

const password = "correct horse battery staple";
const refused = [/status of (400|401|403|404|429|503)/];
let w, browser, link;

before(async () => {
  [w, browser] = await Promise.all([World.begin(), launch()]);
  link = await w.signInLink();
});
after(async () => {
  await browser?.close();
  await w?.end();
});

test("the one-time link makes the administrator, and works once", async () => {
  const page = await open(browser);
  await become(page, link, "ann", password);
  assert.equal(new URL(page.url()).pathname, "/", "after signing in the fleet is shown");
  await page.getByText("ann", { exact: true }).first().waitFor();
  assert.equal((await w.call("GET", "/v1/people")).items.find((p) => p.name === "ann").spec.role, "admin");
  page.check();
  await page.context().close();

  const other = await open(browser, { allow: refused });
  await other.goto(link);
  await other.getByLabel("Name").fill("eve");
  await other.getByLabel(passwordLabel).fill(password);
  await other.getByLabel("Password again").fill(password);
  await other.getByRole("button", { name: /Make administrator/ }).click();
  await other.getByRole("alert").waitFor();
  assert.equal((await w.call("GET", "/v1/people")).items.some((p) => p.name === "eve"), false);
  other.check();
  await other.context().close();
});

test("two passwords that differ are not sent", async () => {
  const page = await open(browser);
  let sent = 0;
  page.on("request", (r) => (sent += r.url().endsWith("/v1/login/first") ? 1 : 0));
  await page.goto(`${w.url}/signin?code=whatever`);
  await page.getByLabel("Name").fill("eve");
  await page.getByLabel(passwordLabel).fill(password);
  await page.getByLabel("Password again").fill("another one altogether");
  await page.getByText("The two differ").waitFor();
  assert.equal(await page.getByRole("button", { name: /Make administrator/ }).isDisabled(), true);
  await page.getByLabel("Password again").press("Enter");
  assert.equal(sent, 0);
  page.check();
  await page.context().close();
});

test("a password leads to the page that was asked for, and only within the console", async () => {
  const page = await open(browser);
  await page.goto(`${w.url}/runs?kind=command`);
  await page.waitForURL(/\/signin\?/);
  await signIn(page, "ann", password);
  await page.waitForURL(/\/runs\?kind=command$/);
  await settled(page);
  page.check();
  await page.context().close();

  for (const next of ["https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example/", "javascript:alert(1)"]) {
    const lured = await open(browser);
    await lured.goto(`${w.url}/signin?next=${encodeURIComponent(next)}`);
    await signIn(lured, "ann", password);
    await lured.getByRole("navigation", { name: "Rooms" }).waitFor();
    assert.equal(new URL(lured.url()).host, new URL(w.url).host, `next=${next} led away`);
    lured.check();
    await lured.context().close();
  }
});

test("a wrong password is refused, many are slowed, and the right one works again", { timeout: 180_000 }, async () => {
  const page = await open(browser, { allow: refused });
  await page.goto(`${w.url}/signin`);
  await signIn(page, "ann", "wrong number 0");
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Name").inputValue(), "ann", "the name stays");
  const many = page.getByRole("alert").filter({ hasText: "too many wrong passwords" });
  const next = page.getByRole("button", { name: /^Try again in \d+ s/ });
  for (let i = 1; i < 8 && !(await many.isVisible()); i++) {
    await signIn(page, "ann", `wrong number ${i}`);
    // An answer empties the field, or begins to count down.
    await page.waitForFunction(() => document.querySelector("input[type=password]").value === "" || /Try again/.test(document.querySelector("button[type=submit]").textContent));
  }
  await many.waitFor();
  assert.equal(await next.isDisabled(), true, "until then nothing can be sent");
  // It counts down, and works without being loaded anew.
  await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await signIn(page, "ann", password);
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  page.check();
  await page.context().close();
});

test("a session that ends under an open page asks to sign in again, and nothing is lost", async () => {
  const page = await open(browser, { allow: refused });
  await page.goto(`${w.url}/signin`);
  await signIn(page, "ann", password);
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  await page.goto(`${w.url}/runs?kind=command&mark=kept`);
  await settled(page);
  await page.getByRole("button", { name: "New run" }).or(page.getByRole("button", { name: /Run a command/ })).first().click();
  const command = page.getByRole("textbox", { name: /^Command/ });
  await command.fill("uptime");
  const cookies = await page.context().cookies(w.url);
  for (const c of cookies) assert.ok(c.httpOnly && c.secure && c.sameSite === "Strict", `cookie ${c.name} is HttpOnly, Secure and Strict`);
  const cookie = cookies.map((c) => `${c.name}=${c.value}`).join("; ");
  await w.call("POST", "/v1/logout", undefined, { cookie, headers: { Origin: w.url, "Sec-Fetch-Site": "same-origin" } });
  await page.evaluate(() => (document.body.dataset.same = "page"));
  const dialog = page.getByRole("dialog", { name: "Your session has ended" });
  await dialog.waitFor();
  await dialog.getByLabel(passwordLabel).fill(password);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  await dialog.waitFor({ state: "hidden" });
  await settled(page);
  assert.equal(await page.evaluate(() => document.body.dataset.same), "page", "the page was not loaded anew");
  assert.match(page.url(), /\/runs\?.*mark=kept/);
  // It is live again, and what was typed before is there.
  assert.equal(await command.inputValue(), "uptime");
  page.check();
  await page.context().close();
});

test("signing out ends the session on the server, not only in the browser", async () => {
  const page = await open(browser, { allow: refused });
  await page.goto(`${w.url}/signin`);
  await signIn(page, "ann", password);
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  const cookie = (await page.context().cookies(w.url)).map((c) => `${c.name}=${c.value}`).join("; ");
  assert.equal((await w.call("GET", "/v1/whoami", undefined, { cookie })).person, "ann");
  await page.getByRole("button", { name: "ann" }).click();
  await page.getByRole("menuitem", { name: "Sign out", exact: true }).click();
  await page.waitForURL(/\/signin/);
  await assert.rejects(w.call("GET", "/v1/whoami", undefined, { cookie }), { status: 401 });
  await page.goBack().catch(() => {});
  await page.waitForURL(/\/signin/);
  page.check();
  await page.context().close();
});

test("signing out everywhere ends every other browser too", async () => {
  const [here, there] = [await open(browser, { allow: refused }), await open(browser, { allow: refused })];
  for (const page of [here, there]) {
    await page.goto(`${w.url}/signin`);
    await signIn(page, "ann", password);
    await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  }
  const cookie = (await there.context().cookies(w.url)).map((c) => `${c.name}=${c.value}`).join("; ");
  await here.goto(`${w.url}/settings/account`);
  await settled(here);
  await here.getByRole("button", { name: /^Sign out everywhere/ }).click();
  await here.getByRole("dialog").getByRole("button", { name: /^End \d+ sessions?$/ }).click();
  await here.waitForURL(/\/signin/);
  await assert.rejects(w.call("GET", "/v1/whoami", undefined, { cookie }), { status: 401 });
  // The other one is told.
  await there.getByRole("dialog", { name: "Your session has ended" }).waitFor();
  for (const page of [here, there]) {
    page.check();
    await page.context().close();
  }
});
