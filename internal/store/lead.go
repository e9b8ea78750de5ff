package store

import (
	"context"
	"strings"
	"time"

	"drover/api"
)

const leadPrefix = "lead/"

// leadTTL is how long an office stays taken after its holder vanished.
const leadTTL = 10 * time.Second

// Leader is a won election.
type Leader struct {
	fence Cond
}

// Fence makes a Commit fail with CodeConflict unless this leader still leads.
// Leases alone do not lock: a paused process may believe that it leads.
func (l *Leader) Fence() Change { return Change{act: actFence, fence: l.fence} }

// Token grows with every election: the fencing token for writes elsewhere.
func (l *Leader) Token() int64 { return l.fence.Rev }

// Lead campaigns for the named office as who, runs fn while holding it (fn's
// ctx ends when it is lost), and campaigns again when fn has returned, until
// ctx ends or fn fails with an error other than its ctx's. fn's writes are
// fenced by adding l.Fence() to their Commit.
func (s *Store) Lead(ctx context.Context, office, who string, fn func(ctx context.Context, l *Leader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	for {
		l, lease, err := s.campaign(ctx, leadPrefix+office, who)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = s.hold(ctx, l, lease, fn)
			if err != nil {
				return err
			}
		}
		select {
		case <-time.After(jitter(time.Second)):
		case <-ctx.Done():
			return nil
		}
	}
}

// hold runs fn under a won lease.
func (s *Store) hold(ctx context.Context, l *Leader, lease *Lease, fn func(context.Context, *Leader) error) error {
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lease.Lost:
			cancel()
		case <-held.Done():
		}
	}()
	err := fn(held, l)
	lost := held.Err() != nil
	cancel()
	<-watched
	release, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer done()
	_ = lease.Release(release) // if that fails, it runs out by itself
	if lost {
		return nil
	}
	return err
}

// campaign returns when the office is won.
func (s *Store) campaign(ctx context.Context, key, who string) (*Leader, *Lease, error) {
	lease, err := s.backend.Lease(ctx, leadTTL)
	if err != nil {
		return nil, nil, err
	}
	for {
		rev, ok, err := s.backend.Txn(ctx, []Cond{{Key: key}}, []Op{{Key: key, Value: []byte(who), Lease: lease.ID}})
		if err == nil && ok {
			return &Leader{Cond{Key: key, Rev: rev, Created: true}}, lease, nil
		}
		if err == nil {
			err = s.vacant(ctx, key, lease)
		}
		if err != nil {
			release, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			_ = lease.Release(release)
			done()
			return nil, nil, err
		}
	}
}

// vacant returns when nobody holds the office.
func (s *Store) vacant(ctx context.Context, key string, lease *Lease) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kv, rev, err := s.backend.Get(ctx, key)
	if err != nil || kv == nil {
		return err
	}
	events := s.backend.Watch(ctx, key, rev)
	for {
		select {
		case b, ok := <-events:
			if !ok || b.Err != nil {
				return ctx.Err() // look again
			}
			for _, e := range b.Events {
				if e.Key == key && e.Delete {
					return nil
				}
			}
		case <-lease.Lost:
			return api.Errorf(api.CodeUnavailable, "cannot campaign for %q: the lease was lost", strings.TrimPrefix(key, leadPrefix))
		}
	}
}

// LeaderOf is who holds an office now; empty if nobody does.
func (s *Store) LeaderOf(ctx context.Context, office string) (string, error) {
	kv, _, err := s.backend.Get(ctx, leadPrefix+office)
	if err != nil || kv == nil {
		return "", err
	}
	return string(kv.Value), nil
}
