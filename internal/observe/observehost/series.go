package observehost

import (
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
)

// maxSeries bounds what a host may send: a text file that names a series for
// every customer must not fill the fleet's store.
const maxSeries = 50_000

// seriesSet gives every series its reference and knows which were there in
// the gather before.
type seriesSet struct {
	byKey map[string]*series
	last  chunks.HeadSeriesRef
	round uint64 // of the gather under way
	names map[*prometheus.Desc]string

	// Of the gather under way.
	time    int64
	fresh   []record.RefSeries // not named in the log yet
	ended   []record.RefSeries // were there in the gather before
	samples []record.RefSample
	live    int    // samples without markers of staleness
	hash    uint64 // of them, if hashing: see sampleHash
	over    int    // samples that were one too many
	invalid int

	hashing bool
	key     []byte
	builder labels.ScratchBuilder
	metric  dto.Metric
}

type series struct {
	ref    chunks.HeadSeriesRef
	labels labels.Labels
	seen   uint64 // the round
}

func newSeriesSet() *seriesSet {
	return &seriesSet{byKey: map[string]*series{}, names: map[*prometheus.Desc]string{}, builder: labels.NewScratchBuilder(8)}
}

// begin starts a gather at t, in milliseconds.
func (s *seriesSet) begin(t int64) {
	s.round++
	s.time, s.live, s.hash, s.over, s.invalid = t, 0, 0, 0, 0
	clear(s.fresh)
	clear(s.ended)
	s.fresh, s.ended, s.samples = s.fresh[:0], s.ended[:0], s.samples[:0]
	if len(s.names) > 4*len(s.byKey)+1000 {
		clear(s.names) // some collectors make their descriptions anew each time
	}
}

// add takes a metric into the gather.
func (s *seriesSet) add(m prometheus.Metric) {
	d := &s.metric
	d.Reset()
	name := s.name(m.Desc())
	if name == "" || m.Write(d) != nil {
		s.invalid++
		return
	}
	switch {
	case d.Counter != nil:
		s.put(name, d.Label, "", "", d.Counter.GetValue())
	case d.Gauge != nil:
		s.put(name, d.Label, "", "", d.Gauge.GetValue())
	case d.Untyped != nil:
		s.put(name, d.Label, "", "", d.Untyped.GetValue())
	case d.Summary != nil:
		for _, q := range d.Summary.Quantile {
			s.put(name, d.Label, "quantile", number(q.GetQuantile()), q.GetValue())
		}
		s.put(name+"_sum", d.Label, "", "", d.Summary.GetSampleSum())
		s.put(name+"_count", d.Label, "", "", float64(d.Summary.GetSampleCount()))
	case d.Histogram != nil:
		infinite := false
		for _, b := range d.Histogram.Bucket {
			infinite = infinite || math.IsInf(b.GetUpperBound(), 1)
			s.put(name+"_bucket", d.Label, "le", number(b.GetUpperBound()), float64(b.GetCumulativeCount()))
		}
		if !infinite {
			s.put(name+"_bucket", d.Label, "le", "+Inf", float64(d.Histogram.GetSampleCount()))
		}
		s.put(name+"_sum", d.Label, "", "", d.Histogram.GetSampleSum())
		s.put(name+"_count", d.Label, "", "", float64(d.Histogram.GetSampleCount()))
	}
}

// number is a bound as text formats of Prometheus write it.
func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// name is the metric's, which a description tells only in its text.
func (s *seriesSet) name(d *prometheus.Desc) string {
	if name, ok := s.names[d]; ok {
		return name
	}
	_, rest, _ := strings.Cut(d.String(), `fqName: "`)
	name, _, _ := strings.Cut(rest, `"`)
	name = strings.Clone(name)
	s.names[d] = name
	return name
}

// put takes one sample into the gather. Of a series that comes twice the first counts.
func (s *seriesSet) put(name string, pairs []*dto.LabelPair, extra, extraValue string, v float64) {
	k := append(s.key[:0], name...)
	for _, p := range pairs {
		if p.GetValue() == "" {
			continue // the same as no such label
		}
		k = append(append(append(append(k, 0xff), p.GetName()...), 0xff), p.GetValue()...)
	}
	if extra != "" {
		k = append(append(append(append(k, 0xff), extra...), 0xff), extraValue...)
	}
	s.key = k
	e := s.byKey[string(k)]
	if e == nil {
		if len(s.byKey) >= maxSeries {
			s.over++
			return
		}
		s.builder.Reset()
		s.builder.Add(model.MetricNameLabel, name)
		for _, p := range pairs {
			if p.GetValue() != "" {
				s.builder.Add(p.GetName(), p.GetValue())
			}
		}
		if extra != "" {
			s.builder.Add(extra, extraValue)
		}
		s.builder.Sort()
		s.last++
		e = &series{ref: s.last, labels: s.builder.Labels()}
		s.byKey[string(k)] = e
		s.fresh = append(s.fresh, record.RefSeries{Ref: e.ref, Labels: e.labels})
	} else if e.seen == s.round {
		return
	}
	e.seen = s.round
	s.samples = append(s.samples, record.RefSample{Ref: e.ref, T: s.time, V: v})
	s.live++
	if s.hashing {
		s.hash += sampleHash(e.labels, v)
	}
}

// end marks what was there in the gather before and is not any more: a query
// must not show for minutes what a file system that was unmounted had.
func (s *seriesSet) end() {
	for k, e := range s.byKey {
		if e.seen != s.round {
			s.samples = append(s.samples, record.RefSample{Ref: e.ref, T: s.time, V: math.Float64frombits(value.StaleNaN)})
			s.ended = append(s.ended, record.RefSeries{Ref: e.ref, Labels: e.labels})
			delete(s.byKey, k)
		}
	}
}

// all are the series of the gather's samples, for the start of a segment.
func (s *seriesSet) all() []record.RefSeries {
	list := make([]record.RefSeries, 0, len(s.byKey)+len(s.ended))
	for _, e := range s.byKey {
		list = append(list, record.RefSeries{Ref: e.ref, Labels: e.labels})
	}
	return append(list, s.ended...)
}

// sampleHash is a sample's part of a gather's hash; see RecordHash.
func sampleHash(l labels.Labels, v float64) uint64 {
	pairs := make([]string, 0, 16)
	l.Range(func(l labels.Label) { pairs = append(pairs, l.Name, l.Value) })
	return RecordHash(pairs, v)
}
