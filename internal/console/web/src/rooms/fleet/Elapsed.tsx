import { useEffect, useState } from "react";
import { duration } from "~/format";

/** Elapsed counts the seconds since a time of this browser. */
export function Elapsed({ since }: { since: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const t = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(t);
  }, []);
  return <span className="num">{duration(Math.max(1, Math.round((Date.now() - since) / 1000)) * 1000)}</span>;
}
