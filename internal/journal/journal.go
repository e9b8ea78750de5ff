// Package journal keeps events: append-only files of JSON lines with a
// sequence without gaps, bounded by size.
//
// One goroutine writes: it gathers what is waiting, writes it with one write
// and one fsync, and only then answers and shows it to readers. A crash can
// tear the last line only; Open cuts it off.
package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

// Options of a journal; the zero value is right.
type Options struct {
	MaxBytes     int64 // of all segments; 256 MiB if 0
	SegmentBytes int64 // of one; 8 MiB if 0
	Now          func() time.Time
}

// recentEvents are kept in memory for watchers.
const recentEvents = 4096

// Journal is an open journal; one process has it open.
type Journal struct {
	dir  string
	o    Options
	lock *os.File

	requests chan *request
	stop     chan struct{} // closed by Close
	stopOnce sync.Once
	done     chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	segments []*segment // oldest first; the last one is written to
	last     int64      // Seq of the newest event on disk
	recent   []api.Event
	changed  chan struct{} // closed at the next append
	file     *os.File      // of the last segment; the writer's
}

// segment is one file.
type segment struct {
	path   string
	first  int64     // Seq of its first event
	size   int64     // bytes that are on disk and whole
	latest time.Time // of its newest event; zero if not known
}

type request struct {
	events []*api.Event
	done   chan error
}

// Open opens the journal in dir, making it if missing, and repairs what a crash tore.
func Open(dir string, o Options) (*Journal, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 8 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	j := &Journal{dir: dir, o: o, requests: make(chan *request, 1024), stop: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal: %w", err)
	}
	j.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, api.Errorf(api.CodeUnavailable, "cannot open the journal in %s: another process has it open", dir).WithRemedy("stop that process")
	}
	if err := j.load(); err != nil {
		lock.Close()
		return nil, err
	}
	go j.write() // ends at Close
	return j, nil
}

// load finds the segments and repairs the last one.
func (j *Journal) load() error {
	es, err := os.ReadDir(j.dir)
	if err != nil {
		return fmt.Errorf("cannot open the journal: %w", err)
	}
	for _, e := range es {
		var first int64
		if n, _ := fmt.Sscanf(e.Name(), "%020d.jsonl", &first); n != 1 || first < 1 || e.Name() != segmentName(first) {
			continue
		}
		i, err := e.Info()
		if err != nil {
			return fmt.Errorf("cannot open the journal: %w", err)
		}
		j.segments = append(j.segments, &segment{path: filepath.Join(j.dir, e.Name()), first: first, size: i.Size()})
	}
	if len(j.segments) == 0 {
		return j.roll(1)
	}
	s := j.segments[len(j.segments)-1]
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("cannot open the journal: %w", err)
	}
	good, last := whole(raw)
	j.last = max(last, s.first-1)
	f, err := os.OpenFile(s.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the journal: %w", err)
	}
	s.size, j.file = int64(good), f
	if err := j.rewind(s); err != nil {
		return fmt.Errorf("cannot repair the journal: %w", err)
	}
	return nil
}

func segmentName(first int64) string { return fmt.Sprintf("%020d.jsonl", first) }

// whole finds how much of a segment is whole lines of events, up to the last
// such line, and the highest Seq in it.
func whole(raw []byte) (good int, last int64) {
	for at := 0; at < len(raw); {
		n := bytes.IndexByte(raw[at:], '\n')
		if n < 0 {
			break
		}
		if e, ok := parseLine(raw[at : at+n]); ok && e.Seq > last {
			good, last = at+n+1, e.Seq
		}
		at += n + 1
	}
	return good, last
}

func parseLine(line []byte) (api.Event, bool) {
	var e api.Event
	if len(line) < 2 || line[0] != '{' || json.Unmarshal(line, &e) != nil {
		return e, false
	}
	return e, e.Seq > 0
}

// rewind cuts the open file to the segment's good size.
func (j *Journal) rewind(s *segment) error {
	if err := j.file.Truncate(s.size); err != nil {
		return err
	}
	if _, err := j.file.Seek(s.size, 0); err != nil {
		return err
	}
	return j.file.Sync()
}

