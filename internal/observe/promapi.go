package observe

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"runtime"

	"github.com/grafana/regexp"
	"github.com/klauspost/compress/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/util/notifications"
	promv1 "github.com/prometheus/prometheus/web/api/v1"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/observe/metricstore"
)

// promAPI is Prometheus' own HTTP API over the metrics. Its constructor
// changes with every release: this file is all that knows it.
type promAPI struct {
	r       *Observe
	handler http.Handler
}

// Bounds of remote read, which Prometheus has as flags.
const (
	readSamples  = 5_000_000
	readAtOnce   = 4
	readFrame    = 1 << 20
	maxWriteBody = 8 << 20
)

func newPromAPI(r *Observe) *promAPI {
	p := &promAPI{r: r}
	started := r.s.Now()
	v1 := promv1.NewAPI(
		r.metrics.Engine(),
		r.metrics,
		r.metrics, r.metrics,
		r.metrics,
		func(context.Context) promv1.ScrapePoolsRetriever { return nothing{} },
		func(context.Context) promv1.TargetRetriever { return nothing{} },
		func(context.Context) promv1.AlertmanagerRetriever { return nothing{} },
		func() config.Config { return config.DefaultConfig },
		map[string]string{},
		promv1.GlobalURLOptions{},
		p.ready,
		r.metrics,
		"", // nothing of the server's folders is told
		false, false, 0,
		r.log.With("part", "promapi"),
		func(context.Context) promv1.RulesRetriever { return r.rules },
		readSamples, readAtOnce, readFrame,
		false,
		regexp.MustCompile(`^$`), // no other site's pages
		func() (promv1.RuntimeInfo, error) {
			return promv1.RuntimeInfo{StartTime: started, ServerTime: r.s.Now(), GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
				ReloadConfigSuccess: true, LastConfigTime: started, StorageRetention: r.metrics.Options().Retention.String()}, nil
		},
		&promv1.PrometheusVersion{Version: prometheusVersion, Revision: "drover " + r.s.Version, GoVersion: runtime.Version()},
		func() []notifications.Notification { return nil },
		func() (<-chan notifications.Notification, func(), bool) { return nil, nil, false },
		prometheus.Gatherer(r.metrics),
		prometheus.NewRegistry(),
		nil,
		true, remoteapi.MessageTypes{remoteapi.WriteV1MessageType},
		false, false, false,
		false,
		metricstore.Lookback,
		false,
		false,
		nil,
		nil,
		promv1.OpenAPIOptions{},
		r.metrics.Parser(),
	)
	router := route.New().WithPrefix("/api/v1")
	v1.Register(router)
	p.handler = router
	return p
}

// prometheusVersion is that of the API that is spoken: clients choose by it
// what they ask.
const prometheusVersion = "3.15.0"

// ready answers 503 until metrics are open.
func (p *promAPI) ready(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-p.r.metrics.Ready():
			next(w, r)
		default:
			http.Error(w, "the metrics are being opened", http.StatusServiceUnavailable)
		}
	}
}

func (p *promAPI) serve(w http.ResponseWriter, r *http.Request) error {
	p.handler.ServeHTTP(w, r)
	return nil
}

// write takes remote write of other programs; unlike a host's, its series keep
// the labels they come with.
func (p *promAPI) write(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return domain.BodyError(err)
	}
	// The handler would unpack whatever the body says it unpacks to.
	if n, err := snappy.DecodedLen(body); err != nil || n > 8*maxWriteBody {
		return api.Errorf(api.CodeInvalid, "the body is not packed by snappy, or unpacks to more than %d MiB", 8*maxWriteBody>>20).
			WithRemedy("send a remote-write 1.0 request, with fewer samples")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.handler.ServeHTTP(w, r)
	return nil
}

// routes are those of Prometheus' API that are served. The others, such as
// removing series, are not there.
func (p *promAPI) routes() []domain.Route {
	var out []domain.Route
	add := func(method, path, doc string) {
		out = append(out, domain.Route{Method: method, Path: "/api/v1/" + path, Access: domain.Viewer(), Basic: true, Internal: true, Quiet: true,
			Doc: "Prometheus: " + doc + ".", Handle: p.serve})
	}
	for _, both := range []struct{ path, doc string }{
		{"query", "answer a query at one time"},
		{"query_range", "answer a query over a time"},
		{"query_exemplars", "exemplars, of which there are none"},
		{"format_query", "write a query in the usual form"},
		{"parse_query", "show a query as a tree"},
		{"labels", "names of labels"},
		{"series", "series by their labels"},
	} {
		add("GET", both.path, both.doc)
		add("POST", both.path, both.doc)
	}
	for _, get := range []struct{ path, doc string }{
		{"label/{name}/values", "values of a label"},
		{"metadata", "what metrics mean, as far as targets say so"},
		{"rules", "the rules and how they do"},
		{"alerts", "alerts, as Prometheus shows them"},
		{"targets", "targets, of which there are none: hosts send"},
		{"targets/metadata", "what targets say of metrics"},
		{"scrape_pools", "scrape pools, of which there are none"},
		{"alertmanagers", "Alertmanagers, of which there are none"},
		{"status/buildinfo", "the version of the API"},
		{"status/runtimeinfo", "the state of the server"},
		{"status/flags", "flags, of which there are none"},
		{"status/config", "the configuration, which is Prometheus' default"},
		{"status/tsdb", "which series there are most of"},
		{"status/tsdb/blocks", "the blocks on disk"},
		{"status/walreplay", "whether the log is being read"},
		{"features", "what this server can do"},
	} {
		add("GET", get.path, get.doc)
	}
	add("POST", "read", "samples for another Prometheus, by remote read")
	// Samples are no change of the fleet: the audit would be full of them.
	return append(out, domain.Route{Method: "POST", Path: "/api/v1/write", Access: domain.Operator(), Basic: true, Internal: true, Quiet: true, MaxBody: maxWriteBody,
		Doc: "Prometheus: take samples by remote write 1.0.", Handle: p.write})
}

// nothing has neither targets nor Alertmanagers.
type nothing struct{}

func (nothing) ScrapePools() []string                       { return []string{} }
func (nothing) TargetsActive() map[string][]*scrape.Target  { return nil }
func (nothing) TargetsDropped() map[string][]*scrape.Target { return nil }
func (nothing) TargetsDroppedCounts() map[string]int        { return nil }
func (nothing) ScrapePoolConfig(string) (*config.ScrapeConfig, error) {
	return nil, api.Errorf(api.CodeNotFound, "there are no scrape pools")
}
func (nothing) Alertmanagers() []*url.URL        { return nil }
func (nothing) DroppedAlertmanagers() []*url.URL { return nil }

var (
	_ promv1.RulesRetriever = (*rulePack)(nil)
	_ rules.GroupLoader     = (*rulePack)(nil)
)
