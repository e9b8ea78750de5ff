import { whole, type Unit } from "~/format";

export type Value = number | null;
export type Named = { name: string; values: Value[] };
export type Raw = { name: string; points: [time: number, value: number][] };

/** grid gives the times at which a range was asked for, both ends included. */
export function grid(from: number, to: number, step: number): number[] {
  const n = Math.max(0, Math.floor((to - from) / step + 1e-9)) + 1;
  return Array.from({ length: n }, (_, i) => from + i * step);
}

/** align puts every series on one grid; where one has no value there is a gap. Series of one name are told apart. */
export function align(series: Raw[], times: number[]): Named[] {
  const from = times[0] ?? 0;
  const step = times.length > 1 ? times[1]! - from : 1;
  const seen = new Map<string, number>();
  return series.map(({ name, points }) => {
    const values: Value[] = new Array(times.length).fill(null);
    for (const [t, v] of points) {
      const i = Math.round((t - from) / step);
      if (i >= 0 && i < values.length && Number.isFinite(v)) values[i] = v;
    }
    const n = (seen.get(name) ?? 0) + 1;
    seen.set(name, n);
    return { name: n === 1 ? name : `${name} (${n})`, values };
  });
}

const most = 8;

/** canAdd: adding up shares or times would say what is not so. */
export function canAdd(unit: Unit): boolean {
  return ["bytes", "bytes/s", "count", "per second"].includes(unit);
}

/** few keeps at most eight: the seven with the most, and the others as one, their sum or their mean. */
export function few(all: Named[], adds: boolean, limit = most): { lines: Named[]; others: number } {
  if (all.length <= limit) return { lines: all, others: 0 };
  const weight = new Map(all.map((n) => [n, mean(n.values)]));
  const kept = new Set([...all].sort((a, b) => weight.get(b)! - weight.get(a)!).slice(0, limit - 1));
  const rest = all.filter((n) => !kept.has(n));
  const length = rest[0]?.values.length ?? 0;
  const values: Value[] = new Array(length).fill(null);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    let n = 0;
    for (const r of rest) {
      const v = r.values[i];
      if (v === null || v === undefined) continue;
      sum += v;
      n++;
    }
    if (n > 0) values[i] = adds ? sum : sum / n;
  }
  const name = `${whole(rest.length)} others, ${adds ? "sum" : "mean"}`;
  return { lines: [...all.filter((n) => kept.has(n)), { name, values }], others: rest.length };
}

function mean(values: Value[]): number {
  let sum = 0;
  let n = 0;
  for (const v of values) {
    if (v === null) continue;
    sum += v;
    n++;
  }
  return n === 0 ? -Infinity : sum / n;
}

/** stack adds each series to those before it; a gap in one is nothing in the sum, a gap in all is a gap. */
export function stack(lines: Named[]): Value[][] {
  const n = lines[0]?.values.length ?? 0;
  const sum: Value[] = new Array(n).fill(null);
  return lines.map((l) => {
    for (let i = 0; i < n; i++) {
      const v = l.values[i];
      if (v !== null && v !== undefined) sum[i] = (sum[i] ?? 0) + v;
    }
    return [...sum];
  });
}

export type Summary = { last: Value; min: Value; max: Value };

/** summary is what a legend says. */
export function summary(values: Value[]): Summary {
  const out: Summary = { last: null, min: null, max: null };
  for (const v of values) {
    if (v === null) continue;
    out.last = v;
    if (out.min === null || v < out.min) out.min = v;
    if (out.max === null || v > out.max) out.max = v;
  }
  return out;
}

/** extent is the least and the greatest of all columns. */
export function extent(columns: Value[][]): { min: number; max: number } | undefined {
  let min = Infinity;
  let max = -Infinity;
  for (const c of columns) {
    for (const v of c) {
      if (v === null) continue;
      if (v < min) min = v;
      if (v > max) max = v;
    }
  }
  return max < min ? undefined : { min, max };
}

/** lonely are the places of values with a gap on both sides, which a line would not show. */
export function lonely(values: Value[]): number[] {
  const out: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) out.push(i);
  return out;
}

/** nearest is the place in times that is nearest to t. */
export function nearest(times: number[], t: number): number {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (times[mid]! < t) low = mid + 1;
    else high = mid;
  }
  return low > 0 && t - times[low - 1]! < times[low]! - t ? low - 1 : low;
}
