package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"drover/api"
)

// Filter picks events; the zero value picks all.
type Filter struct {
	Host  string
	Type  string // exact, or a prefix that ends in "." or "*": "host.", "host.*"
	Actor string
	Since time.Time // at or after
	Until time.Time // before
	After int64     // Seq greater than this
	Limit int       // the newest so many, still oldest first; 1,000 if 0
}

// Match reports whether an event passes; Limit is not its matter.
func (f Filter) Match(e api.Event) bool {
	return (f.Host == "" || e.Host == f.Host) && (f.Actor == "" || e.Actor == f.Actor) && f.matchType(e.Type) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until)) && e.Seq > f.After
}

func (f Filter) matchType(t string) bool {
	if p, ok := strings.CutSuffix(f.Type, "*"); ok {
		return strings.HasPrefix(t, p)
	}
	if strings.HasSuffix(f.Type, ".") {
		return strings.HasPrefix(t, f.Type)
	}
	return f.Type == "" || t == f.Type
}

// hint is a piece of every matching line, to skip the others without parsing; nil for none.
func (f Filter) hint() []byte {
	for _, h := range []struct{ field, value string }{{"host", f.Host}, {"actor", f.Actor}} {
		if h.value != "" {
			v, err := json.Marshal(h.value)
			if err != nil {
				return nil
			}
			return append([]byte(`"`+h.field+`":`), v...)
		}
	}
	prefix, open := strings.CutSuffix(f.Type, "*")
	if prefix == "" || !utf8.ValidString(prefix) {
		return nil
	}
	v, err := json.Marshal(prefix)
	if err != nil {
		return nil
	}
	if open || strings.HasSuffix(prefix, ".") {
		v = v[:len(v)-1] // more may follow
	}
	return append([]byte(`"type":`), v...)
}

// List gives the events that match, oldest first.
func (j *Journal) List(ctx context.Context, f Filter) ([]api.Event, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 1000
	}
	j.mu.Lock()
	segments, last := slices.Clone(j.segments), j.last
	j.mu.Unlock()
	hint := f.hint()
	var out []api.Event // newest first
	end := last + 1
	for _, s := range slices.Backward(segments) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if end <= f.After+1 || len(out) == limit {
			break
		}
		end = s.first
		if latest := j.latest(s); !latest.IsZero() && !f.Since.IsZero() && latest.Before(f.Since) {
			continue
		}
		raw, err := j.read(s)
		if errors.Is(err, fs.ErrNotExist) { // retention was faster
			break
		}
		if err != nil {
			return nil, err
		}
		for len(raw) > 0 && len(out) < limit { // backwards
			raw = bytes.TrimSuffix(raw, []byte{'\n'})
			at := bytes.LastIndexByte(raw, '\n') + 1
			line := raw[at:]
			raw = raw[:at]
			if hint != nil && !bytes.Contains(line, hint) {
				continue
			}
			e, ok := parseLine(line)
			if ok && e.Seq <= f.After {
				break
			}
			if ok && f.Match(e) {
				out = append(out, e)
			}
		}
	}
	slices.Reverse(out)
	return out, nil
}

func (j *Journal) latest(s *segment) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return s.latest
}

// read gives the part of a segment that is on disk.
func (j *Journal) read(s *segment) ([]byte, error) {
	j.mu.Lock()
	size := s.size
	j.mu.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	return raw, nil
}

// Watch delivers the events with Seq > f.After that match, first those that
// are kept, then new ones, until ctx ends or the journal closes; then it
// closes the channel. What retention dropped before it was read is skipped: a
// gap in Seq tells. f.Limit is not used. To begin with what is new, set
// f.After to Last().
func (j *Journal) Watch(ctx context.Context, f Filter) <-chan api.Event {
	out := make(chan api.Event, 64)
	go func() { // ends with ctx or the journal
		defer close(out)
		next := f.After + 1
		var at cursor
		for {
			batch, changed, err := j.from(next, &at)
			if err != nil {
				return
			}
			for _, e := range batch {
				if e.Seq < next {
					continue
				}
				next = e.Seq + 1
				if !f.Match(e) {
					continue
				}
				select {
				case out <- e:
				case <-ctx.Done():
					return
				case <-j.stop:
					return
				}
			}
			if len(batch) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-j.done:
				return
			}
		}
	}()
	return out
}

// cursor is how far somebody who is behind has read on disk.
type cursor struct {
	segment int64 // Seq of its first event
	off     int64
	next    int64 // Seq that comes there
}

// from gives some events beginning with seq, or the next one that is kept;
// none means that there are none yet, and changed closes when there are. What
// is not in memory any more is read from disk piece by piece, however far
// behind somebody is.
func (j *Journal) from(seq int64, at *cursor) (batch []api.Event, changed <-chan struct{}, err error) {
	j.mu.Lock()
	changed = j.changed
	if seq > j.last {
		j.mu.Unlock()
		return nil, changed, nil
	}
	if len(j.recent) > 0 && seq >= j.recent[0].Seq {
		i := int(seq - j.recent[0].Seq)
		batch = slices.Clone(j.recent[i:min(i+256, len(j.recent))])
		j.mu.Unlock()
		return batch, changed, nil
	}
	segments := slices.Clone(j.segments)
	j.mu.Unlock()
	for i, s := range segments {
		if i+1 < len(segments) && segments[i+1].first <= seq {
			continue
		}
		if at.segment != s.first || at.next != seq {
			*at = cursor{segment: s.first}
		}
		batch, err := j.piece(s, seq, at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if len(batch) > 0 {
			return batch, changed, nil
		}
	}
	return nil, changed, nil
}

// pieceBytes is how much of a segment is read at once.
const pieceBytes = 128 << 10

// piece gives some events of a segment from seq on, and moves the cursor behind
// them; none means that there are no more in it.
func (j *Journal) piece(s *segment, seq int64, at *cursor) ([]api.Event, error) {
	j.mu.Lock()
	size := s.size
	j.mu.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	defer f.Close()
	var batch []api.Event
	for n := int64(pieceBytes); at.off < size && len(batch) == 0; {
		raw := make([]byte, min(n, size-at.off))
		if _, err := io.ReadFull(io.NewSectionReader(f, at.off, int64(len(raw))), raw); err != nil {
			return nil, fmt.Errorf("cannot read the journal: %w", err)
		}
		end := bytes.LastIndexByte(raw, '\n') + 1
		if end == 0 && at.off+int64(len(raw)) < size {
			n *= 2 // one event is longer than that
			continue
		}
		if end == 0 {
			end = len(raw)
		}
		for line := range bytes.Lines(raw[:end]) {
			if e, ok := parseLine(bytes.TrimSuffix(line, []byte{'\n'})); ok && e.Seq >= seq {
				batch = append(batch, e)
			}
		}
		at.off += int64(end)
	}
	if len(batch) > 0 {
		at.next = batch[len(batch)-1].Seq + 1
	}
	return batch, nil
}
