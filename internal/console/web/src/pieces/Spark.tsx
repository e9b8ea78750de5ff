import { sparkPath } from "./sparkpath";
import css from "./Spark.module.css";

/** Spark is a line without axes: the shape of the last while. Null is a gap. */
export function Spark({ values, label, width = 96, height = 24, max }: { values: (number | null)[]; label: string; width?: number; height?: number; max?: number }) {
  const { line, area, last } = sparkPath(values, width, height, max);
  return (
    <svg className={css.spark} width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
      <path d={area} className={css.area} />
      <path d={line} className={css.line} />
      {last && <circle cx={last[0]} cy={last[1]} r={1.75} className={css.dot} />}
    </svg>
  );
}
