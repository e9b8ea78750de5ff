import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { failureOf } from "~/api/client";
import { quoted, stepFor } from "~/api/prom";
import type { HostRow } from "~/app/overview";
import { useTime } from "~/app/time";
import { ago, amount, bytes, digits, duration, nanos, short, whole } from "~/format";
import { Part } from "~/pieces/Page";
import { Stat } from "~/pieces/Stat";
import { Chart } from "~/pieces/chart/Chart";
import { KeyValues } from "~/pieces/KeyValues";
import { Ago } from "~/pieces/states";
import { useMeasured, useProcesses, type Measured, type Processes } from "./host";
import { groupsOf } from "./subjects";
import css from "./HostPage.module.css";

/** HostOverview is how busy a host is, now and before, and what it is. */
export function HostOverview({ row, onLabels }: { row: HostRow; onLabels: (() => void) | undefined }) {
  const processes = useProcesses(row.name, row.connected);
  const measured = useMeasured(row.name);
  const live = row.connected && processes.data && !processes.error ? processes.data : undefined;
  return (
    <>
      <Numbers row={row} live={live} measured={measured.data} />
      {processes.error && row.connected && (
        <p className={css.note} role="status">
          The host cannot be looked at now: {failureOf(processes.error).message}. {measured.data?.cpu !== undefined && "The numbers are from its metrics."}
        </p>
      )}
      {measured.data?.age !== undefined && measured.data.age > 90 && row.connected && (
        <p className={css.note} role="status">
          ▲ Its last metrics came {duration(measured.data.age * 1000)} ago.
        </p>
      )}
      <Part title="Over time">
        <Charts row={row} pressure={(measured.data?.pressure ?? 0) > 0} />
      </Part>
      <Part title="About this host" actions={onLabels && <Button size="xs" variant="default" onClick={onLabels}>Edit labels</Button>}>
        <KeyValues
          items={[
            ["System", row.os],
            ["Kernel", row.kernel && <span className="mono">{row.kernel}</span>],
            ["Processors", row.cpus],
            ["Memory", row.memoryMB && bytes(row.memoryMB * 2 ** 20)],
            ["Address", row.address && <span className="mono">{row.address}</span>],
            ["Groups", groupsOf({ host: row } as never).join(", ") || undefined],
            ["Labels", row.labels && Object.keys(row.labels).length > 0 ? <Labels labels={row.labels} /> : onLabels ? "" : undefined],
            ["Revision", row.revision && <Link to="/changes/$revision" params={{ revision: row.revision }} className="mono">{short(row.revision)}</Link>],
            ["Should be at", row.assigned && row.assigned !== row.revision && <Link to="/changes/$revision" params={{ revision: row.assigned }} className="mono">{short(row.assigned)}</Link>],
            ["Last converge", row.converged && <><Ago at={row.converged} />, took {duration(nanos(row.took))}</>],
            ["Last drift", row.drifted && <Ago at={row.drifted} />],
            ["Agent", row.agent],
          ]}
        />
      </Part>
    </>
  );
}

function Labels({ labels }: { labels: Record<string, string> }) {
  return (
    <span className={css.labels}>
      {Object.entries(labels).map(([k, v]) => (
        <Link key={k} to="/" search={{ q: `label:${/[\s",]/.test(`${k}=${v}`) ? `"${`${k}=${v}`.replace(/"/g, "")}"` : `${k}=${v}`}` } as never} className={`${css.label} mono`}>
          {k}={v}
        </Link>
      ))}
    </span>
  );
}

function Numbers({ row, live, measured }: { row: HostRow; live: Processes | undefined; measured: Measured | undefined }) {
  const old = row.connected ? "" : row.lastSeen ? `as of ${ago(row.lastSeen)}` : "from before";
  const cpus = live?.cpus || row.cpus;
  const cpu = live ? live.cpuPercent / 100 : measured?.cpu;
  const memory = live && live.memTotal > 0 ? live.memUsed / live.memTotal : measured?.memory;
  const load = live ? live.load1 : measured?.load1;
  const uptime = live ? nanos(live.uptime) : measured?.uptime === undefined ? undefined : measured.uptime * 1000;
  const disk = measured?.disk;
  const high = (v: number | undefined, from: number) => (v !== undefined && v >= from ? ("warn" as const) : undefined);
  return (
    <div className={css.stats}>
      <Stat label="CPU" value={amount(cpu, "ratio")} tone={high(cpu, 0.9)} normal={old || (cpus ? `of ${cpus} ${cpus === 1 ? "processor" : "processors"}` : undefined)} />
      <Stat
        label="Memory"
        value={amount(memory, "ratio")}
        tone={high(memory, 0.9)}
        normal={old || (live ? `${bytes(live.memUsed)} of ${bytes(live.memTotal)}` : row.memoryMB ? `of ${bytes(row.memoryMB * 2 ** 20)}` : undefined)}
      />
      <Stat label="Fullest disk" value={amount(disk, "ratio")} tone={high(disk, 0.9)} normal={old || (disk === undefined ? "not measured" : "below 90 % is normal")} />
      <Stat label="Load, 1 minute" value={load === undefined ? "–" : digits(load)} tone={cpus && load !== undefined && load > 2 * cpus ? "warn" : undefined} normal={old || (cpus ? `below ${cpus} is normal` : undefined)} />
      <Stat label="Up for" value={uptime === undefined ? "–" : duration(uptime)} normal={old || (live ? `${whole(live.total)} processes` : undefined)} />
    </div>
  );
}

