import { counted } from "~/format";
import { fieldsOf, show, words, type Document, type Schema } from "./schema";
import { Value } from "./Value";
import css from "./Declared.module.css";

/** Fields is a part of an object as a list of names, values and what they mean. */
export function Fields({ doc, schema, value, path, depth = 0 }: { doc: Document; schema: Schema; value: unknown; path: string; depth?: number }) {
  const fields = fieldsOf(doc, schema, value, path);
  if (fields.length === 0) return <p className={css.none}>Nothing is set.</p>;
  return (
    <dl className={css.fields}>
      {fields.map((f) => {
        const tree = show(f.value, f.schema, f.path).as === "tree";
        return (
          <div key={f.key} className={css.field}>
            <dt>{f.label}</dt>
            {!tree && (
              <dd>
                <Value value={f.value} schema={f.schema} path={f.path} />
              </dd>
            )}
            {tree && Array.isArray(f.value) && <dd>{counted(f.value.length, "item")}</dd>}
            {f.schema.description && <dd className={css.hint}>{f.schema.description}</dd>}
            {tree && (
              <dd className={css.tree}>
                {Array.isArray(f.value) ? (
                  f.value.slice(0, 200).map((v, i) => (
                    <details key={i} className={css.nest}>
                      <summary>{title(v, i)}</summary>
                      {depth < 6 ? <Fields doc={doc} schema={f.schema.items ?? {}} value={v} path={`${f.path}.${i}`} depth={depth + 1} /> : <code>{JSON.stringify(v)}</code>}
                    </details>
                  ))
                ) : (
                  <details className={css.nest} open={depth < 1 && Object.keys(f.value as object).length <= 12}>
                    <summary>{counted(Object.keys(f.value as object).length, "field")}</summary>
                    {depth < 6 ? <Fields doc={doc} schema={f.schema} value={f.value} path={f.path} depth={depth + 1} /> : <code>{JSON.stringify(f.value)}</code>}
                  </details>
                )}
              </dd>
            )}
          </div>
        );
      })}
    </dl>
  );
}

/** title names an item of a list by what is likeliest to name it. */
function title(v: unknown, i: number): string {
  if (v !== null && typeof v === "object") for (const k of ["name", "id", "host", "room", "path", "type"]) if (typeof (v as Record<string, unknown>)[k] === "string") return `${words(k)} ${(v as Record<string, string>)[k]}`;
  return `Item ${i + 1}`;
}
