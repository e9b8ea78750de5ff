// Package agent is the process on every host: it keeps what the host should be
// on disk, brings the host there, and tells the server what it did.
//
// The flow: the line hands in an assignment → its blobs are fetched and
// verified → it is written to disk and acknowledged → each section's executor
// brings the host there → a report goes to the spool on disk → the line sends
// it until the server has acknowledged it.
//
// The state folder, all of it written in one step and flushed to the disk:
//
//	identity.json    key, certificate, roots, who the servers are
//	assignment.json  what the host should be; its blobs are all in blobs/
//	blobs/           files by their SHA-256
//	spool/           reports that no server has acknowledged, in order
//	jobs.log         jobs that were started, and how they ended
//	bin/, update.json  the programs to run, and an update under way
//
// Invariants:
//   - One converge at a time; the newest assignment is the one that counts.
//   - An assignment is acknowledged when it and its blobs are on disk, so the
//     host can go on alone with what it acknowledged.
//   - Reports arrive in order, each at least once; the server takes an ID once.
//   - A job ID is started at most once, whatever is killed when.
//   - A new binary that does not reach a server is put back by the old one.
package agent
