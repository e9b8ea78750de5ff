package play

import (
	"context"
	"log/slog"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/runlog"
	"drover/internal/store"
)

// Name of the room, and of its section in assignments.
const Name = "play"

// Room is the room as the server takes it.
func Room() domain.Room {
	return domain.Room{Name: Name, New: func(s domain.Services) (domain.Domain, error) {
		return New(Deps{Hosts: store.TableOf[api.Host](s.Store, "host"), Events: s.Journal, Hub: s.Hub, Runs: s.Runs, Now: s.Now, Log: s.Log}).Domain(), nil
	}}
}

// Deps is what the room stands on.
type Deps struct {
	Hosts  Hosts
	Events Events
	Hub    Hub
	Runs   *runlog.Log      // nil: runs are not kept
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: slog.Default
}

// Hosts are the enrolled hosts; Scan's must be neither changed nor kept.
type Hosts interface {
	Scan(ctx context.Context, fn func(*api.Host) error) error
}

// Events is where it is kept that something ran.
type Events interface {
	Append(ctx context.Context, events ...*api.Event) error
	List(ctx context.Context, f journal.Filter) ([]api.Event, error)
}

// Hub sends to connected hosts.
type Hub interface {
	Send(host string, m *api.ToAgent) error
	SendWait(ctx context.Context, host string, m *api.ToAgent) error
	Broadcast(hosts []string, m *api.ToAgent) map[string]error
	Connected(host string) bool
}

// Play is the room.
type Play struct {
	d        Deps
	log      *slog.Logger
	runs     *runs
	sessions *sessions
	alone    chan func(context.Context) // runs that go on without a reader
}

// New makes the room.
func New(d Deps) *Play {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	return &Play{d: d, log: d.Log.With("room", Name), runs: newRuns(), sessions: newSessions(), alone: make(chan func(context.Context))}
}

// Domain is what the room hands over.
func (p *Play) Domain() domain.Domain {
	return domain.Domain{
		Name:   Name,
		Doc:    "Commands and playbooks on many hosts, now.",
		Routes: p.routes(),
		Loops:  []domain.Loop{{Name: Name + ".runs", Run: p.detached}},
		Link:   &domain.Link{Consumer: consumer{p}},
	}
}

// consumer takes what hosts say about runs and sessions.
type consumer struct{ p *Play }

func (c consumer) Joined(string, *api.Hello) {}

func (c consumer) Left(host string, _ []*api.ToAgent) {
	c.p.runs.left(host)
	c.p.sessions.left(host)
}

func (c consumer) Message(host string, m *api.ToServer) {
	switch {
	case m.Output != nil:
		if !c.p.sessions.output(host, m.Output) {
			c.p.runs.output(host, m.Output)
		}
	case m.Done != nil:
		if !c.p.sessions.done(host, m.Done) {
			c.p.runs.done(host, m.Done)
		}
	case m.Session != nil:
		c.p.sessions.frame(host, m.Session)
	}
}

// event records what happened; what happened stays so when that fails.
func (p *Play) event(ctx context.Context, e *api.Event) {
	if err := p.d.Events.Append(context.WithoutCancel(ctx), e); err != nil {
		p.log.Error("cannot record an event", "type", e.Type, "error", err)
	}
}
