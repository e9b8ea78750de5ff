import { expect, test } from "vitest";
import { compare, count, patchRows, unify, type Row } from "./rows";

const show = (rows: Row[]) =>
  unify(rows).map((r) => {
    if (r.kind === "fold") return `… ${r.n}${r.head ? ` ${r.head}` : ""}`;
    if (r.kind === "note") return `! ${r.text}`;
    if (r.kind === "equal") return `  ${r.before.line} ${r.after.line} ${r.before.text}`;
    return r.before ? `- ${r.before.line} ${r.before.text}` : `+ ${r.after!.line} ${r.after!.text}`;
  });

test("long equal parts are folded, with three lines around what differs", () => {
  const a = Array.from({ length: 20 }, (_, i) => `l${i + 1}`);
  const b = a.map((l, i) => (i === 9 ? "other" : l));
  expect(show(compare(a.join("\n") + "\n", b.join("\n") + "\n"))).toEqual(["… 6", "  7 7 l7", "  8 8 l8", "  9 9 l9", "- 10 l10", "+ 10 other", "  11 11 l11", "  12 12 l12", "  13 13 l13", "… 7"]);
});

test("a file that is new, and one that goes", () => {
  expect(show(compare("", "a\nb\n"))).toEqual(["+ 1 a", "+ 2 b"]);
  expect(show(compare("a\n", ""))).toEqual(["- 1 a"]);
  expect(compare("same\n", "same\n").filter((r) => r.kind === "changed")).toEqual([]);
});

test("the end of the last line is a difference too", () => {
  expect(show(compare("a\n", "a"))).toEqual(["  1 1 a", "! Now the last line has no end."]);
});

test("binary is said, not shown", () => {
  expect(show(compare("a\0b", "c"))).toEqual(["! A binary file: it differs."]);
});

const patch = `diff --git a/x.yml b/x.yml
index 1..2 100644
--- a/x.yml
+++ b/x.yml
@@ -10,4 +10,5 @@ web:
   a: 1
-  port: 80
---- not a header
+  port: 8080
+  tls: true
+++ not a header either
   end: 1
@@ -30 +31 @@
-old
\\ No newline at end of file
+new
`;

test("a unified patch has its numbers, heads and notes; lines that look like headers are lines", () => {
  expect(show(patchRows(patch))).toEqual([
    "… 9 web:",
    "  10 10   a: 1",
    "- 11   port: 80",
    "- 12 --- not a header",
    "+ 11   port: 8080",
    "+ 12   tls: true",
    "+ 13 ++ not a header either",
    "  13 14   end: 1",
    "… 16",
    "- 30 old",
    "! The last line has no end.",
    "+ 31 new",
  ]);
  expect(count(patchRows(patch))).toEqual({ added: 4, removed: 3 });
});

test("modes, renames and binary files are said in words", () => {
  expect(show(patchRows("diff --git a/x b/y\nold mode 100644\nnew mode 100755\nrename from x\nrename to y\n"))).toEqual(["! Before, its mode was 0644", "! Now its mode is 0755", "! It was x"]);
  expect(show(patchRows("Binary files a/x and b/x differ\n"))).toEqual(["! A binary file: it differs."]);
});

test("what is no patch breaks nothing", () => {
  expect(patchRows("")).toEqual([]);
  expect(patchRows("hello\n@@ nonsense @@\n+x")).toEqual([]);
});
