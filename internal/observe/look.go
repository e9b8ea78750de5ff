package observe

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"sync"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/link"
)

// lookWait is how long a host has to answer.
const lookWait = 5 * time.Second

// looks joins what was asked of hosts with what they answer.
type looks struct {
	hub *link.Hub

	mu   sync.Mutex
	open map[string]*look // by id
}

type look struct {
	host   string
	answer chan *api.Seen // nil in it: the host went away
}

func newLooks(hub *link.Hub) *looks { return &looks{hub: hub, open: map[string]*look{}} }

// ask asks a host and waits for its answer.
func (l *looks) ask(ctx context.Context, host, what string, limit int) (*api.Seen, error) {
	id := rand.Text()
	k := &look{host: host, answer: make(chan *api.Seen, 1)}
	l.mu.Lock()
	l.open[id] = k
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.open, id)
		l.mu.Unlock()
	}()
	if err := l.hub.Send(host, &api.ToAgent{Look: &api.Look{ID: id, What: what, Limit: limit}}); err != nil {
		return nil, err
	}
	timer := time.NewTimer(lookWait)
	defer timer.Stop()
	select {
	case seen := <-k.answer:
		if seen == nil {
			return nil, api.Errorf(api.CodeUnavailable, "cannot look at host %s: it went away", host).WithRemedy("try again when it is connected")
		}
		if seen.Error != "" {
			return nil, api.Errorf(api.CodeUnavailable, "cannot look at host %s: %s", host, seen.Error)
		}
		return seen, nil
	case <-timer.C:
		return nil, api.Errorf(api.CodeUnavailable, "cannot look at host %s: it does not answer within %s", host, lookWait).
			WithRemedy("its agent may be too old for this, or the host is overloaded: see `drover host %s`", host)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// seen hands an answer to who asked; a host answers for itself only.
func (l *looks) seen(host string, s *api.Seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.open[s.ID]; k != nil && k.host == host {
		k.give(s)
	}
}

func (l *looks) left(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.open {
		if k.host == host {
			k.give(nil)
		}
	}
}

func (k *look) give(s *api.Seen) {
	select {
	case k.answer <- s:
	default: // it was answered before
	}
}

// maxProcesses bounds the processes that are asked for.
const maxProcesses = 1000

func (r *Observe) processes(w http.ResponseWriter, req *http.Request) error {
	limit := 0
	if text := req.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxProcesses {
			return &api.Error{Code: api.CodeInvalid, Field: "limit", Message: "limit must be a number from 1 to " + strconv.Itoa(maxProcesses)}
		}
		limit = n
	}
	seen, err := r.look(req, api.LookProcesses, limit)
	if err != nil {
		return err
	}
	if seen.Processes == nil {
		seen.Processes = &api.ProcessList{}
	}
	if seen.Processes.Items == nil {
		seen.Processes.Items = []api.Process{}
	}
	return domain.WriteJSON(w, http.StatusOK, seen.Processes)
}

func (r *Observe) units(w http.ResponseWriter, req *http.Request) error {
	seen, err := r.look(req, api.LookUnits, 0)
	if err != nil {
		return err
	}
	if seen.Units == nil {
		seen.Units = []api.Unit{}
	}
	return domain.WriteJSON(w, http.StatusOK, api.UnitList{Items: seen.Units})
}

func (r *Observe) look(req *http.Request, what string, limit int) (*api.Seen, error) {
	host := req.PathValue("name")
	if _, err := r.hosts.Peek(req.Context(), host); err != nil {
		return nil, err
	}
	return r.looks.ask(req.Context(), host, what, limit)
}
