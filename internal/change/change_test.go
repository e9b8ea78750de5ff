package change_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/change"
	"drover/internal/store"
)

// run runs a loop until the test's bubble cancels it.
func run(t *testing.T, l *change.Loop) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// pusher is a source that a test feeds.
func pusher() (change.Source, func(keys ...string)) {
	var mu sync.Mutex
	var enqueue func(...string)
	src := func(ctx context.Context, e func(...string)) error {
		mu.Lock()
		enqueue = e
		mu.Unlock()
		<-ctx.Done()
		return nil
	}
	return src, func(keys ...string) {
		mu.Lock()
		defer mu.Unlock()
		enqueue(keys...)
	}
}

// A key that is asked for often while it is worked on is done once more, and
// never twice at once; other keys go on beside it.
func TestDedup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, push := pusher()
		var mu sync.Mutex
		runs, now := map[string]int{}, map[string]int{}
		stop := run(t, &change.Loop{Name: "x", Workers: 4, Sources: []change.Source{src}, Reconcile: func(ctx context.Context, key string) error {
			mu.Lock()
			runs[key]++
			if now[key]++; now[key] > 1 {
				t.Errorf("%s is worked on twice at once", key)
			}
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now[key]--
			mu.Unlock()
			return nil
		}})
		synctest.Wait()
		for range 100 {
			push("a", "b")
		}
		time.Sleep(500 * time.Millisecond)
		for range 100 {
			push("a")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if runs["a"] != 2 || runs["b"] > 2 || runs["b"] < 1 {
			t.Errorf("ran %v", runs)
		}
		stop()
	})
}

// Failures are tried again later and later, up to the limit, with jitter; a
// success begins anew. Other keys do not wait for them.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, push := pusher()
		var tries []time.Time
		good := 0
		var mu sync.Mutex
		fail := true
		look := func(f func()) {
			mu.Lock()
			defer mu.Unlock()
			f()
		}
		stop := run(t, &change.Loop{Name: "x", Sources: []change.Source{src}, MinDelay: time.Second, MaxDelay: 10 * time.Second, Reconcile: func(ctx context.Context, key string) error {
			mu.Lock()
			defer mu.Unlock()
			if key == "good" {
				good++
				return nil
			}
			tries = append(tries, time.Now())
			if !fail {
				return nil
			}
			if len(tries) == 3 {
				panic("one bad key must not end the loop")
			}
			return errors.New("no")
		}})
		synctest.Wait()
		push("bad")
		time.Sleep(2 * time.Minute)
		push("good")
		synctest.Wait()
		n := 0
		look(func() {
			if n = len(tries); n < 12 || n > 30 {
				t.Errorf("%d tries in 2 minutes", n)
			}
			for i := 1; i < n; i++ {
				want := min(10*time.Second, time.Second<<(i-1))
				if d := tries[i].Sub(tries[i-1]); d < want/2 || d > want {
					t.Errorf("try %d came after %v, want %v to %v", i, d, want/2, want)
				}
			}
			if good != 1 {
				t.Error("another key waits for the bad one")
			}
			fail = false
		})
		time.Sleep(20 * time.Second)
		look(func() { n = len(tries) })
		time.Sleep(5 * time.Minute)
		look(func() {
			if len(tries) != n {
				t.Error("tried again after it went well")
			}
			fail = true
		})
		push("bad")
		synctest.Wait()
		at := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		look(func() {
			if d := tries[len(tries)-1].Sub(at); len(tries) != n+2 || d < 500*time.Millisecond {
				t.Errorf("after a success the delays go on: %d tries, %v", len(tries)-n, d)
			}
		})
		stop()
	})
}

func TestAfterAndHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, failed := 0, 0
		done := 0
		stop := run(t, &change.Loop{Name: "x",
			Sources: []change.Source{change.Every(time.Hour, func(context.Context) []string { return []string{"k"} })},
			Reconcile: func(context.Context, string) error {
				runs++
				return fmt.Errorf("wrapped: %w", change.After{Delay: 10 * time.Minute})
			},
			Hooks: change.Hooks{Done: func(loop, key string, took time.Duration, err error) {
				if done++; err != nil || loop != "x" || key != "k" {
					failed++
				}
			}},
		})
		time.Sleep(65 * time.Minute)
		synctest.Wait()
		if runs < 7 || runs > 8 || done != runs || failed != 0 {
			t.Errorf("%d runs, %d done, %d failed", runs, done, failed)
		}
		stop()
	})
}

// Reconcile is told when its time is over; ending the loop waits for it.
func TestTimeoutAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, push := pusher()
		var ended int
		stop := run(t, &change.Loop{Name: "x", Sources: []change.Source{src}, Timeout: time.Minute, MinDelay: time.Hour, MaxDelay: time.Hour, Reconcile: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			ended++
			return ctx.Err()
		}})
		synctest.Wait()
		push("a")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if ended != 1 {
			t.Errorf("ended %d", ended)
		}
		push("b")
		synctest.Wait()
		stop()
		if ended != 2 {
			t.Errorf("the loop ended before its work, %d", ended)
		}
	})
}

// A source that breaks is started again.
func TestSourceRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		got := make(chan string, 10)
		stop := run(t, &change.Loop{Name: "x", Sources: []change.Source{func(ctx context.Context, enqueue func(...string)) error {
			if starts++; starts < 3 {
				return errors.New("broken")
			}
			enqueue("k")
			<-ctx.Done()
			return nil
		}}, Reconcile: func(_ context.Context, key string) error { got <- key; return nil }})
		if k := <-got; k != "k" {
			t.Error(k)
		}
		stop()
	})
}

func TestWatchTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := store.Memory()
		s := store.New(b, store.Kind{Name: "host", New: func() api.Object { return new(api.Host) }})
		hosts := store.TableOf[api.Host](s, "host")
		put := func(name string) {
			if err := hosts.Put(t.Context(), &api.Host{Meta: api.Meta{Name: name}, Spec: api.HostSpec{Address: time.Now().String()}}); err != nil {
				t.Error(err)
			}
		}
		put("a")
		var mu sync.Mutex
		seen := map[string]int{}
		stop := run(t, &change.Loop{Name: "x", Sources: []change.Source{change.Watch(hosts, change.ByName[*api.Host])}, Reconcile: func(_ context.Context, key string) error {
			mu.Lock()
			defer mu.Unlock()
			seen[key]++
			return nil
		}})
		time.Sleep(time.Second)
		put("b")
		time.Sleep(time.Second)
		put("b")
		time.Sleep(time.Second)
		if err := hosts.Delete(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		mu.Lock()
		if seen["a"] != 2 || seen["b"] != 2 {
			t.Errorf("saw %v", seen)
		}
		mu.Unlock()
		stop()
		s.Close()
		b.Close()
	})
}
