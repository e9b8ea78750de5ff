// How long somebody must wait who has mistyped a password too often.

/** retryAfter is for how many seconds a sign-in is not tried: by the header, or by the remedy's words. */
export function retryAfter(message: string | undefined, header: string | null | undefined): number {
  const m = /(\d+)\s*(?:s\b|seconds?)|(\d+)m(\d+)s/.exec(message ?? "");
  const words = m ? (m[1] ? Number(m[1]) : Number(m[2]) * 60 + Number(m[3])) : 0;
  const given = Number(header ?? 0);
  return Math.max(words, Number.isFinite(given) ? given : 0);
}

/** inWords is a wait as the page counts it down: "45 s", "1 min 5 s". */
export function inWords(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  return s < 60 ? `${s} s` : `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ""}`;
}
