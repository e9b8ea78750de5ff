// Package audit keeps the trail of mutations: one append-only file of JSON
// lines, each of which holds the hash of the one before.
//
// A crash can tear the last line only; Open cuts it off. A head file beside it
// (PATH.head) remembers the newest entry, so that a cut-off end is found too.
package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

// Options of a log; the zero value is right.
type Options struct {
	Now func() time.Time
}

// Log is an open audit file; one process has it open.
type Log struct {
	o    Options
	path string

	requests chan *request
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}

	file *os.File // the writer's
	head *os.File
	last api.AuditEntry // the writer's: the newest on disk

	mu   sync.Mutex
	size int64 // of what is whole and on disk
}

type request struct {
	entry api.AuditEntry
	done  chan error
}

// hashOf is the SHA-256 over the entry without its Hash.
func hashOf(e api.AuditEntry) (string, error) {
	e.Hash = ""
	raw, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("cannot write the audit: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// Open opens or makes the file and repairs a torn last line. A broken chain
// is an error that names the line.
func Open(path string, o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{o: o, path: path, requests: make(chan *request, 256), stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("cannot open the audit: %w", err)
	}
	if err = l.open(); err != nil {
		l.file.Close()
		if l.head != nil {
			l.head.Close()
		}
		return nil, err
	}
	go l.write() // ends at Close
	return l, nil
}

func (l *Log) open() error {
	if err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return api.Errorf(api.CodeUnavailable, "cannot open the audit %s: another process has it open", l.path).WithRemedy("stop that process")
	}
	last, good, torn, err := walk(l.file, l.path)
	if err != nil {
		return err
	}
	h, err := readHead(l.path)
	if err == nil {
		err = h.check(l.path, last)
	}
	if err != nil {
		return err
	}
	if torn { // its writer was never told that it is written
		if err := errors.Join(l.file.Truncate(good), l.file.Sync()); err != nil {
			return fmt.Errorf("cannot repair the audit: %w", err)
		}
	}
	l.last, l.size = last, good
	if _, err := l.file.Seek(good, io.SeekStart); err != nil {
		return fmt.Errorf("cannot open the audit: %w", err)
	}
	if l.head, err = os.OpenFile(l.path+".head", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("cannot open the audit: %w", err)
	}
	return nil
}

// walk checks the chain and gives the newest entry, where it ends, and
// whether something unfinished follows it.
func walk(r io.ReadSeeker, path string) (last api.AuditEntry, good int64, torn bool, err error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return last, 0, false, fmt.Errorf("cannot read the audit: %w", err)
	}
	in := bufio.NewReaderSize(r, 1<<20)
	for line := 1; ; line++ {
		raw, err := in.ReadBytes('\n')
		if err == io.EOF { // without its newline it was never acknowledged
			return last, good, len(raw) > 0, nil
		}
		if err != nil {
			return last, good, false, fmt.Errorf("cannot read the audit: %w", err)
		}
		e, why := parse(bytes.TrimSuffix(raw, []byte{'\n'}))
		switch {
		case why != "":
		case e.Seq != last.Seq+1:
			why = fmt.Sprintf("it is entry %d, and %d should follow", e.Seq, last.Seq+1)
		case e.Prev != last.Hash:
			why = "it does not continue the entry before it"
		}
		if why != "" {
			return last, good, false, &api.Error{Code: api.CodeInternal, Place: &api.Place{File: path, Line: line},
				Message: "the audit's chain is broken: " + why, Remedy: "compare with a copy of the file; somebody or a fault changed it"}
		}
		last, good = e, good+int64(len(raw))
	}
}

// parse reads one line and checks its own hash.
func parse(raw []byte) (e api.AuditEntry, why string) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, "the line is no entry: " + err.Error()
	}
	again, err := json.Marshal(e)
	if err != nil || !bytes.Equal(again, raw) { // nothing may hide beside the fields
		return e, "the line is not written as an entry is"
	}
	if h, err := hashOf(e); err != nil || h != e.Hash {
		return e, "the line was changed: its hash is wrong"
	}
	return e, ""
}

type head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// readHead reads what was once the newest entry; zero if that is not known.
func readHead(path string) (h head, err error) {
	raw, err := os.ReadFile(path + ".head")
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("cannot read the audit's head: %w", err)
	}
	if json.Unmarshal(raw, &h) != nil {
		return head{}, nil // torn as it was written: it says nothing
	}
	return h, nil
}

