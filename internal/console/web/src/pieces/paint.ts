export type Language = "yaml" | "json" | "text" | "shell";
export type Part = { text: string; kind?: "key" | "string" | "number" | "comment" | "template" };

// A line at a time, as far as a line alone can tell: enough to find one's way,
// never wrong about the text itself.

const template = String.raw`\{\{[^}]*\}\}|\{%[^%]*%\}`;
const grammars: Record<Exclude<Language, "text">, RegExp> = {
  yaml: new RegExp(
    String.raw`(?<comment>(?:^|(?<=\s))#.*$)|(?<template>${template})|(?<key>^\s*(?:- +)*(?:"[^"]*"|'[^']*'|[\w./-]+)(?=:(?:\s|$)))|(?<string>"(?:[^"\\]|\\.)*"|'[^']*')|(?<number>(?<=[:\[,] ?|- )(?:-?\d[\d_]*(?:\.\d+)?|true|false|yes|no|null|~)(?=\s*(?:[,\]}#]|$)))`,
    "g",
  ),
  json: /(?<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?<string>"(?:[^"\\]|\\.)*")|(?<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b)/g,
  shell: new RegExp(String.raw`(?<comment>(?:^|(?<=\s))#.*$)|(?<template>${template}|\$\{[^}]*\}|\$\w+)|(?<string>"(?:[^"\\]|\\.)*"|'[^']*')`, "g"),
};

const most = 2000; // longer lines are data, not code

/** paint cuts a line into parts; their texts joined are the line. */
export function paint(line: string, language: Language): Part[] {
  if (language === "text" || line.length > most) return [{ text: line }];
  const out: Part[] = [];
  let at = 0;
  for (const m of line.matchAll(grammars[language])) {
    if (m[0] === "") continue;
    const kind = Object.entries(m.groups ?? {}).find(([, v]) => v !== undefined)?.[0] as NonNullable<Part["kind"]>;
    if (m.index > at) out.push({ text: line.slice(at, m.index) });
    out.push({ text: m[0], kind });
    at = m.index + m[0].length;
  }
  if (at < line.length || out.length === 0) out.push({ text: line.slice(at) });
  return out;
}

/** languageOf is what the name of a file says. */
export function languageOf(path: string | undefined): Language {
  const name = (path ?? "").toLowerCase().replace(/\.j2$/, "");
  if (/\.ya?ml$/.test(name)) return "yaml";
  if (/\.json$/.test(name)) return "json";
  if (/\.(sh|bash|conf|cfg|ini|env|service|timer|toml|py|rb)$/.test(name) || /\.j2$/i.test(path ?? "") || /(^|\/)(dockerfile|makefile|hosts)$/.test(name)) return "shell";
  return "text";
}
