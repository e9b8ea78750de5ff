package observehost

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cespare/xxhash/v2"
	dto "github.com/prometheus/client_model/go"
)

// Config says how a host's metrics are read and kept. Dir, Source and Write are needed.
type Config struct {
	Dir    string // of the log; made if it is not there
	Source Source
	// Write stores a request on the server: link.Writer says what body and error are.
	Write func(ctx context.Context, body []byte) error

	Version  string        // of the agent
	Interval time.Duration // between gathers; 15 s
	MaxBytes int64         // of the log; 512 MiB
	MaxAge   time.Duration // of what waits in it; 3 days
	Segment  int64         // bytes of one file of the log, about; 1 MiB
	// Record, if set, gets a line for each gather that was read: its time in
	// milliseconds, the number of samples, and a hash of them (see
	// RecordHash). It is for tests that compare it with what a server has.
	Record io.Writer
	Log    *slog.Logger
}

func (c *Config) fill() {
	if c.Interval <= 0 {
		c.Interval = 15 * time.Second
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 512 << 20
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 72 * time.Hour
	}
	if c.Segment <= 0 {
		c.Segment = 1 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Run reads metrics now and every interval, and ships them, until ctx ends. It
// returns an error when the log cannot be opened.
func Run(ctx context.Context, cfg Config) error {
	cfg.fill()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot open the log of metrics: %w", err)
	}
	cur, at, _, err := openCursor(filepath.Join(cfg.Dir, "cursor"))
	if err != nil {
		return err
	}
	defer cur.close()
	wal, err := openLog(filepath.Join(cfg.Dir, "wal"), cfg.Log, limits{segment: cfg.Segment, bytes: cfg.MaxBytes, age: cfg.MaxAge})
	if err != nil {
		return err
	}
	defer wal.close()
	wal.sent = at
	g := &gatherer{cfg: cfg, wal: wal, series: newSeriesSet(), beside: &besides{}}
	g.series.hashing = cfg.Record != nil
	g.ship = &shipper{log: cfg.Log, wal: wal, cursor: cur, write: cfg.Write, beside: g.beside, at: at, saved: at}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { g.ship.run(ctx) })

	tick := time.NewTicker(cfg.Interval)
	defer tick.Stop()
	for {
		g.gather(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// gatherer reads and keeps.
type gatherer struct {
	cfg    Config
	wal    *walLog
	series *seriesSet
	ship   *shipper
	beside *besides
	enc    encoder

	took      time.Duration // of the gather before
	diskFails bool
	over      bool
}

func (g *gatherer) gather(ctx context.Context) {
	began := time.Now()
	s := g.series
	s.begin(began.UnixMilli())
	// One that hangs must not hold up the next gather.
	limited, stop := context.WithTimeout(ctx, g.cfg.Interval*2/3)
	g.cfg.Source(limited, s.add)
	stop()
	if ctx.Err() != nil {
		return // cut short: what is missing has not ended
	}
	g.self()
	s.end()
	g.took = time.Since(began)
	if s.over > 0 && !g.over {
		g.cfg.Log.Error("this host has too many series of metrics; some are left out", "limit", maxSeries, "over", s.over)
	}
	g.over = s.over > 0
	// While the server does not keep up, what is kept must survive a loss of power.
	behind := g.ship.behind(began)
	err := g.wal.append(s)
	if err == nil && behind > 2*g.cfg.Interval {
		err = g.wal.sync()
	}
	if err != nil {
		g.keepBeside()
	}
	if err != nil != g.diskFails {
		if g.diskFails = err != nil; g.diskFails {
			g.cfg.Log.Error("metrics are kept in memory only", "error", err)
		} else {
			g.cfg.Log.Info("metrics are kept on the disk again")
		}
	}
	if g.cfg.Record != nil {
		fmt.Fprintf(g.cfg.Record, "%d %d %016x\n", s.time, s.live, s.hash)
	}
}

// keepBeside has the gather wait in memory.
func (g *gatherer) keepBeside() {
	s := g.series
	to := map[uint64]*sending{}
	for _, e := range s.all() {
		to[uint64(e.Ref)] = &sending{labels: encodeLabels(e.Labels), order: len(to)}
	}
	list := make([]sample, len(s.samples))
	for i, x := range s.samples {
		list[i] = sample{to[uint64(x.Ref)], x.T, x.V}
	}
	gone := g.beside.add(&beside{body: g.enc.request(list), samples: len(list), time: s.time})
	if gone != nil {
		g.wal.lost(func(d *drops) { d.disk += uint64(gone.samples) })
	}
	select {
	case g.wal.more <- struct{}{}:
	default:
	}
}

// behind is how old the oldest sample is that waits for the server.
func (s *shipper) behind(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oldest == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(s.oldest)))
}

// self adds what the agent has to tell of itself.
func (g *gatherer) self() {
	put := func(name string, v float64, pairs ...string) {
		var l []*dto.LabelPair
		for i := 0; i < len(pairs); i += 2 {
			l = append(l, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
		}
		g.series.put(name, l, "", "", v)
	}
	now := time.Now()
	g.wal.mu.Lock()
	d := g.wal.dropped
	g.wal.mu.Unlock()
	g.ship.mu.Lock()
	sent := g.ship.sent
	g.ship.mu.Unlock()
	put("drover_agent_info", 1, "version", g.cfg.Version)
	put("drover_agent_resident_memory_bytes", residentMemory())
	put("drover_agent_heap_bytes", heapBytes())
	put("drover_agent_cpu_seconds_total", cpuSeconds())
	put("drover_agent_metrics_gather_duration_seconds", g.took.Seconds())
	put("drover_agent_metrics_behind_seconds", g.ship.behind(now).Seconds())
	put("drover_agent_metrics_log_bytes", float64(g.wal.total()))
	put("drover_agent_metrics_sent_samples_total", float64(sent))
	put("drover_agent_metrics_dropped_samples_total", float64(d.full), "reason", "full")
	put("drover_agent_metrics_dropped_samples_total", float64(d.disk), "reason", "disk")
	put("drover_agent_metrics_dropped_samples_total", float64(d.refused), "reason", "refused")
	put("drover_agent_metrics_damaged_segments_total", float64(d.damaged))
}

func residentMemory() float64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(f[1], 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize())
}

func heapBytes() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return float64(s[0].Value.Uint64())
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// RecordHash is what Config.Record adds up for the samples of a gather: the
// sum of this, modulo 2^64, over each of them. Labels are name and value in
// turn, sorted by name, with the metric's as __name__.
func RecordHash(labelPairs []string, v float64) uint64 {
	h := xxhash.New()
	for _, s := range labelPairs {
		_, _ = h.WriteString(s)
		_, _ = h.Write([]byte{0xff})
	}
	if math.IsNaN(v) {
		v = math.NaN() // whichever it was
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], math.Float64bits(v))
	_, _ = h.Write(b[:])
	return h.Sum64()
}
