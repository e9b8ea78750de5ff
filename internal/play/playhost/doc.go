// Package playhost is the interpreter's hands on a machine: it runs modules
// for a play that is interpreted elsewhere.
//
// A session is one byte stream (an SSH channel, a pipe, a link session) with
// the host at one end and the interpreter at the other:
//
//	Client ── Run(request) ──────────────► Serve ──► module.Run
//	       ◄─ fetch(sha256) ── data … ───►        (content a module wants)
//	       ◄─ result ────────────────────
//
// The host begins with a line of magic, which lets the client skip what login
// scripts print, and a hello. Then both send frames: a length (uint32, big
// endian) and as many bytes of JSON. Each request has an id, so several may be
// in flight; content is asked for by its hash and kept for the session.
//
// A request for another user runs in a child session of that user, which the
// session starts once and relays to: root changes its credentials, others go
// through sudo, su or doas. Nothing outlives the stream: when it ends,
// running modules are cancelled, children end, kept content is gone.
package playhost
