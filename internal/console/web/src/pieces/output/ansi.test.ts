import { expect, test } from "vitest";
import { endStyle, none, parse, plain } from "./ansi";

const spans = (s: string) => parse(s).spans.map((x) => [x.text, x.style]);

test("the sixteen colours, bold and reset", () => {
  expect(spans("a \x1b[31;1mred\x1b[0m b")).toEqual([
    ["a ", {}],
    ["red", { fg: 1, bold: true }],
    [" b", {}],
  ]);
  expect(spans("\x1b[92mx\x1b[39my")).toEqual([
    ["x", { fg: 10 }],
    ["y", {}],
  ]);
  expect(spans("\x1b[1mx\x1b[m")).toEqual([["x", { bold: true }]]);
});

test("256 and true colours, with semicolons or colons", () => {
  expect(spans("\x1b[38;5;196mx")).toEqual([["x", { fg: "#ff0000" }]]);
  expect(spans("\x1b[38;5;3mx")).toEqual([["x", { fg: 3 }]]);
  expect(spans("\x1b[48;5;244mx")).toEqual([["x", { bg: "#808080" }]]);
  expect(spans("\x1b[38;2;1;2;3;1mx")).toEqual([["x", { fg: "#010203", bold: true }]]);
  expect(spans("\x1b[38:5:196mx")).toEqual([["x", { fg: "#ff0000" }]]);
  expect(spans("\x1b[38;5;999mx\x1b[38;2;1mx\x1b[38mx")).toEqual([["xxx", {}]]);
});

test("a look goes on over lines", () => {
  const first = parse("\x1b[33mone");
  expect(parse("two", first.end).spans).toEqual([{ text: "two", style: { fg: 3 } }]);
  expect(endStyle("x\x1b[0m", first.end)).toEqual(none);
  expect(endStyle("no escape", first.end)).toBe(first.end);
});

test("moves, titles, links and bells do nothing", () => {
  expect(plain("a\x1b[2J\x1b[10;10Hb\x1b[?25lc")).toBe("abc");
  expect(plain("\x1b]0;root@evil\x07x")).toBe("x");
  expect(plain("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\")).toBe("link");
  expect(plain("\x1bPq#0\x1b\\x\x1b(B\x1b7y")).toBe("xy");
  expect(plain("ding\x07")).toBe("ding^G");
});

test("an open sequence swallows no text, and text cannot turn round", () => {
  expect(plain("a\x1b]0;never ended, all of this stays")).toContain("never ended, all of this stays");
  expect(plain("a\x1b")).toBe("a^[");
  expect(plain("\u202eevil")).toBe("[U+202E]evil");
  expect(plain("\x00\x7f\x85")).toBe("^@^?\ufffd");
});

test("a line that is written again shows its last state, in its last look", () => {
  expect(plain("10 %\r50 %\r100 %")).toBe("100 %");
  expect(plain("done\r")).toBe("done");
  expect(spans("\x1b[32mold\rnew")).toEqual([["new", { fg: 2 }]]);
});

test("what is hostile takes time in proportion", () => {
  for (const s of ["\x1b]", "\x1b[", "\x1b[;", "\x1bP", "\x1b[38;", "\x1b]0;\x1b"]) {
    const out = parse(s.repeat(50_000));
    expect(out.spans.length).toBeLessThan(200_000);
  }
});
