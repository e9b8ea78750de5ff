package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"drover/api"
	"drover/internal/store"
)

// callTimeout bounds one call, so that an engine that hangs is an error.
const callTimeout = 20 * time.Second

// Backend is a store.Backend over etcd.
type Backend struct {
	cli    *clientv3.Client
	prefix string
	where  string  // for messages
	member *member // nil for an external cluster

	history atomic.Int64 // bytes written that the engine's history still holds
	newest  atomic.Int64 // the last revision of those

	life   context.Context // ends at Close or when the engine fails
	end    context.CancelCauseFunc
	failed chan struct{}
	wg     sync.WaitGroup
	once   sync.Once
}

var (
	_ store.Backend  = (*Backend)(nil)
	_ store.Reporter = (*Backend)(nil)
)

func newBackend(cli *clientv3.Client, prefix, where string) *Backend {
	b := &Backend{cli: cli, prefix: prefix, where: where, failed: make(chan struct{})}
	b.life, b.end = context.WithCancelCause(context.Background())
	return b
}

var errClosed = errors.New("it is closed")

// Failed is closed when the embedded engine can go on no more (a disk error);
// the process should end and be started again. Err says why.
func (b *Backend) Failed() <-chan struct{} { return b.failed }

// Err is why the engine failed; nil if it did not.
func (b *Backend) Err() error {
	select {
	case <-b.failed:
		return context.Cause(b.life)
	default:
		return nil
	}
}

func (b *Backend) fail(err error) {
	b.once.Do(func() {
		b.end(err)
		close(b.failed)
	})
}

// call bounds one call by time and by the backend's life.
func (b *Backend) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(b.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// explain turns what etcd says into what a user can act on.
func (b *Backend) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(b.life); cause != nil {
		e := api.Errorf(api.CodeUnavailable, "cannot %s: the store at %s has stopped: %v", doing, b.where, cause)
		if !errors.Is(cause, errClosed) {
			e = e.WithRemedy("free disk space or repair the disk, then restart the server; nothing acknowledged is lost")
		}
		return e
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	msg := err.Error()
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace) || strings.Contains(msg, "database space exceeded"):
		return api.Errorf(api.CodeUnavailable, "cannot %s: the store at %s has reached its quota and is read-only", doing, b.where).
			WithRemedy("delete objects that are no longer needed; the store compacts and opens itself again within minutes, or raise the quota")
	case strings.Contains(msg, "request is too large"), strings.Contains(msg, "message larger than max"), strings.Contains(msg, "too many operations"):
		return api.Errorf(api.CodeTooLarge, "cannot %s: too much for one transaction", doing).WithRemedy("write less at a time")
	case strings.Contains(msg, "permission denied"), strings.Contains(msg, "authentication failed"), strings.Contains(msg, "invalid auth token"):
		return api.Errorf(api.CodeUnavailable, "cannot %s: etcd at %s refuses the credentials: %v", doing, b.where, err).
			WithRemedy("check user, password and client certificate of the store")
	}
	return api.Errorf(api.CodeUnavailable, "cannot %s: the store at %s does not answer: %v", doing, b.where, err).
		WithRemedy("try again; if it stays, look at the server's log and at etcd's health")
}

// Get implements store.Backend.
func (b *Backend) Get(ctx context.Context, key string) (*store.KV, int64, error) {
	ctx, cancel := b.call(ctx)
	defer cancel()
	r, err := b.cli.Get(ctx, b.prefix+key)
	if err != nil {
		return nil, 0, b.explain(ctx, "read", err)
	}
	if len(r.Kvs) == 0 {
		return nil, r.Header.Revision, nil
	}
	kv := b.kv(r.Kvs[0])
	return &kv, r.Header.Revision, nil
}

func (b *Backend) kv(kv *mvccpb.KeyValue) store.KV {
	return store.KV{Key: strings.TrimPrefix(string(kv.Key), b.prefix), Value: kv.Value, Create: kv.CreateRevision, Mod: kv.ModRevision, Lease: kv.Lease}
}

