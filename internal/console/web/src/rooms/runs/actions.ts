/** What the palette offers of this room. */
export const actions = [
  { id: "runs.command", words: "Run a command on hosts", role: "operator", href: "/runs?new=command", also: "shell ssh execute" },
  { id: "runs.converge", words: "Converge or check hosts now", role: "operator", href: "/runs?new=converge", also: "apply puppet" },
  { id: "runs.live", words: "See what runs now", role: "viewer", href: "/runs?state=running&kind=all", also: "progress" },
  { id: "runs.failed", words: "See failed runs", role: "viewer", href: "/runs?state=failed", also: "errors" },
] as const;
