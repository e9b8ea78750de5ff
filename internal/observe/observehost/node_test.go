package observehost

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/node_exporter/collector"
)

// text is a log that a test reads.
type text struct {
	mu sync.Mutex
	strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Builder.Write(p)
}

// values are the values of the metrics that source gives now, by name and labels.
func values(ctx context.Context, source Source) map[string]float64 {
	all := map[string]float64{}
	s := newSeriesSet()
	source(ctx, func(m prometheus.Metric) {
		var d dto.Metric
		if m.Write(&d) != nil {
			return
		}
		name := s.name(m.Desc())
		for _, l := range d.Label {
			name += " " + l.GetName() + "=" + l.GetValue()
		}
		all[name] = d.GetGauge().GetValue() + d.GetCounter().GetValue() + d.GetUntyped().GetValue()
	})
	return all
}

// TestCollectorsFailAlone has one that fails, one that panics, one that hangs
// and one that leaves a goroutine behind; the fifth is not harmed.
func TestCollectorsFailAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log text
		n := &node{log: slog.New(slog.NewTextHandler(&log, nil))}
		desc := prometheus.NewDesc("good", "", nil, nil)
		good := prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1)
		healed := false
		hang, left := make(chan bool), make(chan bool)
		for name, update := range map[string]func(chan<- prometheus.Metric) error{
			"good": func(ch chan<- prometheus.Metric) error { ch <- good; return nil },
			"fails": func(chan<- prometheus.Metric) error {
				if healed {
					return nil
				}
				return errors.New("no such file")
			},
			"nothing": func(chan<- prometheus.Metric) error { return collector.ErrNoData },
			"panics":  func(chan<- prometheus.Metric) error { panic("index out of range") },
			"leaves": func(ch chan<- prometheus.Metric) error {
				go func() {
					<-left
					select {
					case ch <- good: // would panic if the channel were closed
					case <-time.After(time.Second):
					}
				}()
				panic("and one is left")
			},
			"hangs": func(chan<- prometheus.Metric) error { <-hang; return nil },
		} {
			n.guards = append(n.guards, &guard{name: name, update: update})
		}
		gather := func() map[string]float64 {
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			return values(ctx, n.gather)
		}
		for range 3 {
			got := gather()
			for name, want := range map[string]float64{"good": 1, "fails": 0, "nothing": 0, "panics": 0, "leaves": 0, "hangs": 0} {
				if v, ok := got["node_scrape_collector_success collector="+name]; !ok || v != want {
					t.Errorf("success of %s is %v, %v", name, v, ok)
				}
			}
			if got["good"] != 1 {
				t.Error("the good collector's metric is missing")
			}
		}
		healed = true
		close(hang)
		close(left)
		time.Sleep(2 * time.Second)
		if got := gather(); got["node_scrape_collector_success collector=hangs"] != 1 || got["node_scrape_collector_success collector=fails"] != 1 {
			t.Errorf("after they were healed: %v", got)
		}
		time.Sleep(2 * time.Second)
		for said, times := range map[string]int{"collector=fails": 2, "collector=panics": 1, "collector=hangs": 2, "collector=nothing": 0, "collector=good": 0} {
			if n := strings.Count(log.String(), said); n != times {
				t.Errorf("the log says %q %d times:\n%s", said, n, log.String())
			}
		}
	})
}

// TestNodeCollectors reads this machine.
func TestNodeCollectors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "backup.prom"), []byte("# TYPE backup_age_seconds gauge\nbackup_age_seconds{what=\"db\"} 12.5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var log text
	source, err := NodeCollectors(slog.New(slog.NewTextHandler(&log, nil)), dir)
	if err != nil {
		t.Fatal(err)
	}
	got := values(t.Context(), source)
	for _, name := range []string{"node_load1", "node_memory_MemTotal_bytes", "node_time_seconds", "backup_age_seconds what=db", "node_procs_running",
		"node_scrape_collector_success collector=cpu", "node_scrape_collector_success collector=textfile", "node_processes_pids"} {
		if got[name] == 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if _, ok := got["node_scrape_collector_success collector=systemd"]; !ok {
		t.Error("there is no systemd collector")
	}
	if n := strings.Count(log.String(), "\n"); n > 10 {
		t.Errorf("one gather says %d lines:\n%s", n, log.String())
	}
	said := log.String()
	values(t.Context(), source)
	if log.String() != said {
		t.Errorf("the second gather says more:\n%s", strings.TrimPrefix(log.String(), said))
	}
	if _, err := NodeCollectors(slog.New(slog.DiscardHandler), dir); err != nil {
		t.Errorf("the same once more: %v", err)
	}
	if _, err := NodeCollectors(slog.New(slog.DiscardHandler), t.TempDir()); err == nil {
		t.Error("another folder was taken, although the flags belong to the process")
	}
}

func BenchmarkGather(b *testing.B) {
	kingpinOnce.Lock()
	args := kingpinOnce.args
	kingpinOnce.Unlock()
	if args != nil {
		b.Skip("the collectors were set up by a test: run this alone")
	}
	source, err := NodeCollectors(slog.New(slog.DiscardHandler), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s := newSeriesSet()
	b.ReportAllocs()
	for b.Loop() {
		s.begin(1)
		source(b.Context(), s.add)
		s.end()
	}
	b.ReportMetric(float64(s.live), "series")
}
