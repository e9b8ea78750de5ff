package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drover/api"
	"drover/internal/link"
	"drover/internal/pki"
)

// Executor brings a host to one section of its assignment. Check and apply are
// one function: with apply false it changes nothing and returns what apply
// would. Applied twice, the second time changes nothing.
type Executor interface {
	CheckApply(ctx context.Context, s api.Section, apply bool) (api.Result, error)
}

// SessionFunc serves a play session on rw until it ends.
type SessionFunc func(ctx context.Context, rw Stream, job *api.Job) error

// Stream is a session's bytes; Close ends both directions.
type Stream interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

// Config says how an agent works. State and Executors are needed.
type Config struct {
	State     *State
	Executors map[string]Executor // by room
	Dialer    link.Dialer         // nil: over the network, by the state's identity
	Session   SessionFunc         // nil: there are no play sessions
	Facts     func(ctx context.Context) map[string]any
	Look      func(ctx context.Context, l *api.Look) *api.Seen // nil: nothing is looked at
	// Metrics reads and sends samples until ctx ends; write is Agent.Write. Nil: there are none.
	Metrics func(ctx context.Context, write func(ctx context.Context, body []byte) error)

	Version string
	Hash    string // SHA-256 of the running binary
	// Restart ends Run's context with ErrRestart as its cause; the process then
	// becomes the binary that bin/current names. Nil: offers are not taken.
	Restart func()
	// Watchdog arranges, outside of this process, for `BINARY guard --expired`
	// to run after a while. Nil: there is nobody to do so.
	Watchdog func(binary string, after time.Duration) error

	Interval time.Duration // between converges; 10 min
	Deadline time.Duration // of one converge; 1 h
	Linger   time.Duration // what a running converge still gets when the process should end; 45 s
	Retry    time.Duration // after the first failed converge; 30 s, doubling to Interval
	FactsAge time.Duration // between looks at the facts; 5 min
	Resend   time.Duration // a report not acknowledged for so long is sent again; 30 s
	Confirm  time.Duration // a new binary must reach a server within it; 3 min
	Jobs     int           // jobs at once; 32
	Backoff  link.Backoff
	Log      *slog.Logger
}

// Agent is one host's process.
type Agent struct {
	cfg    Config
	state  *State
	log    *slog.Logger
	bootID string
	line   *lineHolder
	jobs   *jobRunner
	looks  *looker
	update *updater

	wanted   slot[*api.AssignmentSpec] // the newest assignment the server sent
	acked    chan string               // IDs of acknowledged reports
	requests chan *api.Converge
	trigger  chan string   // reasons to converge; one waits
	changed  chan struct{} // a converge changed the host: look at the facts
	renewed  chan struct{}
	busy     atomic.Bool // a converge is running
}

// New makes an agent on an open state.
func New(cfg Config) *Agent {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.Interval, 10*time.Minute)
	def(&cfg.Deadline, time.Hour)
	def(&cfg.Linger, 45*time.Second)
	def(&cfg.Retry, 30*time.Second)
	def(&cfg.FactsAge, 5*time.Minute)
	def(&cfg.Resend, 30*time.Second)
	def(&cfg.Confirm, 3*time.Minute)
	if cfg.Jobs <= 0 {
		cfg.Jobs = 32
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{cfg: cfg, state: cfg.State, log: cfg.Log, line: newLineHolder(),
		wanted: newSlot[*api.AssignmentSpec](), acked: make(chan string, 64), requests: make(chan *api.Converge, 16),
		trigger: make(chan string, 1), changed: make(chan struct{}, 1), renewed: make(chan struct{}, 1)}
	if a.cfg.Dialer == nil {
		a.cfg.Dialer = NetDialer(cfg.State)
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		a.bootID = strings.TrimSpace(string(id))
	}
	a.jobs = newJobRunner(a)
	a.looks = newLooker(a)
	a.update = newUpdater(a)
	return a
}

// NetDialer dials the servers that the state's identity names.
func NetDialer(s *State) link.Dialer {
	var fleet string
	if id := s.Identity(); id != nil {
		fleet = id.Fleet
	}
	return link.NewDialer(link.DialConfig{
		Fleet: fleet,
		Servers: func() []string {
			if id := s.Identity(); id != nil {
				return id.Link
			}
			return nil
		},
		TLS: func() (*tls.Config, error) {
			id, err := s.parsed()
			if err != nil {
				return nil, err
			}
			return id.TLS(), nil
		},
	})
}

