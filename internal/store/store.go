package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"drover/api"
)

// MaxObject is the largest object, in bytes of JSON.
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
	backend Backend
	caches  map[string]*cache // never changed after New

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes a store of the given kinds. Close ends it.
func New(b Backend, kinds ...Kind) *Store {
	s := &Store{backend: b, caches: make(map[string]*cache, len(kinds))}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, k := range kinds {
		if s.caches[k.Name] != nil {
			panic(fmt.Sprintf("store: kind %q is given twice", k.Name))
		}
		s.caches[k.Name] = newCache(s, k)
	}
	return s
}

// Close ends the caches and all watches; the backend is the caller's.
func (s *Store) Close() {
	s.cancel()
	for _, c := range s.caches {
		c.start.Do(func() {}) // none begins from here on
	}
	s.wg.Wait()
}

// Kinds are the names of all kinds, sorted.
func (s *Store) Kinds() []string { return slices.Sorted(maps.Keys(s.caches)) }

// Kind gives untyped access to one kind, or CodeNotFound.
func (s *Store) Kind(name string) (*Untyped, error) {
	c := s.caches[name]
	if c == nil {
		return nil, api.Errorf(api.CodeNotFound, "there is no kind %q", name)
	}
	return &Untyped{c}, nil
}

// Ready loads every kind's cache, so that the first reads are fast.
func (s *Store) Ready(ctx context.Context) error {
	for _, c := range s.caches {
		c.start.Do(func() { s.wg.Go(c.run) })
	}
	for _, c := range s.caches {
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Health is the backend's, with what the caches could not read.
func (s *Store) Health(ctx context.Context) Health {
	h := Health{Engine: "unknown"}
	if r, ok := s.backend.(Reporter); ok {
		h = r.Health(ctx)
	}
	for _, kind := range s.Kinds() {
		c := s.caches[kind]
		c.mu.RLock()
		for _, name := range slices.Sorted(maps.Keys(c.bad)) {
			h.Problems = append(h.Problems, fmt.Sprintf("the stored %s %q cannot be read: %s", kind, name, c.bad[name]))
		}
		if c.loadErr != nil {
			h.Problems = append(h.Problems, fmt.Sprintf("%s objects cannot be loaded: %v", kind, c.loadErr))
		}
		c.mu.RUnlock()
	}
	return h
}
