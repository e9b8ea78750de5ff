package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/api"
	"drover/internal/store"
)

// thing is a kind of the tests.
type thing struct {
	api.Meta
	Spec struct {
		N    int            `json:"n"`
		Text string         `json:"text,omitempty"`
		Any  map[string]any `json:"any,omitempty"`
	} `json:"spec"`
	Status struct {
		Seen []string `json:"seen,omitempty"`
	} `json:"status"`
}

func (t *thing) Validate() error {
	if t.Spec.N < 0 {
		return &api.Error{Code: api.CodeInvalid, Field: "spec.n", Message: "n is negative", Remedy: "make it positive"}
	}
	return api.ValidName(t.Name)
}

func newThing(name string, n int) *thing {
	t := &thing{Meta: api.Meta{Name: name}}
	t.Spec.N = n
	return t
}

func kinds() []store.Kind {
	return []store.Kind{
		{Name: "thing", New: func() api.Object { return new(thing) }},
		{Name: "other", New: func() api.Object { return new(thing) }},
		{Name: "host", New: func() api.Object { return new(api.Host) }},
	}
}

func open(t *testing.T, b store.Backend) (*store.Store, *store.Table[thing, *thing]) {
	t.Helper()
	s := store.New(b, kinds()...)
	t.Cleanup(s.Close)
	return s, store.TableOf[thing](s, "thing")
}

func memory(t *testing.T) *store.MemoryBackend {
	b := store.Memory()
	t.Cleanup(func() { b.Close() })
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code api.Code) *api.Error {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want an error of kind %s", err, code)
	}
	return e
}

func TestMeta(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, memory(t))
	a := newThing("a", 1)
	a.Labels = map[string]string{"env": "prod"}
	must(t, things.Create(ctx, a))
	if a.Kind != "thing" || a.UID == "" || a.Generation != 1 || a.Revision == 0 || a.Created.IsZero() || !a.Created.Equal(a.Updated) {
		t.Fatalf("after create: %+v", a.Meta)
	}
	first := a.Meta
	got, err := things.Get(ctx, "a")
	must(t, err)
	if d := cmp.Diff(a, got); d != "" {
		t.Fatal(d)
	}
	got.Labels["env"] = "changed by the caller" // its own copy
	again, _ := things.Get(ctx, "a")
	if again.Labels["env"] != "prod" {
		t.Fatal("a caller's change reached the cache")
	}

	b := newThing("a", 2) // without a Revision: replaces
	must(t, things.Put(ctx, b))
	if b.UID != first.UID || !b.Created.Equal(first.Created) || b.Generation != 2 || b.Revision <= first.Revision {
		t.Fatalf("after a change of the spec: %+v", b.Meta)
	}
	b.Status.Seen = []string{"x"}
	must(t, things.Put(ctx, b))
	if b.Generation != 2 {
		t.Fatalf("a change of the status made generation %d", b.Generation)
	}
	b.Labels = map[string]string{"env": "dev"}
	must(t, things.Put(ctx, b))
	if b.Generation != 2 {
		t.Fatalf("a change of labels made generation %d", b.Generation)
	}
	rev := b.Revision
	must(t, things.Put(ctx, b)) // nothing changed
	if b.Revision != rev {
		t.Fatalf("writing the same again made revision %d of %d", b.Revision, rev)
	}
	must(t, things.Delete(ctx, "a"))
	_, err = things.Get(ctx, "a")
	wantCode(t, err, api.CodeNotFound)
	wantCode(t, things.Delete(ctx, "a"), api.CodeNotFound)
	c := newThing("a", 1)
	must(t, things.Put(ctx, c))
	if c.UID == first.UID || c.Generation != 1 {
		t.Fatalf("a name used again: %+v", c.Meta)
	}
}

