package observe

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"drover/api"
	"drover/internal/observe/metricstore"
)

// jobServer is the label job of what the server itself writes.
const jobServer = "drover"

// instanceServer is the label instance of the server's own metrics. A host's
// name cannot be mistaken for it: its series have other names.
const instanceServer = "server"

// about writes the series that the server makes about each host, and its own.
type about struct {
	r       *Observe
	started time.Time

	mu     sync.Mutex
	kicked map[string]bool // hosts that came or went
	wake   chan struct{}
	left   map[string]bool // hosts that were here since the start and went

	// Of the loop alone.
	rows map[string]*row
	own  map[string]labels.Labels // the server's own series of last time, by their labels
}

// row is what was last written about one host.
type row struct {
	series map[string]labels.Labels // by the series' name, and for a state with it
	live   map[string]bool
}

func newAbout(r *Observe) *about {
	return &about{r: r, kicked: map[string]bool{}, left: map[string]bool{}, wake: make(chan struct{}, 1), rows: map[string]*row{}, own: map[string]labels.Labels{}}
}

// kick has a host's series written soon.
func (a *about) kick(host string) {
	a.mu.Lock()
	a.kicked[host] = true
	a.left[host] = true // from now on its absence is known, not guessed
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// silent is how long a host may send no metrics before they count as missing.
const silent = time.Minute

// gather is how long comings and goings are collected before they are written.
const gather = 500 * time.Millisecond

func (a *about) run(ctx context.Context) error {
	select {
	case <-a.r.metrics.Ready():
	case <-ctx.Done():
		return nil
	}
	a.started = a.r.s.Now()
	if err := a.recall(ctx); err != nil {
		a.r.log.Warn("cannot read when hosts last sent metrics", "error", err)
	}
	tick := time.NewTicker(a.r.o.Interval)
	defer tick.Stop()
	failing := false
	for {
		err := a.write(ctx, nil)
		for waiting := true; waiting && err == nil; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				waiting = false
			case <-a.wake:
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(gather):
				}
				a.mu.Lock()
				kicked := a.kicked
				a.kicked = map[string]bool{}
				a.mu.Unlock()
				err = a.write(ctx, kicked)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			// The store itself says what is the matter; here it is said once.
			if !failing {
				a.r.log.Warn("cannot write the server's own series", "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
		failing = err != nil
	}
}

// recall reads from the metrics when each host last sent, before this start.
func (a *about) recall(ctx context.Context) error {
	v, err := a.r.metrics.Instant(ctx, "last_over_time(drover_host_metrics_timestamp_seconds[3d])", a.r.s.Now())
	if err != nil {
		return err
	}
	if vec, ok := v.(promql.Vector); ok {
		for _, p := range vec {
			a.r.senders.recall(p.Metric.Get("instance"), seconds(p.F))
		}
	}
	return nil
}

func seconds(f float64) time.Time { return time.UnixMilli(int64(f * 1000)) }

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// write writes what there is to say about all hosts, or about some.
func (a *about) write(ctx context.Context, some map[string]bool) error {
	now := a.r.s.Now()
	hosts, err := a.r.hosts.Shared(ctx)
	if err != nil {
		return err
	}
	var out []metricstore.Sample
	there := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		there[h.Name] = true
		if some == nil || some[h.Name] {
			out = a.host(out, h, now)
		}
	}
	for name, w := range a.rows {
		if !there[name] { // it was removed: its series end here
			for key := range w.live {
				out = append(out, metricstore.Sample{Labels: w.series[key], Value: math.Float64frombits(value.StaleNaN)})
			}
			delete(a.rows, name)
		}
	}
	if some == nil {
		a.r.senders.keep(there)
		a.forget(there)
		out = a.server(out)
	}
	return a.r.metrics.Append(ctx, now, out)
}

func (a *about) forget(there map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.left, func(host string, _ bool) bool { return !there[host] })
}

