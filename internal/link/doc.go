// Package link is the line between the server and its agents.
//
// Agents dial out; nothing listens on a host. The line is gRPC over mutual TLS
// with JSON messages (the types of package api) and three methods:
//
//	Connect  one bidirectional stream a host: api.ToServer up, api.ToAgent down
//	Blob     a file by its SHA-256, from an offset, so that a fetch resumes
//	Renew    a certificate request answered with a new certificate
//
// The server's end is a Hub: who is connected, a bounded queue for each host,
// and callbacks to one Consumer. The host's end is a Dialer, which makes Conns,
// and Keep, which holds a Conn open for ever. Memory joins both ends without a
// network, and one conformance suite holds for both ways.
//
// Invariants:
//   - The host's name comes from its certificate, never from a message.
//   - A host has one connection: the newest. What was queued on the older one
//     moves over, so that nothing is lost and nothing is sent twice by the hub.
//   - Send never blocks and never drops silently: a full queue is an error, a
//     queued assignment is replaced by a newer one, and what could not be sent
//     before a host left is handed back in Consumer.Left.
//   - Calls to the Consumer about one host come one after the other; no message
//     of a host comes before its Joined or after its Left.
//   - A certificate that expired proves enough to renew it (within Grace, and if
//     the Renewer still knows the host), and nothing else. A host that was off
//     for a weekend comes back by itself.
package link
