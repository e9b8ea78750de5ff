// What a run is on the command line.

/** quote writes a word as a shell takes it. */
export function quote(s: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`;
}

/** runLine is the drover command that runs a command on hosts; no hosts are all. */
export function runLine(command: string, hosts?: string, user?: string): string {
  return `drover run ${quote(command)}${on(hosts)}${user && user !== "root" ? ` -u ${quote(user)}` : ""}`;
}

/** convergeLine is the drover command that converges hosts. */
export function convergeLine(check: boolean | undefined, hosts?: string): string {
  return `drover converge${check ? " --check" : ""}${on(hosts)}`;
}

const on = (hosts: string | undefined): string => (hosts && hosts !== "all" ? ` -l ${quote(hosts)}` : "");
