package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/api"
)

// The history that watchers read is bounded by both.
const (
	historyEvents = 4096
	historyBytes  = 4 << 20
)

// entry is one object as the cache knows it; obj is nil for one that is gone.
// obj is shared and never changed.
type entry struct {
	obj api.Object
	rev int64
	sum uint64 // of its stored form
}

// change is one event of the shared history.
type change struct {
	name   string
	obj    api.Object // nil for a delete
	rev    int64      // revision of the write
	resume int64      // watch from here to go on after this event
	size   int
}

// cache holds all objects of one kind, fed by one watch on the backend.
type cache struct {
	*schema
	store *Store

	start sync.Once
	ready chan struct{} // closed when loaded

	mu sync.RWMutex
	// confirmed is the state at revision rev, as the backend's watch delivered
	// it; ahead holds what this process wrote or read past that, so that it
	// reads its own writes.
	confirmed map[string]entry
	ahead     map[string]entry
	rev       int64
	written   int64             // the newest revision that this process wrote
	bad       map[string]string // stored objects that cannot be read, and why
	loadErr   error             // why loading is late

	// The history: events[0] has the number first; everything later than
	// base is in it.
	events  []change
	first   int64
	base    int64
	bytes   int
	changed chan struct{} // closed at the next event

	turns [64]chan struct{} // Updates of one name in this process take turns
}

func newCache(s *Store, k Kind) *cache {
	c := &cache{schema: newSchema(k), store: s, ready: make(chan struct{}), changed: make(chan struct{}),
		confirmed: map[string]entry{}, ahead: map[string]entry{}, bad: map[string]string{}}
	for i := range c.turns {
		c.turns[i] = make(chan struct{}, 1)
	}
	return c
}

// wait starts the cache if need be and returns when it is loaded.
func (c *cache) wait(ctx context.Context) error {
	c.start.Do(func() { c.store.wg.Go(c.run) })
	select {
	case <-c.ready:
	case <-ctx.Done():
	case <-c.store.ctx.Done():
	}
	if c.store.ctx.Err() != nil {
		return errClosed()
	}
	select {
	case <-c.ready:
		return nil
	default:
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.loadErr != nil {
		return api.Errorf(api.CodeUnavailable, "cannot read %s objects: %v", c.name, c.loadErr).WithRemedy("the server keeps trying; see its log")
	}
	return ctx.Err()
}

func errClosed() error {
	return api.Errorf(api.CodeUnavailable, "cannot use the store: it is closed")
}

// run loads the kind and follows the backend until the store is closed.
func (c *cache) run() {
	ctx, loaded := c.store.ctx, false
	for delay := time.Duration(0); ctx.Err() == nil; delay = min(2*delay+10*time.Millisecond, 2*time.Second) {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
		if !loaded {
			kvs, rev, err := c.store.backend.List(ctx, c.prefix())
			c.mu.Lock()
			c.loadErr = err
			if err == nil {
				c.reload(kvs, rev)
			}
			c.mu.Unlock()
			if err != nil {
				continue
			}
			loaded = true
			select {
			case <-c.ready:
			default:
				close(c.ready)
			}
		}
		wctx, cancel := context.WithCancel(ctx)
		for b := range c.store.backend.Watch(wctx, c.prefix(), c.rev) { // only this goroutine writes rev
			if b.Err == ErrCompacted {
				loaded = false
			}
			if b.Err == nil {
				delay = 0
				c.apply(b)
			}
		}
		cancel()
	}
}

// reload takes the backend's whole state and works out what changed. The caller holds mu.
func (c *cache) reload(kvs []KV, rev int64) {
	had := c.confirmed
	c.confirmed = make(map[string]entry, len(kvs))
	c.bad = map[string]string{}
	var evs []KVEvent
	for _, kv := range kvs {
		name := strings.TrimPrefix(kv.Key, c.prefix())
		if old, ok := had[name]; ok && old.rev == kv.Mod {
			c.confirmed[name] = old
			continue
		}
		evs = append(evs, KVEvent{Key: kv.Key, Value: kv.Value, Rev: kv.Mod, Create: kv.Create})
	}
	if c.rev == 0 { // the first load is no change
		for _, e := range evs {
			c.confirm(e)
		}
		c.rev, c.base = rev, rev
		return
	}
	listed := make(map[string]bool, len(kvs))
	for _, kv := range kvs {
		listed[strings.TrimPrefix(kv.Key, c.prefix())] = true
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		if !listed[name] {
			c.confirmed[name] = had[name] // until the event takes it out
			evs = append(evs, KVEvent{Key: c.key(name), Delete: true, Rev: rev})
		}
	}
	slices.SortStableFunc(evs, func(a, b KVEvent) int { return int(a.Rev - b.Rev) })
	c.applyLocked(Batch{Events: evs, Rev: rev})
}

func (c *cache) apply(b Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applyLocked(b)
}

func (c *cache) applyLocked(b Batch) {
	for i, e := range b.Events {
		ch, ok := c.confirm(e)
		if !ok {
			continue
		}
		ch.resume = e.Rev
		if i+1 < len(b.Events) && b.Events[i+1].Rev == e.Rev {
			ch.resume-- // the rest of this revision is still to come
		}
		c.events = append(c.events, ch)
		c.bytes += ch.size
	}
	for len(c.events) > historyEvents || c.bytes > historyBytes && len(c.events) > 1 {
		c.base = c.events[0].rev
		c.bytes -= c.events[0].size
		c.events[0] = change{}
		c.events = c.events[1:]
		c.first++
	}
	c.rev = max(c.rev, b.Rev)
	maps.DeleteFunc(c.ahead, func(_ string, e entry) bool { return e.rev <= c.rev })
	close(c.changed)
	c.changed = make(chan struct{})
}

// confirm takes one event into the confirmed state.
func (c *cache) confirm(e KVEvent) (change, bool) {
	name := strings.TrimPrefix(e.Key, c.prefix())
	delete(c.bad, name)
	if e.Delete {
		_, had := c.confirmed[name]
		delete(c.confirmed, name)
		return change{name: name, rev: e.Rev}, had
	}
	// What this process wrote was decoded when it was written.
	if a, ok := c.ahead[name]; ok && a.rev == e.Rev && a.obj != nil {
		c.confirmed[name] = a
		return change{name: name, obj: a.obj, rev: e.Rev, size: len(e.Value)}, true
	}
	o, err := c.decode(e.Value, e.Rev)
	if err != nil {
		c.bad[name] = err.Error()
		_, had := c.confirmed[name]
		delete(c.confirmed, name)
		return change{name: name, rev: e.Rev}, had
	}
	c.confirmed[name] = entry{o, e.Rev, sumOf(e.Value)}
	return change{name: name, obj: o, rev: e.Rev, size: len(e.Value)}, true
}

// learn takes what a write or a direct read told, if it is news.
func (c *cache) learn(name string, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.rev > c.rev && e.rev > c.ahead[name].rev {
		c.ahead[name] = e
	}
}

func (c *cache) wrote(rev int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = max(c.written, rev)
}

// caughtUp waits until the backend's watch has delivered what this process
// wrote before, so that a watch begins with it.
func (c *cache) caughtUp(ctx context.Context) {
	c.mu.RLock()
	want := c.written
	c.mu.RUnlock()
	for {
		c.mu.RLock()
		changed, rev := c.changed, c.rev
		c.mu.RUnlock()
		if rev >= want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-c.store.ctx.Done():
			return
		}
	}
}

