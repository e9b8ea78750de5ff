package store

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"drover/api"
)

// EventType says what an event of a watch means.
type EventType string

// The events of a watch. A watch that starts from nothing, and one that fell
// too far behind, gets Resync, a Put for every object there is, then Synced:
// what it knew before and did not see between the two is gone. An event may
// come again; the last one of a name is always the newest.
const (
	EventPut    EventType = "put"
	EventDelete EventType = "delete"
	EventResync EventType = "resync"
	EventSynced EventType = "synced"
)

// Event is one event of a watch.
type Event[P any] struct {
	Type   EventType
	Name   string // of the object; empty for resync and synced
	Object P      // nil for all but put
	// Revision to watch from to go on after this event; 0 between resync and synced.
	Revision int64
}

// Table is typed access to one kind.
type Table[T any, P interface {
	*T
	api.Object
}] struct {
	c *cache
}

// TableOf gives the table of a kind. It panics if the kind is unknown or of
// another type, which is a mistake in the program.
func TableOf[T any, P interface {
	*T
	api.Object
}](s *Store, kind string) *Table[T, P] {
	c := s.caches[kind]
	if c == nil {
		panic(fmt.Sprintf("store: there is no kind %q", kind))
	}
	if _, ok := c.new().(P); !ok {
		panic(fmt.Sprintf("store: kind %q holds %s, not %T", kind, c.typ, *new(T)))
	}
	return &Table[T, P]{c}
}

// Get reads one object: a copy, the caller's to change. CodeNotFound if there is none.
func (t *Table[T, P]) Get(ctx context.Context, name string) (P, error) {
	o, err := t.c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	return cloneObject(o).(P), nil
}

// read gives one object, shared.
func (c *cache) read(ctx context.Context, name string) (api.Object, error) {
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	if e := c.get(name); e.obj != nil {
		return e.obj, nil
	}
	return nil, notFound(c.name, name)
}

// List reads all objects by name, as copies, and the revision to watch from.
func (t *Table[T, P]) List(ctx context.Context) ([]P, int64, error) {
	if err := t.c.wait(ctx); err != nil {
		return nil, 0, err
	}
	all, rev := t.c.list()
	out := make([]P, len(all))
	for i, o := range all {
		out[i] = cloneObject(o).(P)
	}
	return out, rev, nil
}

// Peek is Get without the copy: what it gives is shared and must not be changed.
func (t *Table[T, P]) Peek(ctx context.Context, name string) (P, error) {
	o, err := t.c.read(ctx, name)
	if err != nil {
		return nil, err
	}
	return o.(P), nil
}

// Shared is List without the copies: what it gives must not be changed.
func (t *Table[T, P]) Shared(ctx context.Context) ([]P, error) {
	if err := t.c.wait(ctx); err != nil {
		return nil, err
	}
	all, _ := t.c.list()
	out := make([]P, len(all))
	for i, o := range all {
		out[i] = o.(P)
	}
	return out, nil
}

// Scan calls fn with every object by name, shared: fn must neither change nor
// keep it. For large kinds it costs far less than List.
func (t *Table[T, P]) Scan(ctx context.Context, fn func(P) error) error {
	if err := t.c.wait(ctx); err != nil {
		return err
	}
	all, _ := t.c.list()
	for _, o := range all {
		if err := fn(o.(P)); err != nil {
			return err
		}
	}
	return nil
}

// Create writes a new object; CodeExists if there is one of that name.
func (t *Table[T, P]) Create(ctx context.Context, o P) error {
	return t.c.store.Commit(ctx, t.ToCreate(o))
}

// Put creates or replaces an object. If o carries a Revision, it must be the
// stored one, else CodeConflict. o gets its new Meta. What is stored like
// this already is not written again and keeps its Revision.
func (t *Table[T, P]) Put(ctx context.Context, o P) error {
	return t.c.store.Commit(ctx, t.ToPut(o))
}

// PutPart is Put of one part; o becomes the whole stored object. A Status
// alone cannot make an object: CodeNotFound.
func (t *Table[T, P]) PutPart(ctx context.Context, o P, part Part) error {
	return t.c.store.Commit(ctx, t.ToPutPart(o, part))
}

// Update reads, changes and writes an object, again if it changed meanwhile;
// fn may run more than once. An error of fn ends it.
func (t *Table[T, P]) Update(ctx context.Context, name string, fn func(P) error) (P, error) {
	return t.update(ctx, name, All, fn)
}

