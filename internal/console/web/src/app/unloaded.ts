// What is shown where the programs of the console could not be fetched, by
// nothing that would have to be fetched.

const kept = "drover-loaded-again";
const soon = 30_000; // ms, in which a second failure is not answered by a third try

/** unloaded loads the page once more, and then says that it could not be loaded. */
export function unloaded(cause: unknown): void {
  console.error(cause); // Of the first time, too, of which nothing is shown.
  let before = 0;
  try {
    before = Number(sessionStorage.getItem(kept) ?? 0);
    sessionStorage.setItem(kept, String(Date.now()));
  } catch {
    before = Date.now(); // A browser that keeps nothing must not load for ever.
  }
  if (Math.abs(Date.now() - before) > soon) {
    location.reload();
    return;
  }
  const title = document.createElement("h1");
  title.textContent = "The console could not be loaded";
  title.style.cssText = "font-size: var(--size-20); font-weight: 550";
  const again = document.createElement("a");
  again.href = location.href;
  again.textContent = "Load it again";
  const why = document.createElement("p");
  why.append("A part of it did not arrive: the server is away, it was updated this moment, or the network failed. ", again);
  const browser = document.createElement("p");
  browser.textContent = `The browser says: ${cause instanceof Error ? cause.message : String(cause)}`;
  browser.style.cssText = "color: var(--text-2); overflow-wrap: anywhere";
  const said = document.createElement("div");
  said.setAttribute("role", "alert");
  said.append(title, why, browser);
  const main = document.createElement("main");
  main.style.cssText = "max-width: 40rem; margin: 15vh auto; padding: 0 1rem";
  main.append(said);
  document.getElementById("root")!.replaceChildren(main);
}
