import { expect, test } from "vitest";
import { convergeLine, quote, runLine } from "./command";

test("a shell takes a quoted word as it was", () => {
  expect(quote("web-1")).toBe("web-1");
  expect(quote("echo 'a b'")).toBe(`'echo '\\''a b'\\'''`);
});

test("a command line says what, where and as whom", () => {
  expect(runLine("df -h", "web:!web-3", "deploy")).toBe("drover run 'df -h' -l 'web:!web-3' -u deploy");
  expect(runLine("uptime", "web-1", "root")).toBe("drover run uptime -l web-1");
  expect(runLine("uptime", "", "")).toBe("drover run uptime");
  expect(convergeLine(true, "web-1")).toBe("drover converge --check -l web-1");
  expect(convergeLine(false)).toBe("drover converge");
});
