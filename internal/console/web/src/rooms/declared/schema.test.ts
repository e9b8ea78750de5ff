import { describe, expect, it } from "vitest";
import { at, fieldsOf, head, plain, resolve, schemaOf, show, skeleton, sortKey, value, words, type Document } from "./schema";

const doc: Document = {
  components: {
    schemas: {
      Pool: {
        type: "object", required: ["kind", "name", "spec"], description: "A pool.",
        properties: { kind: { type: "string" }, name: { type: "string", description: "unique" }, labels: { type: "object", additionalProperties: { type: "string" } }, spec: { $ref: "#/components/schemas/PoolSpec" }, status: { $ref: "#/components/schemas/PoolStatus" } },
      },
      PoolSpec: { type: "object", required: ["port"], properties: { port: { type: "integer" }, members: { type: "array", items: { type: "string" } }, weight: { type: "number" } } },
      PoolStatus: { type: "object", properties: { since: { type: "string", format: "date-time" }, took: { type: "integer", description: "nanoseconds" }, memory: { type: "integer", description: "in bytes, of all" }, last: { $ref: "#/components/schemas/Last", description: "the last check" } } },
      Last: { type: "object", description: "A check.", properties: { ok: { type: "boolean" } } },
    },
  },
  paths: { "/v1/pools/{name}": { get: { responses: { "200": { content: { "application/json": { schema: { $ref: "#/components/schemas/Pool" } } } } } } } },
};
const pool = schemaOf(doc, "pools");

it("finds a kind's schema by its path, and fields by theirs", () => {
  expect(pool.description).toBe("A pool.");
  expect(at(doc, pool, "status.last.ok").type).toBe("boolean");
  expect(at(doc, pool, "labels.env").type).toBe("string");
  expect(at(doc, pool, "no.such.field")).toEqual({});
  expect(schemaOf(doc, "unknown")).toEqual({});
});

it("prefers the description beside a reference, and survives one that leads to itself", () => {
  expect(at(doc, pool, "status.last").description).toBe("the last check");
  const loop: Document = { components: { schemas: { A: { $ref: "#/components/schemas/A" } } } };
  expect(resolve(loop, { $ref: "#/components/schemas/A" })).toEqual({});
});

describe("a value reads by its schema", () => {
  const text = (v: unknown, path: string) => plain(v, at(doc, pool, path), path);
  it("durations, bytes, numbers", () => {
    expect(text(4_200_000_000, "status.took")).toBe("4.2 s");
    expect(text(2_147_483_648, "status.memory")).toBe("2 GiB");
    expect(text(12345, "spec.port")).toBe("12,345");
    expect(plain(2048, {}, "facts.memtotal_mb")).toBe("2 GiB");
  });
  it("times, and Go's zero as none", () => {
    expect(show("2026-01-02T03:04:05Z", at(doc, pool, "status.since"), "status.since")).toEqual({ as: "time", at: "2026-01-02T03:04:05Z" });
    expect(show("0001-01-01T00:00:00Z", at(doc, pool, "status.since"), "status.since")).toEqual({ as: "none" });
  });
  it("hashes short with the whole as a hint", () => {
    const h = "7b44b71a2c".repeat(4);
    expect(show(h, {}, "spec.commit")).toEqual({ as: "text", text: "7b44b71a2c", mono: true, hint: h });
  });
  it("lists, pairs, parts, nothing", () => {
    expect(text(["a", "b"], "spec.members")).toBe("a, b");
    expect(show({ env: "prod" }, at(doc, pool, "labels"), "labels")).toEqual({ as: "pairs", pairs: [["env", "prod"]] });
    expect(show({ ok: true }, at(doc, pool, "status.last"), "status.last").as).toBe("tree");
    expect(show([], {}, "x").as).toBe("none");
    expect(show(false, {}, "x").as).toBe("no");
    expect(show(0, {}, "x")).toMatchObject({ as: "text", text: "0" });
  });
  it("sorts numbers and times by what they are", () => {
    expect(sortKey(9, {}, "spec.port")).toBe(9);
    expect(sortKey("2026-01-02T03:04:05Z", { format: "date-time" }, "x")).toBe(Date.parse("2026-01-02T03:04:05Z"));
    expect(sortKey(undefined, {}, "x")).toBe("");
  });
});

it("lists fields in the schema's order, unknown ones after them", () => {
  const f = fieldsOf(doc, at(doc, pool, "spec"), { extra: 1, members: ["a"], port: 80 }, "spec");
  expect(f.map((x) => x.path)).toEqual(["spec.port", "spec.members", "spec.extra"]);
  expect(fieldsOf(doc, at(doc, pool, "spec"), {}, "spec", true)).toHaveLength(3);
});

it("begins a new object with what is required", () => {
  expect(skeleton(doc, pool)).toEqual({ name: "", spec: { port: 0 } });
});

it("writes names as people do", () => {
  expect([words("certExpires"), words("memtotal_mb"), words("apiURL"), head("LAST SEEN")]).toEqual(["Cert expires", "Memtotal mb", "Api URL", "Last seen"]);
  expect(value({ a: { b: 1 } }, "a.b")).toBe(1);
  expect(value({ a: 1 }, "a.b.c")).toBeUndefined();
});
