package metricstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"drover/api"
)

// JobNode is the label job of all that hosts send.
const JobNode = "node"

// Up names the series that says, as Prometheus' own does, whether what is
// behind instance and job could be measured. The server writes it.
const Up = "up"

// labelInstance names the label that says whose a series is.
const labelInstance = "instance"

// maxInflate bounds what a batch may grow to when it is unpacked.
const maxInflate = 16

// forgetAfter is how long a host's series is remembered that is not sent any more.
const forgetAfter = 30 * time.Minute

// counters are what was taken, and what was not and why.
type counters struct {
	batches, samples                          atomic.Uint64
	tooOld, ahead, conflicting, refused, hist atomic.Uint64
}

// hostSeries is what is known of one host's series, so that a batch of known
// ones is stored without its labels being read.
type hostSeries struct {
	mu    sync.Mutex
	epoch int
	// by is keyed by the hash of a series' labels as the host sends them. The
	// hash has a secret seed, and a host's series are few: two that are the same
	// by chance are not expected in the life of a fleet.
	by     map[uint64]known
	newest int64     // time of the newest sample
	at     time.Time // when its last batch came
}

type known struct {
	ref  storage.SeriesRef
	seen int64 // unix seconds
}

// work is what a batch needs while it is stored.
type work struct {
	body   []byte
	raw    rawSeries
	labels labels.ScratchBuilder
	names  []string
}

// Batch is what Write saw of a batch.
type Batch struct {
	Series, Samples int
	Newest          time.Time // of its samples by the host's clock, also of those that were not taken
}

// Write stores one batch of a host: a remote-write request, packed by snappy.
// All series get the labels instance=host and job="node", whatever they came
// with. Samples that are there already, that are too old or too far ahead,
// and series over a limit are left out; Problems tells of them.
func (s *Store) Write(ctx context.Context, host string, body []byte) (Batch, error) {
	if err := s.refusing(); err != nil {
		return Batch{}, err
	}
	if len(body) > s.o.MaxBody {
		return Batch{}, api.Errorf(api.CodeTooLarge, "cannot store metrics: a batch of %d bytes is over the limit of %d", len(body), s.o.MaxBody).
			WithRemedy("send fewer samples at once")
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
	w, _ := s.buffers.Get().(*work)
	if w == nil {
		w = &work{}
	}
	defer s.buffers.Put(w)
	size, err := snappy.DecodedLen(body)
	if err != nil {
		return Batch{}, invalidBody(fmt.Errorf("it is not packed by snappy: %w", err))
	}
	if size > maxInflate*s.o.MaxBody {
		return Batch{}, api.Errorf(api.CodeTooLarge, "cannot store metrics: a batch unpacks to %d bytes, over the limit of %d", size, maxInflate*s.o.MaxBody).
			WithRemedy("send fewer samples at once")
	}
	plain, err := snappy.Decode(w.body[:cap(w.body)], body)
	if err != nil {
		return Batch{}, invalidBody(fmt.Errorf("it is not packed by snappy: %w", err))
	}
	if cap(plain) > cap(w.body) && cap(plain) <= 4<<20 {
		w.body = plain // the next one needs no new memory
	}
	db, epoch, release, err := s.acquire()
	if err != nil {
		return Batch{}, err
	}
	defer release()
	return s.store(ctx, db, epoch, host, plain, w)
}

func invalidBody(err error) *api.Error {
	return api.Errorf(api.CodeInvalid, "cannot read a batch of metrics: %v", err).WithRemedy("send a Prometheus remote-write 1.0 request, packed by snappy")
}

func (s *Store) store(ctx context.Context, db *tsdb.DB, epoch int, host string, plain []byte, w *work) (Batch, error) {
	h := s.host(host)
	h.mu.Lock() // a host's batches one after the other: a series is in the log before its samples
	defer h.mu.Unlock()
	if h.epoch != epoch {
		h.epoch, h.by = epoch, map[uint64]known{}
	}
	var b Batch
	now := s.o.Now()
	ahead := now.Add(s.o.Ahead).UnixMilli()
	app := db.AppenderV2(ctx)
	over := 0
	newest := int64(-1 << 63)
	err := eachSeries(plain, &w.raw, func(r *rawSeries) error {
		if r.other > 0 {
			s.taken.hist.Add(uint64(r.other))
		}
		if len(r.samples) == 0 {
			return nil
		}
		b.Series++
		key := maphash.Bytes(s.seed, r.labels)
		k, there := h.by[key]
		var lset labels.Labels
		if !there {
			if len(h.by) >= s.o.MaxSeries {
				over++
				return nil
			}
			var err error
			if lset, err = s.labelsOf(w, r.labels, host); err != nil {
				if errors.Is(err, errBody) {
					return err
				}
				s.taken.refused.Add(1)
				s.note("labels/"+host, fmt.Sprintf("%s sends a series that is not kept: %v", host, err))
				return nil
			}
		}
		for _, p := range r.samples {
			newest = max(newest, p.t)
			if p.t > ahead {
				s.taken.ahead.Add(1)
				s.note("ahead/"+host, fmt.Sprintf("the clock of %s is more than %s ahead: what it measures is not kept", host, s.o.Ahead))
				continue
			}
			ref, err := app.Append(k.ref, lset, 0, p.t, p.v, nil, nil, storage.AppendV2Options{})
			if err != nil && errors.Is(err, tsdb.ErrInvalidSample) && lset.IsEmpty() {
				// It was not sent for long, and the database has let go of it.
				if lset, err = s.labelsOf(w, r.labels, host); err == nil {
					ref, err = app.Append(0, lset, 0, p.t, p.v, nil, nil, storage.AppendV2Options{})
				}
			}
			if err != nil {
				if err = s.leftOut(host, err); err != nil {
					return err
				}
				continue
			}
			k.ref = ref
			b.Samples++
		}
		if k.ref != 0 {
			k.seen = now.Unix()
			h.by[key] = k
		}
		return nil
	})
	if err != nil {
		_ = app.Rollback()
		if errors.Is(err, errBody) {
			return b, invalidBody(err)
		}
		return b, err
	}
	if over > 0 {
		s.taken.refused.Add(uint64(over))
		s.note("series/"+host, fmt.Sprintf("%s has more than %d series: %d are not kept", host, s.o.MaxSeries, over))
	}
	if err := s.commit(app.Commit); err != nil {
		return b, err
	}
	s.taken.batches.Add(1)
	s.taken.samples.Add(uint64(b.Samples))
	h.at = now
	if newest > 0 {
		h.newest = newest
		b.Newest = time.UnixMilli(newest)
	}
	return b, nil
}

// leftOut counts a sample that is not kept; it gives back an error that is none of that.
func (s *Store) leftOut(host string, err error) error {
	switch {
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		s.taken.conflicting.Add(1)
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		s.taken.tooOld.Add(1)
		s.note("old/"+host, fmt.Sprintf("%s sends samples more than %s old, which are not kept", host, s.o.OutOfOrder))
	case errors.Is(err, tsdb.ErrInvalidSample):
		s.taken.refused.Add(1)
	default:
		return err
	}
	return nil
}

// commit commits one appender. What follows a commit that failed would be lost
// with the log's torn end, so there is none.
func (s *Store) commit(fn func() error) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if broken := s.broken.Load(); broken != nil {
		return logFailed(*broken)
	}
	err := fn()
	if err == nil {
		// Of late samples the database keeps a log of its own, and tells a
		// failure of that by a counter alone.
		if failed := s.lateFailures(); failed > s.failed {
			s.failed, err = failed, errors.New("late samples cannot be logged")
		}
	}
	if err == nil {
		return nil
	}
	s.broken.Store(&err)
	s.log.Error("the metrics' log cannot be written: it will be opened anew", "error", err)
	return logFailed(err)
}

