package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash/maphash"
	"maps"
	"math/big"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/api"
)

type action int

const (
	actPut action = iota
	actCreate
	actDelete
	actFence
)

// Change is one write or condition of a Commit, made by a table's ToPut,
// ToCreate or ToDelete, or by Leader.Fence.
type Change struct {
	cache *cache
	act   action
	part  Part
	obj   api.Object
	name  string
	rev   int64 // for a delete: the revision it must be at, or 0
	fence Cond
	// uid is set for a create that brings its own UID, so that other objects
	// of the same transaction can name it.
	uid     string
	created *bool // is told whether the object is new
	// silent leaves the caller's object as it is.
	silent bool
}

// Silent is the change without bringing the caller's object up to date, which
// for thousands of them costs more than the rest.
func (ch Change) Silent() Change {
	ch.silent = true
	return ch
}

// commitTries bounds how often a write is tried when others write the same keys.
const commitTries = 30

// Commit does all changes in one transaction, or none. Each object written
// gets its new Meta (UID, Generation, Revision …); after a partial put the
// whole stored object.
func (s *Store) Commit(ctx context.Context, changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := twice(changes); err != nil {
		return err
	}
	for _, ch := range changes {
		if ch.act == actFence {
			continue
		}
		if ch.obj != nil {
			if err := ch.obj.Validate(); err != nil && ch.part != Status {
				return err
			}
		}
		if err := api.ValidName(ch.name); err != nil {
			return err
		}
		if err := ch.cache.wait(ctx); err != nil {
			return err
		}
	}
	fresh := false
	for try := 0; ; try++ {
		conds, ops, done, err := plan(changes)
		if err == nil {
			var rev int64
			var ok bool
			if rev, ok, err = s.backend.Txn(ctx, conds, ops); err != nil {
				return err
			}
			if ok {
				for _, d := range done {
					d.learn(rev)
				}
				return nil
			}
		} else if fresh || api.CodeOf(err) == api.CodeInvalid || api.CodeOf(err) == api.CodeTooLarge {
			return err
		}
		// Either the cache is behind, or somebody was faster: look again.
		if try == commitTries {
			return api.Errorf(api.CodeConflict, "cannot write %s: others keep changing it", changes[0].what()).WithRemedy("try again later")
		}
		if try > 0 {
			select {
			case <-time.After(jitter(time.Duration(min(try, 10)) * 2 * time.Millisecond)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, ch := range changes {
			if err := ch.refresh(ctx, s); err != nil {
				return err
			}
		}
		fresh = true
	}
}

func (ch Change) what() string {
	if ch.cache == nil {
		return ch.fence.Key
	}
	return ch.cache.name + " \"" + ch.name + "\""
}

func (ch Change) refresh(ctx context.Context, s *Store) error {
	if ch.act != actFence {
		return ch.cache.refresh(ctx, ch.name)
	}
	kv, _, err := s.backend.Get(ctx, ch.fence.Key)
	if err == nil && (kv == nil || kv.Create != ch.fence.Rev) {
		return api.Errorf(api.CodeConflict, "cannot write: this server no longer leads %q", ch.fence.Key[len(leadPrefix):]).
			WithRemedy("nothing to do: the server that leads now does the work")
	}
	return err
}

// written is a change that a transaction carried out.
type written struct {
	ch  Change
	obj api.Object // the cache's own from now on; nil for a delete
	sum uint64     // of its stored form
	cur entry      // what was there; its object stays if skip
	// skip says that the stored object is already like this.
	skip bool
}

func (w written) learn(rev int64) {
	if w.ch.created != nil {
		*w.ch.created = w.cur.obj == nil
	}
	if w.skip {
		w.give(w.cur.obj)
		return
	}
	if w.obj != nil {
		w.obj.Metadata().Revision = rev
		w.give(w.obj)
	}
	w.ch.cache.learn(w.ch.name, entry{w.obj, rev, w.sum})
	w.ch.cache.wrote(rev)
}

// give hands the stored object's Meta, or all of it, to the caller's.
func (w written) give(o api.Object) {
	if w.ch.silent {
		return
	}
	if w.ch.part == All {
		m := *o.Metadata()
		m.Labels = maps.Clone(m.Labels)
		*w.ch.obj.Metadata() = m
		return
	}
	elem(w.ch.obj).Set(elem(cloneObject(o)))
}

// plan works out conditions and writes from what the caches know.
func plan(changes []Change) (conds []Cond, ops []Op, done []written, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, ch := range changes {
		if ch.act == actFence {
			conds = append(conds, ch.fence)
			continue
		}
		c, cur := ch.cache, ch.cache.get(ch.name)
		if err := ch.allowed(cur); err != nil {
			return nil, nil, nil, err
		}
		cond, w := Cond{Key: c.key(ch.name)}, written{ch: ch, cur: cur}
		if cur.obj != nil {
			cond.Rev = cur.rev
		}
		conds = append(conds, cond)
		if ch.act == actDelete {
			ops = append(ops, Op{Key: cond.Key, Delete: true})
			done = append(done, w)
			continue
		}
		raw, err := ch.next(&w, now)
		if err != nil {
			return nil, nil, nil, err
		}
		if !w.skip {
			ops = append(ops, Op{Key: cond.Key, Value: raw})
		}
		done = append(done, w)
	}
	return conds, ops, done, nil
}

// allowed checks what the change demands of the stored object.
func (ch Change) allowed(cur entry) error {
	kind, rev, uid := ch.cache.name, ch.rev, ""
	if ch.obj != nil {
		rev, uid = ch.obj.Metadata().Revision, ch.obj.Metadata().UID
	}
	switch {
	case ch.act == actCreate && cur.obj != nil:
		return api.Errorf(api.CodeExists, "cannot create %s %q: there is one already", kind, ch.name).WithRemedy("choose another name, or change the one there is")
	case ch.act == actCreate:
		return nil
	case cur.obj == nil && rev != 0:
		return api.Errorf(api.CodeConflict, "cannot write %s %q: it was deleted meanwhile", kind, ch.name).
			WithRemedy("leave out its revision and uid to create it anew")
	case cur.obj == nil && (ch.act == actDelete || ch.part == Status):
		return notFound(kind, ch.name)
	case cur.obj == nil:
		return nil
	case rev != 0 && rev != cur.rev:
		return api.Errorf(api.CodeConflict, "cannot write %s %q: it changed since it was read (revision %d, now %d)", kind, ch.name, rev, cur.rev).
			WithRemedy("read it again, make the change again, and write that")
	case uid != "" && uid != cur.obj.Metadata().UID:
		return api.Errorf(api.CodeConflict, "cannot write %s %q: it was deleted and made anew since it was read", kind, ch.name).
			WithRemedy("read it again, make the change again, and write that")
	}
	return nil
}

func notFound(kind, name string) *api.Error {
	return api.Errorf(api.CodeNotFound, "there is no %s %q", kind, name)
}

// next makes the object to store from the given and the stored one.
func (ch Change) next(w *written, now time.Time) ([]byte, error) {
	c := ch.cache
	base := ch.obj
	if ch.part == Status { // allowed made sure that there is one
		base = w.cur.obj
	}
	// Only the outermost struct is n's own: it is encoded, not kept.
	n := c.new()
	elem(n).Set(elem(base))
	m := n.Metadata()
	switch {
	case ch.part == Status:
		c.copyStatus(n, ch.obj)
	case ch.part == Spec && w.cur.obj != nil:
		c.copyStatus(n, w.cur.obj)
	case ch.part == Spec:
		c.clearStatus(n)
	}
	m.Kind, m.Name = c.name, ch.name
	if w.cur.obj == nil {
		if m.UID = ch.uid; m.UID == "" {
			m.UID = NewUID()
		}
		m.Generation, m.Created, m.Updated = 1, now, now
	} else {
		old := w.cur.obj.Metadata()
		m.UID, m.Generation, m.Created, m.Updated, m.Revision = old.UID, old.Generation, old.Created, old.Updated, old.Revision
		same := ch.part == Status
		if !same {
			var err error
			if same, err = c.sameSpec(n, w.cur.obj); err != nil {
				return nil, api.Errorf(api.CodeInvalid, "cannot store %s %q: %v", c.name, ch.name, err)
			}
		}
		if !same {
			m.Generation++
		} else {
			raw, err := c.encode(n)
			if err != nil {
				return nil, err
			}
			if sumOf(raw) == w.cur.sum {
				w.skip = true
				return nil, nil
			}
		}
		m.Updated = now
	}
	raw, err := c.encode(n)
	if err != nil {
		return nil, err
	}
	// Decoding makes it the same as what other processes will read.
	w.obj, err = c.decode(raw, 0)
	w.sum = sumOf(raw)
	return raw, err
}

var sumSeed = maphash.MakeSeed()

// sumOf tells stored forms apart.
func sumOf(raw []byte) uint64 { return maphash.Bytes(sumSeed, raw) }

// NewUID makes a UID. An object given to a table's Create may bring one, so
// that others can refer to it in the same Commit.
func NewUID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d/2)+1))
	if err != nil {
		return d
	}
	return d/2 + time.Duration(n.Int64())
}

// maxBatch bounds one transaction of PutMany: etcd allows 128 operations.
const maxBatch = 100

// putMany writes changes in few transactions, a few at a time.
func (s *Store) putMany(ctx context.Context, changes []Change) error {
	if err := twice(changes); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for batch := range slices.Chunk(changes, maxBatch) {
		g.Go(func() error { return s.putBatch(ctx, batch) })
	}
	return g.Wait()
}

// putBatch halves a batch that is too large for one request.
func (s *Store) putBatch(ctx context.Context, batch []Change) error {
	err := s.Commit(ctx, batch...)
	if half := len(batch) / 2; half > 0 && api.CodeOf(err) == api.CodeTooLarge {
		if err = s.putBatch(ctx, batch[:half]); err == nil {
			err = s.putBatch(ctx, batch[half:])
		}
	}
	return err
}

// twice refuses changes that name one object twice.
func twice(changes []Change) error {
	seen := make(map[string]bool, len(changes))
	for _, ch := range changes {
		if ch.act == actFence {
			continue
		}
		key := ch.cache.key(ch.name)
		if seen[key] {
			return api.Errorf(api.CodeInvalid, "cannot write %s twice in one transaction", ch.what())
		}
		seen[key] = true
	}
	return nil
}
