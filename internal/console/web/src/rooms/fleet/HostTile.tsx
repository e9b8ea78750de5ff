import { memo } from "react";
import { Ago, State } from "~/pieces/states";
import type { Subject } from "./filter";
import { detailOf } from "./health";
import { HostLink } from "./HostLink";
import { Box } from "./HostList";
import { Meter } from "./Meter";
import css from "./HostTile.module.css";

/** HostTile is one host of the wall: what it is, what is wrong, or how busy it is. */
export const HostTile = memo(function HostTile({ subject, focusable, selected }: { subject: Subject; focusable: boolean; selected?: boolean }) {
  const { host, health, load } = subject;
  const detail = detailOf(host, health);
  return (
    <div role="listitem" className={css.tile} data-host={host.name} data-tone={health.tone} data-selected={selected || undefined} tabIndex={focusable ? 0 : -1}>
      <div className={css.top}>
        <HostLink name={host.name} className={css.name} />
        {selected !== undefined && <Box label={`Select ${host.name}`} checked={selected} tabIndex={-1} />}
      </div>
      <div className={css.state}>
        <State tone={health.tone}>{health.word}</State>
        <span className={css.time}>{host.connected ? <Ago at={host.converged} none="" /> : <Ago at={host.lastSeen} none="" />}</span>
      </div>
      {detail ? (
        <div className={css.detail} title={detail}>
          {detail}
        </div>
      ) : (
        <div className={css.meters}>
          <Meter label="CPU" value={host.connected ? load?.cpu : undefined} words />
          <Meter label="mem" value={host.connected ? load?.memory : undefined} words />
          <Meter label="disk" value={host.connected ? load?.disk : undefined} words />
        </div>
      )}
    </div>
  );
});
