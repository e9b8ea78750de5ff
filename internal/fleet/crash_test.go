package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"drover/api"
	"drover/internal/fleet"
	"drover/internal/store"
)

// dying is a backend that takes so many writes and then none: what the store
// sees of a server that is killed at that moment.
type dying struct {
	store.Backend
	mu   sync.Mutex
	left int
	dead chan struct{}
}

var errDead = errors.New("killed here")

func (d *dying) Txn(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		select {
		case <-d.dead:
		default:
			close(d.dead)
		}
		return 0, false, errDead
	}
	if d.left > 0 {
		d.left--
	}
	return d.Backend.Txn(ctx, conds, ops)
}

func (d *dying) Close() error { return nil }

// slow is a backend that writes nothing about hosts while it is held.
type slow struct {
	store.Backend
	held sync.RWMutex
}

func (s *slow) Txn(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	if slices.ContainsFunc(ops, func(o store.Op) bool { return strings.HasPrefix(o.Key, "o/host/") }) {
		s.held.RLock()
		defer s.held.RUnlock()
	}
	return s.Backend.Txn(ctx, conds, ops)
}

func (s *slow) Close() error { return nil }

func (s *slow) hold() (release func()) {
	s.held.Lock()
	return sync.OnceFunc(s.held.Unlock)
}

// slow starts the server again over such a backend.
func (w *world) slow() *slow {
	w.Helper()
	s := &slow{}
	w.wrap = func(b store.Backend) store.Backend {
		s.Backend = b
		return s
	}
	w.restart()
	return s
}

// TestAServerKilledAnywhereInAPushEndsConverged cuts the writes of a push off
// after each one in turn. Git has accepted the push by then; the next start
// finishes what it said.
func TestAServerKilledAnywhereInAPushEndsConverged(t *testing.T) {
	for writes := 0; ; writes++ {
		done := false
		t.Run(fmt.Sprintf("after %d writes", writes), func(t *testing.T) {
			var d *dying
			w := newWorld(t, fleet.Options{})
			w.wrap = func(b store.Backend) store.Backend {
				d = &dying{Backend: b, left: -1, dead: make(chan struct{})}
				return d
			}
			w.restart()
			w.add("a", "b")
			w.commit("first", "inventory", "a\nb\n", "site.yml", "one\n")
			w.pushed()
			w.until("the first is assigned", func() bool { return w.host("b").Status.Assigned != "" })
			second := w.commit("second", "site.yml", "two\n")
			d.mu.Lock()
			d.left = writes
			d.mu.Unlock()
			over := make(chan struct{})
			go func() { // ends when the server answers or is gone
				defer close(over)
				_, _ = w.push(w.token, "main")
			}()
			select {
			case <-d.dead:
			case <-over:
				// The push was through with fewer writes: this was the last round.
				select {
				case <-d.dead:
				default:
					done = true
				}
			}
			w.stop()
			<-over
			w.start()
			w.until("all is as the push said", func() bool {
				return w.host("a").Status.Assigned == second && w.host("b").Status.Assigned == second
			})
			revisions := map[string]bool{}
			w.until("the revision is active", func() bool {
				var list struct{ Items []api.Revision }
				if err := w.call(w.token, "GET", "/v1/revisions", nil, &list); err != nil {
					t.Fatal(err)
				}
				for _, r := range list.Items {
					revisions[r.Name] = r.Status.Active
				}
				return revisions[second]
			})
			if len(revisions) != 2 {
				t.Errorf("revisions: %v", revisions)
			}
			for _, n := range []string{"a", "b"} {
				as := &api.Assignment{}
				if err := w.call(w.token, "GET", "/v1/assignments/"+n, nil, as); err != nil || as.Spec.Commit != second {
					t.Errorf("%s: %+v, %v", n, as, err)
				}
				if sha := as.Spec.Sections[0].Blobs[0]; !w.srv.Services().Blobs.Has(sha) {
					t.Errorf("the bundle of %s is not there", n)
				}
			}
			w.until("it is told once", func() bool { return len(w.events("revision.accepted")) == 2 })
		})
		if done || t.Failed() {
			if writes < 3 {
				t.Errorf("a push has %d writes only: the test cuts nothing off", writes)
			}
			return
		}
	}
}

// TestAHostEnrolledJustBeforeAKill finds its assignment made at the next start.
func TestAHostEnrolledJustBeforeAKill(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	first := w.commit("first", "inventory", "a\nlate\n", "site.yml", "one\n")
	w.pushed()
	w.stop()
	// The host is in the store, its assignment is not: as after a kill
	// between the two.
	s := store.New(w.backend, fleet.Kinds()...)
	if err := store.TableOf[api.Host](s, "host").Create(t.Context(), &api.Host{Meta: api.Meta{Kind: "host", Name: "late"}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	w.start()
	w.until("it is assigned", func() bool { return w.host("late").Status.Assigned == first })
}
