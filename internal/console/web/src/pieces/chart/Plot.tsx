import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { useComputedColorScheme } from "@mantine/core";
import { type Unit } from "~/format";
import type { Tone } from "../states";
import { extent, lonely, nearest, stack, type Named, type Value } from "./columns";
import { alpha, readColours, type Colours } from "./colours";
import { timeLabels, timeSplits, timeStep, valueAxis, valueLabels, type ValueAxis } from "./ticks";
import css from "./Chart.module.css";

export type Kind = "line" | "area" | "stacked" | "bars";
export type Threshold = { value: number; word: string; tone: Tone };

/** Where the plotting area lies in the chart: the same in all, so that times stand under one another. The last time has room for its other half. */
export const left = 64;
export const right = 22;

const syncKey = "drover-time";

export type PlotProps = {
  times: number[];
  lines: Named[];
  /** Names whose line is the sum or mean of others, drawn without a colour of its own. */
  rest: number | undefined;
  hidden: ReadonlySet<string>;
  from: number;
  to: number;
  unit: Unit;
  kind: Kind;
  height: number;
  max?: number | undefined;
  zero?: boolean | undefined;
  thresholds: Threshold[];
  marks: { time: number; tone: Tone }[];
  pinned: number | undefined;
  label: string;
  onHover: (index: number | undefined) => void;
  onPin: (time: number | undefined) => void;
  onZoom: (from: number, to: number) => void;
};

/** Plot draws with uPlot. It is made anew only when its form changes; values and time are put into it. */
export function Plot(p: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [width, setWidth] = useState(0);
  const scheme = useComputedColorScheme("light");
  const stacked = p.kind === "stacked" || (p.kind === "bars" && p.lines.length > 1);

  const shown = useMemo(() => p.lines.filter((l) => !p.hidden.has(l.name)), [p.lines, p.hidden]);
  const columns = useMemo<Value[][]>(() => {
    if (!stacked) return p.lines.map((l) => (p.hidden.has(l.name) ? l.values.map(() => null) : l.values));
    const sums = stack(shown);
    return p.lines.map((l) => sums[shown.indexOf(l)] ?? l.values.map(() => null));
  }, [p.lines, p.hidden, shown, stacked]);
  const axis = useMemo<ValueAxis>(() => {
    const e = extent(columns);
    // A threshold that is near is worth the room; one that is far is only said.
    const near = e ? Math.max(e.max, ...p.thresholds.map((t) => t.value).filter((v) => v <= e.max * 1.6)) : undefined;
    return valueAxis(e && { min: e.min, max: near! }, p.unit, { max: p.max, zero: p.zero, lines: p.height < 140 ? 3 : 4 });
  }, [columns, p.unit, p.max, p.zero, p.thresholds, p.height]);
  // uPlot paints in order: of what is stacked, the tallest first.
  const order = useMemo(() => (stacked ? p.lines.map((_, i) => p.lines.length - 1 - i) : p.lines.map((_, i) => i)), [stacked, p.lines]);

  const now = useRef({ ...p, columns, axis, order });
  now.current = { ...p, columns, axis, order };

  useLayoutEffect(() => {
    const el = box.current;
    if (!el) return;
    const watch = new ResizeObserver(() => setWidth(Math.floor(el.clientWidth)));
    watch.observe(el);
    setWidth(Math.floor(el.clientWidth));
    return () => watch.disconnect();
  }, []);

  const form = JSON.stringify([p.kind, p.unit, p.height, p.lines.map((l) => l.name), p.rest, scheme, width > 0]);
  useEffect(() => {
    const el = box.current;
    if (!el || width === 0) return;
    const u = new uPlot(options(now, readColours(el), width, stacked), [now.current.times, ...now.current.order.map((i) => now.current.columns[i]!)] as uPlot.AlignedData, el);
    plot.current = u;
    const over = u.over;
    let downAt = -1;
    const down = (e: MouseEvent) => (downAt = e.clientX);
    const click = (e: MouseEvent) => {
      if (Math.abs(e.clientX - downAt) > 5) return; // that was a drag
      if (now.current.pinned !== undefined) return now.current.onPin(undefined);
      const at = now.current.times[nearest(now.current.times, u.posToVal(e.clientX - over.getBoundingClientRect().left, "x"))];
      if (at !== undefined) now.current.onPin(at);
    };
    over.addEventListener("mousedown", down);
    over.addEventListener("click", click);
    return () => {
      over.removeEventListener("mousedown", down);
      over.removeEventListener("click", click);
      u.destroy();
      plot.current = undefined;
    };
    // The form says all that the options hold.
  }, [form]); // eslint-disable-line

  useEffect(() => {
    plot.current?.setSize({ width, height: p.height });
  }, [width, p.height]);
  useEffect(() => {
    plot.current?.setData([p.times, ...order.map((i) => columns[i]!)] as uPlot.AlignedData);
  }, [p.times, columns, order, p.from, p.to, axis]);
  useEffect(() => plot.current?.redraw(false), [p.thresholds, p.marks, p.pinned]);

  const keys = useRef(-1);
  return (
    <div
      ref={box}
      className={css.plot}
      style={{ height: p.height }}
      role="img"
      aria-label={p.label}
      tabIndex={0}
      onBlur={() => {
        keys.current = -1;
        p.onHover(undefined);
        plot.current?.setCursor({ left: -10, top: -10 });
      }}
      onKeyDown={(e) => {
        const u = plot.current;
        if (!u || p.times.length === 0) return;
        const last = p.times.length - 1;
        const at = keys.current < 0 ? last + (e.key === "ArrowLeft" ? 1 : 0) : keys.current;
        const stride = e.shiftKey ? 10 : 1;
        const to = { ArrowLeft: at - stride, ArrowRight: at + stride, Home: 0, End: last }[e.key];
        if (to !== undefined) {
          e.preventDefault();
          keys.current = Math.max(0, Math.min(last, to));
          u.setCursor({ left: u.valToPos(p.times[keys.current]!, "x"), top: 10 });
          p.onHover(keys.current);
        } else if (e.key === "Enter" && keys.current >= 0) {
          e.preventDefault();
          p.onPin(p.pinned === undefined ? p.times[keys.current] : undefined);
        } else if (e.key === "Escape" && p.pinned !== undefined) {
          e.stopPropagation();
          p.onPin(undefined);
        }
      }}
    />
  );
}

