package observehost_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"

	"drover/api"
	"drover/internal/observe/observehost"
)

// store is a server's: what was written to it, by series and time.
type store struct {
	mu       sync.Mutex
	samples  map[string]map[int64]float64
	requests int
	largest  int
	away     error
	before   func(body []byte) error // may refuse
	after    func()
}

func newStore() *store { return &store{samples: map[string]map[int64]float64{}} }

func (s *store) write(_ context.Context, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		return s.away
	}
	if s.before != nil {
		if err := s.before(body); err != nil {
			return err
		}
	}
	s.requests++
	s.largest = max(s.largest, len(body))
	for name, list := range decode(body) {
		if s.samples[name] == nil {
			s.samples[name] = map[int64]float64{}
		}
		for t, v := range list {
			s.samples[name][t] = v
		}
	}
	if s.after != nil {
		s.after()
	}
	return nil
}

func (s *store) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// of is what the store has of a series.
func (s *store) of(name string) map[int64]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.samples[name]
}

// gathers is what the record of a source that was read would be, made from
// what the store has.
func (s *store) gathers() map[int64]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, hash := map[int64]int{}, map[int64]uint64{}
	for name, list := range s.samples {
		for t, v := range list {
			if !isStale(v) {
				count[t]++
				hash[t] += observehost.RecordHash(strings.Split(name, "\xff"), v)
			}
		}
	}
	all := map[int64]string{}
	for t := range count {
		all[t] = fmt.Sprintf("%d %d %016x", t, count[t], hash[t])
	}
	return all
}

func isStale(v float64) bool { return math.Float64bits(v) == 0x7ff0000000000002 }

// decode reads a WriteRequest into series and their samples. A series is its
// names and values in turn.
func decode(body []byte) map[string]map[int64]float64 {
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		panic(err)
	}
	all := map[string]map[int64]float64{}
	fields(raw, func(_ protowire.Number, series []byte, _ uint64) {
		var labels []string
		list := map[int64]float64{}
		fields(series, func(n protowire.Number, part []byte, _ uint64) {
			if n == 1 {
				fields(part, func(_ protowire.Number, text []byte, _ uint64) { labels = append(labels, string(text)) })
				return
			}
			var t int64
			var v float64
			fields(part, func(n protowire.Number, _ []byte, x uint64) {
				if n == 1 {
					v = math.Float64frombits(x)
				} else {
					t = int64(x)
				}
			})
			list[t] = v
		})
		all[strings.Join(labels, "\xff")] = list
	})
	return all
}

func fields(b []byte, do func(n protowire.Number, data []byte, x uint64)) {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		b = b[size:]
		switch typ {
		case protowire.BytesType:
			v, size := protowire.ConsumeBytes(b)
			do(n, v, 0)
			b = b[size:]
		case protowire.VarintType:
			v, size := protowire.ConsumeVarint(b)
			do(n, nil, v)
			b = b[size:]
		default:
			v, size := protowire.ConsumeFixed64(b)
			do(n, nil, v)
			b = b[size:]
		}
	}
}

// counters is a host with so many series, the values of which tell the gather.
func counters(n int) observehost.Source {
	descs := make([]*prometheus.Desc, n)
	for i := range descs {
		descs[i] = prometheus.NewDesc("test_total", "A counter.", []string{"n", "empty"}, nil)
	}
	read := 0
	return func(_ context.Context, emit func(prometheus.Metric)) {
		read++
		for i, d := range descs {
			emit(prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(read)+float64(i)/1000, fmt.Sprint(i), ""))
		}
	}
}

// record is what was read, by time.
type record struct {
	mu    sync.Mutex
	lines map[int64]string
	wrote func()
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	if r.lines == nil {
		r.lines = map[int64]string{}
	}
	var t int64
	fmt.Sscan(string(p), &t)
	r.lines[t] = strings.TrimSpace(string(p))
	r.mu.Unlock()
	if r.wrote != nil {
		r.wrote()
	}
	return len(p), nil
}

// missing is what was read and is not stored as it was read.
func (r *record) missing(s *store) (missing []string) {
	have := s.gathers()
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, line := range r.lines {
		if have[t] != line {
			missing = append(missing, fmt.Sprintf("read %q, stored %q", line, have[t]))
		}
	}
	return missing
}

