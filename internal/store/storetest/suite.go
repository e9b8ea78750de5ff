// Package storetest holds the suite that every store.Backend passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/internal/store"
)

// compactor is a backend whose history can be cut on purpose.
type compactor interface {
	Compact(ctx context.Context, rev int64) error
}

// Run runs the suite; open gives a new empty backend that the test's cleanup closes.
func Run(t *testing.T, open func(t *testing.T) store.Backend) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, b store.Backend)
	}{
		{"revisions", revisions},
		{"conditions", conditions},
		{"atomic", atomic},
		{"list", list},
		{"watch without gaps", watch},
		{"watch of one prefix", watchPrefix},
		{"compaction", compaction},
		{"lease released", leaseReleased},
		{"lease expires", leaseExpires},
		{"concurrent writers", concurrent},
		{"closed", closed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func put(t *testing.T, b store.Backend, key, value string) int64 {
	t.Helper()
	rev, ok, err := b.Txn(t.Context(), nil, []store.Op{{Key: key, Value: []byte(value)}})
	if err != nil || !ok {
		t.Fatalf("put %s: ok %v, err %v", key, ok, err)
	}
	return rev
}

func get(t *testing.T, b store.Backend, key string) *store.KV {
	t.Helper()
	kv, _, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func revisions(t *testing.T, b store.Backend) {
	if kv := get(t, b, "a"); kv != nil {
		t.Fatalf("an empty store has %v", kv)
	}
	r1 := put(t, b, "a", "1")
	r2 := put(t, b, "a", "2")
	if r2 <= r1 {
		t.Fatalf("revisions %d, %d do not grow", r1, r2)
	}
	kv := get(t, b, "a")
	if kv == nil || string(kv.Value) != "2" || kv.Create != r1 || kv.Mod != r2 {
		t.Fatalf("got %+v; want value 2, created at %d, changed at %d", kv, r1, r2)
	}
	if _, ok, err := b.Txn(t.Context(), nil, []store.Op{{Key: "a", Delete: true}}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if kv := get(t, b, "a"); kv != nil {
		t.Fatalf("deleted, but there is %v", kv)
	}
	r4 := put(t, b, "a", "4")
	if kv := get(t, b, "a"); kv.Create != r4 {
		t.Fatalf("made anew at %d, but says %d", r4, kv.Create)
	}
	before, ok, err := b.Txn(t.Context(), nil, []store.Op{{Key: "none", Delete: true}})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if after := put(t, b, "b", "1"); after != before+1 {
		t.Fatalf("revision %d after %d", after, before)
	}
}

func conditions(t *testing.T, b store.Backend) {
	r1 := put(t, b, "a", "1")
	r2 := put(t, b, "a", "2")
	for _, c := range []struct {
		name string
		cond store.Cond
		want bool
	}{
		{"right revision", store.Cond{Key: "a", Rev: r2}, true},
		{"old revision", store.Cond{Key: "a", Rev: r1}, false},
		{"future revision", store.Cond{Key: "a", Rev: r2 + 100}, false},
		{"created", store.Cond{Key: "a", Rev: r1, Created: true}, true},
		{"created at another", store.Cond{Key: "a", Rev: r2, Created: true}, false},
		{"absent, but is there", store.Cond{Key: "a"}, false},
		{"absent", store.Cond{Key: "b"}, true},
		{"not created", store.Cond{Key: "b", Created: true}, true},
		{"there, but is absent", store.Cond{Key: "b", Rev: r1}, false},
	} {
		_, ok, err := b.Txn(t.Context(), []store.Cond{c.cond}, []store.Op{{Key: "x", Value: []byte(c.name)}})
		if err != nil || ok != c.want {
			t.Errorf("%s: ok %v, err %v; want %v", c.name, ok, err, c.want)
		}
		if x := get(t, b, "x"); (x != nil && string(x.Value) == c.name) != c.want {
			t.Errorf("%s: the write was done %v", c.name, !c.want)
		}
	}
	if _, ok, err := b.Txn(t.Context(), []store.Cond{{Key: "a", Rev: r2}}, nil); !ok || err != nil {
		t.Errorf("conditions alone: ok %v, err %v", ok, err)
	}
}

func atomic(t *testing.T, b store.Backend) {
	ra := put(t, b, "a", "1")
	put(t, b, "b", "1")
	ops := []store.Op{{Key: "a", Value: []byte("2")}, {Key: "b", Delete: true}, {Key: "c", Value: []byte("2")}}
	if _, ok, err := b.Txn(t.Context(), []store.Cond{{Key: "a", Rev: ra}, {Key: "c", Rev: 5}}, ops); ok || err != nil {
		t.Fatalf("one of two conditions is false: ok %v, err %v", ok, err)
	}
	if string(get(t, b, "a").Value) != "1" || get(t, b, "b") == nil || get(t, b, "c") != nil {
		t.Fatal("a refused transaction wrote something")
	}
	rev, ok, err := b.Txn(t.Context(), []store.Cond{{Key: "a", Rev: ra}, {Key: "c"}}, ops)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if a, c := get(t, b, "a"), get(t, b, "c"); a.Mod != rev || c.Mod != rev || get(t, b, "b") != nil {
		t.Fatalf("not all at revision %d: %+v %+v", rev, a, c)
	}
}

func list(t *testing.T, b store.Backend) {
	var last int64
	for i := range 1200 { // more than a page of any backend
		if i%100 == 0 {
			var ops []store.Op
			for k := i; k < i+100; k++ {
				ops = append(ops, store.Op{Key: fmt.Sprintf("p/%05d", k), Value: fmt.Append(nil, k)})
			}
			rev, ok, err := b.Txn(t.Context(), nil, ops)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			last = rev
		}
	}
	put(t, b, "q/1", "other")
	kvs, rev, err := b.List(t.Context(), "p/")
	if err != nil || len(kvs) != 1200 || rev != last+1 {
		t.Fatalf("%d keys at %d, err %v; want 1200 at %d", len(kvs), rev, err, last+1)
	}
	for i, kv := range kvs {
		if kv.Key != fmt.Sprintf("p/%05d", i) || string(kv.Value) != fmt.Sprint(i) {
			t.Fatalf("at %d: %+v", i, kv)
		}
	}
	if kvs, _, err := b.List(t.Context(), "none/"); err != nil || len(kvs) != 0 {
		t.Fatal(kvs, err)
	}
}

// collect reads events until want have come.
func collect(t *testing.T, ch <-chan store.Batch, want int) []store.KVEvent {
	t.Helper()
	var out []store.KVEvent
	for len(out) < want {
		select {
		case b, ok := <-ch:
			if !ok || b.Err != nil {
				t.Fatalf("the watch ended after %d of %d events: %v", len(out), want, b.Err)
			}
			for _, e := range b.Events {
				if e.Rev > b.Rev {
					t.Fatalf("event of revision %d in a batch up to %d", e.Rev, b.Rev)
				}
			}
			out = append(out, b.Events...)
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d events after 20 s", len(out), want)
		}
	}
	return out
}

func watch(t *testing.T, b store.Backend) {
	start := put(t, b, "w/0", "0")
	const n = 300
	var wg sync.WaitGroup
	for g := range 3 { // writers before, during and after the watches begin
		wg.Go(func() {
			for i := range n / 3 {
				if _, _, err := b.Txn(context.Background(), nil, []store.Op{{Key: fmt.Sprintf("w/%d/%d", g, i), Value: []byte("x")}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	live := collect(t, b.Watch(t.Context(), "w/", start), n)
	wg.Wait()
	replay := collect(t, b.Watch(t.Context(), "w/", start), n)
	for i, e := range live {
		if e.Key != replay[i].Key || e.Rev != replay[i].Rev || e.Rev != start+1+int64(i) {
			t.Fatalf("event %d: live %s at %d, replayed %s at %d, want revision %d", i, e.Key, e.Rev, replay[i].Key, replay[i].Rev, start+1+int64(i))
		}
	}
	middle := collect(t, b.Watch(t.Context(), "w/", start+100), n-100)
	if middle[0].Rev != start+101 {
		t.Fatalf("a watch from %d began with %d", start+100, middle[0].Rev)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := b.Watch(ctx, "w/", start+n)
	cancel()
	for range ended { // closes when its context ends
	}
}

func watchPrefix(t *testing.T, b store.Backend) {
	start := put(t, b, "z", "0")
	ch := b.Watch(t.Context(), "a/", start)
	put(t, b, "b/1", "no")
	put(t, b, "a/1", "yes")
	rev, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "a/1", Delete: true}, {Key: "a/2", Value: []byte("2")}, {Key: "b/2", Value: []byte("no")}})
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, ch, 3)
	if got[0].Key != "a/1" || string(got[0].Value) != "yes" || got[0].Delete {
		t.Fatalf("first %+v", got[0])
	}
	seen := map[string]bool{}
	for _, e := range got[1:] {
		if e.Rev != rev || e.Delete != (e.Key == "a/1") {
			t.Fatalf("got %+v at %d", e, rev)
		}
		seen[e.Key] = true
	}
	if !seen["a/1"] || !seen["a/2"] {
		t.Fatalf("got %v", seen)
	}
}

func compaction(t *testing.T, b store.Backend) {
	c, ok := b.(compactor)
	if !ok {
		t.Skip("the history cannot be cut")
	}
	first := put(t, b, "c/1", "1")
	for i := range 20 {
		put(t, b, "c/2", fmt.Sprint(i))
	}
	last := put(t, b, "c/3", "3")
	if err := c.Compact(t.Context(), last-2); err != nil {
		t.Fatal(err)
	}
	var got error
	for batch := range b.Watch(t.Context(), "c/", first) {
		got = batch.Err
	}
	if !errors.Is(got, store.ErrCompacted) {
		t.Fatalf("a watch from a forgotten revision ended with %v", got)
	}
	kvs, rev, err := b.List(t.Context(), "c/")
	if err != nil || len(kvs) != 3 {
		t.Fatal(kvs, err)
	}
	ch := b.Watch(t.Context(), "c/", rev) // the clean way on
	put(t, b, "c/4", "4")
	if e := collect(t, ch, 1); e[0].Key != "c/4" {
		t.Fatal(e)
	}
	if e := collect(t, b.Watch(t.Context(), "c/", last-1), 2); e[0].Key != "c/3" {
		t.Fatal(e)
	}
}

func leaseReleased(t *testing.T, b store.Backend) {
	l, err := b.Lease(t.Context(), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	rev, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "l/1", Value: []byte("x"), Lease: l.ID}, {Key: "l/2", Value: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if kv := get(t, b, "l/1"); kv.Lease != l.ID {
		t.Fatalf("got %+v", kv)
	}
	ch := b.Watch(t.Context(), "l/", rev)
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := collect(t, ch, 1); e[0].Key != "l/1" || !e[0].Delete {
		t.Fatalf("got %+v", e)
	}
	if get(t, b, "l/1") != nil || get(t, b, "l/2") == nil {
		t.Fatal("the lease took the wrong keys along")
	}
	<-l.Lost
	if err := l.Release(t.Context()); err != nil {
		t.Fatalf("a second release: %v", err)
	}
}

func leaseExpires(t *testing.T, b store.Backend) {
	ctx, vanish := context.WithCancel(t.Context())
	l, err := b.Lease(ctx, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	rev, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "l/1", Value: []byte("x"), Lease: l.ID}})
	if err != nil {
		t.Fatal(err)
	}
	ch := b.Watch(t.Context(), "l/", rev)
	vanish()
	<-l.Lost // at once, before the key goes
	if e := collect(t, ch, 1); e[0].Key != "l/1" || !e[0].Delete {
		t.Fatalf("got %+v", e)
	}
}

func concurrent(t *testing.T, b store.Backend) {
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				for { // add one, by compare and swap
					kv, _, err := b.Get(context.Background(), "n")
					if err != nil {
						t.Error(err)
						return
					}
					n, rev := 0, int64(0)
					if kv != nil {
						rev = kv.Mod
						fmt.Sscan(string(kv.Value), &n)
					}
					_, ok, err := b.Txn(context.Background(), []store.Cond{{Key: "n", Rev: rev}}, []store.Op{{Key: "n", Value: fmt.Append(nil, n+1)}})
					if err != nil {
						t.Error(err)
						return
					}
					if ok {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	if kv := get(t, b, "n"); string(kv.Value) != fmt.Sprint(writers*each) {
		t.Fatalf("%s of %d increments are left", kv.Value, writers*each)
	}
}

func closed(t *testing.T, b store.Backend) {
	rev := put(t, b, "a", "1")
	ch := b.Watch(t.Context(), "a", rev)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for range ch {
	}
	if _, _, err := b.Get(t.Context(), "a"); err == nil {
		t.Fatal("a closed backend answers")
	}
	if _, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "a", Value: []byte("2")}}); err == nil {
		t.Fatal("a closed backend writes")
	}
}
