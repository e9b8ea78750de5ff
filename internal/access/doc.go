// Package access knows who is asking and what they may do: people with
// passwords, tokens, sessions, join tokens, and the first administrator's
// one-time link.
//
// Secrets are shown once and stored as hashes only, in private kinds that the
// API never serves. A hash is bound to the UID of what it opens, so that a
// name used again never revives an old secret.
package access
