// Package change holds the reconcile loop: keys that may need work are queued
// once each, reconciled one at a time per key, and tried again with jittered,
// growing delays when that fails.
package change

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"drover/api"
	"drover/internal/store"
)

// Source calls enqueue with the keys that may need work, until ctx ends. An
// error, or an early return, starts it again after a while.
type Source func(ctx context.Context, enqueue func(keys ...string)) error

// Loop is one reconcile loop.
type Loop struct {
	Name    string
	Sources []Source
	// Reconcile brings what key names to where it should be. It is called
	// again after an error, and whenever the key is queued; never twice at
	// once for one key. It looks at the state itself: key says where, not what.
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

// After, returned (or wrapped) by Reconcile, asks to be called again then; it is no failure.
type After struct{ Delay time.Duration }

// Error implements error.
func (a After) Error() string { return "again in " + a.Delay.String() }

// Run runs the loop until ctx ends. It returns nil then, when all its
// workers and sources have ended.
func (l *Loop) Run(ctx context.Context) error {
	if l.Reconcile == nil {
		return fmt.Errorf("cannot run the loop %q: it has no Reconcile", l.Name)
	}
	r := &runner{Loop: *l, queue: newQueue(), failures: map[string]int{}}
	r.Workers = max(r.Workers, 1)
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&r.MinDelay, 100 * time.Millisecond}, {&r.MaxDelay, time.Minute}, {&r.Timeout, time.Minute}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	r.Log = r.Log.With("loop", l.Name)
	var wg sync.WaitGroup
	for _, s := range r.Sources {
		wg.Go(func() { r.feed(ctx, s) })
	}
	for range r.Workers {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Wait()
	r.queue.close()
	return nil
}

// runner is a Loop that runs.
type runner struct {
	Loop
	queue *queue

	mu       sync.Mutex
	failures map[string]int // in a row, by key
}

func (r *runner) enqueue(keys ...string) {
	r.queue.add(keys...)
	if r.Hooks.Queued != nil {
		r.Hooks.Queued(r.Name, r.queue.depth())
	}
}

// feed runs one source, again when it ends early.
func (r *runner) feed(ctx context.Context, s Source) {
	for fails := 0; ctx.Err() == nil; fails++ {
		start := time.Now()
		err := guard(func() error { return s(ctx, r.enqueue) })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.Log.Warn("a source of keys failed; it is started again", "err", err)
		}
		if time.Since(start) > r.MaxDelay {
			fails = 0
		}
		sleep(ctx, r.delay(fails))
	}
}

func (r *runner) work(ctx context.Context) {
	for {
		key, ok := r.queue.take(ctx)
		if !ok {
			return
		}
		start := time.Now()
		kctx, cancel := context.WithTimeout(ctx, r.Timeout)
		err := guard(func() error { return r.Reconcile(kctx, key) })
		cancel()
		if ctx.Err() != nil && err != nil {
			err = nil // it was told to stop: no failure
		}
		var after After
		if again := errors.As(err, &after); again {
			err = nil
		}
		r.settle(key, err, after.Delay)
		r.queue.done(key)
		if r.Hooks.Done != nil {
			r.Hooks.Done(r.Name, key, time.Since(start), err)
		}
		if r.Hooks.Queued != nil {
			r.Hooks.Queued(r.Name, r.queue.depth())
		}
	}
}

// settle plans the next try of a key.
func (r *runner) settle(key string, err error, after time.Duration) {
	r.mu.Lock()
	n := r.failures[key]
	if err == nil {
		delete(r.failures, key)
	} else {
		r.failures[key] = n + 1
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		d := r.delay(n)
		level := slog.LevelWarn
		if api.CodeOf(err) == api.CodeConflict { // usual when others write too
			level = slog.LevelDebug
		}
		r.Log.Log(context.Background(), level, "cannot reconcile; it is tried again", "key", key, "try", n+1, "in", d, "err", err)
		r.queue.addAfter(key, d)
	case after > 0:
		r.queue.addAfter(key, after)
	}
}

// delay doubles with each failure up to MaxDelay; jitter takes off up to a half.
func (r *runner) delay(failures int) time.Duration {
	d := r.MaxDelay
	if failures < 30 {
		d = min(d, r.MinDelay<<failures)
	}
	return d/2 + rand.N(d/2+1)
}

// guard turns a panic into an error: one bad key must not end the server.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Watch is the source of one table: keys maps each object put or deleted to
// the keys it touches. Objects that went while the watch could not see it are
// given as deletes after a resync.
func Watch[T any, P interface {
	*T
	api.Object
}](t *store.Table[T, P], keys func(e store.Event[P]) []string) Source {
	return func(ctx context.Context, enqueue func(...string)) error {
		known := map[string]bool{}
		var fresh map[string]bool // during a resync
		for e := range t.Watch(ctx, 0) {
			switch e.Type {
			case store.EventResync:
				fresh = map[string]bool{}
				continue
			case store.EventSynced:
				for name := range known {
					if !fresh[name] {
						enqueue(keys(store.Event[P]{Type: store.EventDelete, Name: name, Revision: e.Revision})...)
					}
				}
				known, fresh = fresh, nil
				continue
			case store.EventPut:
				known[e.Name] = true
				if fresh != nil {
					fresh[e.Name] = true
				}
			case store.EventDelete:
				delete(known, e.Name)
			}
			enqueue(keys(e)...)
		}
		if ctx.Err() == nil {
			return errors.New("the watch ended")
		}
		return nil
	}
}

// ByName is the usual keys function: the object's own name.
func ByName[P any](e store.Event[P]) []string { return []string{e.Name} }

// Every enqueues keys at once and then at each interval.
func Every(d time.Duration, keys func(ctx context.Context) []string) Source {
	return func(ctx context.Context, enqueue func(...string)) error {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			enqueue(keys(ctx)...)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
