package play

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"drover/api"
	"drover/internal/domain"
)

// runs are the commands that are running now.
type runs struct {
	mu sync.RWMutex
	m  map[string]*run
}

func newRuns() *runs { return &runs{m: map[string]*run{}} }

// run is one command on many hosts. What hosts say gathers in pending until
// the one who asked has taken it; when that is slow, hosts wait.
type run struct {
	id   string
	wake chan struct{} // something is pending
	gone chan struct{} // closed when nobody reads any more

	mu      sync.Mutex
	open    map[string]bool // hosts that have not ended
	pending api.RunEvent
	bytes   int
	room    chan struct{} // closed when pending was taken
	ok      int
	failed  int
	lost    int
}

// maxPending bounds the output of a run that waits to be read.
const maxPending = 8 << 20

// Times of a run.
const (
	defaultTimeout = time.Minute
	maxTimeout     = 24 * time.Hour
	grace          = 2 * time.Second // for a host to say that it ended a command at its deadline
	gather         = 15 * time.Millisecond
)

func (rs *runs) get(id string) *run {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return rs.m[id]
}

func (rs *runs) output(host string, o *api.JobOutput) {
	if r := rs.get(o.ID); r != nil {
		r.output(host, o)
	}
}

func (rs *runs) done(host string, d *api.JobDone) {
	if r := rs.get(d.ID); r != nil {
		r.done(api.RunDone{Host: host, Exit: d.Exit, Error: d.Error, Report: brief(d.Report)})
	}
}

func (rs *runs) left(host string) {
	rs.mu.RLock()
	all := make([]*run, 0, len(rs.m))
	for _, r := range rs.m {
		all = append(all, r)
	}
	rs.mu.RUnlock()
	for _, r := range all {
		r.done(api.RunDone{Host: host, Exit: -1, Error: "the connection was lost; the command may still be running"})
	}
}

func (r *run) output(host string, o *api.JobOutput) {
	for {
		r.mu.Lock()
		if !r.open[host] {
			r.mu.Unlock()
			return
		}
		if r.bytes < maxPending {
			r.pending.Output = append(r.pending.Output, api.RunOutput{Host: host, Stderr: o.Stderr, Data: o.Data})
			r.bytes += len(o.Data) + 64
			r.mu.Unlock()
			r.nudge()
			return
		}
		room := r.room
		r.mu.Unlock()
		select {
		case <-room:
		case <-r.gone:
			return
		}
	}
}

func (r *run) done(d api.RunDone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open[d.Host] {
		return
	}
	delete(r.open, d.Host)
	switch {
	case d.Error != "" || d.Exit < 0:
		r.lost++
	case d.Exit != 0:
		r.failed++
	default:
		r.ok++
	}
	r.pending.Done = append(r.pending.Done, d)
	r.nudge()
}

func (r *run) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take gives what is pending; ended says that no host is open.
func (r *run) take() (e api.RunEvent, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, r.pending, r.bytes = r.pending, api.RunEvent{}, 0
	close(r.room)
	r.room = make(chan struct{})
	return e, len(r.open) == 0
}

// rest ends all hosts that are still open.
func (r *run) rest(why string) []string {
	r.mu.Lock()
	var hosts []string
	for h := range r.open {
		hosts = append(hosts, h)
	}
	r.mu.Unlock()
	for _, h := range hosts {
		r.done(api.RunDone{Host: h, Exit: -1, Error: why})
	}
	return hosts
}

// begin registers a run before its first host hears of it.
func (rs *runs) begin(id string, hosts []string) (*run, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.m[id] != nil {
		return nil, api.Errorf(api.CodeExists, "run %s is under way already", id).WithRemedy("give each run an id of its own, or none")
	}
	r := &run{id: id, wake: make(chan struct{}, 1), gone: make(chan struct{}), room: make(chan struct{}), open: make(map[string]bool, len(hosts))}
	for _, h := range hosts {
		r.open[h] = true
	}
	rs.m[id] = r
	return r, nil
}

func (rs *runs) end(r *run) {
	rs.mu.Lock()
	delete(rs.m, r.id)
	rs.mu.Unlock()
	close(r.gone)
}

// serveRun is POST /v1/runs.
func (p *Play) serveRun(w http.ResponseWriter, req *http.Request) error {
	var q api.RunRequest
	if err := domain.Decode(req, &q); err != nil {
		return err
	}
	if err := complete(&q); err != nil {
		return err
	}
	return p.onHosts(w, req, &order{
		id: q.ID, hosts: q.Hosts, timeout: q.Timeout, kind: "run", started: "run.started", ended: "run.ended", data: map[string]any{"run": q.ID, "command": cut(q.Command, 500), "hosts": q.Hosts},
		what:    "a command",
		message: &api.ToAgent{Job: &api.Job{ID: q.ID, Command: q.Command, User: q.User, Deadline: p.d.Now().Add(q.Timeout).UTC()}},
	})
}

