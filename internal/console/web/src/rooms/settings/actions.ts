/** What the palette offers of this room. */
export const actions = [
  { id: "settings.enrol", words: "Enrol a host", role: "operator", href: "/settings/enrolment", also: "join add agent new" },
  { id: "settings.people", words: "People: make, change, disable", role: "admin", href: "/settings/people", also: "users roles" },
  { id: "settings.tokens", words: "Tokens of programs", role: "operator", href: "/settings/tokens", also: "secrets api keys" },
  { id: "settings.server", words: "How the server is", role: "viewer", href: "/settings/server", also: "health version disk" },
  { id: "settings.certificates", words: "Certificates and when they end", role: "viewer", href: "/settings/certificates", also: "tls ca expiry" },
] as const;
