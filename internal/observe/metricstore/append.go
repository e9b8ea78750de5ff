package metricstore

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
)

// Sample is one of the server's own.
type Sample struct {
	Labels labels.Labels
	Value  float64
}

// Append stores the server's own samples of one time. What is there already is
// left as it is.
func (s *Store) Append(ctx context.Context, at time.Time, samples []Sample) error {
	if err := s.refusing(); err != nil {
		return err
	}
	db, _, release, err := s.acquire()
	if err != nil {
		return err
	}
	defer release()
	app := db.AppenderV2(ctx)
	t := at.UnixMilli()
	for _, p := range samples {
		if _, err = app.Append(0, p.Labels, 0, t, p.Value, nil, nil, storage.AppendV2Options{}); err != nil {
			if err = s.leftOut("the server", err); err != nil {
				_ = app.Rollback()
				return err
			}
		}
	}
	return s.commit(app.Commit)
}

// Appender is for Prometheus' own parts, which write by this interface; it is
// a storage.Appendable.
func (s *Store) Appender(ctx context.Context) storage.Appender {
	if err := s.refusing(); err != nil {
		return noAppender{err}
	}
	db, _, release, err := s.acquire()
	if err != nil {
		return noAppender{err}
	}
	return &appender{db.Appender(ctx), s, release}
}

// AppenderV2 is the same by the newer interface; it is a storage.AppendableV2.
func (s *Store) AppenderV2(ctx context.Context) storage.AppenderV2 {
	if err := s.refusing(); err != nil {
		return noAppenderV2{err}
	}
	db, _, release, err := s.acquire()
	if err != nil {
		return noAppenderV2{err}
	}
	return &appenderV2{db.AppenderV2(ctx), s, release}
}

type appender struct {
	storage.Appender
	s       *Store
	release func()
}

func (a *appender) Commit() error   { defer a.release(); return a.s.commit(a.Appender.Commit) }
func (a *appender) Rollback() error { defer a.release(); return a.Appender.Rollback() }

type appenderV2 struct {
	storage.AppenderV2
	s       *Store
	release func()
}

func (a *appenderV2) Commit() error   { defer a.release(); return a.s.commit(a.AppenderV2.Commit) }
func (a *appenderV2) Rollback() error { defer a.release(); return a.AppenderV2.Rollback() }

// noAppender takes nothing and says why.
type noAppender struct{ err error }

func (a noAppender) Commit() error                     { return a.err }
func (a noAppender) Rollback() error                   { return nil }
func (a noAppender) SetOptions(*storage.AppendOptions) {}
func (a noAppender) Append(storage.SeriesRef, labels.Labels, int64, float64) (storage.SeriesRef, error) {
	return 0, a.err
}
func (a noAppender) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, a.err
}
func (a noAppender) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, a.err
}
func (a noAppender) AppendHistogramSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, a.err
}
func (a noAppender) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, a.err
}
func (a noAppender) AppendSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64) (storage.SeriesRef, error) {
	return 0, a.err
}

type noAppenderV2 struct{ err error }

func (a noAppenderV2) Commit() error   { return a.err }
func (a noAppenderV2) Rollback() error { return nil }
func (a noAppenderV2) Append(storage.SeriesRef, labels.Labels, int64, int64, float64, *histogram.Histogram, *histogram.FloatHistogram, storage.AppendV2Options) (storage.SeriesRef, error) {
	return 0, a.err
}
