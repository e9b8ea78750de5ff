import { request } from "./client";

// For what the generated client cannot name: paths that are only known when
// the page runs, such as those of a kind.

/** read asks for JSON. */
export async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { headers: { Accept: "application/json" }, signal: signal ?? null });
  return (await response.json()) as T;
}

/** send writes JSON and gives the answer, if there is one. */
export async function send<T = undefined>(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T> {
  const response = await request(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** query writes the parameters that have a value: "?a=1&b=2", or nothing. */
export function query(params: Record<string, string | number | boolean | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== undefined && v !== "" && v !== false) q.set(k, String(v));
  const s = q.toString();
  return s ? `?${s}` : "";
}
