package metricstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
	"golang.org/x/sys/unix"

	"drover/api"
)

// Options say where metrics are kept, how long and how many. The zero value of
// each but Dir is the usual.
type Options struct {
	Dir       string
	Retention time.Duration // how long a sample is kept; 15 days
	MaxBytes  int64         // the oldest goes when blocks take more than this; 0: no limit

	// OutOfOrder is how much older than a host's newest a sample may be: a host
	// that was cut off sends what it kept when it is back. 3 days, at most Retention.
	OutOfOrder time.Duration
	Ahead      time.Duration // how much later than now a sample may be; 10 minutes
	MinFree    int64         // bytes of the disk below which nothing is taken; 256 MiB
	SyncEvery  time.Duration // how often what was taken is synced to the disk; 5 s

	MaxBody   int // bytes of a batch, as sent; 4 MiB
	MaxSeries int // of one host, at a time; 20,000
	MaxLabels int // of one series; 64
	MaxName   int // bytes of a label's name; 256
	MaxValue  int // bytes of a label's value; 2,048

	MaxSamples int           // that one query may hold in memory; 10 million (160 MB)
	Timeout    time.Duration // of a query; 30 s
	MaxQueries int           // at the same time, others wait; 4

	Log *slog.Logger
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	span := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	span(&o.Retention, 15*24*time.Hour)
	span(&o.OutOfOrder, 3*24*time.Hour)
	o.OutOfOrder = min(o.OutOfOrder, o.Retention)
	span(&o.Ahead, 10*time.Minute)
	span(&o.SyncEvery, 5*time.Second)
	span(&o.Timeout, 30*time.Second)
	if o.MinFree <= 0 {
		o.MinFree = 256 << 20
	}
	def(&o.MaxBody, 4<<20)
	def(&o.MaxSeries, 20_000)
	def(&o.MaxLabels, 64)
	def(&o.MaxName, 256)
	def(&o.MaxValue, 2048)
	def(&o.MaxSamples, 10_000_000)
	def(&o.MaxQueries, 4)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is the metrics of a fleet. It takes and answers nothing until Run has
// opened the database.
type Store struct {
	o       Options
	log     *slog.Logger
	seed    maphash.Seed
	places  chan struct{} // one for each batch that is decoded
	ready   chan struct{} // closed when the database was opened for the first time
	engine  *promql.Engine
	quick   *promql.Engine // for rules: they do not queue behind people
	parser  parser.Parser
	buffers sync.Pool

	mu       sync.Mutex
	db       *tsdb.DB // nil: closed
	epoch    int      // one more each time the database is opened
	reg      *prometheus.Registry
	lateLog  func() float64 // batches of late samples whose log failed, since the start
	users    int            // who is using db
	idle     chan struct{}  // closed when users is 0, if somebody waits
	why      error          // why db is nil
	opened   bool           // db was open before
	free     int64          // of the disk, when last looked
	low      bool           // free is below MinFree
	syncErr  error
	problems map[string]problem

	mapping  atomic.Bool
	broken   atomic.Pointer[error] // the log failed: nothing is taken until it is mended
	commitMu sync.Mutex            // one commit at a time, so that nothing follows one that failed
	failed   float64               // what lateLog said last; held with commitMu

	hostsMu sync.Mutex
	hosts   map[string]*hostSeries

	taken counters
}

// problem is something that somebody should know, until when.
type problem struct {
	text  string
	until time.Time
}

// New makes a store. Run opens it.
func New(o Options) *Store {
	o = o.withDefaults()
	s := &Store{o: o, log: o.Log, seed: maphash.MakeSeed(), places: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		ready: make(chan struct{}), parser: parser.NewParser(parser.Options{}), hosts: map[string]*hostSeries{}, problems: map[string]problem{},
		why: api.Errorf(api.CodeUnavailable, "the metrics are being opened").WithRemedy("try again in a moment; a large fleet's log takes a minute to read")}
	s.engine = s.newEngine(o.MaxQueries)
	s.quick = s.newEngine(0)
	return s
}

// Ready is closed once the database was opened.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// lookEvery is how often the disk's free space is looked at.
const lookEvery = time.Second

// How long to wait before the database is opened again after it failed.
const (
	minRetry = time.Second
	maxRetry = time.Minute
)

// Run opens the database, keeps it until ctx ends, and closes it. It opens it
// anew when its log failed, once there is space.
func (s *Store) Run(ctx context.Context) error {
	defer s.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var retry time.Time
	pause, synced, mapped := minRetry, time.Now(), time.Now()
	for {
		s.look()
		if s.mustOpen() && time.Now().After(retry) {
			if err := s.reopen(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				s.log.Error("cannot open the metrics", "error", err, "again", pause)
				retry, pause = time.Now().Add(pause), min(2*pause, maxRetry)
			} else {
				pause = minRetry
			}
		}
		if time.Since(synced) >= s.o.SyncEvery {
			s.sync()
			synced = time.Now()
			s.forget()
		}
		if time.Since(mapped) >= mapEvery {
			s.mapWhole()
			mapped = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// mapEvery is how often pieces of series that are whole go from memory to a
// file, and mapNeeds what must be free for that. The database would do so by
// itself each minute, and end the process if the disk is full: so it is told
// not to (see open), and is asked to when there is space.
const (
	mapEvery = time.Minute
	mapNeeds = 128 << 20
	never    = 100 * 365 * 24 * time.Hour
)

// mapWhole has the database move what is whole to a file, if it fits.
func (s *Store) mapWhole() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil || s.low || s.free < mapNeeds || s.broken.Load() != nil || !s.mapping.CompareAndSwap(false, true) {
		return
	}
	// It may take seconds, and the disk is to be watched meanwhile. Closing waits for it.
	go func(db *tsdb.DB, release func()) {
		defer release()
		defer s.mapping.Store(false)
		db.ForceHeadMMap()
	}(s.db, s.use())
}

// mustOpen reports whether the database is to be opened and can be.
func (s *Store) mustOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Closing writes what is in memory, and needs space for it.
	return s.db == nil || s.broken.Load() != nil && !s.low
}

// look sees how much space there is.
func (s *Store) look() {
	free, err := freeOf(s.o.Dir)
	if err != nil {
		return // the folder is made when the database is opened
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.low
	s.free = free
	// Taking again begins a little above, so that it does not go on and off.
	s.low = free < s.o.MinFree || was && free < s.o.MinFree+s.o.MinFree/8
	if s.low == was || s.db == nil {
		return
	}
	if s.low {
		s.log.Error("the disk of the metrics is full: nothing more is taken", "dir", s.o.Dir, "free", free, "least", s.o.MinFree)
		s.db.DisableCompactions() // they need space for a second copy
	} else {
		s.log.Info("the disk of the metrics has space again", "free", free)
		s.db.EnableCompactions()
	}
}

func freeOf(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// reopen closes the database if it is open and opens it.
func (s *Store) reopen(ctx context.Context) error {
	s.closeFor(api.Errorf(api.CodeUnavailable, "the metrics are being opened anew, because their log failed").WithRemedy("try again in a moment"))
	if err := ctx.Err(); err != nil {
		return err
	}
	begun := time.Now()
	db, reg, late, err := s.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.why = api.Errorf(api.CodeUnavailable, "cannot open the metrics: %v", err).
			WithRemedy("see the server's log; what is broken in %s may be moved away", s.o.Dir)
		s.opened = true // it is not about to be
		return err
	}
	s.db, s.reg, s.lateLog, s.why, s.opened = db, reg, late, nil, true
	s.failed = late()
	s.epoch++
	s.broken.Store(nil)
	if s.low {
		db.DisableCompactions()
	}
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
	s.log.Info("the metrics are open", "took", time.Since(begun), "series", db.Head().NumSeries(), "blocks", len(db.Blocks()))
	return nil
}

func (s *Store) open() (*tsdb.DB, *prometheus.Registry, func() float64, error) {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return nil, nil, nil, err
	}
	reg := prometheus.NewRegistry()
	o := tsdb.DefaultOptions()
	o.RetentionDuration = s.o.Retention.Milliseconds()
	o.MaxBytes = s.o.MaxBytes
	o.OutOfOrderTimeWindow = s.o.OutOfOrder.Milliseconds()
	o.WALCompression = compression.Snappy
	o.BlockReloadInterval = never // see mapWhole; blocks are looked through at each compaction too
	o.IsolationDisabled = true    // a query may see a part of a host's samples a moment before the others; that saves 80 bytes a series
	o.NoLockfile = true           // the server holds the lock of its data directory
	// Blocks up to a tenth of the retention, as Prometheus has it.
	o.MaxBlockDuration = max(min(31*24*time.Hour.Milliseconds(), o.RetentionDuration/10), o.MinBlockDuration)
	named := &finder{Registerer: reg, name: "prometheus_tsdb_out_of_order_wbl_writes_failed_total"}
	db, err := tsdb.Open(s.o.Dir, s.log, named, o, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return db, reg, named.value, nil
}

// use counts somebody who uses the database; s.mu is held. What it returns
// must be called at the end, once.
func (s *Store) use() func() {
	s.users++
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.users--; s.users == 0 && s.idle != nil {
				close(s.idle)
				s.idle = nil
			}
		})
	}
}

