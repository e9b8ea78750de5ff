package observehost

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkCatchUp ships three hours of a host with 700 series that the server
// was away for, to one that takes all at once.
func BenchmarkCatchUp(b *testing.B) {
	const gathers, series = 720, 700
	dir := b.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	w, err := openLog(filepath.Join(dir, "wal"), quiet, limits{segment: 1 << 20, bytes: 1 << 30, age: 1 << 60})
	if err != nil {
		b.Fatal(err)
	}
	s := newSeriesSet()
	var descs []*prometheus.Desc
	for i := range series {
		descs = append(descs, prometheus.NewDesc("node_something_total", "", nil, prometheus.Labels{"device": string(rune('a' + i%26)), "number": string(rune('0' + i/26))}))
	}
	for g := range gathers {
		s.begin(1_700_000_000_000 + int64(g)*15_000)
		for i, d := range descs {
			s.add(prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(g*i)*1.7))
		}
		s.end()
		if err := w.append(s); err != nil {
			b.Fatal(err)
		}
	}
	bytes := w.total()
	b.ReportAllocs()
	sent, requests := 0, 0
	for b.Loop() {
		cur, _, _, err := openCursor(filepath.Join(b.TempDir(), "cursor"))
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		requests, sent = 0, 0
		sh := &shipper{log: quiet, wal: w, cursor: cur, beside: &besides{}}
		sh.write = func(_ context.Context, body []byte) error {
			requests++
			sent += len(body)
			return nil
		}
		// The segments are kept for the next time: what is acknowledged is not removed.
		for {
			sh.fill()
			if sh.batch.records == 0 {
				break
			}
			if err := sh.send(ctx, sh.enc.request(sh.batch.samples)); err != nil {
				b.Fatal(err)
			}
			sh.at = sh.batch.end
		}
		sh.closeReader()
		stop()
		cur.close()
	}
	n := float64(gathers * series)
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(bytes)/n, "log-bytes/sample")
	b.ReportMetric(float64(sent)/n, "sent-bytes/sample")
	b.ReportMetric(float64(requests), "requests")
}