func (s *State) parsed() (*pki.Identity, error) {
	id := s.Identity()
	if id == nil {
		return nil, errNotJoined
	}
	return pki.ParseIdentity(id.Certificate, id.Key, id.CA)
}

var errNotJoined = api.Errorf(api.CodeInvalid, "this host has not joined a fleet").
	WithRemedy("run `drover-agent join` with a token from `drover enroll` or `drover token join`")

// Run works until ctx ends; then it waits for what must not be torn: a running
// converge and the jobs are told to end, and their results are kept.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.state.blobs.collect(needs(a.state.Assignment())); err != nil {
		a.log.Warn("cannot remove old blobs", "error", err)
	}
	var wg sync.WaitGroup
	for _, part := range []func(context.Context){a.converger, a.receiver, a.reporter, a.factsLoop, a.renewer, a.update.run} {
		wg.Go(func() { part(ctx) })
	}
	if a.cfg.Metrics != nil {
		wg.Go(func() { a.cfg.Metrics(ctx, a.Write) })
	}
	wg.Go(func() {
		link.Keep(ctx, link.KeepConfig{Dialer: a.cfg.Dialer, Backoff: a.cfg.Backoff, Hello: a.hello, Before: a.renewExpired, Use: a.use,
			Failed: func(err error, wait time.Duration) {
				a.log.Warn("no line to a server", "error", err, "again_in", wait.Round(time.Millisecond))
			}})
	})
	<-ctx.Done()
	a.jobs.stop()
	a.looks.stop()
	wg.Wait()
	if errors.Is(context.Cause(ctx), ErrRestart) {
		return ErrRestart
	}
	return nil
}

func (a *Agent) hello() *api.Hello {
	h := &api.Hello{Version: api.LinkVersion, AgentVersion: a.cfg.Version, AgentHash: a.cfg.Hash, Platform: runtime.GOOS + "/" + runtime.GOARCH, BootID: a.bootID}
	if r, err := a.update.bins.record(); err == nil {
		h.PutBack = r.PutBack
	}
	if s := a.state.Assignment(); s != nil {
		h.Commit, h.Hash = s.Commit, s.Hash
	}
	return h
}

// use reads the line until it breaks.
func (a *Agent) use(ctx context.Context, c link.Conn) error {
	a.log.Info("connected", "server", c.Server(), "version", c.Welcome().ServerVersion)
	a.update.welcomed(c.Welcome())
	a.line.set(c)
	defer a.line.set(nil)
	defer a.jobs.breakSessions()
	hangUp := context.AfterFunc(ctx, func() { c.Close() })
	defer hangUp()
	for {
		m, err := c.Recv()
		if err != nil {
			return err
		}
		a.message(ctx, m)
	}
}

func (a *Agent) message(ctx context.Context, m *api.ToAgent) {
	switch {
	case m.Assign != nil:
		a.wanted.put(m.Assign)
	case m.ReportAck != nil:
		a.state.spool.acknowledged(m.ReportAck.ID)
		select {
		case a.acked <- m.ReportAck.ID:
		default: // the reporter looks at the spool itself
		}
	case m.Job != nil:
		a.jobs.start(ctx, m.Job)
	case m.Cancel != nil:
		a.jobs.cancel(m.Cancel.ID)
	case m.Session != nil:
		a.jobs.frame(ctx, m.Session)
	case m.Look != nil:
		a.looks.start(ctx, m.Look)
	case m.Converge != nil:
		select {
		case a.requests <- m.Converge:
		default:
			go a.send(ctx, &api.ToServer{Done: &api.JobDone{ID: m.Converge.ID, Exit: -1, Error: "too many requests to converge wait already"}})
		}
	}
}

// send waits for a line that takes m, or for ctx.
func (a *Agent) send(ctx context.Context, m *api.ToServer) error {
	for {
		c, err := a.line.wait(ctx)
		if err != nil {
			return err
		}
		if err = c.Send(ctx, m); err == nil || api.CodeOf(err) == api.CodeTooLarge {
			return err
		}
		if err := a.line.waitOther(ctx, c); err != nil {
			return err
		}
	}
}

