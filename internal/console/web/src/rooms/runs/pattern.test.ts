import { expect, it } from "vitest";
import { match, split } from "./pattern";

const hosts = [
  { name: "db-1", groups: ["db", "eu"], labels: { env: "prod" } },
  { name: "web-1", groups: ["web", "eu"], labels: { env: "prod" } },
  { name: "web-2", groups: ["web"], labels: { env: "test" } },
  { name: "web-3", groups: ["web", "eu"] },
];
const named = (p: string) => match(p, hosts).hosts.join(" ");

it.each([
  ["", "db-1 web-1 web-2 web-3"],
  ["all", "db-1 web-1 web-2 web-3"],
  ["web", "web-1 web-2 web-3"],
  ["web-2", "web-2"],
  ["web*", "web-1 web-2 web-3"],
  ["web-?", "web-1 web-2 web-3"],
  ["web-[ab12]", "web-1 web-2"],
  ["web:!web-3", "web-1 web-2"],
  ["!web-3:web", "web-1 web-2"],
  ["web,db", "db-1 web-1 web-2 web-3"],
  ["web:&eu", "web-1 web-3"],
  ["!web", "db-1"],
  ["label:env=prod", "db-1 web-1"],
  ["label:env=prod:!db", "web-1"],
  ["all:&label:env=test", "web-2"],
  ["~web-[13]", "web-1 web-3"],
  ["web[0]", "web-1"],
  ["web[-1]", "web-3"],
  ["web[0:1]", "web-1 web-2"],
  ["web[1:]", "web-2 web-3"],
  ["nothing", ""],
])("%j names %s", (pattern, want) => expect(named(pattern)).toBe(want));

it("says what is wrong with a pattern", () => {
  expect(match("label:env", hosts).problem).toBe('"label:env" is not label:KEY=VALUE');
  expect(match("~(", hosts).problem).toBe('"~(" is not a regular expression');
});

it("keeps a label and a slice whole", () => {
  expect(split("label:env=prod:!web[0:1],db")).toEqual(["label:env=prod", "!web[0:1]", "db"]);
});
