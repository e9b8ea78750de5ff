package observehost

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	recordSamples = 5000      // in one record, so that a request need not hold more
	wlogSegment   = 128 << 20 // never reached: the log begins segments itself, where it can name all series
)

// walLog is the write-ahead log: one goroutine appends, another reads.
type walLog struct {
	dir     string
	log     *slog.Logger
	limits  limits
	wl      *wlog.WL
	enc     record.Encoder
	buf     []byte
	size    int64 // of the segment that is written, about
	broken  bool  // the segment that is written may end in half a record
	started bool  // it names its series
	more    chan struct{}

	mu      sync.Mutex
	active  int           // the segment that is written
	closed  map[int]int64 // bytes of the others
	sent    position
	dropped drops
}

type limits struct {
	segment int64
	bytes   int64
	age     time.Duration
}

// drops counts samples that will never be stored, by why, and segments that
// could not be read to their end.
type drops struct{ full, disk, refused, damaged uint64 }

// openLog opens or makes the log in dir. A new segment is begun, so that what
// a crash left at the end of another is never written behind.
func openLog(dir string, log *slog.Logger, l limits) (*walLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open the log of metrics: %w", err)
	}
	if err := closeGaps(dir, log); err != nil {
		return nil, err
	}
	wl, err := wlog.NewSize(slog.New(quietHandler{log.Handler()}), nil, dir, wlogSegment, compression.Snappy)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log of metrics: %w", err)
	}
	w := &walLog{dir: dir, log: log, limits: l, wl: wl, more: make(chan struct{}, 1), closed: map[int]int64{}}
	segments, err := segmentsIn(dir)
	if err != nil {
		wl.Close()
		return nil, err
	}
	for _, n := range segments {
		w.closed[n] = w.bytes(n)
	}
	w.active = segments[len(segments)-1]
	delete(w.closed, w.active)
	return w, nil
}

