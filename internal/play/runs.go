package play

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/runlog"
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
	kept *runlog.Run
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
		if d.Report != nil && r.has(host) {
			d.Report.Host = host // the certificate says who it is, not the message
			r.kept.Report(d.Report)
		}
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

func (r *run) has(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[host]
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

// waiting are the hosts that are still open.
func (r *run) waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.open))
}

// rest ends all hosts that are still open.
func (r *run) rest(why string) []string {
	hosts := r.waiting()
	for _, h := range hosts {
		r.done(api.RunDone{Host: h, Exit: -1, Error: why})
	}
	return hosts
}

// begin registers a run before its first host hears of it.
func (rs *runs) begin(id string, hosts []string, keep func() (*runlog.Run, error)) (*run, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.m[id] != nil {
		return nil, api.Errorf(api.CodeExists, "run %s is under way already", id).WithRemedy("give each run an id of its own, or none")
	}
	kept, err := keep()
	if err != nil {
		return nil, err
	}
	r := &run{id: id, kept: kept, wake: make(chan struct{}, 1), gone: make(chan struct{}), room: make(chan struct{}), open: make(map[string]bool, len(hosts))}
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
		what: "a command", detach: q.Detach, runKind: api.RunCommand, title: q.Command, command: q.Command, user: q.User,
		message: &api.ToAgent{Job: &api.Job{ID: q.ID, Command: q.Command, User: q.User, Deadline: p.d.Now().Add(q.Timeout).UTC()}},
	})
}

// order is what many hosts are told to do at once.
type order struct {
	id, hosts     string
	timeout       time.Duration
	kind, what    string // in the audit, and in events' words
	started       string // types of its events
	ended         string
	data          map[string]any
	message       *api.ToAgent
	detach        bool
	runKind       string // of its record
	title         string
	command, user string
	check         bool
}

// onHosts has the hosts that match do it, and streams what they say; detached
// it answers with the run's record, and the run goes on.
func (p *Play) onHosts(w http.ResponseWriter, req *http.Request, q *order) error {
	ctx := req.Context()
	u, err := p.begin(ctx, q)
	if err != nil {
		return err
	}
	if q.detach {
		defer domain.Note(ctx, q.kind+"/"+q.id, fmt.Sprintf("%d hosts, detached", u.asked()))
		select {
		case p.alone <- func(ctx context.Context) { p.finish(ctx, u, p.drive(ctx, u, nil)) }:
		case <-ctx.Done():
			p.finish(ctx, u, context.Cause(ctx))
			return api.Errorf(api.CodeUnavailable, "the server is stopping, or has not started yet").WithRemedy("try again")
		}
		rec, err := p.d.Runs.Get(ctx, q.id)
		if err != nil {
			return err
		}
		return domain.WriteJSON(w, http.StatusAccepted, rec)
	}
	domain.Note(ctx, q.kind+"/"+q.id, fmt.Sprintf("%d hosts", u.asked()))
	w.Header().Set(runIDHeader, q.id)
	stream, err := domain.NewStream(w)
	if err == nil {
		if err = stream.Send("", "", api.RunEvent{Start: &u.start}); err == nil {
			err = p.drive(ctx, u, stream)
		}
	}
	end := p.finish(ctx, u, err)
	if stream != nil {
		_ = stream.Send("", "", api.RunEvent{End: end})
	}
	return nil
}

// runIDHeader says in the answer to a request that runs something which run it
// is: it can be followed, read and cancelled by that ID.
const runIDHeader = "X-Run-Id"

// underWay is an order that was given.
type underWay struct {
	*order
	r      *run
	start  api.RunStart
	began  time.Time
	actor  string
	cancel chan string // by whom it is cancelled
	by     string      // by whom it was
}

func (u *underWay) asked() int { return len(u.start.Hosts) + len(u.start.Away) }