// pageKeys bounds one answer of List: 500 objects of 64 KB are 32 MB.
const pageKeys = 500

// List implements store.Backend. It reads in pages, all at one revision.
func (b *Backend) List(ctx context.Context, prefix string) ([]store.KV, int64, error) {
	var out []store.KV
	var rev int64
	from, end := b.prefix+prefix, clientv3.GetPrefixRangeEnd(b.prefix+prefix)
	if from == "" {
		from, end = "\x00", "\x00"
	}
	for {
		cctx, cancel := b.call(ctx)
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageKeys), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend)}
		if rev != 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		r, err := b.cli.Get(cctx, from, opts...)
		if err != nil {
			err = b.explain(cctx, "read", err)
			cancel()
			return nil, 0, err
		}
		cancel()
		if rev == 0 {
			rev = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			out = append(out, b.kv(kv))
		}
		if !r.More || len(r.Kvs) == 0 {
			return out, rev, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// Txn implements store.Backend.
func (b *Backend) Txn(ctx context.Context, conds []store.Cond, ops []store.Op) (int64, bool, error) {
	ctx, cancel := b.call(ctx)
	defer cancel()
	cmps := make([]clientv3.Cmp, len(conds))
	for i, c := range conds {
		target := clientv3.ModRevision(b.prefix + c.Key)
		if c.Created {
			target = clientv3.CreateRevision(b.prefix + c.Key)
		}
		cmps[i] = clientv3.Compare(target, "=", c.Rev)
	}
	then, grows, size := make([]clientv3.Op, len(ops)), false, 0
	for i, op := range ops {
		if op.Delete {
			then[i] = clientv3.OpDelete(b.prefix + op.Key)
			continue
		}
		grows = true
		size += len(op.Key) + len(op.Value)
		var opts []clientv3.OpOption
		if op.Lease != 0 {
			opts = append(opts, clientv3.WithLease(clientv3.LeaseID(op.Lease)))
		}
		then[i] = clientv3.OpPut(b.prefix+op.Key, string(op.Value), opts...)
	}
	if grows && b.member != nil {
		if err := b.member.room(); err != nil {
			return 0, false, err
		}
	}
	r, err := b.cli.Txn(ctx).If(cmps...).Then(then...).Commit()
	if err != nil {
		return 0, false, b.explain(ctx, "write", err)
	}
	if r.Succeeded && b.member != nil {
		b.wrote(size, r.Header.Revision)
	}
	return r.Header.Revision, r.Succeeded, nil
}

// Watch implements store.Backend.
func (b *Backend) Watch(ctx context.Context, prefix string, from int64) <-chan store.Batch {
	out := make(chan store.Batch)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.life, cancel)
	go func() { // ends with ctx or the backend
		defer close(out)
		defer cancel()
		defer stop()
		opts := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(from + 1), clientv3.WithProgressNotify()}
		for r := range b.cli.Watch(clientv3.WithRequireLeader(ctx), b.prefix+prefix, opts...) {
			batch := store.Batch{Rev: from}
			switch {
			case r.CompactRevision != 0:
				batch.Err = store.ErrCompacted
			case r.Err() != nil:
				batch.Err = b.explain(ctx, "watch", r.Err())
			case r.IsProgressNotify():
				batch.Rev = r.Header.Revision
			}
			for _, e := range r.Events {
				ev := store.KVEvent{Key: strings.TrimPrefix(string(e.Kv.Key), b.prefix), Rev: e.Kv.ModRevision, Create: e.Kv.CreateRevision}
				if ev.Delete = e.Type == mvccpb.Event_DELETE; !ev.Delete {
					ev.Value = e.Kv.Value
				}
				batch.Events = append(batch.Events, ev)
				batch.Rev = ev.Rev // the header's may be ahead of what was delivered
			}
			from = batch.Rev
			if len(batch.Events) == 0 && batch.Err == nil && !r.IsProgressNotify() {
				continue
			}
			select {
			case out <- batch:
			case <-ctx.Done():
				return
			}
			if batch.Err != nil {
				return
			}
		}
	}()
	return out
}

