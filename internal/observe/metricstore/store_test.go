package metricstore

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/promql"

	"drover/api"
)

// series is one series of a request: labels as name, value, name, value …
func series(at time.Time, v float64, labels ...string) prompb.TimeSeries {
	ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}}}
	for i := 0; i < len(labels); i += 2 {
		ts.Labels = append(ts.Labels, prompb.Label{Name: labels[i], Value: labels[i+1]})
	}
	return ts
}

func body(t testing.TB, ts ...prompb.TimeSeries) []byte {
	t.Helper()
	b, err := (&prompb.WriteRequest{Timeseries: ts}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, b)
}

// open runs a store until the test ends or stop is called.
func open(t testing.TB, o Options) (s *Store, stop func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "metrics")
	}
	s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	select {
	case <-s.Ready():
	case <-time.After(time.Minute):
		t.Fatalf("the store does not open: %v", s.Problems())
	}
	return s, stop
}

func write(t testing.TB, s *Store, host string, ts ...prompb.TimeSeries) {
	t.Helper()
	if _, err := s.Write(t.Context(), host, body(t, ts...)); err != nil {
		t.Fatal(err)
	}
}

// vector is the answer to an instant query.
func vector(t testing.TB, s *Store, query string, at time.Time) promql.Vector {
	t.Helper()
	v, err := s.Instant(t.Context(), query, at)
	if err != nil {
		t.Fatal(err)
	}
	return v.(promql.Vector)
}

// count is how many samples there are of a series.
func count(t testing.TB, s *Store, selector string, at time.Time) int {
	t.Helper()
	v := vector(t, s, "sum(count_over_time("+selector+"[10d]))", at)
	if len(v) == 0 {
		return 0
	}
	return int(v[0].F)
}

