/** What the palette offers of this room. Running and converging are the room of runs'. */
export const actions = [
  { id: "fleet.attention", words: "Show hosts that failed or are away", role: "viewer", href: "/?q=state:failed,away", also: "broken down problems" },
  { id: "fleet.drifted", words: "Show hosts that drifted", role: "viewer", href: "/?q=state:drifted", also: "changed by hand" },
  { id: "fleet.full", words: "Show the hosts with the fullest disks", role: "viewer", href: "/?sort=-disk", also: "space storage" },
  { id: "fleet.busy", words: "Show the busiest hosts", role: "viewer", href: "/?sort=-cpu", also: "cpu load" },
  { id: "fleet.tiles", words: "Show all hosts as tiles", role: "viewer", href: "/?view=tiles", also: "wall map" },
  { id: "fleet.check", words: "Check what a converge would change on all hosts", role: "operator", href: "/?do=check", also: "dry run plan" },
  { id: "fleet.add", words: "Add a host", role: "operator", href: "/?do=add", also: "enrol enroll join new server" },
] as const;
