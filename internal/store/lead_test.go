package store_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/store"
)

// One leads at a time; when it vanishes the other takes over, and what the
// old one still tries to write under its fence is refused.
func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := store.Memory()
		defer b.Close()
		var leading atomic.Int32
		var tokens []int64
		won := make(chan *store.Leader)
		campaign := func(who string) (*store.Store, context.CancelFunc, chan error) {
			s := store.New(b, kinds()...)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- s.Lead(ctx, "loops", who, func(ctx context.Context, l *store.Leader) error {
					if leading.Add(1) != 1 {
						t.Error("two lead at once")
					}
					defer leading.Add(-1)
					won <- l
					<-ctx.Done()
					return ctx.Err()
				})
			}()
			return s, cancel, done
		}
		s1, stop1, done1 := campaign("one")
		l1 := <-won
		s2, stop2, done2 := campaign("two")
		synctest.Wait()
		if who, err := s2.LeaderOf(t.Context(), "loops"); err != nil || who != "one" {
			t.Fatal(who, err)
		}
		things := store.TableOf[thing](s1, "thing")
		if err := s1.Commit(t.Context(), l1.Fence(), things.ToPut(newThing("by-one", 1))); err != nil {
			t.Fatal(err)
		}
		stop1()
		if err := <-done1; err != nil {
			t.Fatal(err)
		}
		l2 := <-won
		if tokens = append(tokens, l1.Token(), l2.Token()); tokens[1] <= tokens[0] {
			t.Fatalf("tokens %v do not grow", tokens)
		}
		err := s1.Commit(t.Context(), l1.Fence(), things.ToPut(newThing("by-one", 2)))
		if api.CodeOf(err) != api.CodeConflict {
			t.Fatalf("one that no longer leads: %v", err)
		}
		if o, err := things.Get(t.Context(), "by-one"); err != nil || o.Spec.N != 1 {
			t.Fatal("a fenced write was done", o, err)
		}
		stop2()
		if err := <-done2; err != nil {
			t.Fatal(err)
		}
		s1.Close()
		s2.Close()
	})
}

// A leader that fails ends the campaign with its error, and frees the office at once.
func TestLeadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := store.Memory()
		defer b.Close()
		s := store.New(b, kinds()...)
		defer s.Close()
		want := api.Errorf(api.CodeInternal, "cannot lead")
		start := time.Now()
		if err := s.Lead(t.Context(), "loops", "me", func(context.Context, *store.Leader) error { return want }); err != want {
			t.Fatal(err)
		}
		if who, err := s.LeaderOf(t.Context(), "loops"); who != "" || err != nil || time.Since(start) > time.Second {
			t.Fatal(who, err)
		}
	})
}