func (s *Store) lateFailures() float64 {
	s.mu.Lock()
	late := s.lateLog
	s.mu.Unlock()
	if late == nil {
		return 0
	}
	return late()
}

func (s *Store) host(name string) *hostSeries {
	s.hostsMu.Lock()
	defer s.hostsMu.Unlock()
	h := s.hosts[name]
	if h == nil {
		h = &hostSeries{by: map[uint64]known{}}
		s.hosts[name] = h
	}
	return h
}

// forget lets go of series that are not sent any more, some hosts at a time.
func (s *Store) forget() {
	now := s.o.Now()
	s.hostsMu.Lock()
	var due []string
	for name := range s.hosts { // in an order that is other each time
		if due = append(due, name); len(due) >= 50 {
			break
		}
	}
	s.hostsMu.Unlock()
	for _, name := range due {
		h := s.host(name)
		h.mu.Lock()
		for key, k := range h.by {
			if now.Unix()-k.seen > int64(forgetAfter/time.Second) {
				delete(h.by, key)
			}
		}
		gone := len(h.by) == 0 && now.Sub(h.at) > forgetAfter
		h.mu.Unlock()
		if gone {
			s.hostsMu.Lock()
			delete(s.hosts, name)
			s.hostsMu.Unlock()
		}
	}
}

// labelsOf reads a series' labels and says whose it is.
func (s *Store) labelsOf(w *work, raw []byte, host string) (labels.Labels, error) {
	w.labels.Reset()
	w.names = w.names[:0]
	var bad error
	refuse := func(format string, args ...any) {
		if bad == nil {
			bad = fmt.Errorf(format, args...)
		}
	}
	named, up := false, false
	err := eachLabel(raw, func(name, value []byte) {
		switch n := string(name); {
		case len(value) == 0 || n == labelInstance || n == "job":
			return
		case n == "" || len(n) > s.o.MaxName || !utf8.Valid(name):
			refuse("the label's name %.80q is empty, over %d bytes or no text", n, s.o.MaxName)
		case len(value) > s.o.MaxValue || !utf8.Valid(value):
			refuse("the value of label %q is over %d bytes or no text", n, s.o.MaxValue)
		default:
			if n == model.MetricNameLabel {
				named, up = true, string(value) == Up
			}
			for _, other := range w.names {
				if other == n {
					refuse("the label %q is there twice", n)
				}
			}
			if w.names = append(w.names, n); len(w.names) > s.o.MaxLabels {
				refuse("it has more than %d labels", s.o.MaxLabels)
				w.names = w.names[:0]
				return
			}
			w.labels.Add(n, string(value))
		}
	})
	if err != nil {
		return labels.EmptyLabels(), err
	}
	if !named {
		refuse("it has no name")
	}
	if up && len(w.names) == 1 {
		refuse("%s is what the server says of the host", Up)
	}
	if bad != nil {
		return labels.EmptyLabels(), bad
	}
	w.labels.Add(labelInstance, host)
	w.labels.Add("job", JobNode)
	w.labels.Sort()
	return w.labels.Labels(), nil
}
