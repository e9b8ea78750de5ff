import { Link } from "@tanstack/react-router";
import { counted } from "~/format";
import { useSession } from "~/app/session";
import { Page } from "~/pieces/Page";
import { Async } from "~/pieces/states";
import { useKinds } from "./queries";
import { words } from "./schema";
import { mayRead } from "./rights";
import css from "./Declared.module.css";

/** DeclaredPage lists every kind of object there is; each has its page without being known here. */
export function DeclaredPage() {
  const kinds = useKinds();
  const { me } = useSession();
  return (
    <Page title="Declared" fact={kinds.data && `Drover keeps ${counted(kinds.data.length, "kind")} of objects.`} width="read">
      <p className={css.lead}>Everything that is declared or known, as the API has it. Each can be read as YAML, and where the API allows it, changed.</p>
      <Async query={kinds} what="the kinds of objects" lines={6}>
        {(list) => (
          <ul className={css.kinds}>
            {list.map((k) => {
              const may = mayRead(k, me?.role);
              return (
                <li key={k.name}>
                  <Link to="/declared/$plural" params={{ plural: k.plural }}>
                    <b>{words(k.plural)}</b>
                    <span className={css.doc}>{k.doc}</span>
                    <span className={css.verbs}>{!may ? `needs ${k.read}` : k.verbs.includes("update") || k.verbs.includes("create") ? "can be changed" : k.verbs.includes("delete") ? "can be deleted" : "read only"}</span>
                  </Link>
                </li>
              );
            })}
          </ul>
        )}
      </Async>
    </Page>
  );
}
