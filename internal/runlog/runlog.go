// Package runlog keeps every run: what ran on which hosts, what they printed
// and how it ended; and for each host how it brought itself to a revision.
//
// Runs that somebody asked for (commands, converges, plays) have a file each,
// in which everything is kept as it happens, and two records in a table: when
// they began and when they ended. An apply is one record with its report. All
// files are append-only rows of checked frames, bounded by size, number and
// age, each class for itself, so that the applies of a large fleet never push
// out the few commands that people ran. The records are in memory, the newest
// last; details are read from disk.
//
// One goroutine writes the runs' files, closes those that ended and removes
// what is too old. A run under way when the server ended is "lost" at the next
// start, with all that was kept of it.
package runlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drover/api"
)

// Options of a log; the zero value is right.
type Options struct {
	MaxBytes   int64         // of all files; 2 GiB if 0
	MaxAge     time.Duration // of a run; 90 days if 0
	MaxRuns    int           // that were asked for; 20,000 if 0
	MaxApplies int           // 100,000 if 0

	HostOutput   int64 // bytes kept of one host's output in a run; 5.25 MiB if 0
	RunOutput    int64 // bytes kept of all hosts' output in a run; 64 MiB if 0
	SegmentBytes int64 // of one file of records; 8 MiB if 0

	Now func() time.Time
	Log *slog.Logger
}

// Limits unless told otherwise. Those of output leave room for five million
// bytes of one task beside what other tasks say.
const (
	defaultBytes      = 2 << 30
	defaultAge        = 90 * 24 * time.Hour
	defaultRuns       = 20_000
	defaultApplies    = 100_000
	defaultHostOutput = 5<<20 + 256<<10
	defaultRunOutput  = 64 << 20
	defaultSegment    = 8 << 20
	maxFile           = 4 // times RunOutput: what a run's file may grow to
)

func (o Options) complete() Options {
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultBytes)
	o.MaxAge = cmp.Or(o.MaxAge, defaultAge)
	o.MaxRuns = cmp.Or(o.MaxRuns, defaultRuns)
	o.MaxApplies = cmp.Or(o.MaxApplies, defaultApplies)
	o.HostOutput = cmp.Or(o.HostOutput, defaultHostOutput)
	o.RunOutput = cmp.Or(o.RunOutput, defaultRunOutput)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, defaultSegment)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Log is an open log; one process has it open.
type Log struct {
	dir   string
	o     Options
	codec *codec
	names names

	wake chan struct{} // something is to be written
	stop chan struct{}
	once sync.Once
	done chan struct{} // closed when the writer has ended

	// writing is held while a table is written to, and taken before mu.
	writing sync.Mutex
	asked   class
	applies class

	mu      sync.RWMutex // guards what follows, and the classes' entries
	byID    map[string]*entry
	live    map[*Run]bool
	over    []*Run // ended, with their files open
	seq     int64
	words   map[string]string // kinds, actors, commits and the like, each once
	changed chan struct{}     // closed at the next change of a record
	feed    []change
}

// class is the runs of one sort: those that somebody asked for, or applies.
type class struct {
	table   *table
	entries []*entry // by Seq
	files   int64    // bytes of the runs' files
	dirty   bool     // the table is not synced
}

// entry is one run. Its record is never changed, only replaced.
type entry struct {
	seq     int64
	version atomic.Int64
	rec     atomic.Pointer[api.RunRecord]
	run     atomic.Pointer[Run]     // while it goes on
	hosts   atomic.Pointer[hostSet] // of an asked run, once somebody wanted to know
	at      place                   // the last record; guarded by mu
	tail    int64                   // where the results are in the run's file; 0: not there
	size    int64                   // of the run's file
}

// change is one version of an entry.
type change struct {
	version int64
	e       *entry
}

// Open opens the log in dir, making it if missing.
func Open(dir string, o Options) (*Log, error) {
	l := &Log{dir: dir, o: o.complete(), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
		byID: map[string]*entry{}, live: map[*Run]bool{}, words: map[string]string{}}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("cannot open the log of runs in %s: %w", dir, err)
	}
	go l.write() // ends at Close
	return l, nil
}

