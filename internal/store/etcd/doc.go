// Package etcd is the store's durable backend: an etcd member embedded in this
// process, or a client of a cluster run elsewhere. It alone links etcd.
//
// The embedded member listens nowhere unless asked to: the client runs in
// process. Its folder is locked, so a second server on it gets a clear error.
// When the disk is nearly full, writes are refused with CodeUnavailable before
// the engine would fail; if the engine does fail, Failed is closed, every call
// returns CodeUnavailable, and the process should end: what was acknowledged is on disk.
package etcd
