// Real hosts on the console: test/lab runs this in ring 4, with a server that
// has just converged them. Nothing was configured for metrics or alerts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, settled, signIn } from "./browser.mjs";
import { until, World } from "./world.mjs";

const password = "correct horse battery staple"; // pages.test.mjs made the administrator
let w, browser, state, host;

before(async () => {
  w = World.of(process.env.DROVER_CONSOLE_URL, process.env.DROVER_CONFIG);
  browser = await launch();
  host = (await w.call("GET", "/v1/overview")).hosts[0].name;
  const page = await open(browser);
  await page.goto(`${w.url}/signin`);
  await signIn(page, process.env.DROVER_CONSOLE_PERSON ?? "ann", password);
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
  state = await page.context().storageState();
  await page.context().close();
});
after(async () => {
  await browser?.close();
  await w?.end();
});

test("a host's charts show what it measures, with no further configuration", async () => {
  const page = await open(browser, { state });
  await page.goto(`${w.url}/hosts/${host}`);
  await settled(page);
  for (const title of ["CPU", "Memory", "Disk space", "Load"]) {
    const chart = page.getByRole("figure", { name: title, exact: true });
    await chart.scrollIntoViewIfNeeded();
    const table = chart.getByRole("button", { name: "Table" });
    await until(`measurements in the chart of ${title}`, () => table.isEnabled(), 90_000);
    await table.click();
    assert.ok((await chart.getByRole("row").count()) > 1, `${title} has rows`);
  }
  page.check();
  await page.context().close();
});

test("what runs on it now is listed", async () => {
  const page = await open(browser, { state });
  await page.goto(`${w.url}/hosts/${host}?tab=processes`);
  await page.getByRole("searchbox", { name: "Filter processes" }).fill("drover-agent");
  await page.getByRole("table", { name: "Processes" }).getByText("drover-agent").first().waitFor();
  await page.goto(`${w.url}/hosts/${host}?tab=units`);
  await page.getByRole("searchbox", { name: "Filter units" }).fill("drover-agent.service");
  await page.getByText("drover-agent.service").first().waitFor();
  page.check();
  await page.context().close();
});

test("a unit that fails is an alert on the page, and goes when it is well again", { timeout: 360_000 }, async () => {
  const page = await open(browser, { state });
  await page.goto(`${w.url}/alerts`);
  await settled(page);
  await w.drover("run", "systemd-run --unit=drill --property=Type=oneshot false; true", "-l", host);
  await page.getByText(/drill\.service/).first().waitFor({ timeout: 180_000 });
  await w.drover("run", "systemctl reset-failed drill.service", "-l", host);
  await page.getByText(/drill\.service/).first().waitFor({ state: "hidden", timeout: 150_000 });
  page.check();
  await page.context().close();
});
