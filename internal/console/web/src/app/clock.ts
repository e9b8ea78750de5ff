// The server's clock counts: a browser's may be a day off, and "3 min ago"
// must be true all the same.

let offset = 0; // how far the server's clock is ahead of this browser's, in ms

/** setServerTime learns the server's clock from an answer that was asked for at `asked` and came at `answered`. */
export function setServerTime(server: string, asked: number, answered = Date.now()): void {
  const between = asked + (answered - asked) / 2;
  const measured = Date.parse(server) - between;
  if (!Number.isFinite(measured)) return;
  // Within half a second it is the network's doing, not the clock's.
  offset = Math.abs(measured) < 500 ? 0 : measured;
}

/** now is the server's time in milliseconds. */
export function now(): number {
  return Date.now() + offset;
}
