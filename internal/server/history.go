package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"drover/api"
	"drover/internal/audit"
	"drover/internal/domain"
	"drover/internal/journal"
)

// EventList is the answer to /v1/events: oldest first.
type EventList struct {
	Items []api.Event `json:"items"`
	Last  int64       `json:"last"` // Seq of the newest event there is: watch from here to go on
}

// AuditList is the answer to /v1/audit: oldest first.
type AuditList struct {
	Items []api.AuditEntry `json:"items"`
}

// AuditCheck is the answer to /v1/audit/verify.
type AuditCheck struct {
	Intact  bool   `json:"intact"`
	Problem string `json:"problem,omitempty"` // names the first line that is not as it was written
	Last    int64  `json:"last"`              // Seq of the newest entry
	Hash    string `json:"hash,omitempty"`    // of the newest entry: keep it elsewhere to prove later that none was cut off
}

const maxEvents = 10_000

var eventParams = []domain.Param{
	{Name: "host", Doc: "of this host only"},
	{Name: "type", Doc: `of this type only; a prefix with "*": "host.*"`},
	{Name: "actor", Doc: "caused by this person or token only"},
	{Name: "since", Doc: "at or after this time, RFC 3339"},
	{Name: "until", Doc: "before this time, RFC 3339"},
	{Name: "after", Type: domain.Integer, Doc: "with a Seq greater than this"},
	{Name: "limit", Type: domain.Integer, Doc: "the newest so many; 1000 if not given, at most 10000"},
	{Name: "watch", Type: domain.Boolean, Doc: "answer with server-sent events, going on with new ones; Last-Event-ID resumes"},
}

// historyRoutes are those of events and the audit.
func (s *Server) historyRoutes() []domain.Route {
	return []domain.Route{
		{Method: "GET", Path: "/v1/events", Access: domain.Viewer(), Doc: "What happened in the fleet, oldest first.", Query: eventParams, Response: EventList{}, Stream: true, Handle: s.events},
		{Method: "GET", Path: "/v1/audit", Access: domain.Admin(), Doc: "Who changed what: one entry for each mutation, oldest first.", Response: AuditList{}, Handle: s.audit,
			Query: []domain.Param{
				{Name: "actor", Doc: "by this person or token only"},
				{Name: "action", Doc: `"POST /v1/people"; a prefix with "*"`},
				{Name: "object", Doc: `"host/web-1"; a prefix with "*"`},
				{Name: "since", Doc: "at or after this time, RFC 3339"},
				{Name: "after", Type: domain.Integer, Doc: "with a Seq greater than this"},
				{Name: "limit", Type: domain.Integer, Doc: "the newest so many; 1000 if not given, at most 10000"},
			}},
		{Method: "GET", Path: "/v1/audit/verify", Access: domain.Admin(), Doc: "Check the audit's chain of hashes.", Response: AuditCheck{}, Handle: s.auditVerify},
	}
}

func timeParam(v, name string) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, &api.Error{Code: api.CodeInvalid, Field: name, Message: quote(v) + " is not a time", Remedy: `use RFC 3339, such as "2006-01-02T15:04:05Z"`}
	}
	return t, nil
}

func limitParam(v string) (int, error) {
	n, err := intParam(v, "limit", 1000)
	if err == nil && (n < 1 || n > maxEvents) {
		err = &api.Error{Code: api.CodeInvalid, Field: "limit", Message: "the limit is 1 to " + strconv.Itoa(maxEvents), Remedy: "use since and until, or after"}
	}
	return int(n), err
}

func (s *Server) eventFilter(r *http.Request) (journal.Filter, error) {
	q := r.URL.Query()
	f := journal.Filter{Host: q.Get("host"), Type: q.Get("type"), Actor: q.Get("actor")}
	var err error
	if f.Since, err = timeParam(q.Get("since"), "since"); err != nil {
		return f, err
	}
	if f.Until, err = timeParam(q.Get("until"), "until"); err != nil {
		return f, err
	}
	if f.Limit, err = limitParam(q.Get("limit")); err != nil {
		return f, err
	}
	f.After, err = resumeFrom(r, "after")
	return f, err
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	f, err := s.eventFilter(r)
	if err != nil {
		return err
	}
	watch, err := flagParam(r.URL.Query(), "watch")
	if err != nil {
		return err
	}
	if watch {
		return s.watchEvents(w, r, f)
	}
	domain.Bound(w)
	last := s.journal.Last()
	items, err := s.journal.List(r.Context(), f)
	if err != nil {
		return err
	}
	if items == nil {
		items = []api.Event{}
	}
	return domain.WriteJSON(w, http.StatusOK, EventList{Items: items, Last: last})
}

// watchEvents serves the events behind f.After, then new ones, each with its
// Seq as id.
func (s *Server) watchEvents(w http.ResponseWriter, r *http.Request, f journal.Filter) error {
	leave, err := s.streams.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := s.journal.Watch(ctx, f)
	out, err := domain.NewStream(w)
	if err != nil {
		return nil // nobody is there
	}
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			err = out.Send(strconv.FormatInt(e.Seq, 10), "event", e)
		case <-beat.C:
			err = out.Heartbeat()
		}
		if err != nil {
			return nil // the reader has gone, and knows where it was
		}
	}
}

func (s *Server) audit(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := audit.Filter{Actor: q.Get("actor"), Action: q.Get("action"), Object: q.Get("object")}
	var err error
	if f.Since, err = timeParam(q.Get("since"), "since"); err != nil {
		return err
	}
	if f.After, err = intParam(q.Get("after"), "after", 0); err != nil {
		return err
	}
	if f.Limit, err = limitParam(q.Get("limit")); err != nil {
		return err
	}
	items, err := s.auditLog.List(r.Context(), f)
	if err != nil {
		return err
	}
	if items == nil {
		items = []api.AuditEntry{}
	}
	return domain.WriteJSON(w, http.StatusOK, AuditList{Items: items})
}

func (s *Server) auditVerify(w http.ResponseWriter, r *http.Request) error {
	check := AuditCheck{Intact: true}
	if err := audit.Verify(s.layout.path(auditFile)); err != nil {
		check.Intact, check.Problem = false, err.Error()
	}
	newest, err := s.auditLog.List(r.Context(), audit.Filter{Limit: 1})
	if err != nil {
		return err
	}
	for _, e := range newest {
		check.Last, check.Hash = e.Seq, e.Hash
	}
	return domain.WriteJSON(w, http.StatusOK, check)
}