// UpdateStatus is Update of the status only: what fn does to the rest is dropped.
func (t *Table[T, P]) UpdateStatus(ctx context.Context, name string, fn func(P) error) (P, error) {
	return t.update(ctx, name, Status, fn)
}

func (t *Table[T, P]) update(ctx context.Context, name string, part Part, fn func(P) error) (P, error) {
	defer t.c.turn(ctx, name)()
	for try := 0; ; try++ {
		o, err := t.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		rev := o.Metadata().Revision
		if err := fn(o); err != nil {
			return nil, err
		}
		o.Metadata().Name, o.Metadata().Revision = name, rev
		// A Commit that finds a conflict has refreshed the cache.
		err = t.PutPart(ctx, o, part)
		if err == nil {
			return o, nil
		}
		if api.CodeOf(err) != api.CodeConflict || try == updateTries || ctx.Err() != nil {
			return nil, err
		}
		// Another server was faster. Resting for a random while lets each of
		// many through in the end.
		rest := time.NewTimer(rand.N(time.Millisecond << min(try, 6)))
		select {
		case <-ctx.Done():
			rest.Stop()
			return nil, err
		case <-rest.C:
		}
	}
}

// updateTries bounds how often an update meets a conflict before it gives up:
// several seconds of other servers being faster every time.
const updateTries = 100

var turnSeed = maphash.MakeSeed()

// turn waits a while for the others that update this name, which saves
// conflicts. It is not what makes writes safe: whoever waits too long, as an
// update within another one would, goes on.
func (c *cache) turn(ctx context.Context, name string) (done func()) {
	turn := c.turns[maphash.String(turnSeed, name)%uint64(len(c.turns))]
	limit := time.NewTimer(2 * time.Second)
	defer limit.Stop()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }
	case <-limit.C:
	case <-ctx.Done():
	}
	return func() {}
}

// Delete removes an object; CodeNotFound if there is none.
func (t *Table[T, P]) Delete(ctx context.Context, name string) error {
	return t.DeleteAt(ctx, name, 0)
}

// DeleteAt removes an object if it is still at that revision.
func (t *Table[T, P]) DeleteAt(ctx context.Context, name string, rev int64) error {
	return t.c.store.Commit(ctx, t.ToDelete(name, rev))
}

// PutMany puts many objects in few transactions. It is not atomic as a whole:
// on an error, some may be written.
func (t *Table[T, P]) PutMany(ctx context.Context, os []P) error {
	changes := make([]Change, len(os))
	for i, o := range os {
		changes[i] = t.ToPut(o)
	}
	return t.c.store.putMany(ctx, changes)
}

// Watch delivers changes after revision from (0: everything there is, first)
// until ctx or the store ends, then closes the channel. A slow reader holds
// up nobody: it gets a resync.
func (t *Table[T, P]) Watch(ctx context.Context, from int64) <-chan Event[P] {
	return watchChan(ctx, t.c, from, func(o api.Object) P { return cloneObject(o).(P) })
}

func watchChan[P any](ctx context.Context, c *cache, from int64, convert func(api.Object) P) <-chan Event[P] {
	out := make(chan Event[P], 16)
	go func() { // ends with ctx or the store
		defer close(out)
		c.watch(ctx, from, func(ch change, t EventType) bool {
			e := Event[P]{Type: t, Name: ch.name, Revision: ch.resume}
			if ch.obj != nil {
				e.Object = convert(ch.obj)
			}
			select {
			case out <- e:
				return true
			case <-ctx.Done():
			case <-c.store.ctx.Done():
			}
			return false
		})
	}()
	return out
}

// ToPut is a Put for Store.Commit.
func (t *Table[T, P]) ToPut(o P) Change { return t.ToPutPart(o, All) }

// ToPutPart is a PutPart for Store.Commit.
func (t *Table[T, P]) ToPutPart(o P, part Part) Change {
	return Change{cache: t.c, act: actPut, part: part, obj: o, name: o.Metadata().Name}
}

// ToCreate is a Create for Store.Commit.
func (t *Table[T, P]) ToCreate(o P) Change {
	return Change{cache: t.c, act: actCreate, obj: o, name: o.Metadata().Name, uid: o.Metadata().UID}
}

// ToDelete is a DeleteAt for Store.Commit; any revision if rev is 0.
func (t *Table[T, P]) ToDelete(name string, rev int64) Change {
	return Change{cache: t.c, act: actDelete, name: name, rev: rev}
}
