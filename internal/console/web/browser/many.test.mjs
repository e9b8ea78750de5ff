// Three thousand hosts on a real server: all of them are there, few are drawn.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, become, launch, open, settled } from "./browser.mjs";
import { World } from "./world.mjs";

const many = Number(process.env.HOSTS ?? 3000);
const password = "correct horse battery staple";
let w, browser, page;

before(async () => {
  [w, browser] = await Promise.all([World.begin(), launch()]);
  await w.sim(many);
  page = await open(browser);
  await become(page, await w.signInLink(), "ann", password);
});
after(async () => {
  await browser?.close();
  await w?.end();
});

test("all hosts are in the list, and only those in sight are drawn", async () => {
  await page.goto(w.url);
  await settled(page);
  await page.getByText(`${many.toLocaleString("en-US")} hosts`).first().waitFor();
  await page.getByRole("link", { name: "sim-1", exact: true }).waitFor();
  assert.ok((await page.locator('main a[href^="/hosts/"]').count()) < 200, "hosts out of sight are drawn");
  await page.keyboard.press("End");
  await page.getByRole("link", { name: `sim-${many}`, exact: true }).waitFor();
  await page.keyboard.press("Home");
  await page.getByRole("link", { name: "sim-1", exact: true }).waitFor();
  await accessible(page, "the fleet of many");
  page.check();
});

test("one of them is found by the filter and by the palette", async () => {
  await page.getByLabel("Filter hosts").fill(`sim-${many - 1}`);
  await page.getByText(new RegExp(`^1 of ${many.toLocaleString("en-US")} hosts$`)).waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search or do" }).fill(`sim-${many - 2}`);
  await page.getByRole("option", { name: `sim-${many - 2}` }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(`/hosts/sim-${many - 2}$`));
  page.check();
});

test("a command on all of them asks for their number first", async () => {
  await page.goto(w.url);
  await settled(page);
  await page.getByRole("button", { name: /^Do on all hosts/ }).click();
  await page.getByRole("menuitem", { name: /Run a command/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: /^Command/ }).fill("true");
  const go = dialog.getByRole("button", { name: /^Run on/ });
  assert.equal(await go.isDisabled(), true);
  await dialog.getByLabel(new RegExp(many.toLocaleString("en-US").replace(",", ",?"))).fill(String(many));
  await go.click();
  await page.waitForURL(/\/runs\/[^/]+/);
  await page.getByText(/on (all )?3,000 hosts/).first().waitFor({ timeout: 60_000 });
  await settled(page);
  page.check();
});
