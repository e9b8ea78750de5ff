package scenarios

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drover/internal/fleettest"
	"drover/internal/observe/observehost"
	"drover/internal/observe/observetest"
)

// record is what the agents read, by time in milliseconds.
type record struct {
	mu    sync.Mutex
	lines map[int64]string
	more  chan struct{}
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at int64
	fmt.Sscan(string(p), &at)
	r.lines[at] = strings.TrimSpace(string(p))
	close(r.more)
	r.more = make(chan struct{})
	return len(p), nil
}

// grow waits until n more gathers were read.
func (r *record) grow(n int) {
	r.mu.Lock()
	want := len(r.lines) + n
	r.mu.Unlock()
	for {
		r.mu.Lock()
		have, more := len(r.lines), r.more
		r.mu.Unlock()
		if have >= want {
			return
		}
		<-more
	}
}

// TestMetricsOutage has the server away while the agent ends and starts again:
// all that was read is stored by the real server afterwards, as it was read.
func TestMetricsOutage(t *testing.T) {
	f, err := fleettest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	}()
	rec := &record{lines: map[int64]string{}, more: make(chan struct{})}
	desc := prometheus.NewDesc("test_total", "", []string{"n"}, nil)
	read := 0.0
	f.Metrics = func(host, dir string) func(context.Context, func(context.Context, []byte) error) {
		return func(ctx context.Context, write func(context.Context, []byte) error) {
			err := observehost.Run(ctx, observehost.Config{Dir: dir, Write: write, Record: rec, Interval: 50 * time.Millisecond, Segment: 4 << 10,
				Source: func(_ context.Context, emit func(prometheus.Metric)) {
					read++
					for i := range 20 {
						emit(prometheus.MustNewConstMetric(desc, prometheus.CounterValue, read+float64(i)/100, strconv.Itoa(i)))
					}
				}})
			if err != nil {
				t.Error(err)
			}
		}
	}
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(f.Enrol(t.Context(), "web-1"))
	rec.grow(5)
	step(f.StopServer())
	for range 3 {
		rec.grow(10)
		step(f.StopAgent("web-1"))
		step(f.StartAgent("web-1"))
	}
	rec.grow(5)
	step(f.StartServer())
	rec.grow(5)
	step(f.StopAgent("web-1")) // so that nothing more is read
	step(f.StartAgent("web-1"))
	c, err := f.API()
	step(err)
	rec.mu.Lock()
	want := rec.lines
	rec.lines = map[int64]string{}
	rec.mu.Unlock()
	deadline := time.NewTimer(2 * time.Minute)
	for {
		have, err := observetest.Stored(t.Context(), c, "web-1", 10*time.Minute)
		step(err)
		missing := ""
		for at, line := range want {
			if have[at] != line {
				missing += fmt.Sprintf("read %q, stored %q\n", line, have[at])
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("of %d gathers are not stored as they were read:\n%s", len(want), missing)
		default:
			rec.grow(2)
		}
	}
}
