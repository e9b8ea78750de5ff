package module

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"drover/internal/play/machine"
)

// A task that finds nothing to do is what most tasks of most runs are.
func BenchmarkNoChange(b *testing.B) {
	root := b.TempDir()
	for name, text := range map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/f": "a\nb\n"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, req := range []Request{
		{Module: "copy", Args: map[string]any{"dest": "/etc/f", "content": "a\nb\n", "mode": "0644"}},
		{Module: "file", Args: map[string]any{"path": "/etc", "state": "directory"}},
		{Module: "lineinfile", Args: map[string]any{"path": "/etc/f", "regexp": "^b", "line": "b"}},
		{Module: "stat", Args: map[string]any{"path": "/etc/f"}},
	} {
		b.Run(req.Module, func(b *testing.B) {
			h := &Host{Root: root}
			for b.Loop() {
				if r := Run(context.Background(), &Call{Request: req, Host: h}); r.Failed || r.Changed {
					b.Fatal(r)
				}
			}
		})
	}
}

// Content that is too large for the request is fetched, checked against its hash,
// and a damaged one leaves the old file.
func TestFetchedSource(t *testing.T) {
	root := t.TempDir()
	big := make([]byte, InlineLimit+1)
	copy(big, "start")
	sum := machine.SumsOf(big)
	req := Request{Module: "copy", Args: map[string]any{"src": "big", "dest": "/big"},
		Source: &Source{Name: "big", Size: int64(len(big)), SHA256: sum.SHA256, SHA1: sum.SHA1}}
	run := func(content []byte) *Result {
		return Run(context.Background(), &Call{Request: req, Host: &Host{Root: root}, Fetch: fetcher(t, sum.SHA256, content)})
	}
	damaged := append([]byte{}, big...)
	damaged[7]++
	if r := run(damaged); !r.Failed {
		t.Fatalf("a damaged content was taken: %+v", r)
	}
	if _, err := os.Lstat(filepath.Join(root, "big")); err == nil {
		t.Fatal("a damaged content was written")
	}
	if r := run(big[:100]); !r.Failed {
		t.Fatalf("a short content was taken: %+v", r)
	}
	if r := run(big); r.Failed || !r.Changed || r.Values["checksum"] != sum.SHA1 {
		t.Fatalf("%+v", r)
	}
	if r := run(nil); r.Failed || r.Changed {
		t.Fatalf("the same again: %+v", r)
	}
	left, err := os.ReadDir(root)
	if err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v %v", left, err)
	}
}

// A module that ends in a fault is a failed task, not the end of the session.
func TestPanicIsAResult(t *testing.T) {
	r := Run(context.Background(), &Call{Request: Request{Module: "ping", Args: map[string]any{"data": "crash"}}})
	if !r.Failed || r.Values["exception"] == nil {
		t.Fatalf("%+v", r)
	}
}
