import { expect, test } from "vitest";
import { byHost, type Alert } from "./alerts";

const alert = (name: string, host: string, more: Partial<Alert> = {}): Alert => ({ name, host, state: "firing", severity: "warning", summary: `${host}: ${name}`, since: "2026-05-01T11:00:00Z", value: 1, labels: {}, expr: "up == 0", ...more });

test("what fires is gathered by host", () => {
  const map = byHost([alert("A", "a"), alert("B", "a"), alert("C", "b", { state: "pending" }), { ...alert("D", ""), host: undefined as never }]);
  expect([...map].map(([k, v]) => [k, v.length])).toEqual([["a", 2]]);
});