func TestParts(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, memory(t))
	a := newThing("a", 1)
	a.Status.Seen = []string{"made up"}
	must(t, things.PutPart(ctx, a, store.Spec))
	if a.Status.Seen != nil {
		t.Fatal("a new object by its spec kept the caller's status")
	}
	a.Status.Seen, a.Spec.N = []string{"one"}, 99
	must(t, things.PutPart(ctx, a, store.Status))
	if a.Spec.N != 1 || a.Status.Seen[0] != "one" || a.Generation != 1 {
		t.Fatalf("after a write of the status: %+v", a)
	}
	b := newThing("a", 2)
	must(t, things.PutPart(ctx, b, store.Spec))
	if b.Spec.N != 2 || len(b.Status.Seen) != 1 || b.Generation != 2 {
		t.Fatalf("after a write of the spec: %+v", b)
	}
	wantCode(t, things.PutPart(ctx, newThing("none", 1), store.Status), api.CodeNotFound)
	u, err := things.UpdateStatus(ctx, "a", func(o *thing) error {
		o.Spec.N, o.Status.Seen = 77, append(o.Status.Seen, "two")
		return nil
	})
	must(t, err)
	if u.Spec.N != 2 || len(u.Status.Seen) != 2 {
		t.Fatalf("after UpdateStatus: %+v", u)
	}
}

func TestConflicts(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, memory(t))
	a := newThing("a", 1)
	must(t, things.Create(ctx, a))
	stale, err := things.Get(ctx, "a")
	must(t, err)
	a.Spec.N = 2
	must(t, things.Put(ctx, a))
	stale.Spec.N = 3
	if e := wantCode(t, things.Put(ctx, stale), api.CodeConflict); e.Remedy == "" {
		t.Error("a conflict without a remedy")
	}
	wantCode(t, things.DeleteAt(ctx, "a", stale.Revision), api.CodeConflict)
	wantCode(t, things.Create(ctx, newThing("a", 9)), api.CodeExists)
	must(t, things.DeleteAt(ctx, "a", a.Revision))
	wantCode(t, things.Put(ctx, a), api.CodeConflict) // deleted meanwhile
	must(t, things.Create(ctx, newThing("a", 5)))
	a.Revision = 0
	wantCode(t, things.Put(ctx, a), api.CodeConflict) // another UID
}

// Two stores over one backend: what one writes behind the other's back is a
// conflict, never a lost write, and Update goes through.
func TestTwoServers(t *testing.T) {
	b := memory(t)
	_, one := open(t, b)
	_, two := open(t, b)
	must(t, one.Create(t.Context(), newThing("n", 0)))
	var wg sync.WaitGroup
	for _, table := range []*store.Table[thing, *thing]{one, two, one, two} {
		wg.Go(func() {
			for range 50 {
				if _, err := table.Update(context.Background(), "n", func(o *thing) error { o.Spec.N++; return nil }); err != nil && api.CodeOf(err) != api.CodeNotFound {
					t.Error(err)
				} else if err != nil {
					t.Error("the other server's object is not found")
				}
			}
		})
	}
	wg.Wait()
	got, err := one.Update(t.Context(), "n", func(*thing) error { return nil })
	must(t, err)
	if got.Spec.N != 200 {
		t.Fatalf("%d of 200 updates are left", got.Spec.N)
	}
}

// An update within an update goes through, also of the same kind.
func TestNestedUpdate(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, memory(t))
	for _, n := range []string{"a", "b"} {
		must(t, things.Create(ctx, newThing(n, 0)))
	}
	add := func(o *thing) error { o.Spec.N++; return nil }
	_, err := things.Update(ctx, "a", func(o *thing) error {
		if o.Spec.N == 0 {
			if _, err := things.Update(ctx, "a", add); err != nil { // makes a conflict
				return err
			}
		}
		if _, err := things.Update(ctx, "b", add); err != nil {
			return err
		}
		return add(o)
	})
	must(t, err)
	if a, err := things.Get(ctx, "a"); err != nil || a.Spec.N != 2 {
		t.Fatal(a, err)
	}
}

func TestReadYourWrites(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, slowWatch{memory(t)})
	for i := range 50 {
		name := fmt.Sprint("t", i)
		must(t, things.Put(ctx, newThing(name, i)))
		if o, err := things.Get(ctx, name); err != nil || o.Spec.N != i {
			t.Fatal(o, err)
		}
		all, _, err := things.List(ctx)
		must(t, err)
		if len(all) != i+1 {
			t.Fatalf("%d of %d objects are listed", len(all), i+1)
		}
	}
	must(t, things.Delete(ctx, "t7"))
	if _, err := things.Get(ctx, "t7"); err == nil {
		t.Fatal("a deleted object is read")
	}
	if all, _, _ := things.List(ctx); len(all) != 49 {
		t.Fatalf("%d objects are listed, want 49", len(all))
	}
	must(t, things.Create(ctx, newThing("t7", 700)))
	if o, err := things.Get(ctx, "t7"); err != nil || o.Spec.N != 700 {
		t.Fatal(o, err)
	}
}

