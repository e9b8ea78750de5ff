import { actions as changes } from "~/rooms/changes/actions";
import { actions as fleet } from "~/rooms/fleet/actions";
import { actions as observe } from "~/rooms/observe/actions";
import { actions as runs } from "~/rooms/runs/actions";
import { actions as settings } from "~/rooms/settings/actions";
import type { Entry } from "./palette";

// All that the palette can do, in one list. A room that has actions of its own
// exports them from its actions.ts, and they are added here by name.

type Role = "viewer" | "operator" | "admin";

/** What a command may do: go somewhere, or what only the frame can. */
export type Doing = {
  navigate: (href: string) => void;
  openKeys: () => void;
  setScheme: (scheme: "auto" | "light" | "dark") => void;
  signOut: () => void;
};

export type Command = Entry & { role: Role; keys?: string; run: (d: Doing) => void };

const page = (words: string, href: string, keys?: string, also?: string): Command => ({
  id: href,
  words,
  group: "Pages",
  role: "viewer",
  run: (d) => d.navigate(href),
  ...(keys ? { keys } : {}),
  ...(also ? { also } : {}),
});

/** goKeys are the second keys after "g", by page. */
export const goKeys: Record<string, string> = { f: "/", a: "/alerts", c: "/changes", e: "/events", r: "/runs", d: "/declared", s: "/settings" };

export const pages: Command[] = [
  page("Fleet", "/", "g f", "hosts home overview servers machines"),
  page("Alerts", "/alerts", "g a", "problems firing pending warnings"),
  page("Changes", "/changes", "g c", "revisions commits pushes git"),
  page("Events", "/events", "g e", "journal timeline history log"),
  page("Runs", "/runs", "g r", "commands plays converges jobs"),
  page("Declared", "/declared", "g d", "objects kinds yaml"),
  page("Settings", "/settings", "g s", "server certificates tokens people"),
  page("Account and sessions", "/settings/account", undefined, "password sign out me"),
];

const actions: Command[] = [
  { id: "scheme.light", words: "Use light colours", group: "Actions", role: "viewer", also: "theme mode", run: (d) => d.setScheme("light") },
  { id: "scheme.dark", words: "Use dark colours", group: "Actions", role: "viewer", also: "theme mode", run: (d) => d.setScheme("dark") },
  { id: "scheme.auto", words: "Use the colours of the system", group: "Actions", role: "viewer", also: "theme mode", run: (d) => d.setScheme("auto") },
  { id: "keys", words: "Show the keys", group: "Actions", role: "viewer", keys: "?", also: "keyboard shortcuts help", run: (d) => d.openKeys() },
  { id: "signout", words: "Sign out", group: "Actions", role: "viewer", also: "log out leave", run: (d) => d.signOut() },
];

/** What rooms offer leads to a place of theirs. */
const rooms: Command[] = [...fleet, ...observe, ...runs, ...changes, ...settings].map((a) => ({ id: a.id, words: a.words, group: "Actions", role: a.role, also: a.also, run: (d) => d.navigate(a.href) }));

/** commands are those that this person may do. */
export function commands(may: (role: Role) => boolean): Command[] {
  return [...pages, ...rooms, ...actions].filter((c) => may(c.role));
}

/** hostCommand leads to a host's page. */
export function hostCommand(h: { name: string; address?: string; groups?: string[] }): Command {
  const href = `/hosts/${encodeURIComponent(h.name)}`;
  return { id: href, words: h.name, group: "Hosts", role: "viewer", also: [h.address, ...(h.groups ?? [])].filter(Boolean).join(" "), run: (d) => d.navigate(href) };
}
