import { useEffect, useLayoutEffect, useMemo, useState, type RefObject } from "react";

// Drawing only the lines in sight of a list that scrolls with the page. Heights
// are known beforehand, so nothing is measured, and lines come and go in
// chunks: between two chunks, scrolling draws nothing at all.

const chunk = 4; // so many lines are drawn within a frame
const all = 64; // so few lines are all drawn: the browser's own search finds them
const beyond = 12; // lines drawn above and below what is in sight

/** offsets are where lines begin; the last one is the height of all. */
export function offsets(heights: number[]): number[] {
  const out = [0];
  for (const h of heights) out.push(out.at(-1)! + h);
  return out;
}

/** lineAt is the line that a height falls in. */
export function lineAt(starts: number[], y: number): number {
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= y) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/** sight gives the lines to draw when the part from `top` to `bottom` of the list is in sight. */
export function sight(starts: number[], top: number, bottom: number): [from: number, to: number] {
  const count = starts.length - 1;
  if (count <= all) return [0, Math.max(0, count)];
  const from = Math.floor(Math.max(0, lineAt(starts, top) - beyond) / chunk) * chunk;
  const to = Math.ceil((lineAt(starts, bottom) + 1 + beyond) / chunk) * chunk;
  return [Math.min(from, count), Math.min(to, count)];
}

/** useSight follows the page's scrolling over a list in `box`. */
export function useSight(box: RefObject<HTMLElement | null>, starts: number[]): [from: number, to: number] {
  const [range, setRange] = useState<[number, number]>(() => sight(starts, 0, typeof window === "undefined" ? 1000 : window.innerHeight));
  const look = useMemo(
    () => () => {
      const el = box.current;
      if (!el) return;
      // Where all are drawn, nothing need be measured.
      const top = starts.length - 1 <= all ? 0 : -el.getBoundingClientRect().top;
      const next = sight(starts, top, top + window.innerHeight);
      setRange((old) => (old[0] === next[0] && old[1] === next[1] ? old : next));
    },
    [box, starts],
  );
  useLayoutEffect(look, [look]);
  useEffect(() => {
    let frame = 0;
    const later = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look();
      });
    };
    window.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", later);
      window.removeEventListener("resize", later);
    };
  }, [look]);
  // Fewer lines than before: what is drawn must not be past the end until the next look.
  const count = starts.length - 1;
  return [Math.min(range[0], count), Math.min(range[1], count)];
}
