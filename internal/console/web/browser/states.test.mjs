// Every page in every state that a server can bring it to, light and dark, on a
// desktop and on a phone: it says so, it is accessible, it does not scroll
// sideways, its console is clean, and it looks as somebody has accepted it.
//
// The server is a stand-in with a made-up fleet at a fixed hour, so that
// pictures do not change by themselves.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { accessible, contextOf, desktop, fits, launch, open, phone } from "./browser.mjs";
import { all } from "./pages.mjs";
import { acceptedDir, compare, shotsDir } from "./picture.mjs";
import { now } from "./standin/fleet.mjs";
import { answerOf, problems } from "./standin/schema.mjs";
import { standIn } from "./standin/server.mjs";

const web = fileURLToPath(new URL("..", import.meta.url));
const accept = Boolean(process.env.ACCEPT);
const only = (process.env.PAGES ?? "").split(/[ ,]+/).filter(Boolean);
const chosen = all.filter((p) => only.length === 0 || only.includes(p.name));
const tall = 2600; // a longer page is cut there: what is below is more of the same
const nameOf = (p, state, scheme, size) => `${p.name}.${state}.${scheme}.${size}`;

const url = "http://console.localhost"; // some pages show it, and a port differs each time
let server, browser;
before(async () => {
  if (only.length === 0) rmSync(shotsDir, { recursive: true, force: true });
  server = standIn(join(web, "../dist/app"));
  browser = await launch([`--host-resolver-rules=MAP console.localhost:80 ${new URL(await server.listen()).host}`]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

// One tab goes through all pages of a state, a scheme and a size, so that the browser keeps what it has loaded and compiled.
const tabs = new Map();
async function tabFor(state, scheme, size, viewport) {
  const key = [state, scheme, size].join();
  if (!tabs.has(key)) {
    const context = await contextOf(browser, { viewport, scheme, timezoneId: "UTC", locale: "en-GB" });
    await context.addCookies([{ name: "state", value: state, url }]);
    await context.addInitScript(() => {
      // How many answers are awaited; watches have theirs as soon as they begin.
      window.waiting = 0;
      const ask = window.fetch;
      window.fetch = async (...args) => {
        window.waiting++;
        try {
          return await ask(...args);
        } finally {
          window.waiting--;
        }
      };
    });
    const tab = await open(browser, { context, allow: state === "failing" ? [/status of 500/] : [] });
    await tab.clock.setFixedTime(now);
    tabs.set(key, tab);
  }
  const tab = tabs.get(key);
  await tab.goto("about:blank"); // what the page before still says is not this one's
  tab.problems.length = 0;
  return tab;
}

/** still waits until nothing is on its way to the page and nothing on it has moved for some frames. */
async function still(page, waits, frames = 12) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(
    ([waits, frames]) =>
      new Promise((done) => {
        let quiet = 0;
        const seen = new MutationObserver(() => (quiet = 0));
        seen.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        const frame = () => {
          const busy = document.fonts.status !== "loaded" || (!waits && (window.waiting > 0 || document.querySelector('[aria-busy="true"]')));
          quiet = busy ? 0 : quiet + 1;
          if (quiet < frames) return requestAnimationFrame(frame);
          seen.disconnect();
          done(true);
        };
        frame();
      }),
    [waits, frames],
  );
}

for (const p of chosen)
  describe(p.name, () => {
    for (const state of p.states)
      for (const scheme of ["light", "dark"])
        for (const [size, viewport] of [["desktop", desktop], ["phone", phone]])
          test(`${p.name}, ${state}, ${scheme}, ${size}`, { timeout: 120_000 }, async () => {
            const page = await tabFor(state, scheme, size, viewport);
            await page.goto(url + p.path);
            const waits = state === "loading" || p.waits === true;
            await still(page, waits, p.waits ? 60 : 12);
            const picture = async () => {
              const height = await page.evaluate(() => document.documentElement.scrollHeight);
              return page.screenshot({ animations: "disabled", caret: "hide", fullPage: true, clip: { x: 0, y: 0, width: viewport.width, height: Math.min(tall, Math.max(height, viewport.height)) } });
            };
            let differs = compare(nameOf(p, state, scheme, size), await picture(), { accept });
            // A busy machine may draw a part later than the page is quiet.
            for (let i = 0; i < 3 && differs; i++) {
              await still(page, waits, 60);
              differs = compare(nameOf(p, state, scheme, size), await picture(), { accept });
            }
            // All that is wrong is said at once.
            const wrong = [];
            const gather = async (check) => {
              try {
                await check();
              } catch (e) {
                wrong.push(e.message);
              }
            };
            await gather(async () => assert.equal(await page.locator("h1").count(), 1, "a page has one first heading"));
            await gather(() => fits(page, "it"));
            // Colours are the scheme's and structure is the state's: of a phone, what is full is enough.
            if (size === "desktop" || (state === "full" && scheme === "light")) await gather(() => accessible(page, "it"));
            await gather(() => page.check());
            if (differs) wrong.push(differs);
            if (wrong.length > 0) throw new Error(wrong.join("\n"));
          });
  });

test("the stand-in says nothing that the server would not", () => {
  const doc = JSON.parse(readFileSync(join(web, "openapi.json"), "utf8"));
  const wrong = [];
  for (const [path, value] of server.asked) {
    if (path.startsWith("/api/") || typeof value === "string") continue;
    const { template, schema } = answerOf(doc, path) ?? {};
    if (!template) wrong.push(`${path} is not a path of the server`);
    else wrong.push(...problems(doc, schema, value).map((w) => `${template}${w}`));
  }
  for (const path of server.unknown) wrong.push(`${path} is asked for, and the stand-in does not know it`);
  assert.deepEqual([...new Set(wrong)].slice(0, 40), []);
});

test("no picture is kept of what is no longer there", { skip: only.length > 0 || !existsSync(acceptedDir) }, () => {
  const names = new Set(all.flatMap((p) => p.states.flatMap((s) => ["light", "dark"].flatMap((c) => ["desktop", "phone"].map((z) => `${nameOf(p, s, c, z)}.png`)))));
  const old = readdirSync(acceptedDir).filter((f) => !names.has(f));
  if (accept) for (const f of old) rmSync(join(acceptedDir, f));
  else assert.deepEqual(old, [], "remove them by: make shots ACCEPT=1");
});
