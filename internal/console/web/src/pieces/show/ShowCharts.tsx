import { useMemo, useState } from "react";
import { Button } from "@mantine/core";
import { Failure } from "~/api/client";
import type { FleetEvent } from "~/app/live";
import { useTime } from "~/app/time";
import { ChartView } from "../chart/ChartView";
import { grid } from "../chart/columns";
import { Part } from "../Page";
import { sampleEvents, sampleLines, withGap } from "./samples";
import css from "./Show.module.css";

const away = new Failure({ code: "unavailable", message: "the server does not answer", remedy: "it is asked again by itself" });

export function ShowCharts() {
  const time = useTime();
  const { from, to } = time;
  const step = Math.max(15, Math.round((to - from) / 240));
  const times = useMemo(() => grid(Math.floor(from / step) * step, to, step), [from, to, step]);
  const n = times.length;
  const [more, setMore] = useState<FleetEvent[]>([]);
  const past = useMemo(() => sampleEvents(Date.now()), []);
  const events = useMemo(() => [...past, ...more], [past, more]);
  const one = useMemo(() => [withGap(sampleLines(n, 1, 0.42, 0.2, () => "sample-db-1")[0]!, Math.floor(n * 0.62), Math.floor(n * 0.7))], [n]);
  const many = useMemo(() => sampleLines(n, 14, 3e8, 2e8, (i) => `sample-${i + 1}`), [n]);
  const stacked = useMemo(() => sampleLines(n, 4, 6e8, 3e8, (i) => ["used", "cache", "buffers", "slab"][i]!), [n]);
  const bars = useMemo(() => {
    const t = grid(Math.floor(from / 300) * 300, to, 300);
    return { times: t, lines: sampleLines(t.length, 2, 5, 5, (i) => ["ok", "failed"][i]!).map((l) => ({ ...l, values: l.values.map((v) => Math.round(v!)) })) };
  }, [from, to]);
  const dense = useMemo(() => {
    const t = grid(from, from + (to - from), (to - from) / 12_499);
    return { times: t, lines: sampleLines(t.length, 8, 0.01, 0.02, (i) => `sample-${i + 1}`) };
  }, [from, to]);
  const [big, setBig] = useState(false);
  const zoom = (a: number, b: number) => time.setFixed(a, b);
  const happen = () => setMore((old) => [...old, { seq: 1000 + old.length, time: new Date().toISOString(), type: "host.drifted", host: "sample-db-1", message: "sample-db-1 had drifted: 1 thing was put right", data: { changes: [{ what: "file /etc/motd" }] } }]);
  return (
    <>
      <Part
        title="Chart"
        hint="made-up samples"
        actions={
          <Button variant="default" size="xs" onClick={happen}>
            Let something happen
          </Button>
        }
      >
        <div className={css.charts}>
          <ChartView title="CPU" unit="ratio" kind="area" times={times} series={one} from={from} to={more.length > 0 ? Math.max(to, Date.now() / 1000) : to} max={1} events={events} thresholds={[{ value: 0.9, word: "usual limit 90 %", tone: "warn" }]} onZoom={zoom} />
          <ChartView title="Memory" unit="bytes" kind="stacked" times={times} series={stacked} from={from} to={to} events={past} onZoom={zoom} rows={4} />
          <ChartView title="Network" unit="bytes/s" times={times} series={many} from={from} to={to} onZoom={zoom} rows={4.5} note="14 hosts" />
          <ChartView title="Runs" unit="count" kind="bars" times={bars.times} series={bars.lines} from={from} to={to} onZoom={zoom} rows={4} />
          <ChartView title="Loading" unit="ratio" times={[]} series={undefined} from={from} to={to} />
          <ChartView title="Failing" unit="ratio" times={[]} series={undefined} from={from} to={to} failure={away} retry={() => undefined} />
          <ChartView title="Empty" unit="ratio" times={times} series={[]} from={from} to={to} />
          <ChartView title="Stale" unit="seconds" times={times} series={sampleLines(n, 1, 0.08, 0.05, () => "p99 of a sample with <b>markup</b> and a very long name that does not fit")} from={from} to={to} stale={Date.now() - 240_000} onZoom={zoom} thresholds={[{ value: 0.2, word: "too slow", tone: "bad" }]} />
        </div>
        {big ? (
          <ChartView title="100,000 points" unit="seconds" times={dense.times} series={dense.lines} from={from} to={to} onZoom={zoom} rows={8} />
        ) : (
          <Button variant="default" size="xs" onClick={() => setBig(true)}>
            Draw 100,000 points
          </Button>
        )}
      </Part>
    </>
  );
}
