package metricstore

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
)

func labelsFrom(kv ...string) labels.Labels { return labels.FromStrings(kv...) }

// FuzzDecode compares with Prometheus' own decoder: what that one reads, this
// one reads the same; what that one refuses is refused here or left out.
func FuzzDecode(f *testing.F) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, ts := range [][]prompb.TimeSeries{
		{series(now, 1, "__name__", "up", "a", "b")},
		{series(now, math.Inf(1)), series(now, -1, "x", "")},
		{{Labels: []prompb.Label{{Name: "a"}}, Samples: []prompb.Sample{{}, {Value: 3, Timestamp: -5}}, Histograms: []prompb.Histogram{{}}}},
	} {
		b, err := (&prompb.WriteRequest{Timeseries: ts, Metadata: []prompb.MetricMetadata{{MetricFamilyName: "up"}}}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x0a\x0e\x0a\x04\x0a\x00\x12\x00\x12\x00\x0a\x04\x0a\x00\x12\x00")) // labels apart
	f.Fuzz(func(t *testing.T, b []byte) {
		var want prompb.WriteRequest
		wantErr := want.Unmarshal(b)
		var got []prompb.TimeSeries
		var raw rawSeries
		err := eachSeries(b, &raw, func(r *rawSeries) error {
			ts := prompb.TimeSeries{}
			if err := eachLabel(r.labels, func(name, value []byte) {
				ts.Labels = append(ts.Labels, prompb.Label{Name: string(name), Value: string(value)})
			}); err != nil {
				return err
			}
			for _, p := range r.samples {
				ts.Samples = append(ts.Samples, prompb.Sample{Value: p.v, Timestamp: p.t})
			}
			got = append(got, ts)
			return nil
		})
		if wantErr != nil || err != nil {
			return // neither may panic
		}
		if len(got) != len(want.Timeseries) {
			t.Fatalf("%x: got %d series, want %d", b, len(got), len(want.Timeseries))
		}
		for i, w := range want.Timeseries {
			g := got[i]
			if len(g.Labels) != len(w.Labels) || len(g.Samples) != len(w.Samples) {
				t.Fatalf("%x: series %d: got %v, want %v", b, i, g, w)
			}
			for j := range w.Labels {
				if g.Labels[j].Name != w.Labels[j].Name || g.Labels[j].Value != w.Labels[j].Value {
					t.Fatalf("%x: series %d: got %v, want %v", b, i, g, w)
				}
			}
			for j := range w.Samples {
				if math.Float64bits(g.Samples[j].Value) != math.Float64bits(w.Samples[j].Value) || g.Samples[j].Timestamp != w.Samples[j].Timestamp {
					t.Fatalf("%x: series %d: got %v, want %v", b, i, g, w)
				}
			}
		}
	})
}

// FuzzWrite stores whatever comes; nothing may panic, and what was stored can be queried.
func FuzzWrite(f *testing.F) {
	s, _ := open(f, Options{})
	now := time.Now()
	f.Add(body(f, series(now, 1, "__name__", "up", "a", "b")))
	f.Add(body(f, series(now, 1, "__name__", "up", "instance", "x"), series(now.Add(-time.Hour), 1, "__name__", "up")))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = s.Write(t.Context(), "a", b)
		if _, err := s.Instant(t.Context(), `count({__name__=~".+",instance!="a"})`, now); err != nil {
			t.Fatal(err)
		}
	})
}
