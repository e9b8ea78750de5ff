// What bench/console/run measures in the browser. Prints one JSON object.
//   bench.mjs sign-in LINK        makes the administrator; its session goes to $DROVER_CONSOLE_STATE
//   bench.mjs load scroll …       measures these against $DROVER_CONSOLE_URL
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { become, desktop, launch, open, settled } from "./browser.mjs";
import { until, World } from "./world.mjs";

const [what, ...more] = process.argv.slice(2);
const { DROVER_CONSOLE_URL: url, DROVER_CONSOLE_STATE: state, DROVER_CONFIG: config } = process.env;
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const flags = ["--enable-precise-memory-info", "--ignore-certificate-errors"]; // the server's own authority
const round = (n) => Math.round(n * 10) / 10;

const measures = {
  /**
   * Seven cold loads, each in a browser of its own that shows another site and then follows a link to a server where it has never
   * been: nothing is cached and nothing connected. Nobody is attached, because a page that is watched by developer tools reads
   * its programs twice. Usable is when hosts are drawn and a key would be answered: the page's own mark, from the start of the
   * navigation. In turn with it a picture of 1 KB from the same server, the same way: what the browser needs for itself.
   */
  async load(browser) {
    const { cookies } = JSON.parse(readFileSync(state, "utf8"));
    const cold = async (address, expression) => {
      const elsewhere = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(`<!doctype html><h1>Elsewhere</h1><script>setTimeout(() => location.assign(${JSON.stringify(address)}), 3000)</script>`));
      await new Promise((done) => elsewhere.listen(0, "127.0.0.1", done));
      const own = await launch(flags);
      const cdp = await own.newBrowserCDPSession();
      await cdp.send("Storage.setCookies", { cookies: cookies.map(({ expires, ...c }) => ({ ...c, ...(expires > 0 ? { expires } : {}) })) });
      const { targetId } = await cdp.send("Target.createTarget", { url: `http://127.0.0.1:${elsewhere.address().port}/`, newWindow: true, width: desktop.width, height: desktop.height });
      await pause(8_000);
      const at = await ask(cdp, targetId, expression);
      await own.close();
      elsewhere.close();
      return at;
    };
    const [usable, picture] = [[], []];
    for (let i = 0; i < 7; i++) {
      usable.push(await cold(url, "performance.getEntriesByName('hosts-shown')[0]?.startTime ?? NaN"));
      picture.push(await cold(`${url}/icon.svg`, "performance.getEntriesByType('navigation')[0].loadEventEnd"));
    }
    return { usable_ms: Math.round(median(usable)), worst_ms: Math.round(Math.max(...usable)), picture_ms: Math.round(median(picture)), ...(await transferred(browser)) };
  },

  /** From the top of the list to its end and back at 2,400 pixels a second: how many frames are drawn. */
  async scroll(browser) {
    const page = await fleet(browser);
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await page.evaluate(frames, { seconds: 5, speed: 2400 }));
    await page.context().close();
    return { scroll_fps: round(median(runs.map((r) => r.fps))), scroll_slow_frames: round(median(runs.map((r) => r.slow))), scroll_worst_ms: Math.round(median(runs.map((r) => r.worst))) };
  },

  /** Eight keys a second typed into the filter: the frames drawn meanwhile, and for each key the time until the frame with the hosts that it leaves, where it leaves others. */
  async filter(browser) {
    const page = await fleet(browser);
    const [fps, slow, took] = [[], [], []];
    for (let i = 0; i < 5; i++) {
      const input = page.getByLabel("Filter hosts");
      await input.fill("");
      await page.getByText(/^[\d,]+ hosts$/).first().waitFor();
      await input.focus();
      await pause(1_000);
      await page.evaluate(() => {
        window.keys = [];
        let at;
        document.activeElement.addEventListener("keydown", () => (at = performance.now()));
        new MutationObserver(() => {
          const from = at;
          at = undefined;
          if (from !== undefined) requestAnimationFrame(() => setTimeout(() => window.keys.push(performance.now() - from)));
        }).observe(document.querySelector('[aria-label="Hosts"][role="table"]'), { subtree: true, childList: true, characterData: true });
      });
      const drawn = page.evaluate(frames, { seconds: 1.2, speed: 0 });
      await page.keyboard.type("sim-2750", { delay: 125 });
      const r = await drawn;
      fps.push(r.fps);
      slow.push(r.slow);
      await page.getByText(/^1 of [\d,]+ hosts$/).waitFor();
      took.push(...(await page.evaluate(() => window.keys)));
    }
    await page.context().close();
    return { filter_fps: round(median(fps)), filter_slow_frames: round(median(slow)), key_to_hosts_ms: round(median(took)), key_worst_ms: Math.round(Math.max(...took)) };
  },

  /** After the list was scrolled through and filtered: what scripts hold after a collection, and what the page's process holds in all. */
  async memory(browser) {
    const page = await fleet(browser);
    await page.evaluate(frames, { seconds: 3, speed: 8000 });
    await page.getByLabel("Filter hosts").fill("sim-1");
    await page.getByText(/^[\d,]+ of [\d,]+ hosts$/).waitFor();
    await page.getByLabel("Filter hosts").fill("");
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("HeapProfiler.enable");
    await cdp.send("HeapProfiler.collectGarbage");
    const { usedSize } = await cdp.send("Runtime.getHeapUsage");
    const { processInfo } = await (await browser.newBrowserCDPSession()).send("SystemInfo.getProcessInfo");
    const rss = (pid, key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1000;
    // The page's renderer is the one with most; the other is spare.
    const most = processInfo.filter((p) => p.type === "renderer").map((p) => ({ rss: rss(p.id, "VmRSS"), own: rss(p.id, "RssAnon") })).sort((a, b) => b.rss - a.rss)[0];
    await page.context().close();
    return { heap_mb: round(usedSize / 1e6), renderer_rss_mb: Math.round(most.rss), renderer_own_mb: Math.round(most.own) };
  },

  /** From the time that the server put on an event to the frame that shows it on an open page; both clocks are this machine's. */
  async events(browser) {
    const w = World.of(url, config);
    const page = await open(browser, { state });
    await page.goto(`${url}/events`);
    await settled(page);
    await page.getByText("New events come in at the top.").waitFor();
    const took = [];
    const host = (await w.call("GET", "/v1/overview")).hosts[0].name;
    for (let i = 0; i < 15; i++) {
      const words = `echo mark-${i}-`;
      const shown = page.evaluate(
        (text) =>
          new Promise((done) => {
            const look = () => document.querySelector("main")?.textContent.includes(text) && requestAnimationFrame(() => setTimeout(() => done(performance.timeOrigin + performance.now())));
            new MutationObserver(look).observe(document.querySelector("main"), { subtree: true, childList: true, characterData: true });
          }),
        words,
      );
      await w.call("POST", "/v1/runs", { command: words, hosts: host });
      const at = await shown;
      const event = await until("the event", async () => (await w.call("GET", "/v1/events?type=run.started&limit=50")).items.find((e) => e.data?.command === words));
      took.push(at - Date.parse(event.time));
    }
    await page.context().close();
    await w.end();
    return { event_to_page_ms: Math.round(median(took)), event_worst_ms: Math.round(Math.max(...took)) };
  },
};

