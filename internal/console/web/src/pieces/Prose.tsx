/** Prose is a sentence of the server, with what it sets between backticks as code. */
export function Prose({ text, end = "" }: { text: string; end?: string }) {
  const s = text.charAt(0).toUpperCase() + text.slice(1) + (end && !/[.?]$/.test(text) ? end : "");
  return <>{s.split("`").map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>;
}
