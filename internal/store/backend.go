package store

import (
	"context"
	"errors"
	"time"
)

// KV is one key as a backend keeps it.
type KV struct {
	Key    string
	Value  []byte
	Create int64 // revision that made the key
	Mod    int64 // revision that last wrote it
	Lease  int64 // lease it goes with, or 0
}

// Cond is a condition of a transaction on the revision of one key.
type Cond struct {
	Key string
	// Rev is the revision the key must have; 0 means that there is no such key.
	Rev int64
	// Created compares the revision that made the key instead of the one that
	// last wrote it: how a leader's writes are fenced.
	Created bool
}

// Op is one write of a transaction.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	Lease  int64 // a put goes away with this lease; 0 for none
}

// Batch is what a backend's watch delivers: all changes under the prefix by
// one or more whole revisions, in order. The last batch before the channel
// closes may carry an error.
type Batch struct {
	Events []KVEvent
	Rev    int64 // everything up to this revision was delivered
	// Err ends the watch: ErrCompacted asks for a new List.
	Err error
}

// KVEvent is one change of one key.
type KVEvent struct {
	Key    string
	Value  []byte // nil for a delete
	Delete bool
	Rev    int64
	Create int64
}

// ErrCompacted says that the revision asked for is no longer kept.
var ErrCompacted = errors.New("the revision asked for is no longer kept")

// Backend keeps bytes under keys in one linear history of revisions. Memory
// and package etcd are the two; storetest holds the suite that both pass.
type Backend interface {
	// Get reads one key and the store's revision; nil if there is none.
	Get(ctx context.Context, key string) (*KV, int64, error)
	// List reads all keys under a prefix, by name, at one revision.
	List(ctx context.Context, prefix string) ([]KV, int64, error)
	// Txn does all ops at one new revision if every condition holds; ok tells.
	Txn(ctx context.Context, conds []Cond, ops []Op) (rev int64, ok bool, err error)
	// Watch delivers every change under prefix after revision from, without
	// gaps, until ctx ends.
	Watch(ctx context.Context, prefix string, from int64) <-chan Batch
	// Lease makes a lease and keeps it alive until ctx ends or it is released.
	Lease(ctx context.Context, ttl time.Duration) (*Lease, error)
	// Close ends the backend; an embedded engine stops with all on disk.
	Close() error
}

// Lease ties keys to a living process.
type Lease struct {
	ID      int64
	Lost    <-chan struct{}             // closed when the lease can no longer be relied on
	Release func(context.Context) error // ends it and its keys at once
}

// Health is what an operator should know of a backend.
type Health struct {
	Engine   string   `json:"engine"` // "memory", "etcd (embedded)", "etcd (external)"
	Problems []string `json:"problems,omitempty"`
	Size     int64    `json:"size,omitempty"`  // bytes on disk
	Quota    int64    `json:"quota,omitempty"` // bytes
	Revision int64    `json:"revision"`
}

// Reporter is a backend that can tell its health.
type Reporter interface {
	Health(ctx context.Context) Health
}
