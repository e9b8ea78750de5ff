package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/access"
	"drover/internal/audit"
	"drover/internal/blob"
	"drover/internal/console"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/link"
	"drover/internal/pki"
	"drover/internal/runlog"
	"drover/internal/store"
)

// Names of what a server keeps in its data directory.
const (
	auditFile  = "audit.jsonl"
	storeDir   = "store"
	caDir      = "ca"
	blobDir    = "blobs"
	journalDir = "journal"
	runsDir    = "runs"
)

// Server is one control plane with its services open and its routes
// assembled. It listens to nothing by itself, so that a test can use it in
// process: Handler is the whole API, Hub takes agents in memory.
type Server struct {
	cfg    Config
	layout layout
	log    *slog.Logger
	now    func() time.Time

	store    *store.Store
	blobs    *blob.Store
	journal  *journal.Journal
	runs     *runlog.Log
	auditLog *audit.Log
	access   *access.Access
	ca       *pki.CA
	hub      *link.Hub
	people   *store.Table[api.Person, *api.Person]
	tokens   *store.Table[api.Token, *api.Token]

	services    domain.Services
	console     *console.Console
	handler     http.Handler
	table       *table
	kindInfos   []KindInfo
	openapi     []byte
	loops       []domain.Loop
	problems    []func() []string // of the rooms
	metrics     *metrics
	streams     streams
	crossOrigin *http.CrossOriginProtection
	adminToken  string
	engine      failing   // nil: an engine that cannot fail as a whole
	given       *certFile // nil: the API's certificate is of the fleet's CA

	// closers close the services, the last opened first.
	closers []func() error

	started  time.Time
	draining context.Context // ends when streams are to end
	drain    context.CancelFunc
	running  context.Context // ends when loops are to end
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	addrs Addresses

	closeOnce sync.Once
	closeErr  error
}

// failing is a store engine that may come to an end, such as by a disk error.
type failing interface {
	Failed() <-chan struct{} // closed when it can go on no more
	Err() error              // why
}

// New opens everything in cfg.DataDir and assembles the rooms. On an error
// nothing stays open.
func New(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{cfg: cfg, layout: layout{cfg.DataDir}, log: cfg.Log, now: cfg.Now, crossOrigin: http.NewCrossOriginProtection()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.started = s.now()
	if cfg.TLSCert != "" {
		s.given = &certFile{cert: cfg.TLSCert, key: cfg.TLSKey}
	}
	s.draining, s.drain = context.WithCancel(context.WithoutCancel(ctx))
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(s.layout.full(err), s.Close())
		}
	}()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := s.assemble(ctx); err != nil {
		return nil, err
	}
	return s, s.credential(ctx)
}

// open opens the services: directory, store, and what stands on it.
func (s *Server) open(ctx context.Context) error {
	lock, err := s.layout.open()
	if err != nil {
		return err
	}
	s.onClose(lock.Close)

	backend := s.cfg.Backend
	if backend == nil {
		if s.cfg.OpenBackend == nil {
			return errors.New("cannot start: the program links no store engine")
		}
		if backend, err = s.cfg.OpenBackend(ctx, s.layout.path(storeDir), s.cfg.EtcdURL, s.log.With("part", "store")); err != nil {
			return err
		}
		s.onClose(backend.Close)
	}
	if f, ok := backend.(failing); ok {
		s.engine = f
	}
	kinds := access.Kinds()
	for _, room := range s.cfg.Rooms {
		kinds = append(kinds, room.Kinds...)
	}
	s.store = store.New(backend, kinds...)
	s.onClose(func() error { s.store.Close(); return nil })
	if err := s.store.Ready(ctx); err != nil {
		return fmt.Errorf("cannot read the store: %w", err)
	}
	if s.ca, err = pki.OpenCA(s.layout.path(caDir), pki.Options{Now: s.cfg.Now}); err != nil {
		return err
	}
	if s.blobs, err = blob.Open(s.layout.path(blobDir)); err != nil {
		return err
	}
	if s.journal, err = journal.Open(s.layout.path(journalDir), journal.Options{Now: s.cfg.Now}); err != nil {
		return err
	}
	s.onClose(s.journal.Close)
	if s.runs, err = runlog.Open(s.layout.path(runsDir), runlog.Options{Now: s.cfg.Now, Log: s.log.With("part", "runs")}); err != nil {
		return err
	}
	s.onClose(s.runs.Close)
	if s.auditLog, err = audit.Open(s.layout.path(auditFile), audit.Options{Now: s.cfg.Now}); err != nil {
		return err
	}
	s.onClose(s.auditLog.Close)
	s.access = access.New(access.Options{Store: s.store, Now: s.cfg.Now, Log: s.log.With("part", "access")})
	s.people = store.TableOf[api.Person](s.store, "person")
	s.tokens = store.TableOf[api.Token](s.store, "token")
	return nil
}

func (s *Server) onClose(fn func() error) { s.closers = append(s.closers, fn) }