// slowWatch is a backend whose watch never delivers.
type slowWatch struct{ store.Backend }

func (slowWatch) Watch(ctx context.Context, _ string, _ int64) <-chan store.Batch {
	ch := make(chan store.Batch)
	context.AfterFunc(ctx, func() { close(ch) })
	return ch
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	s, things := open(t, memory(t))
	big := newThing("big", 1)
	big.Spec.Text = strings.Repeat("x", store.MaxObject)
	if e := wantCode(t, things.Put(ctx, big), api.CodeTooLarge); !strings.Contains(e.Message, `thing "big"`) || !strings.Contains(e.Message, "65536") {
		t.Errorf("unclear: %v", e)
	}
	if e := wantCode(t, things.Put(ctx, newThing("neg", -1)), api.CodeInvalid); e.Field != "spec.n" {
		t.Errorf("field %q", e.Field)
	}
	wantCode(t, things.Put(ctx, newThing("../x", 1)), api.CodeInvalid)
	wantCode(t, things.PutMany(ctx, []*thing{newThing("d", 1), newThing("d", 2)}), api.CodeInvalid)
	_, err := s.Kind("nothing")
	wantCode(t, err, api.CodeNotFound)
}

func TestCommit(t *testing.T) {
	ctx := t.Context()
	s, things := open(t, memory(t))
	others := store.TableOf[thing](s, "other")
	a, b := newThing("a", 1), newThing("b", 1)
	must(t, s.Commit(ctx, things.ToCreate(a), others.ToCreate(b)))
	if a.Revision != b.Revision || a.Revision == 0 {
		t.Fatalf("written at %d and %d", a.Revision, b.Revision)
	}
	wantCode(t, s.Commit(ctx, things.ToPut(newThing("c", 1)), others.ToCreate(newThing("b", 2))), api.CodeExists)
	if _, err := things.Get(ctx, "c"); err == nil {
		t.Fatal("half a transaction was done")
	}
	stale := *a
	a.Spec.N = 2
	must(t, things.Put(ctx, a))
	wantCode(t, s.Commit(ctx, things.ToPut(&stale), others.ToDelete("b", 0)), api.CodeConflict)
	if _, err := others.Get(ctx, "b"); err != nil {
		t.Fatal("half a transaction was done")
	}
	own := newThing("own", 1)
	own.UID = store.NewUID()
	uid := own.UID
	must(t, things.Create(ctx, own))
	if own.UID != uid {
		t.Fatal("a create did not keep the UID it brought")
	}
}

