/** What the palette offers of this room. */
export const actions = [
  { id: "changes.failures", words: "See hosts' failures as they happened", role: "viewer", href: "/events?type=host.failed&range=1d", also: "errors" },
  { id: "changes.drift", words: "See what was put right on hosts", role: "viewer", href: "/events?type=host.drifted&range=7d", also: "drift" },
] as const;
