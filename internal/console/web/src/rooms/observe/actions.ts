/** What the palette offers of this room. */
export const actions = [
  { id: "alerts.critical", words: "Show critical alerts", role: "viewer", href: "/alerts?q=critical", also: "problems firing" },
  { id: "alerts.disks", words: "Show alerts about disks", role: "viewer", href: "/alerts?q=disk", also: "space full" },
] as const;
