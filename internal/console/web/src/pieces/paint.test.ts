import { expect, test } from "vitest";
import { languageOf, paint } from "./paint";

const kinds = (line: string, language: Parameters<typeof paint>[1]) => paint(line, language).filter((p) => p.kind).map((p) => [p.kind, p.text]);

test("yaml shows keys, values, comments and templates", () => {
  expect(kinds("  - name: install nginx # now", "yaml")).toEqual([
    ["key", "  - name"],
    ["comment", "# now"],
  ]);
  expect(kinds("port: 80", "yaml")).toContainEqual(["number", "80"]);
  expect(kinds('src: "{{ item }}.conf"', "yaml")).toContainEqual(["key", "src"]);
  expect(kinds("path: /etc/{{ app }}/x", "yaml")).toContainEqual(["template", "{{ app }}"]);
  expect(kinds("url: http://a#b", "yaml")).toEqual([["key", "url"]]);
});

test("nothing of a line is lost, whatever is in it", () => {
  const lines = ["", "   ", "a: b: c", "'unclosed", '"also', "{{ open", "#", "- - - x: 1", "\t\u0000\u202e<script>", "x".repeat(5000)];
  for (const language of ["yaml", "json", "shell", "text"] as const)
    for (const line of lines) expect(paint(line, language).map((p) => p.text).join("")).toBe(line);
});

test("json tells keys from strings", () => {
  expect(kinds('{"a": "b", "n": -1.5, "t": true}', "json")).toEqual([
    ["key", '"a"'],
    ["string", '"b"'],
    ["key", '"n"'],
    ["number", "-1.5"],
    ["key", '"t"'],
    ["number", "true"],
  ]);
});

test("the name of a file says its language, under a template's suffix too", () => {
  expect(languageOf("roles/a/tasks/main.yml")).toBe("yaml");
  expect(languageOf("a/nginx.conf.j2")).toBe("shell");
  expect(languageOf("a/config.yaml.j2")).toBe("yaml");
  expect(languageOf("README")).toBe("text");
});
