import { Fragment, useMemo } from "react";
import { CopyButton } from "./CopyButton";
import { paint, type Language } from "./paint";
import css from "./Code.module.css";

/** Code is text to read and copy, with quiet colours for its language. */
export function Code({ text, language = "text", label }: { text: string; language?: Language; label: string }) {
  const lines = useMemo(() => text.replace(/\n$/, "").split("\n").map((l) => paint(l, language)), [text, language]);
  return (
    <div className={css.box}>
      <pre className={css.code} tabIndex={0} role="region" aria-label={label}>
        {lines.map((parts, i) => (
          <Fragment key={i}>
            {parts.map((p, n) => (
              <span key={n} data-kind={p.kind}>
                {p.text}
              </span>
            ))}
            {"\n"}
          </Fragment>
        ))}
      </pre>
      <div className={css.copy}>
        <CopyButton text={text} />
      </div>
    </div>
  );
}
