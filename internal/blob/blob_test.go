package blob_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/blob"
)

func open(t *testing.T, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if err == nil || api.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	hash, size, err := s.Put(strings.NewReader("hello"))
	if err != nil || hash != sum("hello") || size != 5 || !s.Has(hash) {
		t.Fatal(hash, size, err)
	}
	if again, err := s.PutBytes([]byte("hello")); err != nil || again != hash {
		t.Fatal(again, err)
	}
	s = open(t, dir)
	got, err := s.ReadAll(hash, 100)
	if err != nil || string(got) != "hello" {
		t.Fatal(string(got), err)
	}
	_, err = s.ReadAll(hash, 4)
	wantCode(t, err, api.CodeTooLarge)
	_, err = s.Open(sum("none"))
	wantCode(t, err, api.CodeNotFound)
	for _, bad := range []string{"", "../../etc/passwd", strings.ToUpper(hash), hash[:63] + "/", strings.Repeat("z", 64)} {
		_, err := s.Open(bad)
		wantCode(t, err, api.CodeInvalid)
		if s.Has(bad) {
			t.Errorf("has %q", bad)
		}
	}
	r, err := s.Open(hash)
	if err != nil || r.Size() != 5 {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "lo" {
		t.Fatal(string(rest), err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 || all[0] != hash {
		t.Fatal(all, err)
	}
	if err := s.Remove(hash); err != nil || s.Has(hash) {
		t.Fatal(err)
	}
	if err := s.Remove(hash); err != nil {
		t.Fatal(err)
	}
}

func TestDamaged(t *testing.T) {
	s := open(t, t.TempDir())
	hash, err := s.PutBytes([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(hash), []byte("hellO"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.ReadAll(hash, 100)
	wantCode(t, err, api.CodeInternal)
}

// failing yields some bytes, then fails.
type failing struct{ left int }

func (f *failing) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, errors.New("the line broke")
	}
	n := min(len(p), f.left)
	f.left -= n
	return n, nil
}

func TestNothingHalf(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, _, err := s.Put(&failing{left: 100_000}); err == nil {
		t.Fatal("a broken stream was stored")
	}
	wantCode(t, s.PutAs(sum("a"), strings.NewReader("b")), api.CodeInvalid)
	if all, _ := s.List(); len(all) != 0 {
		t.Fatal(all)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 0 {
		t.Fatal(left)
	}
}

func TestResume(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	body := strings.Repeat("drover ", 10_000)
	hash := sum(body)
	p, err := s.Resume(hash)
	if err != nil || p.Offset() != 0 {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, body[:12_345]); err != nil {
		t.Fatal(err)
	}
	_, err = s.Resume(hash)
	wantCode(t, err, api.CodeConflict)
	if err := p.Close(); err != nil { // the process ends
		t.Fatal(err)
	}
	s = open(t, dir)
	if p, err = s.Resume(hash); err != nil || p.Offset() != 12_345 {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, body[p.Offset():]); err != nil {
		t.Fatal(err)
	}
	if s.Has(hash) {
		t.Fatal("there before it is whole")
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ReadAll(hash, 1<<20); err != nil || string(got) != body {
		t.Fatal(len(got), err)
	}
	_, err = s.Resume(hash)
	wantCode(t, err, api.CodeExists)

	bad := sum("other")
	if p, err = s.Resume(bad); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p, "wrong"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.Commit(), api.CodeInvalid)
	if p, err = s.Resume(bad); err != nil || p.Offset() != 0 {
		t.Fatal("what was wrong is kept", err)
	}
	p.Close()
}

func TestConcurrentPuts(t *testing.T) {
	s := open(t, t.TempDir())
	body := bytes.Repeat([]byte("x"), 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			hash, err := s.PutBytes(body)
			if err != nil {
				t.Error(err)
			} else if got, err := s.ReadAll(hash, 2<<20); err != nil || !bytes.Equal(got, body) {
				t.Error("not whole", err)
			}
		})
	}
	wg.Wait()
}

func TestPrune(t *testing.T) {
	s := open(t, t.TempDir())
	keep, _ := s.PutBytes([]byte("keep"))
	drop, _ := s.PutBytes([]byte("drop"))
	young, _ := s.PutBytes([]byte("young"))
	old := time.Now().Add(-time.Hour)
	for _, h := range []string{keep, drop} {
		if err := os.Chtimes(s.Path(h), old, old); err != nil {
			t.Fatal(err)
		}
	}
	won, err := s.Prune(time.Minute, func(h string) bool { return h == keep })
	if err != nil || won != 4 || !s.Has(keep) || s.Has(drop) || !s.Has(young) {
		t.Fatal(won, err)
	}
}
