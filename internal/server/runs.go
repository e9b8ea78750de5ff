package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/runlog"
)

var runParams = []domain.Param{
	{Name: "kind", Doc: "of these kinds only, joined by commas: command, converge, play, apply"},
	{Name: "host", Doc: "about this host only"},
	{Name: "actor", Doc: "asked for by this person or token only"},
	{Name: "state", Doc: "in this state only: running, ok, failed, partial, cancelled or lost"},
	{Name: "commit", Doc: "applies of this fleet revision only"},
	{Name: "before", Doc: "older than the run of this ID: the next of the page before"},
	{Name: "limit", Type: domain.Integer, Doc: "so many; 100 if not given, at most 10000"},
	{Name: "watch", Type: domain.Boolean, Doc: "answer with server-sent events \"run\", each a RunRecord: the newest ones, the oldest of them first, then each that begins, changes or ends"},
}

var hostParam = domain.Param{Name: "host", Doc: "of this host; it has to be given but for an apply"}

// runRoutes are those of what ran. What hosts printed and what tasks returned
// may be read by those only who could have asked for it.
func (s *Server) runRoutes() []domain.Route {
	return []domain.Route{
		{Method: "GET", Path: "/v1/runs", Access: domain.Viewer(), Doc: "What ran, the newest first.", Query: runParams, Response: api.RunList{}, Stream: true, Handle: s.listRuns},
		{Method: "GET", Path: "/v1/runs/{id}", Access: domain.Viewer(), Doc: "One run and how it went on each host.", Response: api.RunDetail{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
			d, err := s.runs.Detail(r.Context(), r.PathValue("id"))
			return answer(w, d, err)
		}},
		{Method: "GET", Path: "/v1/runs/{id}/events", Access: domain.Operator(), Stream: true, Response: api.RunEvent{}, Handle: s.followRun,
			Doc: "Follow a run from its beginning.\nThe answer is a stream of server-sent events, as of POST /v1/runs, /v1/converge or /v1/plays; Last-Event-ID resumes. It ends with the run."},
		{Method: "GET", Path: "/v1/runs/{id}/output", Access: domain.Operator(), Handle: s.runOutput,
			Doc: "What one host printed in a command, as text: both streams as they came.\nX-Total-Bytes says how much there is, X-Truncated whether more was printed than is kept.",
			Query: []domain.Param{hostParam, {Name: "offset", Type: domain.Integer, Doc: "bytes to leave out at the beginning"},
				{Name: "limit", Type: domain.Integer, Doc: "bytes at most; all if not given"}}},
		{Method: "GET", Path: "/v1/runs/{id}/report", Access: domain.Viewer(), Doc: "The report of one host with all its tasks, of a converge or an apply.", Query: []domain.Param{hostParam},
			Response: api.Report{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
				rep, err := s.runs.Report(r.Context(), r.PathValue("id"), r.URL.Query().Get("host"))
				return answer(w, rep, err)
			}},
		{Method: "GET", Path: "/v1/runs/{id}/tasks", Access: domain.Operator(), Doc: "What the tasks of a play came to on one host.", Query: []domain.Param{hostParam},
			Response: api.TaskList{}, Handle: func(w http.ResponseWriter, r *http.Request) error {
				list, err := s.runs.Tasks(r.Context(), r.PathValue("id"), r.URL.Query().Get("host"))
				return answer(w, list, err)
			}},
		{Method: "POST", Path: "/v1/runs/{id}/cancel", Access: domain.Operator(), Doc: "End a run that goes on.\nCommands are ended on their hosts; hosts that converge go on by themselves.",
			Response: api.RunRecord{}, Handle: s.cancelRun},
	}
}

func answer(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusOK, v)
}

func runFilter(q url.Values) (runlog.Filter, error) {
	f := runlog.Filter{Host: q.Get("host"), Actor: q.Get("actor"), State: q.Get("state"), Commit: q.Get("commit"), Before: q.Get("before")}
	f.Limit = 100
	if v := q.Get("limit"); v != "" {
		n, err := limitParam(v)
		if err != nil {
			return f, err
		}
		f.Limit = n
	}
	known := func(field, v string, all ...string) error {
		if v == "" {
			return nil
		}
		for _, a := range all {
			if v == a {
				return nil
			}
		}
		e := &api.Error{Code: api.CodeInvalid, Field: field, Message: quote(v) + " is no " + field + " of a run"}
		return e.WithRemedy("use one of %v", all)
	}
	if v := q.Get("kind"); v != "" {
		f.Kinds = strings.Split(v, ",")
	}
	for _, kind := range f.Kinds {
		if err := known("kind", kind, api.RunCommand, api.RunConverge, api.RunPlay, api.RunApply); err != nil {
			return f, err
		}
	}
	return f, known("state", f.State, api.RunRunning, api.RunOK, api.RunFailed, api.RunPartial, api.RunCancelled, api.RunLost)
}