/** ask evaluates in a page that nobody was attached to. */
async function ask(cdp, targetId, expression) {
  const { sessionId } = await cdp.send("Target.attachToTarget", { targetId, flatten: false });
  const answer = new Promise((done) => {
    cdp.on("Target.receivedMessageFromTarget", function take(m) {
      if (m.sessionId !== sessionId) return;
      cdp.off("Target.receivedMessageFromTarget", take);
      done(JSON.parse(m.message).result.result.value);
    });
  });
  await cdp.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression, returnByValue: true } }) });
  return answer;
}

/** transferred is what a cold load fetches, compressed: files, and answers of the API. */
async function transferred(browser) {
  const page = await open(browser, { state });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  let [bytes, api] = [0, 0];
  const paths = new Map();
  cdp.on("Network.requestWillBeSent", (e) => paths.set(e.requestId, new URL(e.request.url).pathname));
  cdp.on("Network.loadingFinished", (e) => {
    if (/^\/(v1|api)\//.test(paths.get(e.requestId))) api += e.encodedDataLength;
    else bytes += e.encodedDataLength;
  });
  await page.goto(url);
  await settled(page);
  await page.waitForTimeout(2_000);
  await page.context().close();
  return { files_kb: round(bytes / 1000), api_kb_streams_aside: round(api / 1000) };
}

/** fleet is the first page with all its hosts. */
async function fleet(browser) {
  const page = await open(browser, { state, viewport: desktop });
  await page.goto(url);
  await settled(page);
  await page.locator('main a[href^="/hosts/"]').first().waitFor();
  return page;
}

/** frames scrolls for some seconds and counts what is drawn; it runs in the page. */
function frames({ seconds, speed }) {
  return new Promise((done) => {
    const gaps = [];
    let last, start, way = 1;
    const end = () => document.documentElement.scrollHeight - innerHeight;
    const frame = (t) => {
      start ??= t;
      if (last !== undefined) {
        gaps.push(t - last);
        scrollBy(0, (way * speed * (t - last)) / 1000);
        if (scrollY >= end() - 1) way = -1;
        if (scrollY <= 0) way = 1;
      }
      last = t;
      if (t - start < seconds * 1000) return requestAnimationFrame(frame);
      done({ fps: gaps.length / ((last - start) / 1000), slow: gaps.filter((g) => g > 25).length, worst: Math.max(...gaps) });
    };
    requestAnimationFrame(frame);
  });
}

const browser = await launch(flags);
try {
  if (what === "sign-in") {
    const page = await open(browser);
    await become(page, more[0], "bench", "correct horse battery staple");
    await page.context().storageState({ path: state });
  } else {
    let out = {};
    for (const each of [what, ...more]) out = { ...out, ...(await measures[each](browser)) };
    console.log(JSON.stringify(out));
  }
} finally {
  await browser.close();
}