// acquire gives the open database until release is called.
func (s *Store) acquire() (db *tsdb.DB, epoch int, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil, 0, nil, s.why
	}
	return s.db, s.epoch, s.use(), nil
}

// closeFor closes the database, once nobody uses it: its files are mapped into
// memory, and a reader must not be left without.
func (s *Store) closeFor(why error) {
	s.mu.Lock()
	db := s.db
	s.db, s.why = nil, why
	if db == nil {
		s.mu.Unlock()
		return
	}
	var idle chan struct{}
	if s.users > 0 {
		idle = make(chan struct{})
		s.idle = idle
	}
	s.mu.Unlock()
	if idle != nil {
		<-idle
	}
	if err := closeSafely(db); err != nil {
		s.log.Error("cannot close the metrics cleanly; nothing is lost, their log has it", "error", err)
	}
}

// closeSafely closes a database; on a full disk that panics.
func closeSafely(db *tsdb.DB) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return db.Close()
}

func (s *Store) close() {
	s.closeFor(api.Errorf(api.CodeUnavailable, "the server is stopping").WithRemedy("try again"))
}

// sync brings the end of the logs to the disk; earlier parts the database syncs itself.
func (s *Store) sync() {
	var errs []error
	for _, log := range []string{"wal", "wbl"} {
		errs = append(errs, syncLast(filepath.Join(s.o.Dir, log)))
	}
	err := errors.Join(errs...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.syncErr == nil {
		s.log.Error("cannot sync the metrics' log to the disk", "error", err)
	}
	s.syncErr = err
}

func syncLast(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	if err != nil || len(names) == 0 {
		return err
	}
	f, err := os.Open(names[len(names)-1]) // Glob sorts, and the names have leading zeros
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was cut off meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// refusing is why nothing is taken now, nil if it is.
func (s *Store) refusing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch broken := s.broken.Load(); {
	case s.db == nil:
		return s.why
	case s.low:
		return s.fullError()
	case broken != nil:
		return logFailed(*broken)
	}
	return nil
}

func (s *Store) fullError() *api.Error {
	return api.Errorf(api.CodeUnavailable, "the disk of the metrics is full: %s has %d MB free, %d MB are needed", s.o.Dir, s.free>>20, s.o.MinFree>>20).
		WithRemedy("free some space there, or keep less by --metrics-retention or --metrics-max-size; hosts keep their metrics and send them again")
}

func logFailed(err error) *api.Error {
	return api.Errorf(api.CodeUnavailable, "the metrics' log cannot be written: %v", err).WithRemedy("it is opened anew once there is space; hosts send again")
}

// finder notes the collector of one counter among those that are registered.
type finder struct {
	prometheus.Registerer
	name  string
	found prometheus.Collector
}

func (f *finder) see(c prometheus.Collector) {
	ch := make(chan *prometheus.Desc, 64)
	go func() { c.Describe(ch); close(ch) }()
	for d := range ch {
		if d != nil && strings.Contains(d.String(), strconv.Quote(f.name)) {
			f.found = c
		}
	}
}

func (f *finder) Register(c prometheus.Collector) error { f.see(c); return f.Registerer.Register(c) }

func (f *finder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		f.see(c)
	}
	f.Registerer.MustRegister(cs...)
}

// value is the counter's, 0 if there is none.
func (f *finder) value() float64 {
	if f.found == nil {
		return 0
	}
	ch := make(chan prometheus.Metric, 1)
	go func() { f.found.Collect(ch); close(ch) }()
	var out dto.Metric
	for m := range ch {
		if m.Write(&out) != nil {
			return 0
		}
	}
	return out.GetCounter().GetValue()
}