type running struct {
	cancel context.CancelFunc
	ended  chan error
}

func start(cfg observehost.Config) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- observehost.Run(ctx, cfg) }()
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

var errAway = api.Errorf(api.CodeUnavailable, "the server is away")

func TestEverySampleIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, rec := newStore(), &record{}
		r := start(observehost.Config{Dir: t.TempDir(), Source: counters(100), Write: s.write, Record: rec, Version: "7"})
		synctest.Wait()
		if n := len(s.gathers()); n != 1 {
			t.Errorf("%d gathers are stored at once", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.stop(t)
		if len(rec.lines) != 41 {
			t.Errorf("%d gathers in ten minutes", len(rec.lines))
		}
		if m := rec.missing(s); len(m) > 0 {
			t.Errorf("missing: %q", m)
		}
		if got := s.of("__name__\xfftest_total\xffn\xff7"); len(got) != 41 {
			t.Errorf("series 7 has %d samples", len(got))
		}
		if got := s.of("__name__\xffdrover_agent_info\xffversion\xff7"); len(got) != 41 {
			t.Errorf("the agent's own series has %d samples", len(got))
		}
	})
}

// TestServerAway has the server away for ten minutes while the agent ends and
// starts again.
func TestServerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, rec, dir := newStore(), &record{}, t.TempDir()
		cfg := observehost.Config{Dir: dir, Source: counters(600), Write: s.write, Record: rec}
		r := start(cfg)
		time.Sleep(time.Minute)
		s.set(func() { s.away = errAway })
		for range 3 {
			time.Sleep(200 * time.Second)
			r.stop(t)
			r = start(cfg)
		}
		synctest.Wait()
		before := s.requests
		s.set(func() { s.away = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.stop(t)
		if m := rec.missing(s); len(m) > 0 {
			t.Errorf("%d of %d gathers are missing: %q", len(m), len(rec.lines), m[0])
		}
		if n := s.requests - before; n > 20 {
			t.Errorf("catching up took %d requests", n)
		}
		if left := segments(t, dir); len(left) > 1 {
			t.Errorf("%v are left of what is stored", left)
		}
	})
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestKill copies the host's disk at every moment between two steps, as a kill
// would leave it, and has another agent go on from there.
func TestKill(t *testing.T) {
	var moments []string
	var known []int // gathers that were read until then
	s, rec, dir, copies := newStore(), &record{}, t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		moment := func() {
			mu.Lock()
			defer mu.Unlock()
			to := filepath.Join(copies, fmt.Sprint(len(moments)))
			if err := os.CopyFS(to, os.DirFS(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			moments = append(moments, to)
			rec.mu.Lock()
			known = append(known, len(rec.lines))
			rec.mu.Unlock()
		}
		n := 0
		s.before = func([]byte) error {
			moment()
			if n++; n%5 == 0 {
				return errAway
			}
			return nil
		}
		s.after = moment
		rec.wrote = moment
		read := counters(30)
		r := start(observehost.Config{Dir: dir, Write: s.write, Record: rec, Segment: 3000,
			Source: func(ctx context.Context, emit func(prometheus.Metric)) {
				moment()
				read(ctx, emit)
				moment()
			}})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		r.stop(t)
		moment()
	})
	if len(moments) < 80 {
		t.Fatalf("there were %d moments", len(moments))
	}
	var order []int64
	for at := range rec.lines {
		order = append(order, at)
	}
	sortTimes(order)
	for i, copied := range moments {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Hour)
			after := newStore()
			r := start(observehost.Config{Dir: copied, Source: counters(30), Write: after.write})
			time.Sleep(time.Second)
			synctest.Wait()
			r.stop(t)
			// Together with what the first server had when this host was killed,
			// nothing is missing.
			have := after.gathers()
			stored := s.gathers()
			for _, at := range order[:known[i]] {
				if have[at] == "" && stored[at] != rec.lines[at] {
					t.Errorf("moment %d: the gather at %d is lost", i, at)
				}
				if have[at] != "" && have[at] != rec.lines[at] {
					t.Errorf("moment %d: of the gather %q was sent %q", i, rec.lines[at], have[at])
				}
			}
		})
	}
}

