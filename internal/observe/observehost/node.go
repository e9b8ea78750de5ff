package observehost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/node_exporter/collector"
)

// Source reads metrics of the host and hands each to emit, one at a time. It
// returns before ctx ends.
type Source func(ctx context.Context, emit func(prometheus.Metric))

// kingpinOnce guards node_exporter's flags, which belong to the process.
var kingpinOnce struct {
	sync.Mutex
	args []string // as they were parsed; nil: not yet
}

// parseOnce sets node_exporter's flags. A second, other set is refused: the
// flags cannot be taken back.
func parseOnce(args []string) error {
	kingpinOnce.Lock()
	defer kingpinOnce.Unlock()
	if kingpinOnce.args != nil {
		if !slices.Equal(kingpinOnce.args, args) {
			return fmt.Errorf("node_exporter's collectors were set to %q already", kingpinOnce.args)
		}
		return nil
	}
	if _, err := kingpin.CommandLine.Parse(args); err != nil {
		return err
	}
	kingpinOnce.args = slices.Clone(args)
	return nil
}

// NodeCollectors is the source that node_exporter's collectors are: those that
// it has on by default, systemd and processes, and text files in textfiles.
// One that cannot be made or fails does so alone.
func NodeCollectors(log *slog.Logger, textfiles string) (Source, error) {
	err := parseOnce([]string{"--collector.systemd", "--collector.processes", "--collector.textfile.directory=" + textfiles})
	if err != nil {
		return nil, fmt.Errorf("cannot set up node_exporter's collectors: %w", err)
	}
	n := &node{log: log}
	// What collectors say of a host that has no such hardware, of every file
	// that they cannot read, would fill the journal every 15 s.
	quiet := slog.New(quietHandler{log.Handler()})
	for _, flag := range kingpin.CommandLine.Model().Flags {
		name, ok := strings.CutPrefix(flag.Name, "collector.")
		if !ok || strings.Contains(name, ".") {
			continue
		}
		c, err := makeCollector(quiet, name)
		switch {
		case err != nil && strings.Contains(err.Error(), "disabled collector"), err != nil && strings.Contains(err.Error(), "missing collector"):
			continue
		case err != nil:
			log.Info("a collector of metrics cannot be used on this host", "collector", name, "error", err)
			continue
		}
		n.guards = append(n.guards, &guard{name: name, update: c.Update})
	}
	return n.gather, nil
}

func makeCollector(log *slog.Logger, name string) (c collector.Collector, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	nc, err := collector.NewNodeCollector(log, name)
	if err != nil {
		return nil, err
	}
	return nc.Collectors[name], nil
}

// node runs collectors, each on its own.
type node struct {
	guards []*guard
	log    *slog.Logger
}

// guard is one collector, kept from harming the others.
type guard struct {
	name    string
	update  func(chan<- prometheus.Metric) error
	running atomic.Bool
	problem string // of the gather before; "" when it went well
	size    int    // metrics of the gather before
}

var (
	durationDesc = prometheus.NewDesc("node_scrape_collector_duration_seconds", "node_exporter: Duration of a collector scrape.", []string{"collector"}, nil)
	successDesc  = prometheus.NewDesc("node_scrape_collector_success", "node_exporter: Whether a collector succeeded.", []string{"collector"}, nil)
)

// found is what a collector came back with.
type found struct {
	guard   *guard
	metrics []prometheus.Metric
	took    time.Duration
	err     error
}

func (n *node) gather(ctx context.Context, emit func(prometheus.Metric)) {
	results := make(chan found, len(n.guards)) // who is late must not wait for a reader
	waiting := map[*guard]bool{}
	for _, g := range n.guards {
		if !g.running.CompareAndSwap(false, true) {
			n.done(emit, found{guard: g, err: errors.New("it still runs from the time before")})
			continue
		}
		waiting[g] = true
		go func() { results <- g.run() }()
	}
	began := time.Now()
	for len(waiting) > 0 {
		select {
		case f := <-results:
			delete(waiting, f.guard)
			n.done(emit, f)
		case <-ctx.Done():
			for g := range waiting {
				n.done(emit, found{guard: g, took: time.Since(began), err: errors.New("it took too long")})
			}
			return
		}
	}
}

// done emits what a collector found, and tells the log when it begins to fail
// or works again.
func (n *node) done(emit func(prometheus.Metric), f found) {
	g := f.guard
	for _, m := range f.metrics {
		emit(m)
	}
	success, problem := 1.0, ""
	if f.err != nil {
		success, problem = 0, f.err.Error()
	} else {
		g.size = len(f.metrics)
	}
	emit(prometheus.MustNewConstMetric(durationDesc, prometheus.GaugeValue, f.took.Seconds(), g.name))
	emit(prometheus.MustNewConstMetric(successDesc, prometheus.GaugeValue, success, g.name))
	switch {
	case problem != "" && g.problem == "" && !errors.Is(f.err, collector.ErrNoData):
		n.log.Info("a collector of metrics fails", "collector", g.name, "error", f.err)
	case problem == "" && g.problem != "":
		n.log.Info("a collector of metrics works again", "collector", g.name)
	}
	g.problem = problem
}

// run updates once. A collector that panicked may have left others of its
// goroutines behind that still send, so the channel is never closed.
func (g *guard) run() found {
	f := found{guard: g, metrics: make([]prometheus.Metric, 0, g.size)}
	began := time.Now()
	ch, updated := make(chan prometheus.Metric), make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				updated <- fmt.Errorf("panic: %v", p)
			}
		}()
		updated <- g.update(ch)
	}()
	for {
		select {
		case m := <-ch:
			f.metrics = append(f.metrics, m)
		case f.err = <-updated:
			f.took = time.Since(began)
			g.running.Store(false)
			return f
		}
	}
}

// quietHandler turns everything below it into debug.
type quietHandler struct{ slog.Handler }

func (h quietHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a)}
}
func (h quietHandler) WithGroup(g string) slog.Handler { return quietHandler{h.Handler.WithGroup(g)} }
