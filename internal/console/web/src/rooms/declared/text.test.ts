import { expect, it } from "vitest";
import { editable, parse, place, yaml } from "./text";

const host = { status: { connected: true }, spec: { paused: false, address: "10.0.0.1" }, labels: { env: "prod" }, name: "web-1", kind: "host", uid: "u", revision: 7 };

it("leaves to the server what is the server's", () => {
  expect(editable(host)).toEqual({ name: "web-1", labels: { env: "prod" }, spec: { paused: false, address: "10.0.0.1" } });
});

it("writes fields in the usual order and reads back what it wrote", () => {
  const text = yaml(editable(host));
  expect(text.split("\n")[0]).toBe("name: web-1");
  const p = parse(text);
  expect("value" in p && p.value).toEqual(editable(host));
});

it("reads JSON too", () => {
  const p = parse('{"name": "x", "spec": {"n": 1}}');
  expect("value" in p && p.value).toEqual({ name: "x", spec: { n: 1 } });
});

it("says where the text is wrong", () => {
  const p = parse("name: x\nspec:\n  a: [1\n");
  expect("problem" in p && p.problem.line).toBeGreaterThanOrEqual(3);
  expect(parse("just text")).toMatchObject({ problem: { line: 1 } });
  expect(parse("")).toMatchObject({ problem: { line: 1 } });
});

it("finds the field that the server refused, or its nearest parent", () => {
  const text = yaml(editable(host));
  expect(place(text, "spec.address")).toMatchObject({ line: 6, column: 3 });
  expect(place(text, "spec.nothing.here")).toMatchObject({ line: 4, column: 1 });
  expect(place(text, "nothing")).toBeUndefined();
});
