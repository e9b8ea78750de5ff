import { amount, digits, type Unit } from "~/format";

// Where an axis has its lines, and what stands beside them.

const nice = [1, 2, 5, 10];

function decimal(raw: number): number {
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * nice.find((n) => n * power >= raw * 0.999)!;
}

const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/** valueStep is the distance of lines that is at least `raw`, as people count this unit. */
export function valueStep(raw: number, unit: Unit): number {
  if (!(raw > 0) || !Number.isFinite(raw)) return 1;
  if (unit === "bytes" || unit === "bytes/s") {
    let base = 1;
    while (raw / base > 512 && base < 2 ** 50) base *= 1024;
    return base * [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].find((n) => n * base >= raw * 0.999)!;
  }
  if (unit === "seconds" && raw > 1) return seconds.find((s) => s >= raw * 0.999) ?? decimal(raw / 86_400) * 86_400;
  if (unit === "count" && raw < 1) return 1; // there is no half host
  return decimal(raw);
}

export type ValueAxis = { low: number; high: number; splits: number[] };

/** valueAxis has about four lines; it begins at zero, and ends on a line or at what was said. */
export function valueAxis(data: { min: number; max: number } | undefined, unit: Unit, { max, zero = true, lines = 4 }: { max?: number | undefined; zero?: boolean | undefined; lines?: number } = {}): ValueAxis {
  let low = data ? (zero ? Math.min(0, data.min) : data.min) : 0;
  const atLeast = unit === "ratio" ? 0.01 : unit === "percent" ? 1 : 0;
  let high = Math.max(max ?? -Infinity, data?.max ?? 0, zero ? atLeast : -Infinity);
  if (!zero && max === undefined && high === low) {
    low -= Math.abs(low) * 0.1 || 1;
    high += Math.abs(high) * 0.1 || 1;
  }
  if (high <= low) high = low + 1;
  const step = valueStep((high - low) / lines, unit);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const splits: number[] = [];
  for (let i = first; i <= last; i++) splits.push(clean(i * step));
  // A top that was said is the top: 100 % is not 120 %.
  const said = max !== undefined && (data?.max ?? 0) <= max;
  return { low: clean(first * step), high: said ? max : clean(last * step), splits: said ? splits.filter((s) => s <= max * (1 + 1e-9)) : splits };
}

function clean(v: number): number {
  return Number(v.toPrecision(12));
}

/** valueLabels writes the lines of one axis in one unit: 0, 0.5 GiB, 1 GiB. */
export function valueLabels(splits: number[], unit: Unit): string[] {
  const top = Math.max(...splits.map(Math.abs), 0);
  if (unit === "bytes" || unit === "bytes/s") {
    const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let i = 0;
    while (top / 1024 ** i >= 1000 && i < names.length - 1) i++;
    return splits.map((s) => (s === 0 ? "0" : `${digits(s / 1024 ** i)} ${names[i]}${unit === "bytes/s" ? "/s" : ""}`));
  }
  if (unit === "seconds") {
    if (top < 1) return splits.map((s) => (s === 0 ? "0" : top < 0.001 ? `${digits(s * 1e6)} µs` : `${digits(s * 1e3)} ms`));
    if (top < 120) return splits.map((s) => (s === 0 ? "0" : `${digits(s)} s`));
    const [size, name] = top < 7200 ? [60, "min"] : top < 172_800 ? [3600, "h"] : [86_400, "d"];
    return splits.map((s) => (s === 0 ? "0" : `${digits(s / size)} ${name}`));
  }
  if (unit === "ratio" || unit === "percent") return splits.map((s) => `${digits(unit === "ratio" ? clean(s * 100) : s)} %`);
  if ((unit === "count" || unit === "per second" || unit === "load") && top >= 10_000) {
    const [size, name] = top < 1e6 ? [1e3, "k"] : top < 1e9 ? [1e6, "M"] : [1e9, "G"];
    return splits.map((s) => (s === 0 ? "0" : `${digits(s / size)}${name}${unit === "per second" ? "/s" : ""}`));
  }
  return splits.map((s) => (s === 0 ? "0" : amount(s, unit)));
}

const timeSteps = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/** timeStep leaves each label about `room` pixels. */
export function timeStep(from: number, to: number, width: number, room = 84): number {
  const most = Math.max(2, Math.floor(width / room));
  return timeSteps.find((s) => (to - from) / s <= most) ?? 2_592_000;
}

/** timeSplits are full steps of this place's clock. */
export function timeSplits(from: number, to: number, step: number): number[] {
  const out: number[] = [];
  if (step >= 86_400) {
    // Days are not all of 24 hours.
    const d = new Date(from * 1000);
    d.setHours(0, 0, 0, 0);
    const days = Math.round(step / 86_400);
    for (let t = d.getTime() / 1000; t <= to; d.setDate(d.getDate() + days), t = d.getTime() / 1000) if (t >= from) out.push(t);
    return out;
  }
  const off = new Date(from * 1000).getTimezoneOffset() * 60;
  for (let t = Math.ceil((from - off) / step) * step + off; t <= to; t += step) out.push(t);
  return out;
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** timeLabels writes hours and minutes, and the day where one begins. */
export function timeLabels(splits: number[], step: number): string[] {
  return splits.map((t) => {
    const d = new Date(t * 1000);
    if (step >= 86_400 || (d.getHours() === 0 && d.getMinutes() === 0 && d.getSeconds() === 0)) return day.format(d);
    const two = (n: number) => String(n).padStart(2, "0");
    return `${two(d.getHours())}:${two(d.getMinutes())}${step < 60 ? `:${two(d.getSeconds())}` : ""}`;
  });
}
