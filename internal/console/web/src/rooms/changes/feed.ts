import type { FleetEvent } from "~/app/live";

// What the page of events holds: the newest, in order, each once.

export type EventFilters = { type: string; host: string; actor: string };

export const keepEvents = 500;

/** wants says whether an event passes the filters, as the server decides it. */
export function wants(e: FleetEvent, f: EventFilters): boolean {
  if (f.host && e.host !== f.host) return false;
  if (f.actor && e.actor !== f.actor) return false;
  if (!f.type) return true;
  if (f.type.endsWith("*")) return e.type.startsWith(f.type.slice(0, -1));
  return f.type.endsWith(".") ? e.type.startsWith(f.type) : e.type === f.type;
}

export type Feed = { /** Newest first. */ events: FleetEvent[]; skipped: number };

/** added takes a batch into the feed; what does not fit any more is counted. */
export function added(feed: Feed, batch: FleetEvent[], skipped: number, keep = keepEvents): Feed {
  const known = new Set(feed.events.map((e) => e.seq));
  const fresh = batch.filter((e) => !known.has(e.seq)).sort((a, b) => b.seq - a.seq);
  if (fresh.length === 0 && skipped === 0) return feed;
  const events = [...fresh, ...feed.events];
  // Old ones that fall out at the end are in the journal; only what was never shown counts as skipped.
  const unseen = Math.max(0, fresh.length - keep);
  return { events: events.slice(0, keep), skipped: feed.skipped + skipped + unseen };
}