func (s *Server) listRuns(w http.ResponseWriter, r *http.Request) error {
	f, err := runFilter(r.URL.Query())
	if err != nil {
		return err
	}
	watch, err := flagParam(r.URL.Query(), "watch")
	if err != nil {
		return err
	}
	if watch {
		return s.watchRuns(w, r, f)
	}
	domain.Bound(w)
	var list api.RunList
	if list.Items, list.Next, err = s.runs.List(r.Context(), f); err != nil {
		return err
	}
	if list.Items == nil {
		list.Items = []api.RunRecord{}
	}
	return domain.WriteJSON(w, http.StatusOK, list)
}

// watchEvery is how often a watch of runs tells of changes.
const watchEvery = 250 * time.Millisecond

// watchRuns sends the newest runs, then what becomes of runs. A reader that
// fell too far behind is sent the newest ones again.
func (s *Server) watchRuns(w http.ResponseWriter, r *http.Request, f runlog.Filter) error {
	leave, err := s.streams.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx := r.Context()
	// What changes while the list is read is sent behind it.
	_, since, _, changed := s.runs.Changes(0, f)
	items, _, err := s.runs.List(ctx, f)
	if err != nil {
		return err
	}
	out, err := domain.NewStream(w)
	if err != nil {
		return nil // nobody is there
	}
	f.Before = ""
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	for {
		for i := len(items) - 1; i >= 0; i-- {
			if err := out.Send("", "run", items[i]); err != nil {
				return nil // the reader has gone
			}
		}
		select {
		case <-changed:
		case <-beat.C:
			if err := out.Heartbeat(); err != nil {
				return nil
			}
			items = nil
			continue
		case <-ctx.Done():
			return nil
		}
		select { // let more gather
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return nil
		}
		var again bool
		if items, since, again, changed = s.runs.Changes(since, f); again {
			if items, _, err = s.runs.List(ctx, f); err != nil {
				return nil
			}
			continue
		}
		for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
			items[i], items[j] = items[j], items[i]
		}
	}
}

func (s *Server) followRun(w http.ResponseWriter, r *http.Request) error {
	after, err := resumeFrom(r, "after")
	if err != nil {
		return err
	}
	leave, err := s.streams.enter()
	if err != nil {
		return err
	}
	defer leave()
	f, err := s.runs.Follow(r.PathValue("id"), after)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := domain.NewStream(w)
	if err != nil {
		return nil // nobody is there
	}
	for {
		ctx, cancel := context.WithTimeout(r.Context(), domain.HeartbeatEvery)
		it, err := f.Next(ctx)
		cancel()
		switch {
		case errors.Is(err, io.EOF) || r.Context().Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			err = out.Heartbeat()
		case err != nil:
			out.Fail(publicError(r.Context(), err))
			return nil
		default:
			err = out.Send(strconv.FormatInt(it.ID, 10), it.Event, it.Data)
		}
		if err != nil {
			return nil // the reader has gone, and knows where it was
		}
	}
}

func (s *Server) runOutput(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	offset, err := intParam(q.Get("offset"), "offset", 0)
	if err != nil {
		return err
	}
	limit, err := intParam(q.Get("limit"), "limit", 64<<20)
	if err != nil {
		return err
	}
	if offset < 0 || limit < 0 || limit > 64<<20 {
		return &api.Error{Code: api.CodeInvalid, Field: "limit", Message: "offset and limit are 0 or more, the limit at most 64 MB", Remedy: "leave them out for all of it"}
	}
	o, err := s.runs.Output(r.Context(), r.PathValue("id"), q.Get("host"), offset, limit)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // it is whatever a host printed
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(o.Data)))
	h.Set("X-Total-Bytes", strconv.FormatInt(o.Total, 10))
	h.Set("X-Truncated", strconv.FormatBool(o.Truncated))
	// Nobody can be told when the other end has gone.
	_, _ = w.Write(o.Data)
	return nil
}

func (s *Server) cancelRun(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	rec, err := s.runs.Cancel(r.Context(), id, domain.Actor(r.Context()))
	if err != nil {
		return err
	}
	domain.Note(r.Context(), "run/"+id, cutText(rec.Title, 200))
	return domain.WriteJSON(w, http.StatusAccepted, rec)
}
