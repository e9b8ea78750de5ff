import type { HostRow } from "~/app/overview";
import { counted, listed } from "~/format";
import css from "./dialogs.module.css";

/** Radius says on how many hosts something acts, on which, and which it cannot reach. */
export function Radius({ hosts, verb }: { hosts: HostRow[]; verb: string }) {
  const there = hosts.filter((h) => h.connected);
  const away = hosts.length - there.length;
  return (
    <div className={css.radius} role="note">
      <p>
        It {verb} <strong>{counted(there.length, "host")}</strong>
        {there.length > 0 && (
          <>
            : <span className="mono">{listed(there.map((h) => h.name), 5)}</span>
          </>
        )}
        .
      </p>
      {away > 0 && (
        <p>
          {counted(away, "host")} {away === 1 ? "is" : "are"} away and left out: <span className="mono">{listed(hosts.filter((h) => !h.connected).map((h) => h.name), 5)}</span>.
        </p>
      )}
    </div>
  );
}
