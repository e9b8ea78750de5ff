import { expect, test } from "vitest";

const sources = import.meta.glob<string>("./**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });

test("a room imports no other room: what two need stands beside the rooms", () => {
  const wrong = Object.entries(sources).flatMap(([file, text]) => {
    const room = file.split("/")[1]!;
    return [...text.matchAll(/(?:from|import\()\s*"(?:~\/rooms|\.\.)\/([^"/]+)/g)].filter((m) => m[1] !== room).map((m) => `${file} imports ${m[0]}`);
  });
  expect(Object.keys(sources).length).toBeGreaterThan(50);
  expect(wrong).toEqual([]);
});
