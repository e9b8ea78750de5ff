import { useState } from "react";
import { Link } from "@tanstack/react-router";
import { UnstyledButton } from "@mantine/core";
import { whole } from "~/format";
import css from "./Runs.module.css";

/** HostNames links a group's hosts; of many, the first and how many more. */
export function HostNames({ hosts, most = 6 }: { hosts: string[]; most?: number }) {
  const [all, setAll] = useState(false);
  const shown = all ? hosts.slice(0, 1000) : hosts.slice(0, hosts.length === most + 1 ? most + 1 : most);
  return (
    <p className={css.names}>
      {shown.map((h, i) => (
        <span key={h}>
          {i > 0 && ", "}
          <Link to="." search={((old: object) => ({ ...old, host: h })) as never} className="mono" resetScroll={false}>
            {h}
          </Link>
        </span>
      ))}
      {hosts.length > shown.length && (
        <>
          {" "}
          <UnstyledButton className={css.link} onClick={() => setAll(true)}>
            and {whole(hosts.length - shown.length)} more
          </UnstyledButton>
        </>
      )}
    </p>
  );
}
