package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drover/internal/domain"
	"drover/internal/journal"
)

// metrics are the server's own, in a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	handler   http.Handler
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	events    *prometheus.CounterVec
	converges *prometheus.CounterVec
	restarts  *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_http_requests_total",
			Help: "Requests of the API by method, route and status."}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "drover_http_request_duration_seconds",
			Help: "Time to answer a request that is no stream.", Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30}}, []string{"method", "route"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_events_total",
			Help: "Events of the journal by type."}, []string{"type"}),
		converges: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_converges_total",
			Help: "Converges of hosts that were reported, by outcome."}, []string{"outcome"}),
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_loop_restarts_total",
			Help: "Loops that ended with an error and were started again."}, []string{"loop"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "drover_build_info", Help: "Always 1; the label says which Drover this is.",
		ConstLabels: prometheus.Labels{"version": s.cfg.Version}})
	info.Set(1)
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(
		m.requests, m.durations, m.events, m.converges, m.restarts, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("drover_agents_connected", "Hosts with an open link.", func() float64 { return float64(s.hub.Len()) }),
		gauge("drover_watches", "Server-sent event streams under way.", func() float64 { return float64(s.streams.n.Load()) }),
		gauge("drover_journal_last_seq", "Sequence number of the newest event.", func() float64 { return float64(s.journal.Last()) }),
		&storeCollector{s: s,
			size:     prometheus.NewDesc("drover_store_size_bytes", "Size of the store on disk.", nil, nil),
			quota:    prometheus.NewDesc("drover_store_quota_bytes", "Size at which the store refuses writes.", nil, nil),
			revision: prometheus.NewDesc("drover_store_revision", "The store's revision: one more for each write.", nil, nil),
			problems: prometheus.NewDesc("drover_store_problems", "Problems that the store reports.", nil, nil)},
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
	return m
}

func (m *metrics) request(rt domain.Route, status int, took time.Duration) {
	m.requests.WithLabelValues(rt.Method, rt.Path, strconv.Itoa(status)).Inc()
	if !rt.Stream {
		m.durations.WithLabelValues(rt.Method, rt.Path).Observe(took.Seconds())
	}
}

// count follows the journal, so that rooms need not know of metrics.
func (s *Server) countEvents(ctx context.Context) error {
	for e := range s.journal.Watch(ctx, journal.Filter{After: s.journal.Last()}) {
		s.metrics.events.WithLabelValues(e.Type).Inc()
		switch e.Type {
		case "host.converged", "host.changed", "host.failed", "host.drifted":
			s.metrics.converges.WithLabelValues(e.Type[len("host."):]).Inc()
		}
	}
	return nil
}

// storeCollector asks the store once a scrape.
type storeCollector struct {
	s                               *Server
	size, quota, revision, problems *prometheus.Desc
}

func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.size
	ch <- c.quota
	ch <- c.revision
	ch <- c.problems
}

func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	h := c.s.store.Health(ctx)
	for desc, v := range map[*prometheus.Desc]float64{c.size: float64(h.Size), c.quota: float64(h.Quota), c.revision: float64(h.Revision), c.problems: float64(len(h.Problems))} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
}
