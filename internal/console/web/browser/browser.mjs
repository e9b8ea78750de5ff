// Debian's Chromium, and pages that are watched: what they log as an error,
// throw, or load against their policy, fails the test that opened them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export function launch(more = []) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...flags, ...more] });
}

export const desktop = { width: 1440, height: 900 };
export const phone = { width: 390, height: 844 };

/** contextOf is a browser profile of its own: cookies, cache, size and colours. */
export async function contextOf(browser, { viewport = desktop, scheme = "light", state, motion = "reduce", ...rest } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport, colorScheme: scheme, reducedMotion: motion, storageState: state, ...rest });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (e) => console.error(`policy violated: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile ?? ""}`));
  });
  return context;
}

/**
 * open gives a new page, in a context of its own if none is given. `allow` are errors that the
 * test provokes. page.check() fails if there were others.
 */
export async function open(browser, { allow = [], context, ...options } = {}) {
  const page = await (context ?? (await contextOf(browser, options))).newPage();
  page.setDefaultTimeout(30_000);
  const problems = [];
  const note = (text) => {
    // An address came or went on this machine, a lab's for example: nothing that the page has done.
    if (text.includes("ERR_NETWORK_CHANGED")) return;
    if (!allow.some((a) => a.test(text))) problems.push(text);
  };
  page.on("console", (m) => {
    if (m.type() !== "error" && !(m.type() === "warning" && /Content.Security|Permissions/i.test(m.text()))) return;
    const where = m.location()?.url ?? "";
    // Whether somebody is signed in is asked of the server, whose no is a 401.
    if (/status of 401/.test(m.text()) && /\/v1\/whoami$/.test(where)) return;
    note(`${m.text()} ${where}`);
  });
  page.on("pageerror", (e) => note(`thrown: ${e.stack ?? e.message}`));
  page.on("request", (r) => {
    const { protocol, host } = new URL(r.url());
    if (/^https?:/.test(protocol) && host !== new URL(page.url() === "about:blank" ? r.url() : page.url()).host) note(`loads from elsewhere: ${r.url()}`);
  });
  return Object.assign(page, {
    problems,
    check() {
      if (problems.length > 0) throw new Error(`the page's console has errors:\n  ${problems.join("\n  ")}`);
    },
  });
}

// Mantine marks what is required with a star in the label.
export const passwordLabel = /^Password( \*)?$/;

/** signIn fills the form, wherever it stands. */
export async function signIn(page, name, password) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel(passwordLabel).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** become makes the first administrator by the one-time link. */
export async function become(page, link, name, password) {
  await page.goto(link);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel(passwordLabel).fill(password);
  await page.getByLabel("Password again").fill(password);
  await page.getByRole("button", { name: /Make administrator/ }).click();
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
}

/** settled waits until the page shows its data: a heading, and nothing that is still being read. */
export async function settled(page) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"]') && document.fonts.status === "loaded");
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** accessible fails on any violation that axe finds, with the rule and the place. */
export async function accessible(page, where) {
  const found = await page.evaluate(async (source) => {
    if (!window.axe) (0, eval)(source);
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap((v) => v.nodes.slice(0, 5).map((n) => `${v.id}: ${v.help}: ${n.target.join(" ")}: ${n.failureSummary?.split("\n").slice(1).join(";").trim()}`));
  }, axe);
  if (found.length > 0) throw new Error(`axe on ${where}:\n  ${found.join("\n  ")}`);
}

/** fits fails if the page scrolls sideways, and names what sticks out. */
export async function fits(page, where) {
  const out = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")]
      .filter((e) => e.getBoundingClientRect().right > width + 1)
      .slice(-5)
      .map((e) => `${e.tagName.toLowerCase()}.${e.className} ends at ${Math.round(e.getBoundingClientRect().right)} of ${width}: ${(e.textContent ?? "").slice(0, 40)}`);
  });
  if (out.length > 0) throw new Error(`${where} scrolls sideways:\n  ${out.join("\n  ")}`);
}