// order is what many hosts are told to do at once, while somebody waits.
type order struct {
	id, hosts  string
	timeout    time.Duration
	kind, what string // in the audit, and in events' words
	started    string // types of its events
	ended      string
	data       map[string]any
	message    *api.ToAgent
}

// onHosts has the hosts that match do it, and streams what they say.
func (p *Play) onHosts(w http.ResponseWriter, req *http.Request, q *order) error {
	ctx := req.Context()
	matched, err := p.match(ctx, q.hosts)
	if err != nil {
		return err
	}
	start := api.RunStart{ID: q.id, Hosts: make([]string, 0, len(matched))}
	for _, h := range matched {
		if p.d.Hub.Connected(h) {
			start.Hosts = append(start.Hosts, h)
		} else {
			start.Away = append(start.Away, h)
		}
	}
	r, err := p.runs.begin(q.id, start.Hosts)
	if err != nil {
		return err
	}
	defer p.runs.end(r)
	domain.Note(ctx, q.kind+"/"+q.id, fmt.Sprintf("%d hosts", len(matched)))
	began := p.d.Now()
	data := maps.Clone(q.data)
	data["count"], data["away"] = len(start.Hosts), len(start.Away)
	p.event(ctx, &api.Event{Type: q.started, Actor: domain.Actor(ctx), Message: fmt.Sprintf("%s runs on %d hosts", q.what, len(start.Hosts)), Data: data})
	stream, err := domain.NewStream(w)
	if err != nil {
		return err
	}
	if err := stream.Send("", "", api.RunEvent{Start: &start}); err == nil {
		err = p.drive(ctx, stream, r, q, start)
		if err != nil {
			p.log.Debug("a run's reader left", "run", q.id, "error", err)
		}
	}
	if left := r.rest("nobody waits for it any more"); len(left) > 0 {
		p.d.Hub.Broadcast(left, &api.ToAgent{Cancel: &api.Cancel{ID: q.id}})
	}
	end := api.RunEnd{OK: r.ok, Failed: r.failed, Lost: r.lost + len(start.Away), Took: p.d.Now().Sub(began)}
	p.event(ctx, &api.Event{Type: q.ended, Actor: domain.Actor(ctx), Message: fmt.Sprintf("%s ended: %d well, %d failed, %d without an answer", q.what, end.OK, end.Failed, end.Lost),
		Data: map[string]any{"run": q.id, "ok": end.OK, "failed": end.Failed, "lost": end.Lost, "seconds": end.Took.Seconds()}})
	_ = stream.Send("", "", api.RunEvent{End: &end})
	return nil
}

// complete checks a request and fills in what it leaves open.
func complete(q *api.RunRequest) error {
	switch {
	case q.Command == "":
		return &api.Error{Code: api.CodeInvalid, Field: "command", Message: "there is no command", Remedy: "give one: drover run 'uptime' -l web"}
	case len(q.Command) > 128<<10:
		return &api.Error{Code: api.CodeTooLarge, Field: "command", Message: "the command is longer than 128 KB", Remedy: "put it into a playbook with the script module"}
	case q.Timeout < 0 || q.Timeout > maxTimeout:
		return &api.Error{Code: api.CodeInvalid, Field: "timeout", Message: "the timeout is not between 0 and 24 hours", Remedy: "what takes longer belongs into a systemd unit"}
	case q.ID != "" && (api.ValidName(q.ID) != nil || len(q.ID) > 64):
		return &api.Error{Code: api.CodeInvalid, Field: "id", Message: "the id is not valid", Remedy: "use at most 64 letters, digits, '_', '.' and '-', or leave it out"}
	}
	if q.Timeout == 0 {
		q.Timeout = defaultTimeout
	}
	if q.ID == "" {
		q.ID = "run-" + rand.Text()
	}
	return nil
}

// drive sends the command and passes on what comes, in few large pieces: the
// first at once, later ones as they gather.
func (p *Play) drive(ctx context.Context, stream *domain.Stream, r *run, q *order, start api.RunStart) error {
	for host, err := range p.d.Hub.Broadcast(start.Hosts, q.message) {
		r.done(api.RunDone{Host: host, Exit: -1, Error: err.Error()})
	}
	limit := time.NewTimer(q.timeout + grace)
	defer limit.Stop()
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	r.nudge()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			r.rest("no answer in time")
			continue
		case <-beat.C:
			if err := stream.Heartbeat(); err != nil {
				return err
			}
			continue
		case <-r.wake:
		}
		e, ended := r.take()
		if len(e.Output)+len(e.Done) > 0 {
			if err := stream.Send("", "", e); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select { // let more gather before the next piece
		case <-time.After(gather):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
