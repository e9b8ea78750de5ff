package observe

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"drover/api"
	"drover/internal/observe/metricstore"
)

// newestOf is the newest sample of one series.
type newestOf struct {
	labels labels.Labels
	t      int64
	v      float64
}

// federate gives the newest sample of each series that a match[] selects, with
// its time, as Prometheus' /federate does (its handler is in a package that
// would bring Prometheus' whole web server).
func (r *Observe) federate(w http.ResponseWriter, req *http.Request) error {
	if err := req.ParseForm(); err != nil {
		return api.Errorf(api.CodeInvalid, "cannot read the request: %v", err)
	}
	selectors := req.Form["match[]"]
	if len(selectors) == 0 {
		return (&api.Error{Code: api.CodeInvalid, Field: "match[]", Message: "no selector is given"}).WithRemedy(`say which series: match[]={job="node"}`)
	}
	sets, err := r.metrics.Parser().ParseMetricSelectors(selectors)
	if err != nil {
		return &api.Error{Code: api.CodeInvalid, Field: "match[]", Message: err.Error()}
	}
	found, err := r.newest(req, sets)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b newestOf) int {
		if c := strings.Compare(a.labels.Get(model.MetricNameLabel), b.labels.Get(model.MetricNameLabel)); c != 0 {
			return c
		}
		return labels.Compare(a.labels, b.labels)
	})
	format := expfmt.NegotiateAccept(req.Header, expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText), expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain))
	w.Header().Set("Content-Type", string(format))
	enc := expfmt.NewEncoder(w, format)
	var family *dto.MetricFamily
	flush := func() bool {
		// Nobody can be told when the other end has gone.
		return family == nil || enc.Encode(family) == nil
	}
	for _, s := range found {
		name := s.labels.Get(model.MetricNameLabel)
		if family == nil || family.GetName() != name {
			if !flush() {
				return nil
			}
			family = &dto.MetricFamily{Name: &name, Type: dto.MetricType_UNTYPED.Enum()}
		}
		m := &dto.Metric{TimestampMs: &s.t, Untyped: &dto.Untyped{Value: &s.v}}
		s.labels.Range(func(l labels.Label) {
			if l.Name != model.MetricNameLabel {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
		})
		if !s.labels.Has("instance") { // so that the reader does not put its own there
			m.Label = append(m.Label, &dto.LabelPair{Name: ptr("instance"), Value: ptr("")})
		}
		family.Metric = append(family.Metric, m)
	}
	flush()
	return nil
}

func ptr[T any](v T) *T { return &v }

// newest reads the newest sample of each series that one of sets selects.
func (r *Observe) newest(req *http.Request, sets [][]*labels.Matcher) ([]newestOf, error) {
	now := r.s.Now()
	from, to := now.Add(-metricstore.Lookback).UnixMilli(), now.UnixMilli()
	q, err := r.metrics.Querier(from, to)
	if err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot read metrics: %v", err)
	}
	defer q.Close()
	hints := &storage.SelectHints{Start: from, End: to}
	var selected []storage.SeriesSet
	for _, matchers := range sets {
		selected = append(selected, q.Select(req.Context(), true, hints, matchers...))
	}
	set := storage.NewMergeSeriesSet(selected, 0, storage.ChainedSeriesMerge)
	var out []newestOf
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		p := newestOf{labels: s.Labels(), t: math.MinInt64}
		for it.Next() == chunkenc.ValFloat {
			if t, v := it.At(); t <= to {
				p.t, p.v = t, v
			}
		}
		// The format has no word for a series' end.
		if it.Err() == nil && p.t >= from && !value.IsStaleNaN(p.v) && p.labels.Has(model.MetricNameLabel) {
			out = append(out, p)
		}
	}
	return out, set.Err()
}

// formatFloat writes a bucket's bound as Prometheus does.
func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