// get gives the newest known entry; obj is nil if there is none.
func (c *cache) get(name string) entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if a, ok := c.ahead[name]; ok {
		return a
	}
	return c.confirmed[name]
}

// list gives the newest known objects by name, shared, and the revision to watch from.
func (c *cache) list() ([]api.Object, int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]api.Object, 0, len(c.confirmed)+len(c.ahead))
	for name, e := range c.confirmed {
		if _, newer := c.ahead[name]; !newer {
			out = append(out, e.obj)
		}
	}
	for _, e := range c.ahead {
		if e.obj != nil {
			out = append(out, e.obj)
		}
	}
	slices.SortFunc(out, byName)
	return out, c.rev
}

func byName(a, b api.Object) int { return strings.Compare(a.Metadata().Name, b.Metadata().Name) }

// refresh reads one object straight from the backend.
func (c *cache) refresh(ctx context.Context, name string) error {
	kv, rev, err := c.store.backend.Get(ctx, c.key(name))
	if err != nil {
		return err
	}
	if kv == nil {
		c.learn(name, entry{rev: rev})
		return nil
	}
	o, err := c.decode(kv.Value, kv.Mod)
	if err != nil {
		return fmt.Errorf("cannot read the stored %s %q: %w", c.schema.name, name, err)
	}
	c.learn(name, entry{o, kv.Mod, sumOf(kv.Value)})
	return nil
}

// watch sends events after revision from until ctx or the store ends, or send refuses.
func (c *cache) watch(ctx context.Context, from int64, send func(change, EventType) bool) {
	if c.wait(ctx) != nil {
		return
	}
	if from == 0 {
		c.caughtUp(ctx)
	}
	c.mu.RLock()
	next := c.first
	resync := from < c.base
	c.mu.RUnlock()
	for ctx.Err() == nil && c.store.ctx.Err() == nil {
		c.mu.RLock()
		changed, rev := c.changed, c.rev
		var batch []change
		var all []api.Object
		if resync = resync || next < c.first; resync {
			for _, e := range c.confirmed {
				all = append(all, e.obj)
			}
			next = c.first + int64(len(c.events))
		} else {
			i := int(next - c.first)
			batch = slices.Clone(c.events[i:min(i+64, len(c.events))])
			next += int64(len(batch))
		}
		c.mu.RUnlock()
		if resync {
			resync, from = false, rev
			slices.SortFunc(all, byName)
			if !send(change{}, EventResync) {
				return
			}
			for _, o := range all {
				if !send(change{name: o.Metadata().Name, obj: o}, EventPut) {
					return
				}
			}
			if !send(change{resume: rev}, EventSynced) {
				return
			}
			continue
		}
		for _, ch := range batch {
			t := EventPut
			if ch.obj == nil {
				t = EventDelete
			}
			if ch.rev > from && !send(ch, t) {
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-c.store.ctx.Done():
		}
	}
}
