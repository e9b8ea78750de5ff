package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drover/client"
	"drover/internal/fleettest"
	"drover/internal/observe/observehost"
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
		have := stored(t, c, "web-1")
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

// stored is what the record of a host would be, made from what the server has.
func stored(t *testing.T, c *client.Client, host string) map[int64]string {
	t.Helper()
	query := fmt.Sprintf(`{instance=%q,job="node"}[10m]`, host)
	resp, err := c.Do(t.Context(), http.MethodGet, "/api/v1/query?query="+url.QueryEscape(query), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	count, hash := map[int64]int{}, map[int64]uint64{}
	for _, series := range answer.Data.Result {
		delete(series.Metric, "instance")
		delete(series.Metric, "job")
		var names, pairs []string
		for name := range series.Metric {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			pairs = append(pairs, name, series.Metric[name])
		}
		for _, v := range series.Values {
			at, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("a value of %v is %v", series.Metric, v)
			}
			ms := int64(math.Round(at * 1000))
			count[ms]++
			hash[ms] += observehost.RecordHash(pairs, value)
		}
	}
	all := map[int64]string{}
	for ms, n := range count {
		all[ms] = fmt.Sprintf("%d %d %016x", ms, n, hash[ms])
	}
	return all
}
