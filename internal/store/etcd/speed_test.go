package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"drover/api"
	"drover/internal/store"
	"drover/internal/store/etcd"
)

func tables(t testing.TB, b store.Backend) (*store.Store, *store.Table[api.Assignment, *api.Assignment]) {
	s := store.New(b, store.Kind{Name: "assignment", New: func() api.Object { return new(api.Assignment) }})
	t.Cleanup(s.Close)
	return s, store.TableOf[api.Assignment](s, "assignment")
}

func assignments(n int, body string) []*api.Assignment {
	out := make([]*api.Assignment, n)
	for i := range out {
		out[i] = &api.Assignment{Meta: api.Meta{Name: fmt.Sprintf("host-%05d", i)}}
		out[i].Spec.Commit = strings.Repeat("c", 40)
		out[i].Spec.Sections = []api.Section{{Room: "play", Hash: strings.Repeat("h", 64), Body: []byte(body)}}
	}
	return out
}

// 5,000 assignments, durable: made and changed in few transactions, then read by a server that starts anew.
func TestManyAssignments(t *testing.T) {
	const n = 5000
	dir := t.TempDir()
	b := open(t, etcd.Config{Dir: dir})
	s, as := tables(t, b)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two", "two"} {
		if err := as.PutMany(t.Context(), assignments(n, strings.Repeat(body, 700))); err != nil {
			t.Fatal(err)
		}
	}
	// Single writes come in together, as reports do.
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Go(func() {
			for i := range 20 {
				if _, err := as.Update(context.Background(), fmt.Sprintf("host-%05d", g*20+i), func(a *api.Assignment) error {
					a.Spec.Commit = "changed"
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, as = tables(t, open(t, etcd.Config{Dir: dir}))
	all, _, err := as.List(t.Context())
	if err != nil || len(all) != n {
		t.Fatal(len(all), err)
	}
	for i, a := range all {
		if changed := a.Spec.Commit == "changed"; changed != (i < 1000) || string(a.Spec.Sections[0].Body) != strings.Repeat("two", 700) {
			t.Fatalf("%s: commit %s, body %.20q", a.Name, a.Spec.Commit, a.Spec.Sections[0].Body)
		}
	}
}

func BenchmarkPutMany(b *testing.B) {
	const n = 5000
	back := open(b, etcd.Config{Dir: b.TempDir()})
	s, as := tables(b, back)
	if err := s.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if err := as.PutMany(b.Context(), assignments(n, strings.Repeat(fmt.Sprint("body ", i), 300))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "objects/s")
}

// A batch over the engine's limit of one request is cut in pieces.
func TestPutManyLarge(t *testing.T) {
	_, as := tables(t, open(t, etcd.Config{NoSync: true}))
	many := assignments(300, strings.Repeat("x", 45_000))
	if err := as.PutMany(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	if all, _, err := as.List(t.Context()); err != nil || len(all) != 300 {
		t.Fatal(len(all), err)
	}
}

func TestSnapshot(t *testing.T) {
	b := open(t, etcd.Config{NoSync: true})
	if _, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "a", Value: []byte("here it is")}}); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if n, err := b.Snapshot(t.Context(), &buf); err != nil || n != int64(buf.Len()) || !bytes.Contains(buf.Bytes(), []byte("here it is")) {
		t.Fatal(n, err)
	}
}

// At its quota the store says so; deleting and tidying opens it again.
func TestQuota(t *testing.T) {
	b := open(t, etcd.Config{NoSync: true, Quota: 4 << 20})
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, _, err = b.Txn(t.Context(), nil, []store.Op{{Key: fmt.Sprint("k", n), Value: make([]byte, 60<<10)}})
	}
	if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "quota") {
		t.Fatalf("after %d writes: %v", n, err)
	}
	if h := b.Health(t.Context()); len(h.Problems) == 0 || h.Quota != 4<<20 {
		t.Fatalf("health %+v", h)
	}
	for i := range n {
		if _, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: fmt.Sprint("k", i), Delete: true}}); err != nil {
			t.Fatalf("deleting while full: %v", err)
		}
	}
	if err := b.Relieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "again", Value: make([]byte, 60<<10)}}); err != nil {
		t.Fatal(err)
	}
}

// Nothing listens unless asked to.
func TestNoListener(t *testing.T) {
	open(t, etcd.Config{NoSync: true})
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		raw, err := os.ReadFile(table)
		if err != nil {
			t.Skip(err)
		}
		mine := sockets(t)
		for _, line := range strings.Split(string(raw), "\n")[1:] {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine["socket:["+f[9]+"]"] {
				t.Errorf("this process listens on %s", f[1])
			}
		}
	}
}

func sockets(t *testing.T) map[string]bool {
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	out := map[string]bool{}
	for _, e := range es {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			out[to] = true
		}
	}
	return out
}