// Lease implements store.Backend. etcd counts leases in whole seconds, two at least.
func (b *Backend) Lease(ctx context.Context, ttl time.Duration) (*store.Lease, error) {
	gctx, cancel := b.call(ctx)
	defer cancel()
	g, err := b.cli.Grant(gctx, max(2, int64((ttl+time.Second-1)/time.Second)))
	if err != nil {
		return nil, b.explain(gctx, "take a lease", err)
	}
	kctx, kcancel := context.WithCancel(ctx)
	stop := context.AfterFunc(b.life, kcancel)
	alive, err := b.cli.KeepAlive(kctx, g.ID)
	if err != nil {
		kcancel()
		return nil, b.explain(gctx, "keep a lease", err)
	}
	lost := make(chan struct{})
	go func() { // ends with ctx, the backend, or the lease
		defer close(lost)
		defer kcancel()
		defer stop()
		for range alive {
		}
	}()
	return &store.Lease{ID: int64(g.ID), Lost: lost, Release: func(ctx context.Context) error {
		kcancel()
		ctx, cancel := b.call(ctx)
		defer cancel()
		_, err := b.cli.Revoke(ctx, g.ID)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) || err != nil && strings.Contains(err.Error(), "lease not found") {
			return nil
		}
		return b.explain(ctx, "release a lease", err)
	}}, nil
}

// Compact forgets the history up to rev; the embedded member does so by itself.
func (b *Backend) Compact(ctx context.Context, rev int64) error {
	ctx, cancel := b.call(ctx)
	defer cancel()
	_, err := b.cli.Compact(ctx, rev, clientv3.WithCompactPhysical())
	return b.explain(ctx, "compact", err)
}

// Snapshot writes a consistent backup of the whole engine to w, in etcd's own
// format (etcdutl snapshot restore reads it), and returns its size.
func (b *Backend) Snapshot(ctx context.Context, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.life, cancel)()
	r, err := b.cli.Snapshot(ctx)
	if err != nil {
		return 0, b.explain(ctx, "take a snapshot", err)
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err != nil {
		return n, fmt.Errorf("cannot take a snapshot: %w", err)
	}
	return n, nil
}

// Health implements store.Reporter.
func (b *Backend) Health(ctx context.Context) store.Health {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	h := store.Health{Engine: "etcd (external)"}
	if b.member != nil {
		h.Engine, h.Quota = "etcd (embedded)", b.member.quota
		if err := b.member.room(); err != nil {
			h.Problems = append(h.Problems, err.Error())
		}
	}
	if err := context.Cause(b.life); err != nil {
		h.Problems = append(h.Problems, "the engine has stopped: "+err.Error())
		return h
	}
	for _, ep := range b.endpoints() {
		s, err := b.cli.Status(ctx, ep)
		if err != nil {
			h.Problems = append(h.Problems, fmt.Sprintf("%s does not answer: %v", b.where, err))
			continue
		}
		h.Size, h.Revision = max(h.Size, s.DbSize), max(h.Revision, s.Header.Revision)
		for _, e := range s.Errors {
			h.Problems = append(h.Problems, "etcd: "+e)
		}
	}
	return h
}

// endpoints to ask; the in-process client takes any.
func (b *Backend) endpoints() []string {
	if eps := b.cli.Endpoints(); len(eps) > 0 {
		return eps
	}
	return []string{""}
}

// Close implements store.Backend.
func (b *Backend) Close() error {
	b.once.Do(func() { b.end(errClosed) })
	err := b.cli.Close()
	if b.member != nil {
		b.member.close(b.Err() != nil)
	}
	b.wg.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("cannot close the store: %w", err)
	}
	return nil
}
