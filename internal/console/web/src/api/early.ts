// What the first page waits for is asked for while its programs are still being
// read: by the entry, which is small, and taken up by the client and by streams.

/** When something was asked for and answered, in ms of this browser's clock. */
export type Times = { asked: number; answered: number };

type Early = { answer: Promise<Response>; end: AbortController; times: Times };

const asked = new Map<string, Early>();

function ask(path: string, accept: string): Promise<Response> {
  const end = new AbortController();
  const times = { asked: Date.now(), answered: 0 };
  const answer = fetch(path, { headers: { Accept: accept }, credentials: "same-origin", signal: end.signal });
  answer.then(
    () => (times.answered = Date.now()),
    () => undefined, // whoever takes it hears of it
  );
  asked.set(path, { answer, end, times });
  return answer;
}

export const whoamiPath = "/v1/whoami";
export const overviewPath = "/v1/overview?watch=true";

/** begin asks who is signed in, and then, where hosts are shown first, for them. */
export function begin(page: string): void {
  void ask(whoamiPath, "application/json").then(
    (me) => {
      if (me.ok && page === "/") void ask(overviewPath, "text/event-stream");
    },
    () => undefined,
  );
}

/** timesOf says when what is still to be taken was asked for and answered. */
export function timesOf(path: string): Times | undefined {
  return asked.get(path)?.times;
}

/** take gives an answer that was asked for early, once; `signal` ends it. */
export function take(path: string, signal?: AbortSignal | null): Promise<Response> | undefined {
  const early = asked.get(path);
  if (!early) return undefined;
  asked.delete(path);
  if (signal?.aborted) early.end.abort();
  signal?.addEventListener("abort", () => early.end.abort());
  return early.answer;
}
