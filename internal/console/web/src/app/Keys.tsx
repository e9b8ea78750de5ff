import { useEffect, useRef } from "react";
import { Modal } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { covered, typing } from "~/pieces/keys";
import { goKeys } from "./commands";
import css from "./Keys.module.css";

const keys: [string, string][] = [
  [mac() ? "⌘ K" : "Ctrl K", "Search, or do: every page, host and action"],
  ["/", "Filter this page's list, or search"],
  ["j  k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Select the row"],
  ["← →", "Read a chart that has the focus; Enter pins"],
  ["g f", "Go to Fleet"],
  ["g a", "Go to Alerts"],
  ["g c", "Go to Changes"],
  ["g e", "Go to Events"],
  ["g r", "Go to Runs"],
  ["g d", "Go to Declared"],
  ["g s", "Go to Settings"],
  ["Esc", "Close what is open"],
  ["?", "These keys"],
];

/** mac says whether this keyboard has a ⌘. */
export function mac(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.platform);
}

const patience = 1200; // ms between "g" and where to

/** useGlobalKeys makes the keys work that belong to no part of a page. */
export function useGlobalKeys({ openPalette, openKeys }: { openPalette: () => void; openKeys: () => void }): void {
  const navigate = useNavigate();
  const now = useRef({ openPalette, openKeys, navigate });
  now.current = { openPalette, openKeys, navigate };
  useEffect(() => {
    let going = -Infinity;
    const listen = (e: KeyboardEvent) => {
      if ((e.ctrlKey || e.metaKey) && !e.shiftKey && !e.altKey && e.key.toLowerCase() === "k") {
        e.preventDefault(); // some browsers go to their address bar
        if (!covered()) now.current.openPalette();
        return;
      }
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.target) || covered()) return;
      const follows = e.timeStamp - going < patience;
      going = -Infinity;
      const to = goKeys[e.key];
      if (follows && to) void now.current.navigate({ to: to as never });
      else if (e.key === "g") going = e.timeStamp;
      else if (e.key === "?") now.current.openKeys();
      else if (e.key === "/") now.current.openPalette(); // no filter on this page wanted it
      else return;
      e.preventDefault();
    };
    // On the window: what a part of the page wants, it has taken before.
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

export function Keys({ open, setOpen }: { open: boolean; setOpen: (open: boolean) => void }) {
  return (
    <Modal opened={open} onClose={() => setOpen(false)} title="Keyboard">
      <dl className={css.keys}>
        {keys.map(([k, what]) => (
          <div key={k}>
            <dt>
              <kbd>{k}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