// begin finds the hosts and records that something begins on them.
func (p *Play) begin(ctx context.Context, q *order) (*underWay, error) {
	matched, err := p.match(ctx, q.hosts)
	if err != nil {
		return nil, err
	}
	u := &underWay{order: q, began: p.d.Now(), actor: domain.Actor(ctx), cancel: make(chan string, 1), start: api.RunStart{ID: q.id, Hosts: make([]string, 0, len(matched))}}
	for _, h := range matched {
		if p.d.Hub.Connected(h) {
			u.start.Hosts = append(u.start.Hosts, h)
		} else {
			u.start.Away = append(u.start.Away, h)
		}
	}
	u.r, err = p.runs.begin(q.id, u.start.Hosts, func() (*runlog.Run, error) {
		return p.d.Runs.Begin(runlog.Begin{ID: q.id, Kind: q.runKind, Title: cut(oneLine(q.title), maxTitle), Actor: u.actor, Hosts: q.hosts,
			Check: q.check, Command: q.command, User: q.user, Start: u.start, Cancel: func(by string) {
				select {
				case u.cancel <- by:
				default: // somebody did already
				}
			}})
	})
	if err != nil {
		return nil, err
	}
	data := maps.Clone(q.data)
	data["count"], data["away"] = len(u.start.Hosts), len(u.start.Away)
	p.event(ctx, &api.Event{Type: q.started, Actor: u.actor, Message: fmt.Sprintf("%s runs on %d hosts", q.what, len(u.start.Hosts)), Data: data})
	return u, nil
}

// maxTitle bounds a run's title in its record.
const maxTitle = 500

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// finish ends a run; err says why before its end.
func (p *Play) finish(ctx context.Context, u *underWay, err error) *api.RunEnd {
	r, state, why := u.r, "", ""
	switch {
	case u.by != "":
		state, why = api.RunCancelled, "cancelled by "+u.by
	case err != nil && u.detach:
		state, why = api.RunLost, "the server stopped"
	case err != nil:
		state, why = api.RunCancelled, "nobody waits for it any more"
		p.log.Debug("a run's reader left", "run", u.id, "error", err)
	}
	if left := r.rest(cmp.Or(why, "no answer in time")); len(left) > 0 {
		p.d.Hub.Broadcast(left, &api.ToAgent{Cancel: &api.Cancel{ID: u.id}})
	}
	e, _ := r.take()
	r.kept.Event(&e)
	p.runs.end(r)
	end := &api.RunEnd{OK: r.ok, Failed: r.failed, Lost: r.lost + len(u.start.Away), Took: p.d.Now().Sub(u.began)}
	r.kept.End(state, why, end)
	p.event(ctx, &api.Event{Type: u.ended, Actor: u.actor, Message: fmt.Sprintf("%s ended: %d well, %d failed, %d without an answer", u.what, end.OK, end.Failed, end.Lost),
		Data: map[string]any{"run": u.id, "ok": end.OK, "failed": end.Failed, "lost": end.Lost, "seconds": end.Took.Seconds()}})
	return end
}

// detached is the loop that owns the runs without a reader. They end with it.
func (p *Play) detached(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		select {
		case run := <-p.alone:
			work.Go(func() { run(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
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

// drive sends the order, keeps what comes, and passes it on to a reader, if
// there is one, in few large pieces: the first at once, later ones as they
// gather. It returns an error when nobody is there any more.
func (p *Play) drive(ctx context.Context, u *underWay, stream *domain.Stream) error {
	r := u.r
	for host, err := range p.d.Hub.Broadcast(u.start.Hosts, u.message) {
		r.done(api.RunDone{Host: host, Exit: -1, Error: err.Error()})
	}
	limit := time.NewTimer(u.timeout + grace)
	defer limit.Stop()
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	late := "no answer in time"
	r.nudge()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case u.by = <-u.cancel:
			// Hosts say how far it came, but not for long.
			p.d.Hub.Broadcast(r.waiting(), &api.ToAgent{Cancel: &api.Cancel{ID: u.id}})
			late = "cancelled by " + u.by
			limit.Reset(grace)
			if u.runKind == api.RunConverge {
				r.rest(late) // a converge goes on by itself
			}
			continue
		case <-limit.C:
			r.rest(late)
			continue
		case <-beat.C:
			if stream != nil {
				if err := stream.Heartbeat(); err != nil {
					return err
				}
			}
			continue
		case <-r.wake:
		}
		e, ended := r.take()
		if len(e.Output)+len(e.Done) > 0 {
			r.kept.Event(&e)
			if stream != nil {
				if err := stream.Send("", "", e); err != nil {
					return err
				}
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