// host adds what is to be said about one host.
func (a *about) host(out []metricstore.Sample, h *api.Host, now time.Time) []metricstore.Sample {
	w := a.rows[h.Name]
	if w == nil {
		w = &row{series: map[string]labels.Labels{}, live: map[string]bool{}}
		a.rows[h.Name] = w
	}
	was := w.live
	w.live = make(map[string]bool, len(was))
	add := func(name, state string, v float64) {
		key := name + state
		l, ok := w.series[key]
		if !ok {
			job := jobServer
			if name == metricstore.Up {
				job = metricstore.JobNode // of what the host sends
			}
			b := labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, name, "instance", h.Name, "job", job))
			l = b.Set("state", state).Labels()
			w.series[key] = l
		}
		w.live[key] = true
		out = append(out, metricstore.Sample{Labels: l, Value: v})
	}
	connected := a.r.s.Hub.Connected(h.Name)
	if connected || a.away(h.Name, now) {
		add("drover_host_connected", "", flag(connected))
	} else if was["drover_host_connected"] {
		w.live["drover_host_connected"] = true // still guessed: what was said last goes on
	}
	if h.Status.State != "" {
		add("drover_host_state", h.Status.State, 1)
	}
	if last := h.Status.Last; last != nil {
		add("drover_host_converge_failed", "", flag(last.Failed))
		add("drover_host_last_converge_timestamp_seconds", "", unix(last.Start.Add(last.Duration)))
	}
	if !h.Status.DriftedAt.IsZero() {
		add("drover_host_drifted_timestamp_seconds", "", unix(h.Status.DriftedAt))
	}
	if at, offset, known := a.r.senders.last(h.Name); !at.IsZero() {
		up := connected && now.Sub(at) < silent
		if up || a.away(h.Name, now) {
			add(metricstore.Up, "", flag(up))
		} else if was[metricstore.Up] {
			w.live[metricstore.Up] = true
		}
		add("drover_host_metrics_timestamp_seconds", "", unix(at))
		if known && now.Sub(at) < silent {
			add("drover_host_clock_offset_seconds", "", offset.Seconds())
		}
	}
	for key := range was {
		if !w.live[key] {
			out = append(out, metricstore.Sample{Labels: w.series[key], Value: math.Float64frombits(value.StaleNaN)})
		}
	}
	return out
}

// away reports whether it is certain that a host is not here: right after a
// start all hosts are away, and most are about to come back.
func (a *about) away(host string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left[host] || now.Sub(a.started) >= a.r.o.StartGrace
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// server adds the server's own metrics: its registry's and the database's.
func (a *about) server(out []metricstore.Sample) []metricstore.Sample {
	out = append(out, metricstore.Sample{Labels: labels.FromStrings(model.MetricNameLabel, metricstore.Up, "instance", instanceServer, "job", jobServer), Value: 1})
	for _, g := range []interface {
		Gather() ([]*dto.MetricFamily, error)
	}{a.r.s.Own, a.r.metrics} {
		if g == nil {
			continue
		}
		// What could be gathered is given beside an error, which /metrics shows too.
		families, _ := g.Gather()
		for _, f := range families {
			out = a.family(out, f)
		}
	}
	return out
}

func (a *about) family(out []metricstore.Sample, f *dto.MetricFamily) []metricstore.Sample {
	name := f.GetName()
	for _, m := range f.GetMetric() {
		add := func(suffix string, v float64, more ...string) {
			key := name + suffix
			for _, l := range m.GetLabel() {
				key += "\xff" + l.GetName() + "\xff" + l.GetValue()
			}
			for _, x := range more {
				key += "\xff" + x
			}
			lset, ok := a.own[key]
			if !ok {
				b := labels.NewBuilder(labels.EmptyLabels())
				for _, l := range m.GetLabel() {
					b.Set(l.GetName(), l.GetValue())
				}
				for i := 0; i < len(more); i += 2 {
					b.Set(more[i], more[i+1])
				}
				b.Set(model.MetricNameLabel, name+suffix).Set("job", jobServer).Set("instance", instanceServer)
				lset = b.Labels()
				a.own[key] = lset
			}
			out = append(out, metricstore.Sample{Labels: lset, Value: v})
		}
		switch {
		case m.Counter != nil:
			add("", m.Counter.GetValue())
		case m.Gauge != nil:
			add("", m.Gauge.GetValue())
		case m.Untyped != nil:
			add("", m.Untyped.GetValue())
		case m.Summary != nil:
			add("_sum", m.Summary.GetSampleSum())
			add("_count", float64(m.Summary.GetSampleCount()))
		case m.Histogram != nil:
			add("_sum", m.Histogram.GetSampleSum())
			add("_count", float64(m.Histogram.GetSampleCount()))
			for _, b := range m.Histogram.GetBucket() {
				if !math.IsInf(b.GetUpperBound(), 1) {
					add("_bucket", float64(b.GetCumulativeCount()), "le", formatFloat(b.GetUpperBound()))
				}
			}
			add("_bucket", float64(m.Histogram.GetSampleCount()), "le", "+Inf")
		}
	}
	return out
}
