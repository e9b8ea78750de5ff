import { Editor } from "./Editor";
import { skeleton, type Document, type Schema } from "./schema";
import { yaml } from "./text";
import type { Kind, Obj } from "./types";

/** NewObject begins with the fields that must be given. */
export function NewObject(p: { kind: Kind; doc: Document; schema: Schema; onDone: (o: Obj | undefined) => void }) {
  return <Editor {...p} base={undefined} start={yaml(skeleton(p.doc, p.schema))} />;
}
