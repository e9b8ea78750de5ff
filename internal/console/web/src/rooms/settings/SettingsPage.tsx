import type { ComponentType } from "react";
import { Link, useParams } from "@tanstack/react-router";
import { useSession } from "~/app/session";
import { Page } from "~/pieces/Page";
import { Account } from "./Account";
import { Certificates } from "./Certificates";
import { Enrolment } from "./Enrolment";
import { People } from "./People";
import { Server } from "./Server";
import { Tokens } from "./Tokens";
import css from "./Settings.module.css";

type Section = { key: string; word: string; role: "viewer" | "operator" | "admin"; whose: string; page: ComponentType };

const sections: Section[] = [
  { key: "account", word: "Account", role: "viewer", whose: "", page: Account },
  { key: "people", word: "People", role: "admin", whose: "Administrators make people and give them roles.", page: People },
  { key: "tokens", word: "Tokens", role: "operator", whose: "Operators see tokens; administrators make them for programs.", page: Tokens },
  { key: "enrolment", word: "Enrolment", role: "operator", whose: "Operators and administrators enrol hosts.", page: Enrolment },
  { key: "server", word: "Server", role: "viewer", whose: "", page: Server },
  { key: "certificates", word: "Certificates", role: "viewer", whose: "", page: Certificates },
];

export function SettingsPage() {
  const { section } = useParams({ strict: false }) as { section?: string };
  const { may, me } = useSession();
  const s = sections.find((x) => x.key === (section ?? "account"));
  return (
    <div className={css.layout}>
      <nav className={css.nav} aria-label="Settings">
        <ul>
          {sections.filter((x) => may(x.role) || x.key === section).map((x) => (
            <li key={x.key}>
              <Link to="/settings/$section" params={{ section: x.key }} aria-current={x.key === s?.key ? "page" : undefined}>
                {x.word}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {!s ? (
        <Page title="Settings" fact={`There are no settings called "${section}".`} />
      ) : !may(s.role) ? (
        <Page title={s.word} fact={s.whose}>
          <p>
            You are signed in as {me?.person ?? me?.actor} with the role {me?.role}.
          </p>
        </Page>
      ) : (
        <s.page />
      )}
    </div>
  );
}
