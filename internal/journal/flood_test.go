package journal

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"drover/api"
)

// flood appends n events from several sides, in batches as hosts' reports come.
func flood(t testing.TB, j *Journal, n int) {
	t.Helper()
	const sides, batch = 4, 100
	var work sync.WaitGroup
	for side := range sides {
		work.Go(func() {
			for i := 0; i < n/sides; i += batch {
				events := make([]*api.Event, batch)
				for k := range events {
					events[k] = &api.Event{Type: "host.changed", Host: fmt.Sprintf("host-%d-%d", side, k), Message: "changed: 3 things", Data: map[string]any{"report": fmt.Sprint(i, k)}}
				}
				if err := j.Append(context.Background(), events...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Readers who are slow keep nobody waiting, cost no memory for what they are
// behind, and miss nothing.
func TestAFloodWithSlowReaders(t *testing.T) {
	j, err := Open(t.TempDir(), Options{SegmentBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const events, readers = 60_000, 20
	before := heap()
	var slow []<-chan api.Event
	for range readers {
		slow = append(slow, j.Watch(t.Context(), Filter{}))
	}
	flood(t, j, events)
	if last := j.Last(); last != events {
		t.Fatalf("%d of %d events are kept", last, events)
	}
	// Each reader takes some of what it is behind: now it reads from disk.
	next := make([]int64, readers)
	take := func(i int) {
		e := <-slow[i]
		if next[i]++; e.Seq != next[i] {
			t.Fatalf("reader %d got event %d, not %d", i, e.Seq, next[i])
		}
	}
	for i := range readers {
		for range 1000 {
			take(i)
		}
	}
	if grown := heap() - before; grown > 48<<20 {
		t.Errorf("%d MB are held for %d readers that are behind", grown>>20, readers)
	}
	for next[0] < events {
		take(0)
	}
}

func BenchmarkFlood(b *testing.B) {
	j, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	j.Watch(b.Context(), Filter{}) // nobody reads
	const n = 10_000
	for b.Loop() {
		flood(b, j, n)
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
}
