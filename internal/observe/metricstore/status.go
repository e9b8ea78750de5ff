package metricstore

import (
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// noteFor is how long a problem is told that does not come again.
const noteFor = 10 * time.Minute

// maxNotes bounds the problems that are kept at a time.
const maxNotes = 50

// note keeps a problem of what hosts send for a while.
func (s *Store) note(key, text string) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.problems[key]; !there {
		for k, p := range s.problems {
			if now.After(p.until) {
				delete(s.problems, k)
			}
		}
		if len(s.problems) >= maxNotes {
			return
		}
		s.log.Warn("metrics: " + text)
	}
	s.problems[key] = problem{text, now.Add(noteFor)}
}

// Problems are what keeps the store from taking metrics, for those who run the server.
func (s *Store) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	switch broken := s.broken.Load(); {
	case s.db == nil && s.opened:
		out = append(out, s.why.Error())
	case s.low:
		out = append(out, s.fullError().Error())
	case s.db != nil && broken != nil:
		out = append(out, logFailed(*broken).Error())
	}
	if s.syncErr != nil {
		out = append(out, "the metrics' log cannot be synced to the disk: "+s.syncErr.Error())
	}
	return out
}

// Notes are what is left out of what hosts send, and why.
func (s *Store) Notes() []string {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, p := range s.problems {
		if now.Before(p.until) {
			out = append(out, p.text)
		}
	}
	slices.Sort(out)
	return out
}

// Figures say how much there is.
type Figures struct {
	Series         uint64
	Batches        uint64 // taken since the start
	Samples        uint64 // of them
	Bytes          int64  // on disk
	Oldest, Newest time.Time
	Blocks         int
	Free           int64 // of the disk
}

// Figures says how much there is. It walks the folder.
func (s *Store) Figures() Figures {
	f := Figures{Batches: s.taken.batches.Load(), Samples: s.taken.samples.Load()}
	_ = filepath.WalkDir(s.o.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it went away meanwhile
		}
		if info, err := d.Info(); err == nil {
			f.Bytes += info.Size()
		}
		return nil
	})
	s.mu.Lock()
	f.Free = s.free
	s.mu.Unlock()
	db, _, release, err := s.acquire()
	if err != nil {
		return f
	}
	defer release()
	head := db.Head()
	f.Series, f.Blocks = head.NumSeries(), len(db.Blocks())
	if f.Series == 0 && f.Blocks == 0 {
		return f
	}
	if oldest, err := db.StartTime(); err == nil {
		f.Oldest = time.UnixMilli(oldest)
	}
	f.Newest = time.UnixMilli(head.MaxTime())
	return f
}

// Options are the store's, with their defaults.
func (s *Store) Options() Options { return s.o }

// Gather gives the database's own metrics; it is a prometheus.Gatherer.
func (s *Store) Gather() ([]*dto.MetricFamily, error) {
	s.mu.Lock()
	reg := s.reg
	s.mu.Unlock()
	if reg == nil {
		return nil, nil
	}
	return reg.Gather()
}

var _ prometheus.Gatherer = (*Store)(nil)

// Taken is how many samples of hosts were taken since the start.
func (s *Store) Taken() uint64 { return s.taken.samples.Load() }