// closeGaps removes what lies before a gap in the segments' numbers, which the
// log does not open. There is none unless somebody has removed files.
func closeGaps(dir string, log *slog.Logger) error {
	segments, err := segmentsIn(dir)
	if err != nil {
		return err
	}
	for i := len(segments) - 1; i > 0; i-- {
		if segments[i-1]+1 == segments[i] {
			continue
		}
		log.Warn("segments are missing in the log of metrics; those before are removed", "before", segments[i])
		for _, n := range segments[:i] {
			if err := os.Remove(wlog.SegmentName(dir, n)); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func segmentsIn(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of metrics: %w", err)
	}
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 0 && filepath.Join(dir, e.Name()) == wlog.SegmentName(dir, n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

func (w *walLog) bytes(segment int) int64 {
	if st, err := os.Stat(wlog.SegmentName(w.dir, segment)); err == nil {
		return st.Size()
	}
	return 0
}

// append writes one gather. After an error the gather is not in the log, or
// not all of it.
func (w *walLog) append(s *seriesSet) error {
	if w.broken || w.size >= w.limits.segment {
		if err := w.next(); err != nil {
			w.broken = true
			return err
		}
	}
	names := s.fresh
	if !w.started {
		names = s.all()
	}
	for part := range slices.Chunk(names, recordSamples) {
		if err := w.write(w.enc.Series(part, w.buf[:0])); err != nil {
			return err
		}
	}
	w.started = true
	for part := range slices.Chunk(s.samples, recordSamples) {
		if err := w.write(w.enc.Samples(part, w.buf[:0])); err != nil {
			return err
		}
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
	return nil
}

func (w *walLog) write(rec []byte) error {
	w.buf = rec
	if err := w.wl.Log(rec); err != nil {
		w.broken = true
		return fmt.Errorf("cannot write the log of metrics: %w", err)
	}
	// Compression makes it less; the true size is looked at when the segment ends.
	w.size += int64(len(rec)) * 2 / 3
	return nil
}

// next begins a segment.
func (w *walLog) next() error {
	n, err := w.wl.NextSegmentSync()
	if err != nil {
		return fmt.Errorf("cannot begin a segment of the log of metrics: %w", err)
	}
	w.size, w.broken, w.started = 0, false, false
	w.mu.Lock()
	for old := w.active; old < n; old++ {
		w.closed[old] = w.bytes(old)
	}
	w.active = n
	w.mu.Unlock()
	w.bound()
	return nil
}

// sync has what was written survive a loss of power.
func (w *walLog) sync() error { return w.wl.Sync() }

func (w *walLog) close() error { return w.wl.Close() }

// bound drops the oldest segments when there are too many bytes, or too old ones.
func (w *walLog) bound() {
	for {
		w.mu.Lock()
		var total int64
		first := w.active
		for n, size := range w.closed {
			total += size
			first = min(first, n)
		}
		sent := w.sent
		w.mu.Unlock()
		if first == w.active {
			return
		}
		path := wlog.SegmentName(w.dir, first)
		st, err := os.Stat(path)
		old := err == nil && time.Since(st.ModTime()) > w.limits.age
		if total <= w.limits.bytes && !old {
			return
		}
		if lost := w.count(first, sent); lost > 0 {
			w.log.Error("no server took the metrics for too long: the oldest are dropped", "samples", lost, "until", st.ModTime().UTC().Format(time.RFC3339))
			w.lost(func(d *drops) { d.full += lost })
		}
		if err := w.remove(first); err != nil {
			w.log.Error("cannot remove old metrics", "error", err)
			return
		}
	}
}

func (w *walLog) remove(segment int) error {
	err := os.Remove(wlog.SegmentName(w.dir, segment))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.mu.Lock()
	delete(w.closed, segment)
	w.mu.Unlock()
	return nil
}

// count counts the samples of a segment that were not sent.
func (w *walLog) count(segment int, sent position) (n uint64) {
	r, err := w.open(segment)
	if err != nil {
		return 0
	}
	defer r.close()
	for {
		list, end, err := r.next()
		if err != nil {
			return n
		}
		if sent.before(end) {
			n += uint64(len(list))
		}
	}
}

// acknowledged notes that all before p is stored, and removes the segments
// that nobody needs any more.
func (w *walLog) acknowledged(p position) {
	w.mu.Lock()
	w.sent = p
	var done []int
	for n := range w.closed {
		if n < p.Segment {
			done = append(done, n)
		}
	}
	w.mu.Unlock()
	slices.Sort(done)
	for _, n := range done {
		if err := w.remove(n); err != nil {
			w.log.Error("cannot remove metrics that were sent", "error", err)
			return
		}
	}
}

func (w *walLog) lost(note func(*drops)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	note(&w.dropped)
}

// state is what there is to read: the first segment and the one that is written.
func (w *walLog) state() (first, active int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.active
	for n := range w.closed {
		first = min(first, n)
	}
	return first, w.active
}

// total is what the log takes on the disk, about.
func (w *walLog) total() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := w.bytes(w.active)
	for _, n := range w.closed {
		total += n
	}
	return total
}

// segmentReader reads one segment, also while it is written.
type segmentReader struct {
	segment int
	file    *os.File
	live    *wlog.LiveReader
	dec     record.Decoder
	series  map[chunks.HeadSeriesRef]*sending
	names   []record.RefSeries
	refs    []record.RefSample
	list    []sample
	err     error // the segment cannot be read further
	damaged bool  // which was said
}

func (w *walLog) open(segment int) (*segmentReader, error) {
	f, err := os.Open(wlog.SegmentName(w.dir, segment))
	if err != nil {
		return nil, err
	}
	return newSegmentReader(segment, f, f), nil
}

func newSegmentReader(segment int, f *os.File, r io.Reader) *segmentReader {
	quiet := slog.New(slog.DiscardHandler)
	return &segmentReader{segment: segment, file: f, live: wlog.NewLiveReader(quiet, wlog.NewLiveReaderMetrics(nil), r),
		dec: record.NewDecoder(labels.NewSymbolTable(), quiet), series: map[chunks.HeadSeriesRef]*sending{}}
}

// next is the samples of the next record, good until the call after it, and
// the position behind it. io.EOF says that there is none yet; any other error
// that the rest of the segment cannot be read.
func (r *segmentReader) next() (list []sample, at position, err error) {
	if r.err != nil {
		return nil, position{}, r.err
	}
	defer func() {
		if err != nil && !errors.Is(err, io.EOF) {
			r.err = err
		}
	}()
	for r.live.Next() {
		at := position{r.segment, r.live.Offset()}
		rec := r.live.Record()
		switch r.dec.Type(rec) {
		case record.Series:
			if r.names, err = r.dec.Series(rec, r.names[:0]); err != nil {
				return nil, at, err
			}
			for _, s := range r.names {
				r.series[s.Ref] = &sending{labels: encodeLabels(s.Labels), order: len(r.series)}
			}
			clear(r.names)
		case record.Samples, record.SamplesV2:
			if r.refs, err = r.dec.Samples(rec, r.refs[:0]); err != nil {
				return nil, at, err
			}
			r.list = r.list[:0]
			for _, s := range r.refs {
				if to := r.series[s.Ref]; to != nil {
					r.list = append(r.list, sample{to, s.T, s.V})
				}
			}
			return r.list, at, nil
		}
	}
	err = r.live.Err()
	if err == nil || errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return nil, position{r.segment, r.live.Offset()}, err
}

func (r *segmentReader) close() { r.file.Close() }
