import { useCallback, useDeferredValue, useEffect, useId, useLayoutEffect, useMemo, useRef, useState, type CSSProperties, type KeyboardEvent } from "react";
import { useLocation } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { bytes, counted, whole } from "~/format";
import { CopyButton } from "../CopyButton";
import { save } from "../save";
import { parse, plain, type Style } from "./ansi";
import { Feed, occurrences, type Chunk, type Line } from "./lines";
import css from "./Output.module.css";

export type { Chunk } from "./lines";

const lineHeight = 20;

/** Output is what a program wrote: colours, search, lines that can be linked to. */
export function Output(p: {
  chunks: string | Chunk[];
  /** It still grows: the end stays in sight until the reader scrolls up. */
  follow?: boolean | undefined;
  /** Bytes that there were, when not all of them were kept. */
  total?: number | undefined;
  truncated?: boolean | undefined;
  label: string;
}) {
  const feed = useRef<Feed>(undefined);
  feed.current ??= new Feed();
  const lines = useMemo(() => feed.current!.take(p.chunks), [p.chunks]);
  const count = lines.count;
  const scroller = useRef<HTMLDivElement>(null);
  const find = useRef<HTMLInputElement>(null);
  const [wrap, setWrap] = useState(false);
  const [stick, setStick] = useState(p.follow ?? false);
  const { hash } = useLocation();
  const linked = /^L(\d+)$/.exec(hash)?.[1];

  const virtualizer = useVirtualizer({ count, getScrollElement: () => scroller.current, estimateSize: () => lineHeight, overscan: 20, paddingStart: 8, paddingEnd: 8 });
  useEffect(() => virtualizer.measure(), [wrap, virtualizer]);
  const items = virtualizer.getVirtualItems();

  useEffect(() => setStick(p.follow ?? false), [p.follow]);
  useLayoutEffect(() => {
    const el = scroller.current;
    if (!stick || !el) return;
    el.scrollTop = el.scrollHeight;
    const frame = requestAnimationFrame(() => (el.scrollTop = el.scrollHeight)); // lines that wrap are taller than was thought
    return () => cancelAnimationFrame(frame);
  }, [stick, count, lines.characters, wrap]);
  const lastTop = useRef(0);
  const onScroll = () => {
    const el = scroller.current;
    if (!el || !p.follow) return;
    const end = el.scrollHeight - el.scrollTop - el.clientHeight < lineHeight;
    if (el.scrollTop < lastTop.current && !end) setStick(false);
    else if (end) setStick(true);
    lastTop.current = el.scrollTop;
  };

  const [words, setWords] = useState("");
  const searched = useDeferredValue(words);
  const hits = useMemo(() => lines.find(searched), [lines, searched, count, lines.characters]); // eslint-disable-line
  const [hit, setHit] = useState(0);
  const show = useCallback((line: number) => virtualizer.scrollToIndex(line, { align: "center" }), [virtualizer]);
  useEffect(() => {
    setHit(0);
    if (searched && hits[0] !== undefined) {
      setStick(false);
      show(hits[0]);
    }
    // Only a new search leads to its first hit, not a line that has just come.
  }, [searched]); // eslint-disable-line
  const step = (by: number) => {
    if (hits.length === 0) return;
    const next = (hit + by + hits.length) % hits.length;
    setHit(next);
    setStick(false);
    show(hits[next]!);
  };
  const arrived = useRef(false);
  useEffect(() => {
    if (linked === undefined || arrived.current || Number(linked) > count) return;
    arrived.current = true;
    setStick(false);
    show(Number(linked) - 1);
  }, [linked, count, show]);

  const onKeyDown = (e: KeyboardEvent) => {
    // The browser's own search finds only the lines in sight.
    if ((e.ctrlKey || e.metaKey) && e.key === "f") {
      e.preventDefault();
      find.current?.select();
      find.current?.focus();
    }
  };
  const findKey = (e: KeyboardEvent) => {
    if (e.key === "Enter") {
      e.preventDefault();
      step(e.shiftKey ? -1 : 1);
    } else if (e.key === "Escape" && words) {
      e.stopPropagation();
      setWords("");
      scroller.current?.focus();
    }
  };
  const everything = () => Array.from({ length: count }, (_, i) => plain(lines.line(i)!.raw)).join("\n") + "\n";
  const id = useId();
  const gutter = String(count).length;
  const height = Math.min(Math.max(count, 3), 30) * lineHeight + 16;
  return (
    <div className={css.output} onKeyDown={onKeyDown}>
      <div className={css.bar}>
        <span className={css.size} id={id}>
          {counted(count, "line")}
          {p.truncated ? `, cut: ${p.total ? `${bytes(lines.characters)} of ${bytes(p.total)} are` : "only the first part is"} kept` : ""}
        </span>
        <div className={css.find}>
          <input ref={find} type="search" value={words} onChange={(e) => setWords(e.currentTarget.value)} onKeyDown={findKey} placeholder="Find" aria-label={`Find in ${p.label}`} spellCheck={false} />
          <span className={css.hits} role="status">
            {searched ? (hits.length === 0 ? "none" : `${whole(hit + 1)} of ${whole(hits.length)}`) : ""}
          </span>
          <button type="button" onClick={() => step(-1)} disabled={hits.length === 0} aria-label="Previous hit">
            ↑
          </button>
          <button type="button" onClick={() => step(1)} disabled={hits.length === 0} aria-label="Next hit">
            ↓
          </button>
        </div>
        <div className={css.tools}>
          {p.follow && (
            <button type="button" aria-pressed={stick} onClick={() => setStick(!stick)}>
              Follow
            </button>
          )}
          <button type="button" aria-pressed={wrap} onClick={() => setWrap(!wrap)}>
            Wrap
          </button>
          <button type="button" onClick={() => save(`${p.label.replace(/[^\w.-]+/g, "-")}.txt`, everything(), "text/plain;charset=utf-8")}>
            Save
          </button>
          {count > 0 && count <= 5000 && <CopyButton text={everything()} />}
        </div>
      </div>
      <div ref={scroller} className={css.scroll} data-wrap={wrap || undefined} style={{ height }} onScroll={onScroll} role="region" aria-label={p.label} aria-describedby={id} tabIndex={0}>
        {count === 0 && <p className={css.nothing}>{p.follow ? "Nothing yet." : "It wrote nothing."}</p>}
        <div style={{ height: virtualizer.getTotalSize(), minWidth: wrap ? undefined : `calc(${Math.min(lines.longest, 10_100) + gutter}ch + 48px)` }} className={css.all}>
          <div style={{ transform: `translateY(${items[0]?.start ?? 0}px)`, "--gutter": `${gutter}ch` } as CSSProperties}>
            {items.map((v) => {
              const line = lines.line(v.index);
              if (!line) return null;
              return (
                <div
                  key={v.index}
                  data-index={v.index}
                  ref={wrap ? virtualizer.measureElement : undefined}
                  className={css.line}
                  data-stderr={line.stderr || undefined}
                  data-linked={linked === String(v.index + 1) || undefined}
                  data-hit={(hits.length > 0 && hits[hit] === v.index) || undefined}
                >
                  <a className={css.number} href={`#L${v.index + 1}`} tabIndex={-1} aria-label={`Line ${v.index + 1}`}>
                    {v.index + 1}
                  </a>
                  {line.stderr && <span className="visually-hidden">stderr: </span>}
                  <Text line={line} raw={line.raw} words={searched} />
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </div>
  );
}

function Text({ line, raw, words }: { line: Line; raw: string; words: string }) {
  const spans = useMemo(() => parse(raw, line.start).spans, [raw, line]);
  const text = words ? spans.map((s) => s.text).join("") : "";
  const marks = words ? occurrences(text, words) : [];
  let at = 0;
  return (
    <code className={css.text}>
      {spans.map((s, i) => {
        const from = at;
        at += s.text.length;
        return (
          <span key={i} {...look(s.style)}>
            {marks.length > 0 ? marked(s.text, from, marks) : s.text}
          </span>
        );
      })}
    </code>
  );
}

function marked(text: string, from: number, marks: [number, number][]) {
  const out = [];
  let at = 0;
  for (const [a, b] of marks) {
    const x = Math.max(a - from, 0);
    const y = Math.min(b - from, text.length);
    if (y <= 0 || x >= text.length || y <= x) continue;
    out.push(text.slice(at, x), <mark key={a}>{text.slice(x, y)}</mark>);
    at = y;
  }
  out.push(text.slice(at));
  return out;
}

/** look gives a span what the style sheet needs; the sixteen colours are tokens, others are moved to where they can be read. */
function look(s: Style): { style?: CSSProperties; className?: string | undefined } {
  const style: Record<string, string> = {};
  const names: string[] = [];
  const colour = (c: number | string) => (typeof c === "number" ? `var(--ansi-${c})` : c);
  if (s.fg !== undefined) {
    style["--fg"] = colour(s.fg);
    names.push(typeof s.fg === "number" ? css.fg! : css.rgb!);
  }
  if (s.bg !== undefined) {
    style["--bg"] = colour(s.bg);
    names.push(css.bg!);
  }
  for (const key of ["bold", "dim", "italic", "underline", "strike", "inverse"] as const) if (s[key]) names.push(css[key]!);
  return names.length === 0 ? {} : { style: style as CSSProperties, className: names.join(" ") };
}
