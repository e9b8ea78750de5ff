package observe

import (
	"net/http"
	"time"

	"drover/api"
	"drover/internal/domain"
)

func (r *Observe) routes() []domain.Route {
	return append([]domain.Route{
		{Method: "GET", Path: "/v1/alerts", Access: domain.Viewer(), Doc: "What alert rules find wrong now.\nEvents alert.firing and alert.resolved of /v1/events tell of changes.",
			Response: api.AlertList{}, Handle: func(w http.ResponseWriter, _ *http.Request) error {
				return domain.WriteJSON(w, http.StatusOK, api.AlertList{Items: r.alerts.list()})
			}},
		{Method: "GET", Path: "/v1/rules.yml", Access: domain.Viewer(), Basic: true, Doc: "The rules that are evaluated, as a Prometheus rule file.",
			Handle: func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", "text/yaml; charset=utf-8")
				_, err := w.Write(r.rules.text)
				return err
			}},
		{Method: "GET", Path: "/v1/metrics/status", Access: domain.Viewer(), Doc: "How much is measured and kept, and what is left out.",
			Response: api.MetricsStatus{}, Handle: r.status},
		{Method: "GET", Path: "/v1/hosts/{name}/processes", Access: domain.Viewer(), Doc: "What runs on a host this moment; the host itself is asked.",
			Query:    []domain.Param{{Name: "limit", Type: domain.Integer, Doc: "the most processes to list"}},
			Response: api.ProcessList{}, Handle: r.processes},
		{Method: "GET", Path: "/v1/hosts/{name}/units", Access: domain.Viewer(), Doc: "The units of a host's systemd this moment; the host itself is asked.",
			Response: api.UnitList{}, Handle: r.units},
		{Method: "GET", Path: "/federate", Access: domain.Viewer(), Basic: true, Internal: true, Doc: "Prometheus: the newest samples of the series that match[] selects.", Handle: r.federate},
	}, r.prom.routes()...)
}

// senderAge is how long ago a host that sends may have sent.
const senderAge = 2 * time.Minute

func (r *Observe) status(w http.ResponseWriter, _ *http.Request) error {
	f, o := r.metrics.Figures(), r.metrics.Options()
	return domain.WriteJSON(w, http.StatusOK, api.MetricsStatus{
		Series: int64(f.Series), SamplesPerSecond: r.rate.perSecond(), Bytes: f.Bytes, Free: f.Free, Oldest: f.Oldest.UTC(), Newest: f.Newest.UTC(),
		Retention: o.Retention, MaxBytes: o.MaxBytes, Hosts: r.senders.count(r.s.Now().Add(-senderAge)),
		Problems: append(append([]string{}, r.metrics.Problems()...), r.metrics.Notes()...),
	})
}
