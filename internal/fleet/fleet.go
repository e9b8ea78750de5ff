package fleet

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleet/repo"
	"drover/internal/store"
)

// Name of the room.
const Name = "fleet"

// Options are what the room is given beside the services.
type Options struct {
	// Compilers make the sections of assignments, applied in this order.
	Compilers []domain.Compiler
	// Inventory reads the inventory of a tree; its errors have their places.
	Inventory func(tree fs.FS) (Inventory, error)
	// Agents are agent programs to serve. Those that are not there are skipped.
	Agents []AgentBinary

	MaxPush   int64         // bytes of one push; 50 MiB if 0
	Debounce  time.Duration // how long a host is away before that is an event; 10 s if 0
	PlanHosts int           // hosts that a plan asks at most; 64 if 0
	PlanWait  time.Duration // how long a push waits for their answers; 2 s if 0
}

// Inventory is what the room asks of a tree's inventory.
type Inventory interface {
	Hosts() []string
	Groups(host string) []string
}

// Kinds are all kinds that the room stores, also the private ones.
func Kinds() []store.Kind {
	return []store.Kind{
		{Name: "host", New: func() api.Object { return &api.Host{} }},
		{Name: "revision", New: func() api.Object { return &api.Revision{} }},
		{Name: "assignment", New: func() api.Object { return &api.Assignment{} }},
		{Name: "enrolment", New: func() api.Object { return &enrolment{} }},
		{Name: "hostfacts", New: func() api.Object { return &hostFacts{} }},
	}
}

// Room is the room as the server takes it.
func Room(o Options) domain.Room {
	return domain.Room{Name: Name, Kinds: Kinds(), New: func(s domain.Services) (domain.Domain, error) {
		f, err := New(s, o)
		if err != nil {
			return domain.Domain{}, err
		}
		return f.Domain(), nil
	}}
}

// Fleet is the room.
type Fleet struct {
	o    Options
	s    domain.Services
	log  *slog.Logger
	dir  string
	repo *repo.Repo

	hosts       *store.Table[api.Host, *api.Host]
	revisions   *store.Table[api.Revision, *api.Revision]
	assignments *store.Table[api.Assignment, *api.Assignment]
	enrolments  *store.Table[enrolment, *enrolment]
	facts       *store.Table[hostFacts, *hostFacts]

	assign   *assigner
	intake   *intake
	reports  *reports
	overview *overview
	presence *presence
	checks   *checks
	offers   offers
	tidy     chan struct{} // a push was taken

	zip   *zstd.Encoder
	unzip *zstd.Decoder
	// bundles is held while blobs are stored and until something refers to
	// them, and while those are removed that nothing refers to.
	bundles sync.Mutex
}

// New opens the repository and makes the room.
func New(s domain.Services, o Options) (*Fleet, error) {
	if o.Debounce <= 0 {
		o.Debounce = 10 * time.Second
	}
	if o.PlanHosts <= 0 {
		o.PlanHosts = 64
	}
	if o.PlanWait <= 0 {
		o.PlanWait = 2 * time.Second
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Log == nil {
		s.Log = slog.Default()
	}
	f := &Fleet{o: o, s: s, log: s.Log.With("room", Name), dir: filepath.Join(s.DataDir, Name),
		hosts:       store.TableOf[api.Host](s.Store, "host"),
		revisions:   store.TableOf[api.Revision](s.Store, "revision"),
		assignments: store.TableOf[api.Assignment](s.Store, "assignment"),
		enrolments:  store.TableOf[enrolment](s.Store, "enrolment"),
		facts:       store.TableOf[hostFacts](s.Store, "hostfacts"),
		tidy:        make(chan struct{}, 1),
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "reports"), 0o700); err != nil {
		return nil, err
	}
	var err error
	if f.zip, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); err != nil {
		return nil, err
	}
	if f.unzip, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if f.repo, err = repo.Open(ctx, filepath.Join(f.dir, "fleet.git"), repo.Options{MaxPush: o.MaxPush, Log: f.log}); err != nil {
		return nil, err
	}
	f.assign = newAssigner(f)
	f.intake = newIntake(f)
	f.reports = newReports(f)
	f.presence = newPresence(f)
	f.overview = newOverview(f)
	f.checks = &checks{waiting: map[string]*check{}, blobs: map[string]int{}}
	if f.offers, err = f.readAgents(); err != nil {
		return nil, err
	}
	if err := f.remember(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// Domain is what the room hands over.
func (f *Fleet) Domain() domain.Domain {
	return domain.Domain{
		Name:      Name,
		Doc:       "Hosts, the fleet repository and its revisions.",
		Compilers: f.o.Compilers,
		Kinds: []domain.Kind{
			{
				Name: "host", Plural: "hosts", Short: []string{"h"},
				Doc:  "One enrolled server. It is made by enrolling; deleting it revokes its certificate.",
				New:  func() api.Object { return &api.Host{} },
				Read: domain.Viewer(), Write: domain.Operator(), NoCreate: true,
				Made:       "enrol a host by `drover enroll ssh://root@HOST`",
				AfterWrite: func(_ context.Context, _, obj api.Object) { f.assign.kick(obj) },
				Delete:     f.deleteHost,
				View:       f.view,
			},
			{
				Name: "revision", Plural: "revisions", Short: []string{"rev"},
				Doc:  "One validated commit of the fleet repository's main branch.",
				New:  func() api.Object { return &api.Revision{} },
				Read: domain.Viewer(), ReadOnly: true,
				Made: "push to the fleet repository by `git push`",
			},
			{
				Name: "assignment", Plural: "assignments",
				Doc:  "Everything one host should be, compiled from the active revision. It may hold secrets of the host.",
				New:  func() api.Object { return &api.Assignment{} },
				Read: domain.Operator(), ReadOnly: true,
				Made: "the server makes one for each enrolled host when a revision becomes active",
			},
		},
		Loops: []domain.Loop{
			{Name: "fleet.assign", Leader: true, Run: f.assign.run},
			{Name: "fleet.intake", Run: f.intake.run},
			{Name: "fleet.reports", Run: f.reports.run},
			{Name: "fleet.presence", Run: f.presence.run},
			{Name: "fleet.overview", Run: f.overview.run},
			{Name: "fleet.tidy", Leader: true, Run: f.tidyLoop},
		},
		Routes: f.routes(),
		Link:   &domain.Link{Consumer: consumer{f}, MayFetch: f.mayFetch, Renew: f.renew, Offer: f.offer},
	}
}

// view completes a host with its connection.
func (f *Fleet) view(obj api.Object) {
	h, ok := obj.(*api.Host)
	if !ok {
		return
	}
	if info, ok := f.s.Hub.Info(h.Name); ok {
		h.Status.Connected, h.Status.LastSeen = true, info.LastSeen.UTC()
	}
}

// event records what happened; a journal that cannot be written is logged,
// for the thing itself has happened.
func (f *Fleet) event(ctx context.Context, events ...*api.Event) {
	if len(events) == 0 {
		return
	}
	if err := f.s.Journal.Append(context.WithoutCancel(ctx), events...); err != nil {
		f.log.Error("cannot record events", "count", len(events), "first", events[0].Type, "error", err)
	}
}
