// Holds an answer against the server's OpenAPI document: what is required is
// there, everything has the type that it says, and nothing is there that it does not know.

/** problems lists where value is not what the schema says. */
export function problems(doc, schema, value, path = "") {
  if (!schema || value === undefined) return [];
  if (schema.$ref) return problems(doc, doc.components.schemas[schema.$ref.split("/").pop()], value, path);
  for (const part of schema.allOf ?? []) {
    const found = problems(doc, part, value, path);
    if (found.length > 0) return found;
  }
  if (schema.enum && !schema.enum.includes(value)) return [`${path} is ${JSON.stringify(value)}, not one of ${schema.enum.join(", ")}`];
  switch (schema.type) {
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${path} is no object`];
      const out = (schema.required ?? []).filter((k) => value[k] === undefined).map((k) => `${path}.${k} is missing`);
      for (const [k, v] of Object.entries(value)) {
        const known = schema.properties?.[k] ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
        if (!known && schema.properties && !schema.additionalProperties) out.push(`${path}.${k} is not known to the server`);
        out.push(...problems(doc, known, v, `${path}.${k}`));
      }
      return out;
    }
    case "array":
      if (!Array.isArray(value)) return [`${path} is no list`];
      return value.flatMap((v, i) => problems(doc, schema.items, v, `${path}[${i}]`));
    case "integer":
      return Number.isInteger(value) ? [] : [`${path} is ${JSON.stringify(value)}, no whole number`];
    case "number":
      return typeof value === "number" ? [] : [`${path} is ${JSON.stringify(value)}, no number`];
    case "string":
      return typeof value === "string" ? [] : [`${path} is ${JSON.stringify(value)}, no text`];
    case "boolean":
      return typeof value === "boolean" ? [] : [`${path} is ${JSON.stringify(value)}, neither true nor false`];
    default:
      return [];
  }
}

/** answerOf finds the schema of a GET's answer, and the path as the document writes it. */
export function answerOf(doc, path) {
  const parts = path.split("/");
  const fits = (template) => {
    const t = template.split("/");
    return t.length === parts.length && t.every((p, i) => p === parts[i] || p.startsWith("{"));
  };
  const template = doc.paths[path] ? path : Object.keys(doc.paths).filter(fits).sort((a, b) => a.split("{").length - b.split("{").length)[0];
  return template && { template, schema: doc.paths[template].get?.responses?.["200"]?.content?.["application/json"]?.schema };
}