// receiver makes assignments the host's own: blobs, disk, acknowledgement.
func (a *Agent) receiver(ctx context.Context) {
	failures := 0
	for {
		spec, err := a.wanted.take(ctx)
		if err != nil {
			return
		}
		err = a.receive(ctx, spec)
		if err == nil {
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		a.log.Error("cannot take an assignment", "commit", spec.Commit, "error", err)
		if failures == 0 {
			a.report(&api.Report{Commit: spec.Commit, Hash: spec.Hash, Reason: "new", Agent: a.cfg.Version, Start: time.Now().UTC(), Failed: true, Message: err.Error()})
		}
		if api.CodeOf(err) == api.CodeInvalid {
			continue
		}
		// Again later, unless something newer has come.
		a.wanted.putIfEmpty(spec)
		wait := min(a.cfg.Retry<<min(failures, 10), a.cfg.Interval)
		failures++
		if !a.wanted.pauseUnlessNewer(ctx, wait, spec) {
			return
		}
	}
}

func (a *Agent) receive(ctx context.Context, spec *api.AssignmentSpec) error {
	if err := checkAssignment(spec); err != nil {
		return err
	}
	old := a.state.Assignment()
	news := old == nil || old.Hash != spec.Hash || old.Commit != spec.Commit
	if news {
		defer a.state.blobs.pin(needs(spec))()
		if err := a.fetch(ctx, spec); err != nil {
			return err
		}
		if err := a.state.keep(spec); err != nil {
			return err
		}
		a.log.Info("assigned", "commit", spec.Commit)
		a.converge(reasonNew)
	}
	return a.send(ctx, &api.ToServer{Ack: &api.Ack{Commit: spec.Commit, Hash: spec.Hash}})
}

// fetch gets every blob of spec.
func (a *Agent) fetch(ctx context.Context, spec *api.AssignmentSpec) error {
	for _, b := range needs(spec) {
		if a.state.blobs.Has(b) {
			continue
		}
		c, err := a.line.wait(ctx)
		if err != nil {
			return err
		}
		if err := a.state.blobs.fetch(ctx, c, b); err != nil {
			return err
		}
	}
	return nil
}

// reporter sends the spool in order, one report at a time.
func (a *Agent) reporter(ctx context.Context) {
	for {
		r, err := a.state.spool.head()
		if err != nil {
			a.log.Error("cannot send reports", "error", err)
			if !pause(ctx, a.cfg.Resend) {
				return
			}
			continue
		}
		if r == nil {
			select {
			case <-a.state.spool.more:
				continue
			case <-a.acked:
				continue
			case <-ctx.Done():
				return
			}
		}
		c, err := a.line.wait(ctx)
		if err != nil {
			return
		}
		if err := c.Send(ctx, &api.ToServer{Report: r}); err != nil {
			if api.CodeOf(err) == api.CodeTooLarge {
				a.log.Error("a report is too large to send and is dropped", "report", r.ID)
				a.state.spool.acknowledged(r.ID)
			} else if a.line.waitOther(ctx, c) != nil {
				return
			}
			continue
		}
		a.awaitAck(ctx, c, r.ID)
	}
}

// awaitAck returns when the report was acknowledged, or should be sent again.
func (a *Agent) awaitAck(ctx context.Context, c link.Conn, id string) {
	timer := time.NewTimer(a.cfg.Resend)
	defer timer.Stop()
	for {
		select {
		case got := <-a.acked:
			if got == id {
				return
			}
		case <-a.line.gone(c):
			return
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// report completes r and puts it into the spool.
func (a *Agent) report(r *api.Report) {
	if id := a.state.Identity(); id != nil {
		r.Host = id.Host
	}
	r.ID = newID()
	if err := a.state.spool.add(r); err != nil {
		a.log.Error("cannot keep a report on disk", "error", err)
	}
}

// pause waits for d; it is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// spread is a time around d, so that hosts do not act at the same moment.
func spread(d time.Duration) time.Duration { return d*9/10 + rand.N(d/5+1) }
