package runlog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

// table is append-only files of records: the last one of a Seq counts. The log
// guards it.
type table struct {
	dir      string
	segBytes int64
	segments []*segment // oldest first; the last one is written to
	file     *os.File   // of the last segment
}

// segment is one file of a table.
type segment struct {
	path   string
	first  int64 // Seq when it was begun
	size   int64
	used   int       // entries that are in it
	newest time.Time // of its records
}

// stored is a record as it is in a table.
type stored struct {
	Seq  int64 `json:"seq"`
	Tail int64 `json:"tail,omitempty"` // where the results are in the run's file
	api.RunRecord
}

// place is where a record is in a table.
type place struct {
	seg  *segment
	off  int64 // of its frame
	size int64 // of its frame
}

func segmentName(first int64) string { return fmt.Sprintf("%020d.log", first) }

// openTable reads all records, oldest first, and cuts off what a crash tore.
func openTable(dir string, segBytes int64, fn func(s *stored, at place)) (*table, error) {
	t := &table{dir: dir, segBytes: segBytes}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		var first int64
		if n, _ := fmt.Sscanf(e.Name(), "%020d.log", &first); n != 1 || first < 0 || e.Name() != segmentName(first) {
			continue
		}
		s := &segment{path: filepath.Join(dir, e.Name()), first: first}
		if err := s.read(fn); err != nil {
			return nil, err
		}
		t.segments = append(t.segments, s)
	}
	slices.SortFunc(t.segments, func(a, b *segment) int { return strings.Compare(a.path, b.path) })
	if len(t.segments) == 0 {
		return t, t.roll(0)
	}
	last := t.segments[len(t.segments)-1]
	if t.file, err = os.OpenFile(last.path, os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	return t, t.rewind()
}

// read hands over the records of a segment. Its size is that of whole frames.
func (s *segment) read(fn func(*stored, place)) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(f) // segments are small, and one read is faster than many
	if err != nil {
		return err
	}
	s.size, err = frames(bytesAt(raw), 0, int64(len(raw)), func(typ byte, payload []byte, off int64) error {
		if r, _, ok := parseRecord(typ, payload); ok {
			s.newest = later(s.newest, later(r.Start, r.End))
			fn(r, place{s, off, headerSize + int64(len(payload))})
		}
		return nil
	})
	return err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// bytesAt is memory that is read like a file.
type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func encodeRecord(r *stored, rest []byte) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	payload := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)+len(rest)), uint32(len(b)))
	return appendFrame(nil, frameRecord, append(append(payload, b...), rest...)), nil
}

func parseRecord(typ byte, payload []byte) (r *stored, rest []byte, ok bool) {
	if typ != frameRecord || len(payload) < 4 {
		return nil, nil, false
	}
	n := int64(binary.LittleEndian.Uint32(payload))
	if n > int64(len(payload)-4) {
		return nil, nil, false
	}
	r = &stored{}
	if json.Unmarshal(payload[4:4+n], r) != nil || r.Seq <= 0 || r.ID == "" {
		return nil, nil, false
	}
	return r, payload[4+n:], true
}

// rewind cuts the open file to what is good.
func (t *table) rewind() error {
	s := t.segments[len(t.segments)-1]
	if err := t.file.Truncate(s.size); err != nil {
		return err
	}
	_, err := t.file.Seek(s.size, io.SeekStart)
	return err
}

func (t *table) roll(first int64) error {
	s := &segment{path: filepath.Join(t.dir, segmentName(first)), first: first}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(t.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if t.file != nil {
		_ = unix.Fdatasync(int(t.file.Fd()))
		_ = t.file.Close()
	}
	t.file = f
	t.segments = append(t.segments, s)
	return nil
}

// append writes frames with one write and says where the first one is.
func (t *table) append(seq int64, newest time.Time, b []byte) (*segment, int64, error) {
	s := t.segments[len(t.segments)-1]
	if s.size > 0 && s.size+int64(len(b)) > t.segBytes {
		if err := t.roll(seq); err != nil {
			return nil, 0, err
		}
		s = t.segments[len(t.segments)-1]
	}
	if _, err := t.file.Write(b); err != nil {
		return nil, 0, errors.Join(err, t.rewind())
	}
	off := s.size
	s.size += int64(len(b))
	s.newest = later(s.newest, newest)
	return s, off, nil
}

func (t *table) sync() error { return unix.Fdatasync(int(t.file.Fd())) }

func (t *table) bytes() (n int64) {
	for _, s := range t.segments {
		n += s.size
	}
	return n
}

// drop removes the oldest segment, never the one that is written to.
func (t *table) drop() error {
	s := t.segments[0]
	t.segments = t.segments[1:]
	return os.Remove(s.path)
}

// rest reads what came with a record.
func (p place) rest() ([]byte, error) {
	f, err := os.Open(p.seg.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	typ, payload, _, err := readFrame(f, p.off, p.off+p.size)
	if err != nil {
		return nil, err
	}
	_, rest, ok := parseRecord(typ, payload)
	if !ok {
		return nil, errTorn
	}
	return rest, nil
}
