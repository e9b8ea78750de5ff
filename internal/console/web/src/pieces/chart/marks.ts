import type { Tone } from "../states";

export type Mark<E> = { x: number; events: E[]; tone: Tone };

const rank: Tone[] = ["idle", "ok", "info", "warn", "bad"];

/** cluster puts what would lie on one another into one mark, with the worst of their tones. */
export function cluster<E>(events: E[], xOf: (e: E) => number, toneOf: (e: E) => Tone, gap = 14): Mark<E>[] {
  const out: Mark<E>[] = [];
  const placed = events.map((e) => ({ e, x: xOf(e) })).sort((a, b) => a.x - b.x);
  for (const { e, x } of placed) {
    const last = out.at(-1);
    if (last && x - last.x < gap) {
      last.events.push(e);
      if (rank.indexOf(toneOf(e)) > rank.indexOf(last.tone)) last.tone = toneOf(e);
    } else out.push({ x, events: [e], tone: toneOf(e) });
  }
  return out;
}

/** merge adds events that came by themselves to those that were asked for, each once. */
export function merge<E extends { seq: number }>(asked: E[], came: E[]): E[] {
  if (came.length === 0) return asked;
  const all = new Map(asked.map((e) => [e.seq, e]));
  for (const e of came) all.set(e.seq, e);
  return [...all.values()].sort((a, b) => a.seq - b.seq);
}
