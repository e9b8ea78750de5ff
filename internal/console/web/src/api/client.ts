import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema.gen";
import { sessionEnded } from "~/app/session";
import { take } from "./early";

// The types come from the server's OpenAPI document, so that the console can
// not say what the API does not know.
export type Schemas = components["schemas"];
export type ApiError = Schemas["Error"];

/** An answer that is an error: what failed, where, and what to do. */
export class Failure extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly field: string | undefined;
  readonly place: string | undefined;
  readonly status: number;
  readonly request: string | undefined;
  /** What the header Retry-After said. */
  readonly retryAfter: string | undefined;

  constructor(e: Partial<ApiError> & { message: string }, status = 0, request?: string, retryAfter?: string) {
    super(e.message);
    this.name = "Failure";
    this.code = e.code ?? "internal";
    this.remedy = e.remedy;
    this.field = e.field;
    this.status = status;
    this.request = request;
    this.retryAfter = retryAfter;
    this.place = e.place ? [e.place.file, e.place.line, e.place.column].filter(Boolean).join(":") : undefined;
  }
}

/** failureOf turns whatever was thrown or answered into a Failure. */
export function failureOf(e: unknown): Failure {
  if (e instanceof Failure) return e;
  if (e instanceof TypeError || (e instanceof DOMException && e.name !== "AbortError"))
    return new Failure({ code: "unavailable", message: "the server does not answer", remedy: "check that it runs and that this machine reaches it; this page tries again by itself" });
  return new Failure({ code: "internal", message: e instanceof Error ? e.message : String(e) });
}

const asksPassword = /\/v1\/(login(\/first)?|people\/[^/]+\/password)(\?|$)/;

/** readFailure takes an answer apart; a session that has ended asks to sign in again. */
export async function readFailure(response: Response): Promise<Failure> {
  let body: Partial<ApiError> = {};
  try {
    body = (await response.json()) as Partial<ApiError>;
  } catch {
    // Something between us and the server answered: there is only a status.
  }
  const failure = new Failure(
    { ...body, message: body.message ?? `the server answered ${response.status} ${response.statusText}` },
    response.status,
    response.headers.get("X-Request-Id") ?? undefined,
    response.headers.get("Retry-After") ?? undefined,
  );
  // Where a password is asked for, 401 says that it was wrong, not that the session has ended.
  if (response.status === 401 && !asksPassword.test(response.url)) sessionEnded(failure);
  return failure;
}

const refuse: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return undefined;
    throw await readFailure(response);
  },
};

export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin", fetch: (r) => (r.method === "GET" && take(new URL(r.url).pathname, r.signal)) || fetch(r) });
api.use(refuse);

/** data gives the body of a call, for useQuery: `queryFn: () => data(api.GET("/v1/server"))`. */
export async function data<T>(call: Promise<{ data?: T; error?: unknown }>): Promise<Exclude<T, string>> {
  const out = await call;
  if (out.data === undefined) throw failureOf(out.error ?? new Error("the server answered nothing"));
  return out.data as Exclude<T, string>; // a string is what the same call answers as a stream
}

/** request is fetch with the errors of the API, for what is no JSON. */
export async function request(path: string, init?: RequestInit): Promise<Response> {
  const response = await fetch(path, { credentials: "same-origin", ...init });
  if (!response.ok) throw await readFailure(response);
  return response;
}
