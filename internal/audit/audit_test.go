package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/audit"
)

func open(t *testing.T, path string) *audit.Log {
	t.Helper()
	l, err := audit.Open(path, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// filled makes a log with n entries and closes it.
func filled(t *testing.T, n int) string {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := open(t, path)
	for i := range n {
		e, err := l.Append(t.Context(), api.AuditEntry{Actor: "kim", Action: "POST /v1/hosts", Object: fmt.Sprint("host/", i), Result: "ok", Detail: "a <b> & \xff \u2028"})
		if err != nil || e.Seq != int64(i+1) || len(e.Hash) != 64 {
			t.Fatal(e, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestChain(t *testing.T) {
	path := filled(t, 3)
	if err := audit.Verify(path); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				if _, err := l.Append(context.Background(), api.AuditEntry{Actor: "token/ci", Action: "git.push", Result: "ok"}); err != nil {
					t.Error(err)
				}
			}
			if err := audit.Verify(path); err != nil { // while it is written
				t.Error(err)
			}
		})
	}
	wg.Wait()
	es, err := l.List(t.Context(), audit.Filter{})
	if err != nil || len(es) != 403 || es[402].Prev != es[401].Hash || es[0].Prev != "" {
		t.Fatal(len(es), err)
	}
	if es, err = l.List(t.Context(), audit.Filter{Actor: "kim", Action: "POST *", Object: "host/2", Since: time.Now().Add(-time.Hour)}); err != nil || len(es) != 1 || es[0].Seq != 3 {
		t.Fatal(es, err)
	}
	if es, err = l.List(t.Context(), audit.Filter{Limit: 2}); err != nil || len(es) != 2 || es[1].Seq != 403 {
		t.Fatal(es, err)
	}
	if es, err = l.List(t.Context(), audit.Filter{After: 402}); err != nil || len(es) != 1 {
		t.Fatal(es, err)
	}
	if _, err := audit.Open(path, audit.Options{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Fatal(err)
	}
}

// Every kind of tampering is found, with the line it begins at.
func TestTampering(t *testing.T) {
	for _, c := range []struct {
		name string
		line int
		do   func(lines [][]byte) [][]byte
	}{
		{"changed", 3, func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte("kim"), []byte("tim"), 1); return l }},
		{"removed", 3, func(l [][]byte) [][]byte { return append(l[:2], l[3:]...) }},
		{"swapped", 2, func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l }},
		{"first removed", 1, func(l [][]byte) [][]byte { return l[1:] }},
		{"doubled", 3, func(l [][]byte) [][]byte { return append(l[:2:2], l[1:]...) }},
		{"a field hidden in it", 2, func(l [][]byte) [][]byte {
			l[1] = bytes.Replace(l[1], []byte(`{"seq"`), []byte(`{"Seq":7,"seq"`), 1)
			return l
		}},
		{"garbage", 4, func(l [][]byte) [][]byte { l[3] = []byte("xxx"); return l }},
		{"end cut off", 4, func(l [][]byte) [][]byte { return append(l[:3:3], nil) }},
	} {
		path := filled(t, 5)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.Join(c.do(bytes.Split(raw, []byte("\n"))), []byte("\n"))
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		for how, err := range map[string]error{"Verify": audit.Verify(path), "Open": func() error { _, err := audit.Open(path, audit.Options{}); return err }()} {
			var e *api.Error
			if !errors.As(err, &e) || e.Place == nil || e.Place.Line != c.line || !strings.Contains(e.Message, "broken") {
				t.Errorf("%s, %s: %v, want line %d", c.name, how, err, c.line)
			}
		}
	}
}

// A crash tears the last line only; it was never acknowledged.
func TestTorn(t *testing.T) {
	path := filled(t, 3)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":4,"time":"2026`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := audit.Verify(path); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	if e, err := l.Append(t.Context(), api.AuditEntry{Actor: "kim", Action: "x", Result: "ok"}); err != nil || e.Seq != 4 {
		t.Fatal(e, err)
	}
	if err := audit.Verify(path); err != nil {
		t.Fatal(err)
	}
}