// drain reads events until one of that type has come.
func drain[P any](t *testing.T, ch <-chan store.Event[P], until store.EventType) []store.Event[P] {
	t.Helper()
	var out []store.Event[P]
	for {
		select {
		case e, ok := <-ch:
			if !ok {
				t.Fatalf("the watch ended after %d events", len(out))
			}
			if out = append(out, e); e.Type == until {
				return out
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s after 20 s, but %d events", until, len(out))
		}
	}
}

func TestWatch(t *testing.T) {
	ctx := t.Context()
	b := memory(t)
	_, things := open(t, b)
	must(t, things.PutMany(ctx, []*thing{newThing("a", 1), newThing("b", 1)}))
	ch := things.Watch(ctx, 0)
	start := drain(t, ch, store.EventSynced)
	if len(start) != 4 || start[0].Type != store.EventResync || start[1].Name != "a" || start[2].Object.Spec.N != 1 || start[3].Revision == 0 {
		t.Fatalf("a watch began with %+v", start)
	}
	must(t, things.Put(ctx, newThing("a", 2)))
	must(t, things.Delete(ctx, "b"))
	ev := drain(t, ch, store.EventDelete)
	if len(ev) != 2 || ev[0].Object.Spec.N != 2 || ev[1].Name != "b" || ev[1].Object != nil {
		t.Fatalf("got %+v", ev)
	}
	ev[0].Object.Spec.N = 1000 // the watcher's own
	if a, _ := things.Get(ctx, "a"); a.Spec.N != 2 {
		t.Fatal("a watcher's change reached the cache")
	}
	resumed := drain(t, things.Watch(ctx, ev[0].Revision), store.EventDelete)
	if len(resumed) != 1 || resumed[0].Name != "b" {
		t.Fatalf("resumed with %+v", resumed)
	}
	other := store.New(b, kinds()...)
	defer other.Close()
	if late := drain(t, store.TableOf[thing](other, "thing").Watch(ctx, 1), store.EventSynced); late[0].Type != store.EventResync {
		t.Fatalf("a watch from what is not kept began with %+v", late[0])
	}
}

// A resume after any event of a transaction misses none of the same revision.
func TestWatchResumeInsideTransaction(t *testing.T) {
	ctx := t.Context()
	s, things := open(t, memory(t))
	ch := things.Watch(ctx, 0)
	drain(t, ch, store.EventSynced)
	must(t, s.Commit(ctx, things.ToCreate(newThing("a", 1)), things.ToCreate(newThing("b", 1))))
	first := drain(t, ch, store.EventPut)
	resumed := things.Watch(ctx, first[0].Revision)
	for {
		if e := drain(t, resumed, store.EventPut); e[0].Name == "b" {
			break
		}
	}
}

// A watcher that does not read holds up nobody, and is told to resync.
func TestSlowWatcher(t *testing.T) {
	ctx := t.Context()
	_, things := open(t, memory(t))
	must(t, things.Put(ctx, newThing("gone", 1)))
	slow := things.Watch(ctx, 0)
	drain(t, slow, store.EventSynced)
	must(t, things.Delete(ctx, "gone"))
	fast := things.Watch(ctx, 0)
	drain(t, fast, store.EventSynced)
	const n = 20_000
	var many []*thing
	for i := range n {
		many = append(many, newThing(fmt.Sprint("t", i), i))
	}
	done := make(chan int)
	go func() {
		seen := map[string]bool{}
		for len(seen) < n {
			e, ok := <-fast
			if !ok {
				break
			}
			if e.Type == store.EventPut {
				seen[e.Name] = true
			}
		}
		done <- len(seen)
	}()
	must(t, things.PutMany(ctx, many))
	select {
	case got := <-done:
		if got != n {
			t.Fatalf("the fast watcher saw %d of %d", got, n)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the fast watcher is held up")
	}
	ev := drain(t, slow, store.EventResync) // what was on its way, then this
	if len(ev) > 2000 {
		t.Fatalf("the slow watcher had %d events kept for it", len(ev))
	}
	now := map[string]bool{}
	for _, e := range drain(t, slow, store.EventSynced) {
		now[e.Name] = true
	}
	if now["gone"] || !now["t0"] || !now[fmt.Sprint("t", n-1)] {
		t.Fatalf("after the resync it knows %d names", len(now))
	}
}

// The history is cut behind a cache that was away: it lists again, and its
// watchers see the difference as ordinary events.
func TestCompactionResync(t *testing.T) {
	ctx := t.Context()
	m := memory(t)
	b := &cutWatch{Backend: m, cut: make(chan struct{}), gone: make(chan struct{})}
	_, things := open(t, b)
	must(t, things.PutMany(ctx, []*thing{newThing("keep", 1), newThing("drop", 1), newThing("change", 1)}))
	ch := things.Watch(ctx, 0)
	drain(t, ch, store.EventSynced)
	close(b.cut)
	<-b.gone
	other := store.New(m, kinds()...)
	defer other.Close()
	ot := store.TableOf[thing](other, "thing")
	must(t, ot.Delete(ctx, "drop"))
	must(t, ot.Put(ctx, newThing("change", 2)))
	must(t, ot.Put(ctx, newThing("new", 1)))
	_, rev, err := m.List(ctx, "")
	must(t, err)
	must(t, m.Compact(ctx, rev))
	b.mend()
	got := map[string]store.EventType{}
	timeout := time.After(20 * time.Second)
	for len(got) < 3 {
		var e store.Event[*thing]
		select {
		case e = <-ch:
		case <-timeout:
			t.Fatalf("after 20 s, only %v", got)
		}
		if e.Type != store.EventPut && e.Type != store.EventDelete {
			t.Fatalf("got %+v", e)
		}
		if e.Name == "keep" {
			t.Fatal("an event for what did not change")
		}
		got[e.Name] = e.Type
	}
	if d := cmp.Diff(map[string]store.EventType{"drop": store.EventDelete, "change": store.EventPut, "new": store.EventPut}, got); d != "" {
		t.Fatal(d)
	}
}

// cutWatch is a backend whose watches end at cut, and begin again only after mend.
type cutWatch struct {
	store.Backend
	cut, gone chan struct{}
	once      sync.Once
	mu        sync.Mutex
	mended    bool
}

func (c *cutWatch) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mended = true
}

func (c *cutWatch) Watch(ctx context.Context, prefix string, from int64) <-chan store.Batch {
	c.mu.Lock()
	mended := c.mended
	c.mu.Unlock()
	if mended {
		return c.Backend.Watch(ctx, prefix, from)
	}
	ctx, cancel := context.WithCancel(ctx)
	in, out := c.Backend.Watch(ctx, prefix, from), make(chan store.Batch)
	go func() {
		defer close(out)
		defer cancel()
		for {
			select {
			case b, ok := <-in:
				if !ok {
					return
				}
				out <- b
			case <-c.cut:
				c.once.Do(func() { close(c.gone) })
				return
			}
		}
	}()
	return out
}

func TestUntyped(t *testing.T) {
	ctx := t.Context()
	s, things := open(t, memory(t))
	u, err := s.Kind("thing")
	must(t, err)
	for _, c := range []struct{ name, raw, field, want string }{
		{"unknown field", `{"name":"a","spec":{"m":1}}`, "m", "there is no field"},
		{"wrong type", `{"name":"a","spec":{"n":"x"}}`, "spec.n", "is not a int"},
		{"other kind", `{"kind":"host","name":"a"}`, "kind", `"host"`},
		{"more", `{"name":"a"} {}`, "", "more after"},
		{"not JSON", `{"name":`, "", "cannot read the thing"},
	} {
		_, err := u.Decode([]byte(c.raw))
		if e := wantCode(t, err, api.CodeInvalid); e.Field != c.field || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v (field %q)", c.name, e, e.Field)
		}
	}
	o, err := u.Decode([]byte(`{"name":"a","spec":{"n":1,"any":{"x":[1,2]}},"status":{"seen":["forged"]}}`))
	must(t, err)
	created, err := u.Put(ctx, o, store.Spec)
	must(t, err)
	got, err := u.Get(ctx, "a")
	must(t, err)
	raw, _ := json.Marshal(got)
	if !created || strings.Contains(string(raw), "forged") || !strings.Contains(string(raw), `"any":{"x":[1,2]}`) {
		t.Fatalf("created %v: %s", created, raw)
	}
	if created, err = u.Put(ctx, got, store.Spec); err != nil || created {
		t.Fatal(created, err)
	}
	if err := u.Create(ctx, got, store.Spec); api.CodeOf(err) != api.CodeExists {
		t.Fatal(err)
	}
	wantCode(t, func() error { _, err := u.Put(ctx, &api.Host{Meta: api.Meta{Name: "h"}}, store.All); return err }(), api.CodeInternal)
	ch := u.Watch(ctx, 0)
	drain(t, ch, store.EventSynced)
	must(t, u.Delete(ctx, "a", 0))
	drain(t, ch, store.EventDelete)
	if _, err := things.Get(ctx, "a"); api.CodeOf(err) != api.CodeNotFound {
		t.Fatal(err)
	}
	if all, _, err := u.List(ctx); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
}

// What cannot be read is left out and reported; writing it again mends it.
func TestUnreadableObject(t *testing.T) {
	ctx := t.Context()
	b := memory(t)
	if _, _, err := b.Txn(ctx, nil, []store.Op{{Key: "o/thing/bad", Value: []byte("{")}}); err != nil {
		t.Fatal(err)
	}
	s, things := open(t, b)
	must(t, things.Put(ctx, newThing("good", 1)))
	if all, _, err := things.List(ctx); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if h := s.Health(ctx); len(h.Problems) != 1 || !strings.Contains(h.Problems[0], `thing "bad"`) {
		t.Fatalf("health %+v", h)
	}
}

func TestClosed(t *testing.T) {
	b := memory(t)
	s, things := open(t, b)
	must(t, s.Ready(t.Context()))
	ch := things.Watch(t.Context(), 0)
	s.Close()
	for range ch {
	}
	_, err := things.Get(t.Context(), "a")
	wantCode(t, err, api.CodeUnavailable)
}
