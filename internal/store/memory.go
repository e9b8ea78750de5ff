package store

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"drover/api"
)

// memoryHistory is how many changes a memory backend keeps for watches.
const memoryHistory = 100_000

// Memory is a backend in this process's memory, for tests and simulations.
func Memory() *MemoryBackend {
	ctx, cancel := context.WithCancel(context.Background())
	return &MemoryBackend{keys: map[string]*KV{}, changed: make(chan struct{}), ctx: ctx, cancel: cancel, rev: 1}
}

// MemoryBackend is the Backend that Memory makes.
type MemoryBackend struct {
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	rev       int64
	compacted int64 // changes up to here are forgotten
	keys      map[string]*KV
	history   []KVEvent
	changed   chan struct{} // closed at the next change
	lease     int64         // last id given
}

func (m *MemoryBackend) closed() error {
	if m.ctx.Err() != nil {
		return api.Errorf(api.CodeUnavailable, "cannot use the store: it is closed")
	}
	return nil
}

// Get implements Backend.
func (m *MemoryBackend) Get(ctx context.Context, key string) (*KV, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmpErr(ctx.Err(), m.closed()); err != nil {
		return nil, 0, err
	}
	if kv := m.keys[key]; kv != nil {
		c := *kv
		return &c, m.rev, nil
	}
	return nil, m.rev, nil
}

// List implements Backend.
func (m *MemoryBackend) List(ctx context.Context, prefix string) ([]KV, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmpErr(ctx.Err(), m.closed()); err != nil {
		return nil, 0, err
	}
	var out []KV
	for k, kv := range m.keys {
		if strings.HasPrefix(k, prefix) {
			out = append(out, *kv)
		}
	}
	slices.SortFunc(out, func(a, b KV) int { return strings.Compare(a.Key, b.Key) })
	return out, m.rev, nil
}

// Txn implements Backend.
func (m *MemoryBackend) Txn(ctx context.Context, conds []Cond, ops []Op) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmpErr(ctx.Err(), m.closed()); err != nil {
		return 0, false, err
	}
	for _, c := range conds {
		var have int64
		if kv := m.keys[c.Key]; kv != nil {
			if have = kv.Mod; c.Created {
				have = kv.Create
			}
		}
		if have != c.Rev {
			return m.rev, false, nil
		}
	}
	m.apply(ops)
	return m.rev, true, nil
}

// apply does ops at one new revision. The caller holds mu.
func (m *MemoryBackend) apply(ops []Op) {
	rev, wrote := m.rev+1, false
	for _, op := range ops {
		old := m.keys[op.Key]
		if op.Delete {
			if old == nil {
				continue
			}
			delete(m.keys, op.Key)
			m.history = append(m.history, KVEvent{Key: op.Key, Delete: true, Rev: rev})
		} else {
			kv := &KV{Key: op.Key, Value: bytes.Clone(op.Value), Create: rev, Mod: rev, Lease: op.Lease}
			if old != nil {
				kv.Create = old.Create
			}
			m.keys[op.Key] = kv
			m.history = append(m.history, KVEvent{Key: op.Key, Value: kv.Value, Rev: rev, Create: kv.Create})
		}
		wrote = true
	}
	if !wrote {
		return
	}
	m.rev = rev
	if len(m.history) > memoryHistory {
		m.compact(m.history[len(m.history)/2].Rev)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Compact forgets the history up to rev, as etcd does.
func (m *MemoryBackend) Compact(_ context.Context, rev int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.compact(rev)
	return nil
}

func (m *MemoryBackend) compact(rev int64) {
	m.compacted = max(m.compacted, min(rev, m.rev))
	m.history = slices.Clone(m.history[m.after(m.compacted):])
}

// after is the index of the first change later than rev.
func (m *MemoryBackend) after(rev int64) int {
	return sort.Search(len(m.history), func(i int) bool { return m.history[i].Rev > rev })
}

// Watch implements Backend.
func (m *MemoryBackend) Watch(ctx context.Context, prefix string, from int64) <-chan Batch {
	out := make(chan Batch)
	m.wg.Go(func() {
		defer close(out)
		for {
			m.mu.Lock()
			b := Batch{Rev: m.rev}
			if from < m.compacted {
				b.Err = ErrCompacted
			} else {
				for _, e := range m.history[m.after(from):] {
					if strings.HasPrefix(e.Key, prefix) {
						b.Events = append(b.Events, e)
					}
				}
			}
			changed := m.changed
			m.mu.Unlock()
			if from = max(from, b.Rev); len(b.Events) > 0 || b.Err != nil {
				select {
				case out <- b:
				case <-ctx.Done():
					return
				case <-m.ctx.Done():
					return
				}
				if b.Err != nil {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-m.ctx.Done():
				return
			}
		}
	})
	return out
}

// Lease implements Backend.
func (m *MemoryBackend) Lease(ctx context.Context, ttl time.Duration) (*Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := cmpErr(ctx.Err(), m.closed()); err != nil {
		return nil, err
	}
	m.lease++
	id := m.lease
	lost, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.wg.Go(func() {
		defer close(lost)
		select {
		case <-ctx.Done():
		case <-released:
			return
		case <-m.ctx.Done():
			return
		}
		m.wg.Go(func() { // nobody keeps it alive now
			select {
			case <-time.After(ttl):
				m.expire(id)
			case <-released:
			case <-m.ctx.Done():
			}
		})
	})
	return &Lease{ID: id, Lost: lost, Release: func(context.Context) error {
		once.Do(func() { close(released); m.expire(id) })
		return nil
	}}, nil
}

func (m *MemoryBackend) expire(id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ops []Op
	for _, k := range slices.Sorted(maps.Keys(m.keys)) {
		if m.keys[k].Lease == id {
			ops = append(ops, Op{Key: k, Delete: true})
		}
	}
	m.apply(ops)
}

// Health implements Reporter.
func (m *MemoryBackend) Health(context.Context) Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Health{Engine: "memory", Revision: m.rev}
}

// Close implements Backend.
func (m *MemoryBackend) Close() error {
	m.cancel()
	m.wg.Wait()
	return nil
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
