package metricstore

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"drover/api"
)

// Lookback is how old the newest sample may be that an instant query takes.
const Lookback = 5 * time.Minute

func (s *Store) newEngine(queries int) *promql.Engine {
	o := promql.EngineOpts{Logger: s.log, MaxSamples: s.o.MaxSamples, Timeout: s.o.Timeout, LookbackDelta: Lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: s.parser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() }}
	if queries > 0 {
		o.ActiveQueryTracker = turns(make(chan struct{}, queries))
	}
	return promql.NewEngine(o)
}

// turns bounds the queries that run at the same time; others wait.
type turns chan struct{}

func (t turns) GetMaxConcurrent() int { return cap(t) }
func (t turns) Delete(int)            { <-t }
func (t turns) Close() error          { return nil }

func (t turns) Insert(ctx context.Context, _ string) (int, error) {
	select {
	case t <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Engine answers people's queries, a few at a time.
func (s *Store) Engine() *promql.Engine { return s.engine }

// RuleEngine answers rules' queries, which do not wait for people's.
func (s *Store) RuleEngine() *promql.Engine { return s.quick }

// Parser reads PromQL as the engines do.
func (s *Store) Parser() parser.Parser { return s.parser }

// Instant answers a query at one time.
func (s *Store) Instant(ctx context.Context, query string, at time.Time) (parser.Value, error) {
	q, err := s.engine.NewInstantQuery(ctx, s, nil, query, at)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot read the query: %v", err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, queryError(r.Err)
	}
	return r.Value, nil
}

func queryError(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	var many promql.ErrTooManySamples
	var late promql.ErrQueryTimeout
	switch {
	case errors.As(err, &many):
		return api.Errorf(api.CodeTooLarge, "the query takes too many samples: %v", err).WithRemedy("ask for fewer series, or a shorter time")
	case errors.As(err, &late):
		return api.Errorf(api.CodeUnavailable, "the query took too long: %v", err).WithRemedy("ask for fewer series, or a shorter time")
	}
	return api.Errorf(api.CodeInvalid, "cannot answer the query: %v", err)
}

// Querier reads samples; it is a storage.Queryable.
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return nil, errors.Join(tsdb.ErrNotReady, err)
	}
	q, err := db.Querier(mint, maxt)
	if err != nil {
		release()
		return nil, err
	}
	return &querier{q, release}, nil
}

type querier struct {
	storage.Querier
	release func()
}

func (q *querier) Close() error { defer q.release(); return q.Querier.Close() }

// ChunkQuerier reads chunks; it is a storage.ChunkQueryable.
func (s *Store) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return nil, errors.Join(tsdb.ErrNotReady, err)
	}
	q, err := db.ChunkQuerier(mint, maxt)
	if err != nil {
		release()
		return nil, err
	}
	return &chunkQuerier{q, release}, nil
}

type chunkQuerier struct {
	storage.ChunkQuerier
	release func()
}

func (q *chunkQuerier) Close() error { defer q.release(); return q.ChunkQuerier.Close() }

// ExemplarQuerier has none to give: exemplars are not kept.
func (s *Store) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return nil, errors.Join(tsdb.ErrNotReady, err)
	}
	defer release()
	return db.ExemplarQuerier(ctx)
}

// StartTime is that of the oldest sample, in milliseconds.
func (s *Store) StartTime() (int64, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer release()
	return db.StartTime()
}

// Stats are the figures of /api/v1/status/tsdb.
func (s *Store) Stats(label string, limit int) (*tsdb.Stats, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer release()
	return db.Head().Stats(label, limit), nil
}

// WALReplayStatus says nothing: the database is whole when it is open.
func (s *Store) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return tsdb.WALReplayStatus{}, nil
}

// BlockMetas describe the blocks on disk.
func (s *Store) BlockMetas() ([]tsdb.BlockMeta, error) {
	db, _, release, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer release()
	return db.BlockMetas(), nil
}

var errNoAdmin = api.Errorf(api.CodeForbidden, "samples are removed by age and size only")

// Delete, CleanTombstones and Snapshot are not offered.
func (s *Store) Delete(context.Context, int64, int64, ...*labels.Matcher) error { return errNoAdmin }

// CleanTombstones is not offered.
func (s *Store) CleanTombstones() error { return errNoAdmin }

// Snapshot is not offered.
func (s *Store) Snapshot(string, bool) error { return errNoAdmin }
