import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App, ready } from "./app/App";

const patience = 400; // ms, after which the page says itself what it waits for

// Nothing is awaited outside of this: a page's own file waits for this one.
async function start() {
  await Promise.race([ready(), new Promise((late) => setTimeout(late, patience))]).catch(() => undefined);
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}

void start();
