import { useEffect, type ReactNode } from "react";
import css from "./Page.module.css";

/** Page is the frame of every page: its name, one sentence of fact, then the rest. */
export function Page(p: {
  title: string;
  /** One sentence: the answer to why somebody opened this page. */
  fact?: ReactNode;
  actions?: ReactNode;
  /** "read" keeps lines short; "data" takes the full width. */
  width?: "read" | "data";
  /** A title that is a name: shown in the mono face. */
  mono?: boolean;
  children?: ReactNode;
}) {
  useEffect(() => {
    document.title = `${p.title} · Drover`;
  }, [p.title]);
  return (
    <div className={p.width === "data" ? css.data : css.read}>
      <div className={css.head}>
        <div className={css.words}>
          <h1 className={p.mono ? "mono" : undefined}>{p.title}</h1>
          {p.fact !== undefined && <p className={css.fact}>{p.fact}</p>}
        </div>
        {p.actions && <div className={css.actions}>{p.actions}</div>}
      </div>
      {p.children}
    </div>
  );
}

/** Part is a section of a page with a heading. */
export function Part({ title, hint, actions, children, id }: { title: string; hint?: ReactNode; actions?: ReactNode; children: ReactNode; id?: string }) {
  return (
    <section className={css.part} aria-label={title} id={id}>
      <div className={css.partHead}>
        <h2>{title}</h2>
        {hint && <span className={css.hint}>{hint}</span>}
        {actions && <div className={css.actions}>{actions}</div>}
      </div>
      {children}
    </section>
  );
}
