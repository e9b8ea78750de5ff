package play

import (
	"crypto/rand"
	"net/http"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/plan"
)

// convergeTimeout is how long hosts may take that are asked to converge now.
const convergeTimeout = time.Hour

// serveConverge is POST /v1/converge.
func (p *Play) serveConverge(w http.ResponseWriter, req *http.Request) error {
	var q api.ConvergeRequest
	if err := domain.Decode(req, &q); err != nil {
		return err
	}
	if q.Timeout < 0 || q.Timeout > maxTimeout {
		return &api.Error{Code: api.CodeInvalid, Field: "timeout", Message: "the timeout is not between 0 and 24 hours", Remedy: "leave it out for an hour"}
	}
	if q.Timeout == 0 {
		q.Timeout = convergeTimeout
	}
	id, what, title := "converge-"+rand.Text(), "a converge", "converge"
	if q.Check {
		what, title = "a check", "check"
	}
	return p.onHosts(w, req, &order{
		id: id, hosts: q.Hosts, timeout: q.Timeout, kind: "converge", started: "converge.started", ended: "converge.ended", what: what, data: map[string]any{"run": id, "hosts": q.Hosts, "check": q.Check},
		detach: q.Detach, runKind: api.RunConverge, title: title, check: q.Check,
		message: &api.ToAgent{Converge: &api.Converge{ID: id, Check: q.Check, Deadline: p.d.Now().Add(q.Timeout).UTC()}},
	})
}

// brief is a report with the tasks that somebody wants to hear of.
func brief(r *api.Report) *api.Report {
	if r == nil {
		return nil
	}
	out := *r
	out.Sections = make(map[string]api.Result, len(r.Sections))
	for room, s := range r.Sections {
		all := s.Tasks
		s.Tasks = nil
		for _, t := range all {
			switch t.Status {
			case "changed", "failed", "unreachable", api.StatusUnforeseen:
				plan.Trim(&t)
				s.Tasks = append(s.Tasks, t)
			}
		}
		out.Sections[room] = s
	}
	return &out
}
