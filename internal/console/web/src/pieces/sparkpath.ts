type Point = [x: number, y: number];

/** sparkPath draws values over a zero base; where one is null the line is broken. */
export function sparkPath(values: (number | null)[], width: number, height: number, max?: number): { line: string; area: string; last: Point | undefined } {
  const pad = 2;
  let top = max ?? 0;
  let low = 0;
  for (const v of values) {
    if (v === null || !Number.isFinite(v)) continue;
    if (v > top) top = v;
    if (v < low) low = v;
  }
  if (top === low) top = low + 1; // all zero: a line on the ground
  const x = (i: number) => round(values.length < 2 ? width - pad : pad + (i / (values.length - 1)) * (width - 2 * pad));
  const y = (v: number) => round(height - pad - ((v - low) / (top - low)) * (height - 2 * pad));
  let line = "";
  let area = "";
  let run: Point[] = [];
  let last: Point | undefined;
  const end = () => {
    if (run.length === 0) return;
    const way = run.map(([a, b]) => `${a} ${b}`).join("L");
    // One lonely value is a dot: a line of no length with round ends.
    line += run.length === 1 ? `M${way}h0.01` : `M${way}`;
    if (run.length > 1) area += `M${run[0]![0]} ${y(Math.max(0, low))}L${way}L${run.at(-1)![0]} ${y(Math.max(0, low))}Z`;
    run = [];
  };
  values.forEach((v, i) => {
    if (v === null || !Number.isFinite(v)) return end();
    run.push([x(i), y(v)]);
    last = run.at(-1);
  });
  end();
  return { line, area, last };
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}