// roll begins a new segment.
func (j *Journal) roll(first int64) error {
	path := filepath.Join(j.dir, segmentName(first))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return failure("begin a segment", err)
	}
	d, err := os.Open(j.dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		f.Close()
		return failure("begin a segment", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file = f
	j.segments = append(j.segments, &segment{path: path, first: first})
	var total int64
	for _, s := range j.segments {
		total += s.size
	}
	for len(j.segments) > 1 && total > j.o.MaxBytes-j.o.SegmentBytes {
		total -= j.segments[0].size
		_ = os.Remove(j.segments[0].path) // tried again never, but found at the next Open
		j.segments = j.segments[1:]
	}
	return nil
}

func failure(doing string, err error) error {
	e := api.Errorf(api.CodeUnavailable, "cannot %s of the journal: %v", doing, err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return e.WithRemedy("free disk space; the journal goes on by itself")
	}
	return e.WithRemedy("look after the disk; the journal tries again with the next event")
}

// Append adds events and returns when they are on disk. Seq, and Time where
// zero, are set in the given events. ctx bounds the wait for a place in the queue.
func (j *Journal) Append(ctx context.Context, events ...*api.Event) error {
	if len(events) == 0 {
		return nil
	}
	r := &request{events: events, done: make(chan error, 1)}
	select {
	case <-j.stop:
		return errClosed()
	default:
	}
	select {
	case j.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-j.stop:
		return errClosed()
	}
	// From here on the events belong to the writer until it answers.
	select {
	case err := <-r.done:
		return err
	case <-j.done:
		select {
		case err := <-r.done:
			return err
		default:
			return errClosed()
		}
	}
}

func errClosed() error {
	return api.Errorf(api.CodeUnavailable, "cannot use the journal: it is closed")
}

// batchBytes bounds what is written with one fsync.
const batchBytes = 1 << 20

// write is the goroutine that writes; it ends when Close was called and nothing waits.
func (j *Journal) write() {
	defer close(j.done)
	for {
		var r *request
		select {
		case r = <-j.requests:
		case <-j.stop:
			select {
			case r = <-j.requests:
			default:
				return
			}
		}
		for r != nil {
			r = j.group(r)
		}
	}
}

// group writes r and what waits behind it, and returns the request that found no room.
func (j *Journal) group(r *request) *request {
	var buf bytes.Buffer
	var events []api.Event
	var waiting []*request
	next := j.last
	for r != nil && buf.Len() < batchBytes {
		at, seq := buf.Len(), next
		err := error(nil)
		now := j.o.Now().UTC()
		for _, e := range r.events {
			next++
			if e.Seq = next; e.Time.IsZero() {
				e.Time = now
			}
			var line []byte
			if line, err = json.Marshal(e); err != nil {
				break
			}
			buf.Write(line)
			buf.WriteByte('\n')
		}
		if err != nil { // refuse this request, keep the others
			buf.Truncate(at)
			next = seq
			r.done <- api.Errorf(api.CodeInvalid, "cannot write an event: %v", err)
		} else {
			for _, e := range r.events {
				events = append(events, *e)
			}
			waiting = append(waiting, r)
		}
		select {
		case r = <-j.requests:
		default:
			r = nil
		}
	}
	err := j.commit(buf.Bytes(), events)
	for _, w := range waiting {
		w.done <- err
	}
	return r
}

// commit writes lines, syncs, and shows the events.
func (j *Journal) commit(lines []byte, events []api.Event) error {
	if len(events) == 0 {
		return nil
	}
	s := j.segments[len(j.segments)-1]
	if s.size > 0 && s.size+int64(len(lines)) > j.o.SegmentBytes {
		if err := j.roll(j.last + 1); err != nil {
			return err
		}
		s = j.segments[len(j.segments)-1]
	}
	_, err := j.file.Write(lines)
	if err == nil {
		err = unix.Fdatasync(int(j.file.Fd()))
	}
	if err != nil {
		return failure("write to the last segment", errors.Join(err, j.rewind(s)))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.size += int64(len(lines))
	for _, e := range events {
		if e.Time.After(s.latest) {
			s.latest = e.Time
		}
	}
	j.last = events[len(events)-1].Seq
	j.recent = append(j.recent, events...)
	if n := len(j.recent) - recentEvents; n > recentEvents { // amortised
		j.recent = append([]api.Event(nil), j.recent[n:]...)
	}
	close(j.changed)
	j.changed = make(chan struct{})
	return nil
}

// Last is the Seq of the newest event; 0 for none.
func (j *Journal) Last() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Close writes what is queued and ends all watches.
func (j *Journal) Close() error {
	first := false
	j.stopOnce.Do(func() { close(j.stop); first = true })
	<-j.done
	if !first {
		return nil
	}
	return errors.Join(j.file.Close(), j.lock.Close())
}