// check compares with the newest entry there is.
func (h head) check(path string, last api.AuditEntry) error {
	if h.Seq > last.Seq {
		return &api.Error{Code: api.CodeInternal, Place: &api.Place{File: path, Line: int(last.Seq) + 1},
			Message: fmt.Sprintf("the audit's chain is broken: it ends at entry %d, but had reached %d", last.Seq, h.Seq),
			Remedy:  "compare with a copy of the file: somebody or a fault cut off its end; to go on all the same, remove " + path + ".head"}
	}
	if h.Seq == last.Seq && h.Hash != last.Hash {
		return &api.Error{Code: api.CodeInternal, Place: &api.Place{File: path, Line: int(last.Seq)},
			Message: "the audit's chain is broken: the newest entry is another than was written",
			Remedy:  "compare with a copy of the file; to go on all the same, remove " + path + ".head"}
	}
	return nil
}

// Verify checks the whole chain of a file, also one that is open; the error
// names the first broken line.
func Verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot verify the audit: %w", err)
	}
	defer f.Close()
	// The head only lags, and is read first: what it names must be there.
	h, err := readHead(path)
	if err != nil {
		return err
	}
	last, _, _, err := walk(f, path)
	if err != nil {
		return err
	}
	return h.check(path, last)
}

// Append adds one entry and returns it, with Seq, Time, Prev and Hash set,
// when it is on disk. ctx bounds the wait for a place in the queue.
func (l *Log) Append(ctx context.Context, e api.AuditEntry) (api.AuditEntry, error) {
	r := &request{entry: e, done: make(chan error, 1)}
	select {
	case <-l.stop:
		return e, errClosed()
	default:
	}
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return e, ctx.Err()
	case <-l.stop:
		return e, errClosed()
	}
	select {
	case err := <-r.done:
		return r.entry, err
	case <-l.done:
		select {
		case err := <-r.done:
			return r.entry, err
		default:
			return e, errClosed()
		}
	}
}

func errClosed() error { return api.Errorf(api.CodeUnavailable, "cannot use the audit: it is closed") }

// maxGroup entries share one fsync.
const maxGroup = 512

func (l *Log) write() {
	defer close(l.done)
	for {
		var group []*request
		select {
		case r := <-l.requests:
			group = append(group, r)
		case <-l.stop:
			select {
			case r := <-l.requests:
				group = append(group, r)
			default:
				return
			}
		}
		for more := true; more && len(group) < maxGroup; {
			select {
			case r := <-l.requests:
				group = append(group, r)
			default:
				more = false
			}
		}
		err := l.commit(group)
		for _, r := range group {
			r.done <- err
		}
	}
}

// commit writes a group of entries with one fsync, all or none.
func (l *Log) commit(group []*request) error {
	var buf bytes.Buffer
	last := l.last
	for _, r := range group {
		e := &r.entry
		if e.Time.IsZero() {
			e.Time = l.o.Now()
		}
		e.Time = e.Time.UTC().Round(0)
		e.Seq, e.Prev = last.Seq+1, last.Hash
		for _, s := range []*string{&e.Actor, &e.Action, &e.Object, &e.Result, &e.Remote, &e.Detail} {
			*s = strings.ToValidUTF8(*s, "\uFFFD") // as JSON would, so that it reads back the same
		}
		h, err := hashOf(*e)
		if err != nil {
			return err
		}
		e.Hash = h
		raw, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("cannot write the audit: %w", err)
		}
		buf.Write(raw)
		buf.WriteByte('\n')
		last = *e
	}
	_, err := l.file.Write(buf.Bytes())
	if err == nil {
		err = unix.Fdatasync(int(l.file.Fd()))
	}
	if err != nil {
		_, err2 := l.file.Seek(l.size, io.SeekStart)
		err = errors.Join(err, err2, l.file.Truncate(l.size))
		e := api.Errorf(api.CodeUnavailable, "cannot write the audit: %v", err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return e.WithRemedy("free disk space and try again; nothing is changed without an audit entry")
		}
		return e.WithRemedy("look after the disk; nothing is changed without an audit entry")
	}
	l.mu.Lock()
	l.size += int64(buf.Len())
	l.mu.Unlock()
	l.last = last
	// A fixed length: a later, shorter one leaves nothing behind. It may lag, never lead.
	raw := fmt.Appendf(nil, `{"seq":%20d,"hash":"%s"}`+"\n", last.Seq, last.Hash)
	_, _ = l.head.WriteAt(raw, 0)
	return nil
}

// Close ends the log when what is queued is written.
func (l *Log) Close() error {
	first := false
	l.stopOnce.Do(func() { close(l.stop); first = true })
	<-l.done
	if !first {
		return nil
	}
	return errors.Join(l.head.Close(), l.file.Close())
}
