package server

import (
	"net/http"
	"strings"

	"drover/api"
	"drover/internal/console"
	"drover/internal/domain"
	"drover/internal/pki"
)

// Version is the answer to /v1/version.
type Version struct {
	Version string `json:"version"`
	Fleet   string `json:"fleet"` // the fleet's id
	Link    int    `json:"link"`  // the newest protocol spoken with agents
}

// Health is the answer to /healthz.
type Health struct {
	Status   string   `json:"status"` // ok, or failing
	Problems []string `json:"problems,omitempty"`
}

// CA is the answer to /v1/ca: what clients and agents trust.
type CA struct {
	Fleet       string `json:"fleet"`
	Certificate string `json:"certificate"` // PEM of all roots
	Fingerprint string `json:"fingerprint"` // of the signing root: sha256:HEX
	// APIFingerprint is of the certificate that the API shows, if that is not
	// of the fleet's CA.
	APIFingerprint string `json:"apiFingerprint,omitempty"`
}

// KindInfo describes one kind to clients that know none.
type KindInfo struct {
	Name    string       `json:"name"`
	Plural  string       `json:"plural"`
	Short   []string     `json:"short,omitempty"`
	Doc     string       `json:"doc"`
	Room    string       `json:"room"`
	Verbs   []string     `json:"verbs"`
	Read    string       `json:"read"`           // who may read
	Write   string       `json:"write"`          // who may write
	Made    string       `json:"made,omitempty"` // how one is made, where the generic API does not
	Columns []api.Column `json:"columns"`
}

// KindList is the answer to /v1/kinds.
type KindList struct {
	Items []KindInfo `json:"items"`
}

// systemRoutes are those of the server itself.
func (s *Server) systemRoutes() []domain.Route {
	return []domain.Route{
		{Method: "GET", Path: "/{$}", Access: domain.Public("a greeting, or the console's page, which shows what the API lets it"), Doc: "Say what this is.", Internal: true,
			Handle: func(w http.ResponseWriter, r *http.Request) error {
				if console.WantsPage(r) {
					return s.console.Page(w, r)
				}
				w.Header().Set("Vary", "Accept")
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
				_, err := w.Write([]byte("This is Drover's API. It is described at /openapi.json; people use it in a browser or by the command `drover`.\n"))
				return err
			}},
		{Method: "GET", Path: "/healthz", Access: domain.Public("says ok or failing, and what is failing of the server itself"), Doc: "Tell whether the server can do its work.", Response: Health{}, Handle: s.healthz},
		{Method: "GET", Path: "/metrics", Access: domain.Viewer(), Doc: "The server's own metrics, in Prometheus' text format.", Handle: func(w http.ResponseWriter, r *http.Request) error {
			s.metrics.handler.ServeHTTP(w, r)
			return nil
		}},
		{Method: "GET", Path: "/openapi.json", Access: domain.Public("a description without data"), Doc: "This description of the API.", Handle: func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			_, err := w.Write(s.openapi)
			return err
		}},
		{Method: "GET", Path: "/v1/version", Access: domain.Public("clients must know what they speak with"), Doc: "The server's version.", Response: Version{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return domain.WriteJSON(w, http.StatusOK, Version{Version: s.cfg.Version, Fleet: s.ca.Fleet(), Link: api.LinkVersion})
		}},
		{Method: "GET", Path: "/v1/ca", Access: domain.Public("certificates are public; they are what clients verify the server with"), Doc: "The fleet's root certificates.", Response: CA{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			pin, err := pki.PinOf(s.ca.Bundle())
			if err != nil {
				return err
			}
			return domain.WriteJSON(w, http.StatusOK, CA{Fleet: s.ca.Fleet(), Certificate: string(s.ca.Bundle()), Fingerprint: pin, APIFingerprint: s.apiPin()})
		}},
		{Method: "GET", Path: "/v1/kinds", Access: domain.Viewer(), Doc: "The kinds of objects there are, with their tables' columns.", Response: KindList{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return domain.WriteJSON(w, http.StatusOK, KindList{Items: s.kindInfos})
		}},
		{Method: "GET", Path: "/v1/server", Access: domain.Viewer(), Doc: "What there is to know of the server: where it is, its space, its certificates, and what needs somebody.", Response: api.ServerInfo{}, Handle: s.info},
		{Method: "GET", Path: "/v1/whoami", Access: domain.SignedIn(), Doc: "Who the request's credential is.", Response: api.Me{}, Handle: s.whoami},
	}
}

func (s *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	h := Health{Status: "ok", Problems: s.store.Health(r.Context()).Problems}
	for _, problems := range s.problems {
		h.Problems = append(h.Problems, problems()...)
	}
	if s.draining.Err() != nil {
		h.Problems = append(h.Problems, "the server is stopping")
	}
	status := http.StatusOK
	if len(h.Problems) > 0 {
		h.Status, status = "failing", http.StatusServiceUnavailable
	}
	return domain.WriteJSON(w, status, h)
}

// describe is what clients learn of a kind.
func describe(room string, k domain.Kind) KindInfo {
	cols := k.Columns
	if cols == nil {
		if c, ok := k.New().(interface{ Columns() []api.Column }); ok {
			cols = c.Columns()
		}
	}
	return KindInfo{Name: k.Name, Plural: k.Plural, Short: k.Short, Doc: k.Doc, Room: room, Verbs: verbs(k),
		Read: k.Read.String(), Write: k.Write.String(), Made: k.Made, Columns: cols}
}

// checkKind refuses, when the server is assembled, a kind that is not whole.
func checkKind(k domain.Kind) string {
	switch {
	case k.Name == "" || k.Plural == "" || k.Name != strings.ToLower(k.Name):
		return "needs a name and a plural in lower case"
	case k.New == nil:
		return "has no New"
	case k.Doc == "":
		return "has no Doc"
	case k.Read.IsZero():
		return "has no rule for reading"
	case !k.ReadOnly && k.Write.IsZero():
		return "has no rule for writing"
	}
	return ""
}