func sortTimes(list []int64) {
	for i := range list {
		for j := i; j > 0 && list[j] < list[j-1]; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// TestTornSegment cuts the last segment anywhere, and breaks bytes in it: what
// came whole before is sent, and what is read afterwards too.
func TestTornSegment(t *testing.T) {
	dir := t.TempDir()
	rec := &record{}
	synctest.Test(t, func(t *testing.T) {
		r := start(observehost.Config{Dir: dir, Source: counters(20), Record: rec,
			Write: func(context.Context, []byte) error { return errAway }})
		time.Sleep(time.Minute)
		synctest.Wait()
		r.stop(t)
	})
	name := segments(t, dir)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	used := len(strings.TrimRight(string(whole), "\x00"))
	for cut := 0; cut <= used; cut += 31 {
		for _, broken := range []bool{false, true} {
			data := append([]byte(nil), whole[:cut]...)
			if broken {
				data = append([]byte(nil), whole...)
				data[min(cut, used-1)] ^= 0x55
			}
			host := t.TempDir()
			if err := os.MkdirAll(filepath.Join(host, "wal"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(host, "wal", filepath.Base(name)), data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, again := newStore(), &record{}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				r := start(observehost.Config{Dir: host, Source: counters(20), Write: s.write, Record: again})
				time.Sleep(20 * time.Second)
				synctest.Wait()
				r.stop(t)
			})
			if m := again.missing(s); len(m) > 0 {
				t.Fatalf("cut at %d, broken %v: new gathers are missing: %q", cut, broken, m)
			}
			for at, line := range s.gathers() {
				if want := rec.lines[at]; want != "" && want != line {
					t.Fatalf("cut at %d, broken %v: sent %q of %q", cut, broken, line, want)
				}
			}
		}
	}
}

// TestBound has no server for so long that the log is full.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, rec, dir := newStore(), &record{}, t.TempDir()
		s.away = errAway
		var said strings.Builder
		r := start(observehost.Config{Dir: dir, Source: counters(200), Write: s.write, Record: rec, MaxBytes: 200 << 10, Segment: 20 << 10,
			Log: slog.New(slog.NewTextHandler(&locked{w: &said}, nil))})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		var size int64
		for _, f := range segments(t, dir) {
			if st, err := os.Stat(f); err == nil {
				size += st.Size()
			}
		}
		if size > 250<<10 {
			t.Errorf("the log has %d bytes", size)
		}
		s.set(func() { s.away = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.stop(t)
		have, lost, kept := s.gathers(), 0, 0
		for at, line := range rec.lines {
			switch have[at] {
			case line:
				kept++
			case "":
				lost++
			default:
				t.Errorf("read %q, stored %q", line, have[at])
			}
		}
		if lost == 0 || kept < 50 {
			t.Errorf("%d gathers were kept and %d lost", kept, lost)
		}
		dropped := 0.0
		for _, v := range s.of("__name__\xffdrover_agent_metrics_dropped_samples_total\xffreason\xfffull") {
			dropped = max(dropped, v)
		}
		// 200 of the source and some of the agent's own in each gather.
		if perGather := dropped / float64(lost); perGather < 200 || perGather > 230 {
			t.Errorf("%v samples are said to be dropped in %d gathers", dropped, lost)
		}
		if !strings.Contains(said.String(), "the oldest are dropped") {
			t.Error("the log does not say so")
		}
	})
}

type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// TestOldIsDropped has what waits longer than three days go.
func TestOldIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := newStore()
		s.away = errAway
		r := start(observehost.Config{Dir: dir, Source: counters(5), Write: s.write, Segment: 2000, Interval: time.Minute, MaxAge: time.Hour})
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		n := len(segments(t, dir))
		for _, f := range segments(t, dir) {
			// Files have the time of the world outside the bubble.
			if err := os.Chtimes(f, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.stop(t)
		if left := len(segments(t, dir)); left >= n {
			t.Errorf("%d segments became %d", n, left)
		}
	})
}

func TestStaleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		desc := prometheus.NewDesc("test_size", "", []string{"mount"}, nil)
		read := 0
		r := start(observehost.Config{Dir: t.TempDir(), Write: s.write, Segment: 500, Source: func(_ context.Context, emit func(prometheus.Metric)) {
			read++
			emit(prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, "/"))
			if read < 3 || read > 5 {
				emit(prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 2, "/mnt"))
				emit(prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 3, "/mnt")) // twice: the first counts
			}
		}})
		time.Sleep(95 * time.Second)
		synctest.Wait()
		r.stop(t)
		got := s.of("__name__\xfftest_size\xffmount\xff/mnt")
		var times []int64
		for at := range got {
			times = append(times, at)
		}
		sortTimes(times)
		text := ""
		for _, at := range times {
			if isStale(got[at]) {
				text += "stale "
			} else {
				text += fmt.Sprint(got[at], " ")
			}
		}
		if text != "2 2 stale 2 2 " {
			t.Errorf("the series is %s", text)
		}
		if n := len(s.of("__name__\xfftest_size\xffmount\xff/")); n != 7 {
			t.Errorf("the series that stayed has %d samples", n)
		}
	})
}

// TestRefusedSamples has a server that never takes some of the samples: those
// go, and none of their neighbours.
func TestRefusedSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, rec := newStore(), &record{}
		s.away = errAway
		s.before = func(body []byte) error {
			for name, list := range decode(body) {
				for _, v := range list {
					if strings.HasSuffix(name, "\xffn\xff3") && v > 7 && v < 8 {
						return api.Errorf(api.CodeInvalid, "not that one")
					}
				}
			}
			return nil
		}
		r := start(observehost.Config{Dir: t.TempDir(), Source: counters(10), Write: s.write, Record: rec})
		time.Sleep(5 * time.Minute)
		s.set(func() { s.away = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.stop(t)
		if m := rec.missing(s); len(m) != 1 {
			t.Errorf("%d gathers are missing: %q", len(m), m)
		}
	})
}

func TestKindsOfMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		d := func(name string, labels ...string) *prometheus.Desc {
			return prometheus.NewDesc(name, `say "x"`, labels, nil)
		}
		r := start(observehost.Config{Dir: t.TempDir(), Write: s.write, Source: func(_ context.Context, emit func(prometheus.Metric)) {
			emit(prometheus.MustNewConstHistogram(d("h", "a"), 5, 2.5, map[float64]uint64{0.5: 2, 10: 4}, "x"))
			emit(prometheus.MustNewConstSummary(d("s"), 3, 9, map[float64]float64{0.99: 4}))
			emit(prometheus.MustNewConstMetric(d("u"), prometheus.UntypedValue, math.Inf(-1)))
			emit(prometheus.NewInvalidMetric(d("bad"), errors.New("bad")))
		}})
		synctest.Wait()
		r.stop(t)
		for name, want := range map[string]float64{
			"__name__,h_bucket,a,x,le,0.5": 2, "__name__,h_bucket,a,x,le,10.0": 4, "__name__,h_bucket,a,x,le,+Inf": 5,
			"__name__,h_sum,a,x": 2.5, "__name__,h_count,a,x": 5, "__name__,s,quantile,0.99": 4, "__name__,s_sum": 9, "__name__,s_count": 3,
			"__name__,u": math.Inf(-1)} {
			got := s.of(strings.ReplaceAll(name, ",", "\xff"))
			if len(got) != 1 {
				t.Errorf("%s has %d samples", name, len(got))
			}
			for _, v := range got {
				if v != want {
					t.Errorf("%s is %v, want %v", name, v, want)
				}
			}
		}
	})
}

// TestAnotherLog has a log that was removed, and one with a hole.
func TestAnotherLog(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"removed":   func(dir string) error { return os.RemoveAll(filepath.Join(dir, "wal")) },
		"no cursor": func(dir string) error { return os.Remove(filepath.Join(dir, "cursor")) },
		"nonsense":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "cursor"), []byte("x"), 0o600) },
		"a hole":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "wal", "00000099"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, rec, dir := newStore(), &record{}, t.TempDir()
				cfg := observehost.Config{Dir: dir, Source: counters(5), Write: s.write, Segment: 2000}
				for range 3 {
					r := start(cfg)
					time.Sleep(5 * time.Minute)
					synctest.Wait()
					r.stop(t)
				}
				if err := harm(dir); err != nil {
					t.Fatal(err)
				}
				cfg.Record = rec
				r := start(cfg)
				time.Sleep(time.Minute)
				synctest.Wait()
				r.stop(t)
				if m := rec.missing(s); len(m) > 0 || len(rec.lines) != 5 {
					t.Errorf("of %d gathers are missing: %q", len(rec.lines), m)
				}
			})
		})
	}
}
