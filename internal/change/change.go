// Package change holds the reconcile loop: keys that may need work are queued
// once each, reconciled one at a time per key, and tried again with jittered,
// growing delays when that fails.
package change

import (
	"context"
	"log/slog"
	"time"

	"drover/api"
	"drover/internal/store"
)

// Source calls enqueue with the keys that a change touches, until ctx ends.
type Source func(ctx context.Context, enqueue func(keys ...string)) error

// Loop is one reconcile loop.
type Loop struct {
	Name    string
	Sources []Source
	// Reconcile brings what key names to where it should be. It is called
	// again after an error, and whenever the key is queued; never twice at once for one key.
	Reconcile func(ctx context.Context, key string) error
	Workers   int           // keys at once; 1 if 0
	MinDelay  time.Duration // before the first retry; 100 ms if 0
	MaxDelay  time.Duration // between retries; 1 min if 0
	Timeout   time.Duration // of one Reconcile; 1 min if 0
	Log       *slog.Logger
	Hooks     Hooks
}

// Hooks are called for metrics; each may be nil.
type Hooks struct {
	Queued func(loop string, depth int)
	Done   func(loop, key string, took time.Duration, err error)
}

// Run runs the loop until ctx ends; it returns nil then, when all workers have stopped.
func (l *Loop) Run(ctx context.Context) error { return nil }

// After, returned (or wrapped) by Reconcile, asks to be called again then; it is no failure.
type After struct{ Delay time.Duration }

func (a After) Error() string { return "again in " + a.Delay.String() }

// Watch is the source of one table: keys maps each object put or deleted to
// the keys it touches. After a resync every object is mapped again.
func Watch[T any, P interface {
	*T
	api.Object
}](t *store.Table[T, P], keys func(e store.Event[P]) []string) Source {
	return nil
}

// ByName is the usual keys function: the object's own name.
func ByName[P any](e store.Event[P]) []string { return []string{e.Name} }

// Every enqueues keys at each interval, the first time at once.
func Every(d time.Duration, keys func(ctx context.Context) []string) Source { return nil }
