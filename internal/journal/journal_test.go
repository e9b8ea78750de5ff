package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
)

func open(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func event(typ, host string) *api.Event {
	return &api.Event{Type: typ, Host: host, Message: "something happened on " + host}
}

func appendTo(t testing.TB, j *Journal, es ...*api.Event) {
	t.Helper()
	if err := j.Append(context.Background(), es...); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, j *Journal, f Filter) []api.Event {
	t.Helper()
	es, err := j.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func seqs(es []api.Event) string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprint(&b, e.Seq, " ")
	}
	return strings.TrimSpace(b.String())
}

func TestFilters(t *testing.T) {
	base := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	n := 0
	j := open(t, t.TempDir(), Options{SegmentBytes: 300, Now: func() time.Time { n++; return base.Add(time.Duration(n) * time.Minute) }})
	for _, e := range []*api.Event{event("host.enrolled", "a"), event("host.changed", "a"), event("host.changed", "b"), {Type: "revision.accepted", Actor: "kim"}, event("host.failed", "b")} {
		appendTo(t, j, e)
	}
	if len(j.segments) < 2 {
		t.Fatal("all in one segment")
	}
	for _, c := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all", Filter{}, "1 2 3 4 5"},
		{"host", Filter{Host: "a"}, "1 2"},
		{"type", Filter{Type: "host.changed"}, "2 3"},
		{"types", Filter{Type: "host.*"}, "1 2 3 5"},
		{"types by dot", Filter{Type: "revision."}, "4"},
		{"actor", Filter{Actor: "kim"}, "4"},
		{"since", Filter{Since: base.Add(3 * time.Minute)}, "3 4 5"},
		{"until", Filter{Until: base.Add(3 * time.Minute)}, "1 2"},
		{"after", Filter{After: 3}, "4 5"},
		{"newest", Filter{Limit: 2}, "4 5"},
		{"both", Filter{Host: "b", Type: "host.failed"}, "5"},
		{"none", Filter{Host: "c"}, ""},
	} {
		if got := seqs(list(t, j, c.f)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestReopenAndRepair(t *testing.T) {
	for _, c := range []struct{ name, tail string }{
		{"whole", ""},
		{"half a line", `{"seq":4,"time":"20`},
		{"no newline", `{"seq":4,"time":"2026-01-02T03:04:05Z","type":"x","message":""}`},
		{"zeros", strings.Repeat("\x00", 5000)},
		{"torn lines", "{\n\n\"seq\":9}\n"},
	} {
		dir := t.TempDir()
		j := open(t, dir, Options{})
		appendTo(t, j, event("a", "h"), event("b", "h"), event("c", "h"))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, segmentName(1))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(c.tail); err != nil {
			t.Fatal(err)
		}
		f.Close()
		j = open(t, dir, Options{})
		e := event("d", "h")
		appendTo(t, j, e)
		if got := seqs(list(t, j, Filter{})); got != "1 2 3 4" || e.Seq != 4 {
			t.Errorf("%s: %s", c.name, got)
		}
		j.Close()
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, Options{MaxBytes: 20_000, SegmentBytes: 4_000})
	for i := range 1000 {
		appendTo(t, j, event("x", fmt.Sprint("host-", i)))
	}
	var total int64
	fs, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	for _, f := range fs {
		if i, err := os.Stat(f); err == nil {
			total += i.Size()
		}
	}
	es := list(t, j, Filter{Limit: 5000})
	if total > 20_000 || len(es) < 50 || es[len(es)-1].Seq != 1000 {
		t.Fatalf("%d bytes, %d events", total, len(es))
	}
	// A watch from what is gone goes on with what is there, without further gaps.
	j.recent = nil
	ch := j.Watch(t.Context(), Filter{After: 1})
	want := es[0].Seq
	for want <= 1000 {
		if e := <-ch; e.Seq != want {
			t.Fatalf("seq %d, want %d", e.Seq, want)
		}
		want++
	}
}

func TestWatch(t *testing.T) {
	j := open(t, t.TempDir(), Options{SegmentBytes: 10_000})
	const writers, each = 4, 500
	appendTo(t, j, event("x", "first"))
	ctx, cancel := context.WithCancel(t.Context())
	early := j.Watch(ctx, Filter{})
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				appendTo(t, j, event("x", "h"))
			}
		})
	}
	late := j.Watch(ctx, Filter{After: 700})
	only := j.Watch(ctx, Filter{Host: "first"})
	for want := int64(1); want <= writers*each+1; want++ {
		if e := <-early; e.Seq != want {
			t.Fatalf("seq %d, want %d", e.Seq, want)
		}
	}
	for want := int64(701); want <= writers*each+1; want++ {
		if e := <-late; e.Seq != want {
			t.Fatalf("seq %d, want %d", e.Seq, want)
		}
	}
	wg.Wait()
	if e := <-only; e.Host != "first" {
		t.Fatal(e)
	}
	cancel()
	for range early {
	}
	rest := j.Watch(t.Context(), Filter{After: j.Last()})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for range rest { // closes with the journal
	}
	if err := j.Append(t.Context(), event("x", "h")); api.CodeOf(err) != api.CodeUnavailable {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Fatal(err)
	}
}

// An event that cannot be written refuses its own call only.
func TestUnwritable(t *testing.T) {
	j := open(t, t.TempDir(), Options{})
	bad := event("bad", "h")
	bad.Data = map[string]any{"x": func() {}}
	if err := j.Append(t.Context(), event("good", "h"), bad); api.CodeOf(err) != api.CodeInvalid {
		t.Fatal(err)
	}
	appendTo(t, j, event("next", "h"))
	if got := seqs(list(t, j, Filter{})); got != "1" {
		t.Fatal(got)
	}
}

// Both are durable: what returns is on the disk.
func BenchmarkAppend(b *testing.B) {
	b.Run("by 200 writers", func(b *testing.B) {
		j := open(b, b.TempDir(), Options{})
		b.SetParallelism(max(1, 200/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				appendTo(b, j, event("host.converged", "web-1"))
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("500 at once", func(b *testing.B) {
		j := open(b, b.TempDir(), Options{})
		batch := make([]*api.Event, 500)
		for b.Loop() {
			for i := range batch {
				batch[i] = event("host.converged", "web-1")
			}
			appendTo(b, j, batch...)
		}
		b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// The repair keeps whole lines, and what it keeps it keeps again.
func FuzzRepair(f *testing.F) {
	line, _ := json.Marshal(api.Event{Seq: 1, Type: "x"})
	f.Add(append(line, '\n'))
	f.Add(append(append(line, '\n'), line[:5]...))
	f.Add([]byte("\x00\x00\n{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		good, last := whole(raw)
		if good < 0 || good > len(raw) || good > 0 && (raw[good-1] != '\n' || last < 1) {
			t.Fatalf("%d of %d bytes, seq %d", good, len(raw), last)
		}
		if again, l := whole(raw[:good]); again != good || l != last {
			t.Fatalf("%d bytes, then %d", good, again)
		}
	})
}