func (l *Log) load() (err error) {
	if l.codec, err = newCodec(); err != nil {
		return err
	}
	if err := os.MkdirAll(l.filesDir(), 0o700); err != nil {
		return err
	}
	bySeq := map[int64]*entry{}
	read := func(c *class) func(*stored, place) {
		return func(s *stored, at place) {
			e := bySeq[s.Seq]
			if e == nil {
				e = &entry{seq: s.Seq}
				bySeq[s.Seq] = e
				c.entries = append(c.entries, e)
			} else {
				e.at.seg.used--
			}
			at.seg.used++
			e.at, e.tail = at, s.Tail
			l.keepWords(&s.RunRecord)
			e.rec.Store(&s.RunRecord)
			l.seq = max(l.seq, s.Seq)
		}
	}
	if l.asked.table, err = openTable(filepath.Join(l.dir, "asked"), l.o.SegmentBytes, read(&l.asked)); err != nil {
		return err
	}
	if l.applies.table, err = openTable(filepath.Join(l.dir, "applies"), l.o.SegmentBytes, read(&l.applies)); err != nil {
		return err
	}
	if err := l.matchFiles(bySeq); err != nil {
		return err
	}
	for _, c := range []*class{&l.asked, &l.applies} {
		slices.SortFunc(c.entries, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
		for _, e := range c.entries {
			l.byID[e.rec.Load().ID] = e
		}
	}
	for _, e := range l.asked.entries {
		if e.rec.Load().State == api.RunRunning {
			if err := l.recover(e); err != nil {
				return err
			}
		}
	}
	return l.trim()
}

func (l *Log) filesDir() string        { return filepath.Join(l.dir, "files") }
func (l *Log) fileOf(seq int64) string { return filepath.Join(l.filesDir(), fileName(seq)) }
func fileName(seq int64) string        { return fmt.Sprintf("%020d.run", seq) }
func (l *Log) now() time.Time          { return l.o.Now().UTC() }

func (l *Log) class(kind string) *class {
	if kind == api.RunApply {
		return &l.applies
	}
	return &l.asked
}

// keepWords has texts that many records share in memory once.
func (l *Log) keepWords(r *api.RunRecord) {
	for _, p := range []*string{&r.Kind, &r.State, &r.Actor, &r.Commit, &r.Host, &r.Hosts} {
		l.keepWord(p)
	}
	if r.Kind == api.RunApply {
		l.keepWord(&r.Title)
	}
}

func (l *Log) keepWord(p *string) {
	if w, ok := l.words[*p]; ok {
		*p = w
		return
	}
	w := strings.Clone(*p)
	l.words[w] = w
	*p = w
}

// matchFiles forgets runs whose file is gone, and removes files without a run.
func (l *Log) matchFiles(bySeq map[int64]*entry) error {
	es, err := os.ReadDir(l.filesDir())
	if err != nil {
		return err
	}
	there := map[int64]bool{}
	for _, d := range es {
		var seq int64
		if n, _ := fmt.Sscanf(d.Name(), "%020d.run", &seq); n != 1 || d.Name() != fileName(seq) {
			continue
		}
		l.seq = max(l.seq, seq)
		e := bySeq[seq]
		if e == nil || e.rec.Load().Kind == api.RunApply {
			_ = os.Remove(filepath.Join(l.filesDir(), d.Name()))
			continue
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		there[seq] = true
		e.size = info.Size()
		l.asked.files += e.size
	}
	l.asked.entries = slices.DeleteFunc(l.asked.entries, func(e *entry) bool {
		if !there[e.seq] {
			e.at.seg.used--
		}
		return !there[e.seq]
	})
	return nil
}

// store writes a record and makes it the entry's. The caller holds writing.
func (l *Log) store(e *entry, rec *api.RunRecord, tail int64, rest []byte) error {
	b, err := encodeRecord(&stored{Seq: e.seq, Tail: tail, RunRecord: *rec}, rest)
	if err != nil {
		return err
	}
	c := l.class(rec.Kind)
	seg, off, err := c.table.append(e.seq, later(rec.Start, rec.End), b)
	if err != nil {
		return failure(err)
	}
	c.dirty = true
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.at.seg != nil {
		e.at.seg.used--
	}
	seg.used++
	e.at, e.tail = place{seg, off, int64(len(b))}, tail
	return nil
}

// show makes a record the entry's and tells watchers.
func (l *Log) show(e *entry, rec *api.RunRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replace(e, rec)
	l.tell()
}

// maxFeed bounds the changes that watchers may be behind.
const maxFeed = 32 << 10

// replace gives an entry a record. The caller holds mu, and tells.
func (l *Log) replace(e *entry, rec *api.RunRecord) {
	l.keepWords(rec)
	e.rec.Store(rec)
	v := int64(1)
	if n := len(l.feed); n > 0 {
		v = l.feed[n-1].version + 1
	}
	e.version.Store(v)
	l.feed = append(l.feed, change{v, e})
	if n := len(l.feed); n > maxFeed {
		l.feed = append([]change(nil), l.feed[n-maxFeed/2:]...)
	}
}

// tell wakes watchers. The caller holds mu.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func failure(err error) error {
	return api.Errorf(api.CodeUnavailable, "cannot write to the log of runs: %v", err).WithRemedy("free disk space on the server, or look after its disk")
}

// trim removes what is over the limits, the oldest first. The caller holds
// writing, or nobody else knows the log yet.
func (l *Log) trim() error {
	old := l.now().Add(-l.o.MaxAge)
	var errs []error
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.asked
	for len(a.entries) > 0 {
		e := a.entries[0]
		rec := e.rec.Load()
		over := len(a.entries) > l.o.MaxRuns || a.files+a.table.bytes() > l.o.MaxBytes/2 || rec.End.Before(old)
		if !over || rec.State == api.RunRunning || len(a.entries) == 1 && !rec.End.Before(old) {
			break
		}
		a.entries = a.entries[1:]
		a.files -= e.size
		if e.at.seg != nil {
			e.at.seg.used--
		}
		delete(l.byID, rec.ID)
		if err := os.Remove(l.fileOf(e.seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for len(a.table.segments) > 1 && a.table.segments[0].used == 0 {
		errs = append(errs, a.table.drop())
	}
	p := &l.applies
	for len(p.table.segments) > 1 {
		s := p.table.segments[0]
		if len(p.entries) <= l.o.MaxApplies && p.table.bytes() <= l.o.MaxBytes/2 && !s.newest.Before(old) {
			break
		}
		n := 0
		for n < len(p.entries) && p.entries[n].at.seg == s {
			delete(l.byID, p.entries[n].rec.Load().ID)
			n++
		}
		p.entries = p.entries[n:]
		errs = append(errs, p.table.drop())
	}
	if len(l.words) > 4*(l.o.MaxApplies+l.o.MaxRuns) {
		l.words = map[string]string{} // those that are in use come back
	}
	return errors.Join(errs...)
}

// Close ends what goes on as lost, and writes all of it.
func (l *Log) Close() error {
	first := false
	l.once.Do(func() { first = true })
	if !first {
		<-l.done
		return nil
	}
	l.mu.RLock()
	open := slices.Collect(maps.Keys(l.live))
	l.mu.RUnlock()
	for _, r := range open {
		r.finish(api.RunLost, "the server stopped", nil, nil)
	}
	close(l.stop)
	<-l.done
	l.writing.Lock()
	defer l.writing.Unlock()
	return errors.Join(l.asked.table.sync(), l.applies.table.sync(), l.asked.table.file.Close(), l.applies.table.file.Close())
}

// Applied records that hosts brought themselves to a revision. It returns when
// that is on disk; a report that is there already is left alone.
func (l *Log) Applied(ctx context.Context, reports ...*api.Report) error {
	if len(reports) == 0 {
		return nil
	}
	type item struct {
		rec  *api.RunRecord
		rest []byte
	}
	items := make([]item, 0, len(reports))
	for _, r := range reports {
		rest, err := l.packReport(r)
		if err != nil {
			return err
		}
		items = append(items, item{applyRecord(r), rest})
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	var buf []byte
	var added []*entry
	var newest time.Time
	sizes := make([]int64, 0, len(items))
	twice := map[string]bool{}
	for _, it := range items {
		if twice[it.rec.ID] || l.find(it.rec.ID) != nil {
			continue
		}
		twice[it.rec.ID] = true
		e := &entry{seq: l.next()}
		e.rec.Store(it.rec)
		b, err := encodeRecord(&stored{Seq: e.seq, RunRecord: *it.rec}, it.rest)
		if err != nil {
			return err
		}
		buf, added, sizes, newest = append(buf, b...), append(added, e), append(sizes, int64(len(b))), later(newest, it.rec.End)
	}
	if len(added) == 0 {
		return nil
	}
	c := &l.applies
	seg, off, err := c.table.append(added[0].seq, newest, buf)
	if err == nil {
		err = c.table.sync()
	}
	if err != nil {
		return failure(err)
	}
	l.mu.Lock()
	for i, e := range added {
		seg.used++
		e.at = place{seg, off, sizes[i]}
		off += sizes[i]
		c.entries = append(c.entries, e)
		rec := e.rec.Load()
		l.byID[rec.ID] = e
		l.replace(e, rec)
	}
	l.tell()
	l.mu.Unlock()
	return l.trim()
}

func (l *Log) next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	return l.seq
}

func (l *Log) find(id string) *entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byID[id]
}

// nudge wakes the writer.
func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