const disks = 'fstype!~"tmpfs|ramfs|squashfs|erofs|iso9660|fuse.*"';
const nets = 'device!~"lo|veth.*|docker.*|br-.*|virbr.*|cni.*|cali.*"';
const blocks = 'device!~"loop.*|ram.*|sr.*|zram.*|fd.*"';

/* What a processor does, in the order of the stack. */
const modes = [["user|nice", "programs"], ["system|irq|softirq", "kernel"], ["iowait", "waiting for disks"], ["steal", "taken by other guests"]] as const;

function Charts({ row, pressure }: { row: HostRow; pressure: boolean }) {
  const { from, to } = useTime();
  // As wide as a step, so that no time between two points is left out.
  const w = `${Math.max(60, stepFor(from, to))}s`;
  const s = `job="node",instance=${quoted(row.name)}`;
  const cpus = row.cpus;
  const total = row.memoryMB ? row.memoryMB * 2 ** 20 : undefined;
  return (
    <div className={css.charts}>
      <Chart
        title="CPU" unit="ratio" kind="stacked" max={1} host={row.name}
        queries={modes.map(([mode, name]) => ({ expr: `sum(rate(node_cpu_seconds_total{${s},mode=~"${mode}"}[${w}])) / scalar(count(node_cpu_seconds_total{${s},mode="idle"}))`, name }))}
      />
      <Chart
        title="Memory" unit="bytes" kind="stacked" host={row.name} {...(total ? { max: total } : {})}
        queries={[
          { expr: `node_memory_MemTotal_bytes{${s}} - node_memory_MemAvailable_bytes{${s}}`, name: "used" },
          { expr: `node_memory_MemAvailable_bytes{${s}} - node_memory_MemFree_bytes{${s}}`, name: "cache, given back when needed" },
        ]}
      />
      <Chart
        title="Disk space" unit="ratio" max={1} host={row.name}
        thresholds={[{ value: 0.95, word: "full", tone: "bad" }]}
        queries={[
          {
            expr: `(node_filesystem_size_bytes{${s},${disks}} - node_filesystem_free_bytes{${s},${disks}}) / (node_filesystem_size_bytes{${s},${disks}} - node_filesystem_free_bytes{${s},${disks}} + node_filesystem_avail_bytes{${s},${disks}})`,
            name: (l) => l.mountpoint ?? "",
          },
        ]}
      />
      <Chart
        title="Disk reads and writes" unit="bytes/s" host={row.name}
        queries={[
          { expr: `sum(rate(node_disk_read_bytes_total{${s},${blocks}}[${w}]))`, name: "read" },
          { expr: `sum(rate(node_disk_written_bytes_total{${s},${blocks}}[${w}]))`, name: "written" },
        ]}
      />
      <Chart
        title="Network" unit="bytes/s" host={row.name}
        queries={[
          { expr: `sum(rate(node_network_receive_bytes_total{${s},${nets}}[${w}]))`, name: "received" },
          { expr: `sum(rate(node_network_transmit_bytes_total{${s},${nets}}[${w}]))`, name: "sent" },
        ]}
      />
      <Chart
        title="Load" unit="load" host={row.name}
        {...(cpus ? { thresholds: [{ value: cpus, word: "all processors busy", tone: "warn" as const }] } : {})}
        queries={[
          { expr: `node_load1{${s}}`, name: "1 minute" },
          { expr: `node_load5{${s}}`, name: "5 minutes" },
          { expr: `node_load15{${s}}`, name: "15 minutes" },
        ]}
      />
      {pressure && (
        <Chart
          title="Waiting for CPU, memory and disks" unit="ratio" host={row.name}
          note="The share of time in which something had to wait (pressure stall information)."
          queries={[
            { expr: `rate(node_pressure_cpu_waiting_seconds_total{${s}}[${w}])`, name: "CPU" },
            { expr: `rate(node_pressure_memory_waiting_seconds_total{${s}}[${w}])`, name: "memory" },
            { expr: `rate(node_pressure_io_waiting_seconds_total{${s}}[${w}])`, name: "disks" },
          ]}
        />
      )}
    </div>
  );
}
