// Package store keeps Drover's state: typed tables of api objects over a
// Backend of bytes (Memory, or etcd in package store/etcd).
//
// Each kind has one watch on the backend that feeds a cache in this process.
// Get and List are answered from that cache; a write through the same Store is
// seen by the next read. A write that carries a Revision other than the stored
// one is refused with CodeConflict. Watchers read one shared, bounded history:
// a slow one is told to resync and never holds up the others.
//
// Objects are at most MaxObject bytes of JSON; larger content belongs in blobs.
package store
