import { expect, test } from "vitest";
import { find, match, remember, type Entry } from "./palette";

const host = (words: string): Entry => ({ id: words, words, group: "Hosts" });
const best = (query: string, ...words: string[]) => find(query, words.map(host))[0]?.items.map((i) => i.entry.words);

test("what begins with the query is before what only holds it", () => {
  expect(best("web", "old-web-1", "web-1", "cobweb")).toEqual(["web-1", "old-web-1", "cobweb"]);
});

test("letters in order find a name, and the nearest is first", () => {
  expect(best("wb12", "web-12", "web-21", "web-112")).toEqual(["web-12", "web-112"]);
  expect(best("db1", "db-1", "debug-server-of-old-1")).toEqual(["db-1"]);
});

test("the whole name is before longer ones", () => {
  expect(best("web-1", "web-10", "web-1", "web-11")![0]).toBe("web-1");
});

test("every word must fit, in any order and case", () => {
  expect(match("alerts GO", "Go to Alerts")).toBeDefined();
  expect(match("go nowhere", "Go to Alerts")).toBeUndefined();
  expect(match("", "anything")!.marks).toEqual([]);
});

test("the letters that fit are marked", () => {
  expect(match("web", "old-web-1")!.marks).toEqual([[4, 7]]);
  expect(match("wb1", "web-1")!.marks).toEqual([[0, 1], [2, 3], [4, 5]]);
});

test("the group with the best fit is first, and other words find a thing too", () => {
  const entries: Entry[] = [
    { id: "p", words: "Fleet", group: "Pages", also: "hosts servers" },
    { id: "h", words: "servers-1", group: "Hosts" },
  ];
  expect(find("servers", entries).map((g) => g.group)).toEqual(["Hosts", "Pages"]);
  expect(find("hosts", entries)[0]!.items[0]!.entry.id).toBe("p");
  expect(find("", entries).map((g) => g.group)).toEqual(["Pages", "Hosts"]);
  expect(best("", "longer first", "short")).toEqual(["longer first", "short"]);
});

test("three thousand hosts are searched at once", () => {
  const entries = Array.from({ length: 3000 }, (_, i) => host(`web-${i}.eu-west.example.com`));
  const [g] = find("web 2999", entries);
  expect(g!.items[0]!.entry.words).toBe("web-2999.eu-west.example.com");
  expect(g!.items.length).toBeLessThanOrEqual(8);
});

test("the last chosen is first, each once", () => {
  expect(remember(["a", "b", "c"], "b")).toEqual(["b", "a", "c"]);
  expect(remember(["a", "b", "c"], "d", 3)).toEqual(["d", "a", "b"]);
});