type Now = { current: PlotProps & { columns: Value[][]; axis: ValueAxis; order: number[] } };

function options(now: Now, c: Colours, width: number, stacked: boolean): uPlot.Options {
  const { kind, height } = now.current;
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const bars = uPlot.paths.bars?.({ size: [0.75, 40], gap: 1, align: 0 });
  const series: uPlot.Series[] = now.current.order.map((i) => {
    const rest = now.current.rest === i;
    const colour = rest ? c.text : (c.series[i % 8] ?? c.text);
    const solid = `color-mix(in srgb, ${colour} 55%, ${c.surface})`;
    return {
      stroke: colour,
      width: kind === "bars" ? 0 : 1.5,
      spanGaps: false,
      ...(rest && !stacked ? { dash: [4, 3] } : {}),
      ...(kind === "area" ? { fill: alpha(colour, now.current.lines.length > 1 ? 0.08 : 0.14) } : {}),
      ...(stacked && kind !== "bars" ? { fill: solid } : {}),
      ...(kind === "bars" ? { fill: stacked ? solid : alpha(colour, 0.75), ...(bars ? { paths: bars } : {}) } : {}),
      points: {
        show: kind !== "bars",
        size: 4,
        fill: colour,
        filter: (_u, si) => lonely(now.current.columns[now.current.order[si - 1]!] ?? []),
      },
    };
  });
  const crosshairOf = (u: uPlot) => u.over.matches(":hover");
  return {
    width,
    height,
    padding: [8, right, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: () => [now.current.from, now.current.to] },
      y: { range: () => [now.current.axis.low, now.current.axis.high] },
    },
    series: [{}, ...series],
    axes: [
      {
        stroke: c.text,
        font,
        size: 26,
        gap: 6,
        grid: { show: false },
        ticks: { show: false },
        splits: (u) => timeSplits(now.current.from, now.current.to, timeStep(now.current.from, now.current.to, u.bbox.width / devicePixelRatio)),
        values: (u, splits) => timeLabels(splits, timeStep(now.current.from, now.current.to, u.bbox.width / devicePixelRatio)),
      },
      {
        stroke: c.text,
        font,
        size: left,
        gap: 8,
        grid: { stroke: alpha(c.line, 0.8), width: 1 },
        ticks: { show: false },
        splits: () => now.current.axis.splits,
        values: (_u, splits) => valueLabels(splits, now.current.unit),
      },
    ],
    cursor: {
      y: false,
      points: { size: 6, width: 0, show: kind !== "bars" },
      drag: { x: true, y: false, setScale: false, dist: 6 },
      // The other charts show the same time; what is dragged there is nothing to them.
      sync: { key: syncKey, setSeries: false, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave", sub: () => true } },
    },
    hooks: {
      setCursor: [
        (u) => {
          if (!crosshairOf(u)) return;
          now.current.onHover(u.cursor.idx ?? undefined);
        },
      ],
      setSelect: [
        (u) => {
          const { left: x, width: w } = u.select;
          if (w < 6) return;
          const from = u.posToVal(x, "x");
          const to = u.posToVal(x + w, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          now.current.onZoom(from, to);
        },
      ],
      ready: [
        (u) => {
          u.over.addEventListener("mouseleave", () => now.current.onHover(undefined));
        },
      ],
      drawClear: [(u) => drawMarks(u, now, c)],
      draw: [(u) => drawLines(u, now, c, font)],
    },
  };
}

function drawMarks(u: uPlot, now: Now, c: Colours): void {
  const { ctx, bbox } = u;
  const px = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = px;
  ctx.setLineDash([2 * px, 3 * px]);
  for (const m of now.current.marks) {
    if (m.time < now.current.from || m.time > now.current.to) continue;
    const x = Math.round(u.valToPos(m.time, "x", true)) + 0.5;
    ctx.strokeStyle = alpha(c.tone[m.tone] ?? c.text, 0.5);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top - 8 * px);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function drawLines(u: uPlot, now: Now, c: Colours, font: string): void {
  const { ctx, bbox } = u;
  const px = devicePixelRatio;
  ctx.save();
  for (const t of now.current.thresholds) {
    if (t.value < now.current.axis.low || t.value > now.current.axis.high) continue;
    const y = Math.round(u.valToPos(t.value, "y", true)) + 0.5;
    ctx.strokeStyle = c.tone[t.tone] ?? c.text;
    ctx.lineWidth = px;
    ctx.setLineDash([4 * px, 4 * px]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = font.replace("12px", `${11 * px}px`);
    ctx.textAlign = "right";
    const above = y - bbox.top > 16 * px;
    ctx.textBaseline = above ? "bottom" : "top";
    const at = above ? y - 2 * px : y + 3 * px;
    // The word stands clear of what is drawn under it.
    ctx.lineWidth = 3 * px;
    ctx.lineJoin = "round";
    ctx.strokeStyle = c.surface;
    ctx.strokeText(t.word, bbox.left + bbox.width - 4 * px, at);
    ctx.fillStyle = c.tone[t.tone] ?? c.text;
    ctx.fillText(t.word, bbox.left + bbox.width - 4 * px, at);
  }
  if (now.current.pinned !== undefined && now.current.pinned >= now.current.from && now.current.pinned <= now.current.to) {
    const x = Math.round(u.valToPos(now.current.pinned, "x", true)) + 0.5;
    ctx.strokeStyle = c.accent;
    ctx.lineWidth = px;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}
