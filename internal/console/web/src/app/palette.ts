// How what is typed finds what is meant: letters in order, better at the
// beginnings of words and side by side.

export type Match = { score: number; marks: [from: number, to: number][] };

const start = /[\s./_:-]/;

/** match gives how well a query fits a text; every word of the query must fit. */
export function match(query: string, text: string): Match | undefined {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const low = text.toLowerCase();
  let score = 0;
  const at: number[] = [];
  for (const w of words) {
    const one = word(w, low);
    if (!one) return undefined;
    score += one.score;
    at.push(...one.at);
  }
  // Of two that fit alike the shorter is meant.
  return { score: score - text.length * 0.01, marks: ranges(at) };
}

function word(w: string, text: string): { score: number; at: number[] } | undefined {
  // The word as it is, best at the beginning of a word.
  let whole = -1;
  for (let i = text.indexOf(w); i >= 0; i = text.indexOf(w, i + 1)) {
    if (whole < 0) whole = i;
    if (i === 0 || start.test(text[i - 1]!)) {
      whole = i;
      break;
    }
  }
  if (whole >= 0) {
    const begins = whole === 0 ? 6 : start.test(text[whole - 1]!) ? 4 : 0;
    const ends = whole + w.length === text.length ? 2 : 0;
    return { score: w.length * 3 + begins + ends, at: Array.from(w, (_, i) => whole + i) };
  }
  // Letters in order: "wb12" is web-12. One letter alone is no such word.
  if (w.length < 2) return undefined;
  const at: number[] = [];
  let score = 0;
  let from = 0;
  for (const letter of w) {
    const next = text.indexOf(letter, from);
    if (next < 0) return undefined;
    score += next === 0 || start.test(text[next - 1]!) ? 2 : next === from && at.length > 0 ? 1.5 : 0.2;
    at.push(next);
    from = next + letter.length;
  }
  // Letters that lie far apart were not meant.
  const spread = at.at(-1)! - at[0]! + 1;
  return spread > w.length * 4 + 4 ? undefined : { score, at };
}

function ranges(at: number[]): [number, number][] {
  const out: [number, number][] = [];
  for (const i of [...new Set(at)].sort((a, b) => a - b)) {
    const last = out.at(-1);
    if (last && last[1] === i) last[1] = i + 1;
    else out.push([i, i + 1]);
  }
  return out;
}

export type Entry = { id: string; words: string; group: string; also?: string | undefined };
export type Found<E extends Entry> = { entry: E; marks: [number, number][] };

/** find gives the groups with what fits best in each; the group with the best fit is first. */
export function find<E extends Entry>(query: string, entries: E[], most = 8): { group: string; items: Found<E>[] }[] {
  const groups = new Map<string, (Found<E> & { score: number })[]>();
  for (const entry of entries) {
    let m = match(query, entry.words);
    // Other words for the same find it too, a little less.
    const also = m || !entry.also ? undefined : match(query, `${entry.words} ${entry.also}`);
    if (also) m = { score: also.score - 2, marks: also.marks.filter(([, to]) => to <= entry.words.length) };
    if (!m) continue;
    if (!groups.has(entry.group)) groups.set(entry.group, []);
    groups.get(entry.group)!.push({ entry, marks: m.marks, score: m.score });
  }
  const out = [...groups].map(([group, items]) => {
    // Without a query all stay in the order they came in, as equal ones do.
    if (query.trim() !== "") items.sort((a, b) => b.score - a.score);
    return { group, best: items[0]!.score, items: items.slice(0, most) };
  });
  if (query.trim() !== "") out.sort((a, b) => b.best - a.best);
  return out.map(({ group, items }) => ({ group, items }));
}

/** remember puts what was chosen first, and forgets what was long ago. */
export function remember(recent: string[], id: string, most = 6): string[] {
  return [id, ...recent.filter((r) => r !== id)].slice(0, most);
}