// assemble makes the rooms and puts all they hand over behind the door.
func (s *Server) assemble(ctx context.Context) error {
	line := &hosts{blobs: s.blobs}
	s.hub = link.NewHub(link.HubConfig{Consumer: line, Authorizer: line, Blobs: line, Renewer: line, Metrics: line, Offer: line.offer,
		ServerVersion: s.cfg.Version, Now: s.cfg.Now})
	s.services = domain.Services{Store: s.store, Blobs: s.blobs, Journal: s.journal, Runs: s.runs, Audit: s.auditLog, Access: s.access, CA: s.ca, Hub: s.hub,
		Log: s.log, Now: s.now, DataDir: s.cfg.DataDir, Version: s.cfg.Version, Links: s.linkAddresses, API: s.apiURL, APIPin: s.apiPin}
	s.metrics = newMetrics(s)
	s.services.Own, s.services.MetricsRetention, s.services.MetricsMaxBytes = s.metrics.registry, s.cfg.MetricsRetention, s.cfg.MetricsMaxBytes
	build := s.cfg.Console
	if build == nil {
		build = console.Build()
	}
	var err error
	if s.console, err = console.New(build); err != nil {
		return err
	}

	domains := []domain.Domain{s.accessDomain()}
	for _, room := range s.cfg.Rooms {
		services := s.services
		services.Log = s.log.With("room", room.Name)
		d, err := room.New(services)
		if err != nil {
			return fmt.Errorf("cannot start the room %s: %w", room.Name, err)
		}
		domains = append(domains, d)
	}
	s.table = &table{}
	s.table.add(false, s.systemRoutes()...)
	s.table.add(false, s.historyRoutes()...)
	s.table.add(false, s.consoleRoutes()...)
	s.table.add(false, s.runRoutes()...)
	for _, d := range domains {
		if err := s.addKinds(d); err != nil {
			return err
		}
	}
	for _, d := range domains {
		s.table.add(true, d.Routes...)
		s.loops = append(s.loops, d.Loops...)
		line.add(d.Link)
		if d.Problems != nil {
			s.problems = append(s.problems, d.Problems)
		}
	}
	s.loops = append(s.loops, domain.Loop{Name: "server.metrics", Run: s.countEvents}, domain.Loop{Name: "server.sweep", Leader: true, Run: s.sweep},
		domain.Loop{Name: "server.memory", Run: s.trim})
	if s.openapi, err = s.document(); err != nil {
		return err
	}
	s.handler = s.mux(s.table)
	return checkDocument(s.openapi)
}

func (s *Server) addKinds(d domain.Domain) error {
	for _, k := range d.Kinds {
		if problem := checkKind(k); problem != "" {
			panic(fmt.Sprintf("server: kind %q of room %s %s", k.Name, d.Name, problem))
		}
		rows, err := s.store.Kind(k.Name)
		if err != nil {
			return fmt.Errorf("the room %s serves a kind that it does not store: %w", d.Name, err)
		}
		s.table.add(false, (&kindAPI{s: s, kind: k, rows: rows}).routes()...)
		s.kindInfos = append(s.kindInfos, describe(d.Name, k))
	}
	slices.SortFunc(s.kindInfos, func(a, b KindInfo) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Handler is the API: every route behind its access rule.
func (s *Server) Handler() http.Handler { return s.handler }

// Hub is where agents connect: link.Memory(s.Hub(), host).
func (s *Server) Hub() *link.Hub { return s.hub }

// Services are what the rooms stand on.
func (s *Server) Services() domain.Services { return s.services }

// AdminToken is the secret of the credential for this machine's root user.
func (s *Server) AdminToken() string { return s.adminToken }

// Start starts the rooms' loops. They end with Close.
func (s *Server) Start(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("cannot start: %w", err)
	}
	who := fmt.Sprintf("%s/%d", name, os.Getpid())
	for _, l := range s.loops {
		s.work.Go(func() { s.keep(l, who) })
	}
	return nil
}

// How long a loop that failed waits before it begins again.
const (
	minRestart = 250 * time.Millisecond
	maxRestart = time.Minute
)

// keep runs one loop until the server stops, again after it failed.
func (s *Server) keep(l domain.Loop, who string) {
	ctx, pause := s.running, minRestart
	for ctx.Err() == nil {
		begun := time.Now()
		err := s.runLoop(ctx, l, who)
		if ctx.Err() != nil {
			return
		}
		s.metrics.restarts.WithLabelValues(l.Name).Inc()
		s.log.Error("a loop ended; it begins again", "loop", l.Name, "error", err, "after", pause)
		if time.Since(begun) > maxRestart {
			pause = minRestart
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, maxRestart)
	}
}

// runLoop runs a loop once, on the leader if it is for that. A server whose
// store is its own is always the leader: nobody else can be, and after a crash
// it need not wait for its own former term to run out.
func (s *Server) runLoop(ctx context.Context, l domain.Loop, who string) error {
	if !l.Leader || s.cfg.EtcdURL == "" {
		return s.runSafely(ctx, l)
	}
	return s.store.Lead(ctx, "loop/"+l.Name, who, func(ctx context.Context, _ *store.Leader) error { return s.runSafely(ctx, l) })
}

func (s *Server) runSafely(ctx context.Context, l domain.Loop) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			s.log.Error("a loop panicked", "loop", l.Name, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return l.Run(ctx)
}

// sweep removes what has expired.
func (s *Server) sweep(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if err := s.access.Sweep(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close stops in this order: streams, agents' connections, loops, then the
// services, the last opened first, so that the store's engine goes last. It
// may be called twice.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.drain()
		if s.hub != nil {
			s.hub.Close()
		}
		s.stop()
		s.work.Wait()
		var errs []error
		for _, c := range slices.Backward(s.closers) {
			errs = append(errs, c())
		}
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

// announce tells the person at the console.
func (s *Server) announce(format string, args ...any) {
	if s.cfg.Announce != nil {
		_, _ = io.WriteString(s.cfg.Announce, fmt.Sprintf(format, args...))
	}
}

// Routes is the route table, by path and method.
func (s *Server) Routes() []domain.Route { return s.table.sorted() }
