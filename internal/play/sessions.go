package play

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/link"
	"drover/internal/play/engine"
	"drover/internal/play/playhost"
)

// sessions are the play sessions that are open on hosts.
type sessions struct {
	mu sync.RWMutex
	m  map[string]*session
}

type session struct {
	host string
	pipe *link.Pipe
}

func newSessions() *sessions { return &sessions{m: map[string]*session{}} }

func (ss *sessions) get(host, id string) *session {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	if s := ss.m[id]; s != nil && s.host == host {
		return s
	}
	return nil
}

func (ss *sessions) frame(host string, f *api.Frame) {
	if s := ss.get(host, f.ID); s != nil {
		s.pipe.Deliver(f)
	}
}

// done breaks a session whose host says that it is over.
func (ss *sessions) done(host string, d *api.JobDone) bool {
	s := ss.get(host, d.ID)
	if s == nil {
		return false
	}
	why := firstOf(d.Error, "the host ended the session")
	s.pipe.Break(api.Errorf(api.CodeUnavailable, "the session on %s is over: %s", host, why))
	return true
}

// output is not expected of a session; it is left alone.
func (ss *sessions) output(host string, o *api.JobOutput) bool { return ss.get(host, o.ID) != nil }

func (ss *sessions) left(host string) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	for _, s := range ss.m {
		if s.host == host {
			s.pipe.Break(api.Errorf(api.CodeUnavailable, "the connection of %s was lost", host))
		}
	}
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// agents reaches hosts through their agents, and through nothing else: what an
// uploaded play calls local would be the server itself.
type agents struct {
	p        *Play
	ctx      context.Context // of the play; sessions end with it
	deadline time.Time
	user     string // "" for root; sign-in names of the inventory are for SSH
}

// Connect opens a session on a host.
func (a agents) Connect(ctx context.Context, t engine.Target) (engine.Conn, error) {
	if !a.p.d.Hub.Connected(t.Host) {
		if t.Connection == "local" || t.Host == "localhost" || strings.HasPrefix(t.Host, "127.") {
			return nil, api.Errorf(api.CodeForbidden, "cannot run tasks on %s: a play through agents runs on hosts of the fleet only", t.Host).
				WithRemedy("run what is meant for your own machine with drover play -c ssh or -c local")
		}
		return nil, api.Errorf(api.CodeUnavailable, "cannot reach %s: its agent is not connected", t.Host).WithRemedy("see drover host %s", t.Host)
	}
	id := "session-" + rand.Text()
	pipe := link.NewPipe(a.ctx, id, func(ctx context.Context, f *api.Frame) error {
		return a.p.d.Hub.SendWait(ctx, t.Host, &api.ToAgent{Session: f})
	})
	ss := a.p.sessions
	ss.mu.Lock()
	ss.m[id] = &session{host: t.Host, pipe: pipe}
	ss.mu.Unlock()
	forget := func() {
		ss.mu.Lock()
		delete(ss.m, id)
		ss.mu.Unlock()
	}
	job := &api.Job{ID: id, Session: true, User: a.user, Deadline: a.deadline.UTC()}
	if err := a.p.d.Hub.SendWait(ctx, t.Host, &api.ToAgent{Job: job}); err != nil {
		forget()
		_ = pipe.Close()
		return nil, fmt.Errorf("cannot open a session on %s: %w", t.Host, err)
	}
	client := playhost.NewClient(pipe, t.Open)
	client.SetBecome(playhost.Become{Method: t.Become.Method, Password: t.Become.Password, Flags: t.Become.Flags, Exe: t.Become.Exe})
	return &agentConn{Client: client, close: func() {
		forget()
		_ = a.p.d.Hub.Send(t.Host, &api.ToAgent{Cancel: &api.Cancel{ID: id}}) // a host that left ends it by itself
	}}, nil
}

// agentConn is a session that leaves nothing behind.
type agentConn struct {
	*playhost.Client
	once  sync.Once
	close func()
}

func (c *agentConn) Close() error {
	err := c.Client.Close()
	c.once.Do(c.close)
	return err
}