func TestWriteSaysWhoseSeriesItIs(t *testing.T) {
	s, _ := open(t, Options{})
	now := time.Now()
	write(t, s, "db-1", series(now, 7, "__name__", "node_load1", "instance", "web-9", "job", "other", "exported", "x", "empty", ""))
	v := vector(t, s, "node_load1", now)
	if len(v) != 1 || v[0].F != 7 {
		t.Fatalf("got %v", v)
	}
	if got, want := v[0].Metric.String(), `{__name__="node_load1", exported="x", instance="db-1", job="node"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheSameBatchTwiceIsTheSameAsOnce(t *testing.T) {
	s, _ := open(t, Options{})
	now := time.Now()
	var b [][]byte
	for i := range 10 {
		b = append(b, body(t, series(now.Add(time.Duration(i-10)*15*time.Second), float64(i), "__name__", "one")))
	}
	for range 3 {
		for _, body := range b {
			if _, err := s.Write(t.Context(), "a", body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := count(t, s, "one", now); n != 10 {
		t.Errorf("got %d samples, want 10", n)
	}
}

func TestLateSamplesAreTaken(t *testing.T) {
	s, stop := open(t, Options{})
	now := time.Now()
	write(t, s, "a", series(now, 1, "__name__", "one"))
	write(t, s, "b", series(now, 1, "__name__", "one"))
	for h := 71; h > 0; h-- { // what a host kept while it was cut off
		write(t, s, "a", series(now.Add(-time.Duration(h)*time.Hour), 2, "__name__", "one"))
	}
	write(t, s, "a", series(now.Add(-80*time.Hour), 2, "__name__", "one"))
	if n := count(t, s, `one{instance="a"}`, now); n != 72 {
		t.Errorf("got %d samples, want 72", n)
	}
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "a sends samples more than 72h0m0s old") {
		t.Errorf("got notes %q", notes)
	}
	stop()
	again, _ := open(t, s.o)
	if n := count(t, again, `one{instance="a"}`, now); n != 72 {
		t.Errorf("got %d samples after a restart, want 72", n)
	}
}

func TestSamplesOfTheFutureAreRefused(t *testing.T) {
	s, _ := open(t, Options{})
	now := time.Now()
	b, err := s.Write(t.Context(), "a", body(t, series(now.Add(time.Hour), 1, "__name__", "one")))
	if err != nil || b.Samples != 0 || b.Newest.Sub(now).Round(time.Minute) != time.Hour {
		t.Errorf("got %+v, %v", b, err)
	}
	write(t, s, "b", series(now, 1, "__name__", "one"), series(now.Add(time.Minute), 1, "__name__", "down"))
	if one, down := count(t, s, "one", now.Add(2*time.Hour)), count(t, s, "down", now.Add(2*time.Hour)); one != 1 || down != 1 {
		t.Errorf("got %d and %d samples, want one each", one, down)
	}
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "the clock of a is more than 10m0s ahead") {
		t.Errorf("got notes %q", notes)
	}
}

func TestBadBatches(t *testing.T) {
	s, _ := open(t, Options{MaxBody: 1000, MaxLabels: 4, MaxName: 20, MaxValue: 30, MaxSeries: 5})
	now := time.Now()
	for name, b := range map[string][]byte{
		"no snappy":    []byte("\xff\xff\xff\xff hello"),
		"no protobuf":  snappy.Encode(nil, []byte("hello")),
		"empty":        {},
		"cut short":    snappy.Encode(nil, []byte("\x0a\x20\x0a")),
		"wrong types":  snappy.Encode(nil, []byte("\x08\x01")),
		"bad sample":   snappy.Encode(nil, []byte("\x0a\x04\x12\x02\x0a\x00")),
		"bad tag":      snappy.Encode(nil, []byte{0x0a, 2, 0, 0}),
		"snappy bomb?": []byte("\xff\xff\xff\xff\x0f\x00"),
	} {
		_, err := s.Write(t.Context(), "a", b)
		if code := api.CodeOf(err); code != api.CodeInvalid && code != api.CodeTooLarge {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := s.Write(t.Context(), "a", make([]byte, 1001)); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("too large: got %v", err)
	}
	// A series that is wrong is left out, the others stay.
	write(t, s, "a",
		series(now, 1, "__name__", "good"),
		series(now, 1, "nameless", "x"),
		series(now, 1, "__name__", "twice", "l", "1", "l", "2"),
		series(now, 1, "__name__", "many", "b", "1", "c", "1", "d", "1", "e", "1"),
		series(now, 1, "__name__", "long", "a-name-that-is-over-the-limit", "1"),
		series(now, 1, "__name__", "long", "l", strings.Repeat("x", 31)),
		series(now, 1, "__name__", "no\xfftext"),
		series(now, 1, "__name__", "up"),
		series(now, math.NaN(), "__name__", "nan"),
	)
	v := vector(t, s, `{__name__=~".+"}`, now)
	if len(v) != 2 {
		t.Errorf("got %v, want good and nan", v)
	}
	for i := range 10 {
		write(t, s, "a", series(now, 1, "__name__", "more", "n", strconv.Itoa(i)))
	}
	if v := vector(t, s, `{__name__=~".+"}`, now); len(v) != 5 {
		t.Errorf("got %d series of a host, want 5", len(v))
	}
	if notes := strings.Join(s.Notes(), "\n"); !strings.Contains(notes, "a has more than 5 series") {
		t.Errorf("got notes %q", notes)
	}
	write(t, s, "b", series(now, 1, "__name__", "one")) // another host has its own limit
	if v := vector(t, s, "one", now); len(v) != 1 {
		t.Errorf("got %v", v)
	}
}

func TestQueriesAreBounded(t *testing.T) {
	s, _ := open(t, Options{MaxSamples: 10})
	now := time.Now()
	for i := range 20 {
		write(t, s, "a", series(now, 1, "__name__", "up", "n", strconv.Itoa(i)))
	}
	if _, err := s.Instant(t.Context(), "up", now); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("got %v, want too_large", err)
	}
	if _, err := s.Instant(t.Context(), "up{", now); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestTheServersOwnSamples(t *testing.T) {
	s, stop := open(t, Options{})
	now := time.Now()
	lset := labelsFrom("__name__", "drover_host_connected", "instance", "a", "job", "drover")
	for i := range 3 {
		if err := s.Append(t.Context(), now.Add(time.Duration(i)*time.Second), []Sample{{lset, float64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "drover_host_connected", now.Add(time.Minute)); n != 3 {
		t.Errorf("got %d samples, want 3", n)
	}
	stop()
	if err := s.Append(t.Context(), now, nil); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("closed: got %v", err)
	}
	if _, err := s.Write(t.Context(), "a", body(t)); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("closed: got %v", err)
	}
	if _, err := s.Instant(t.Context(), "up", now); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("closed: got %v", err)
	}
}

// TestKilledServerKeepsWhatItAcknowledged kills a process that writes in the
// middle of it, several times on the same folder.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	if dir := os.Getenv("METRICSTORE_KILL_DIR"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	acked := 0
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledServerKeepsWhatItAcknowledged$")
		cmd.Env = append(os.Environ(), "METRICSTORE_KILL_DIR="+dir, "METRICSTORE_KILL_FROM="+strconv.Itoa(acked), "METRICSTORE_KILL_START="+strconv.FormatInt(start.UnixMilli(), 10))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if i, err := strconv.Atoi(lines.Text()); err == nil {
				acked = max(acked, i+1)
			}
			if n == 200 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
		if acked < 200*(round+1) {
			t.Fatalf("round %d: only %d batches were acknowledged", round, acked)
		}
	}
	s, _ := open(t, Options{Dir: dir})
	n := count(t, s, "count", time.Now())
	late := count(t, s, "late", time.Now())
	if n < acked || late < acked {
		t.Errorf("%d batches were acknowledged, of them %d and %d are there", acked, n, late)
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s, _ := open(t, Options{Dir: dir})
	from, _ := strconv.Atoi(os.Getenv("METRICSTORE_KILL_FROM"))
	ms, _ := strconv.ParseInt(os.Getenv("METRICSTORE_KILL_START"), 10, 64)
	start := time.UnixMilli(ms)
	for i := from; i < from+100_000; i++ {
		write(t, s, "a",
			series(start.Add(time.Duration(i)*time.Second/2), float64(i), "__name__", "count"),
			series(start.Add(-time.Duration(i)*time.Second), float64(i), "__name__", "late")) // each older than the one before
		fmt.Println(i)
	}
}
