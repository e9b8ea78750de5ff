package store

import (
	"context"

	"drover/api"
)

// MaxObject is the largest object, as JSON.
const MaxObject = 64 << 10

// Kind describes one kind of object.
type Kind struct {
	Name string            // lower case, singular: "host"
	New  func() api.Object // a new zero object
}

// Part is what a write takes from the object it is given; the rest is kept as stored.
type Part int

// The parts of an object.
const (
	All    Part = iota // labels, spec and status
	Spec               // labels and spec: what people and programs declare
	Status             // status only: what is found out
)

// Store is typed tables over one backend.
type Store struct {
}

// New makes a store of the given kinds. Close ends it.
func New(b Backend, kinds ...Kind) *Store { panic("unwritten") }

// Close ends the caches and all watches; the backend is the caller's.
func (s *Store) Close() {}

// Kinds are the names of all kinds, sorted.
func (s *Store) Kinds() []string { return nil }

// Kind gives untyped access to one kind, or CodeNotFound.
func (s *Store) Kind(name string) (*Untyped, error) { return nil, nil }

// Ready loads every kind's cache, so that the first reads are fast.
func (s *Store) Ready(ctx context.Context) error { return nil }

// Health is the backend's.
func (s *Store) Health(ctx context.Context) Health { return Health{} }

// Commit does all changes in one transaction, or none. Each object gets its
// new Meta (UID, Generation, Revision …) written into it.
func (s *Store) Commit(ctx context.Context, changes ...Change) error { return nil }

// Change is one write of a Commit, made by a table's ToPut, ToCreate, ToDelete or by Fence.
type Change struct{}

// EventType says what an event of a watch means.
type EventType string

// The events of a watch. A watch that starts from nothing, and one that fell
// too far behind, gets Resync, a Put for every object there is, then Synced:
// what it knew before and did not see between the two is gone.
const (
	EventPut    EventType = "put"
	EventDelete EventType = "delete"
	EventResync EventType = "resync"
	EventSynced EventType = "synced"
)

// Event is one event of a typed watch. Object is shared and must not be changed.
type Event[P any] struct {
	Type     EventType
	Name     string // of the object; empty for resync and synced
	Object   P      // nil for all but put
	Revision int64  // watch from here to go on after this event
}

// Table is typed access to one kind.
type Table[T any, P interface {
	*T
	api.Object
}] struct {
}

// TableOf gives the table of a kind; it panics if the kind is unknown or of
// another type, which is a mistake in the program.
func TableOf[T any, P interface {
	*T
	api.Object
}](s *Store, kind string) *Table[T, P] {
	panic("unwritten")
}

// Get reads one object: a copy, the caller's to change. CodeNotFound if there is none.
func (t *Table[T, P]) Get(ctx context.Context, name string) (P, error) { return nil, nil }

// List reads all objects by name, as copies, and the revision to watch from.
func (t *Table[T, P]) List(ctx context.Context) ([]P, int64, error) { return nil, 0, nil }

// Scan calls fn with every object by name, shared: fn must neither change nor keep it.
func (t *Table[T, P]) Scan(ctx context.Context, fn func(P) error) error { return nil }

// Create writes a new object; CodeExists if there is one of that name.
func (t *Table[T, P]) Create(ctx context.Context, o P) error { return nil }

// Put creates or replaces an object. If o carries a Revision, it must be the
// stored one, else CodeConflict. o gets its new Meta.
func (t *Table[T, P]) Put(ctx context.Context, o P) error { return nil }

// PutPart is Put of one part; All is Put.
func (t *Table[T, P]) PutPart(ctx context.Context, o P, part Part) error { return nil }

// Update reads, changes and writes an object, again if it changed meanwhile.
func (t *Table[T, P]) Update(ctx context.Context, name string, fn func(P) error) (P, error) {
	return nil, nil
}

// UpdateStatus is Update of the status only: what fn does to the rest is dropped.
func (t *Table[T, P]) UpdateStatus(ctx context.Context, name string, fn func(P) error) (P, error) {
	return nil, nil
}

// Delete removes an object; CodeNotFound if there is none.
func (t *Table[T, P]) Delete(ctx context.Context, name string) error { return nil }

// DeleteAt removes an object if it is still at that revision.
func (t *Table[T, P]) DeleteAt(ctx context.Context, name string, rev int64) error { return nil }

// PutMany puts many objects in few transactions. It is not atomic as a whole:
// on an error, some may be written.
func (t *Table[T, P]) PutMany(ctx context.Context, os []P) error { return nil }

// Watch delivers changes after revision from (0: everything there is first)
// until ctx or the store ends, then closes the channel.
func (t *Table[T, P]) Watch(ctx context.Context, from int64) <-chan Event[P] { return nil }

// ToPut, ToCreate and ToDelete are changes for Store.Commit.
func (t *Table[T, P]) ToPut(o P) Change                       { return Change{} }
func (t *Table[T, P]) ToCreate(o P) Change                    { return Change{} }
func (t *Table[T, P]) ToDelete(name string, rev int64) Change { return Change{} }

// Untyped is access to one kind by its objects' JSON, for the generic API.
type Untyped struct{}

// UntypedEvent is one event of an untyped watch.
type UntypedEvent = Event[api.Object]

// Get reads one object, a copy; its JSON is json.Marshal of it.
func (u *Untyped) Get(ctx context.Context, name string) (api.Object, error) { return nil, nil }

// List reads all objects by name (shared: not to be changed) and the revision to watch from.
func (u *Untyped) List(ctx context.Context) ([]api.Object, int64, error) { return nil, 0, nil }

// Decode reads an object's JSON: unknown fields, a wrong kind and trailing data are CodeInvalid.
func (u *Untyped) Decode(raw []byte) (api.Object, error) { return nil, nil }

// New is a new zero object of the kind.
func (u *Untyped) New() api.Object { return nil }

// Create writes a new object; CodeExists if there is one.
func (u *Untyped) Create(ctx context.Context, o api.Object, part Part) error { return nil }

// Put creates or replaces; a Revision in o must be the stored one. created tells which it was.
func (u *Untyped) Put(ctx context.Context, o api.Object, part Part) (created bool, err error) {
	return false, nil
}

// Delete removes an object, at that revision unless rev is 0.
func (u *Untyped) Delete(ctx context.Context, name string, rev int64) error { return nil }

// Watch is as for tables.
func (u *Untyped) Watch(ctx context.Context, from int64) <-chan UntypedEvent { return nil }

// Memory is a backend in this process's memory, for tests.
func Memory() Backend { return nil }

// Leader is a won election.
type Leader struct{}

// Lead campaigns for the named office, runs fn while holding it (ctx ends when
// it is lost), and campaigns again, until ctx ends. fn's writes are fenced by
// adding l.Fence() to their Commit.
func (s *Store) Lead(ctx context.Context, office, who string, fn func(ctx context.Context, l *Leader) error) error {
	return nil
}

// Fence makes a Commit fail with CodeConflict unless this leader still leads.
func (l *Leader) Fence() Change { return Change{} }

// Token grows with every election: the fencing token for writes elsewhere.
func (l *Leader) Token() int64 { return 0 }
