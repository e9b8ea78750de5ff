package tree_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"drover/api"
	"drover/internal/tree"
)

func build(t *testing.T, files ...tree.File) *tree.Tree {
	t.Helper()
	b := tree.NewBuilder(tree.Limits{})
	for _, f := range files {
		if err := b.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func sample(t *testing.T) *tree.Tree {
	return build(t, tree.File{Path: "site.yml", Data: []byte("- hosts: all\n")}, tree.File{Path: "roles/a/files/run.sh", Exec: true, Data: []byte("#!/bin/sh\n")},
		tree.File{Path: "roles/b", Link: "a"}, tree.File{Path: "roles/a/files/again.sh", Link: "run.sh"}, tree.File{Path: "gone", Link: "nowhere"})
}

func TestTreeIsAFileSystem(t *testing.T) {
	tr := build(t, tree.File{Path: "a/b/c", Data: []byte("1")}, tree.File{Path: "a/d", Data: []byte("2")}, tree.File{Path: "e", Exec: true})
	if err := fstest.TestFS(tr, "a/b/c", "a/d", "e"); err != nil {
		t.Fatal(err)
	}
}

func TestLinksAreFollowedInside(t *testing.T) {
	tr := sample(t)
	for _, name := range []string{"roles/b/files/again.sh", "roles/a/files/again.sh", "roles/b/files/run.sh"} {
		if b, err := fs.ReadFile(tr, name); err != nil || string(b) != "#!/bin/sh\n" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := tr.Open("gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
	loop := build(t, tree.File{Path: "x", Link: "y"}, tree.File{Path: "y", Link: "x"})
	if _, err := loop.Stat("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a loop: %v", err)
	}
}

func TestWhatLeadsOutIsRefused(t *testing.T) {
	for _, f := range []tree.File{
		{Path: "../x"}, {Path: "/etc/passwd"}, {Path: "a/../b"}, {Path: ""}, {Path: "."}, {Path: strings.Repeat("a", 2000)},
		{Path: "a", Link: "/etc/shadow"}, {Path: "a/b", Link: "../../x"}, {Path: "a", Link: ".."},
	} {
		var e *api.Error
		if err := tree.NewBuilder(tree.Limits{}).Add(f); !errors.As(err, &e) || e.Remedy == "" {
			t.Errorf("%+v: %v", f, err)
		}
	}
	b := tree.NewBuilder(tree.Limits{Files: 2, Size: 3})
	if err := b.Add(tree.File{Path: "a", Data: []byte("1234")}); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("too many bytes: %v", err)
	}
	_ = b.Add(tree.File{Path: "a"})
	_ = b.Add(tree.File{Path: "b"})
	if err := b.Add(tree.File{Path: "c"}); api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("too many files: %v", err)
	}
	clash := tree.NewBuilder(tree.Limits{})
	_ = clash.Add(tree.File{Path: "a"})
	_ = clash.Add(tree.File{Path: "a/b"})
	if _, err := clash.Tree(); err == nil {
		t.Error("a file that is a folder too is fine?")
	}
}

func TestPackingIsDeterministicAndComesBack(t *testing.T) {
	var one, two bytes.Buffer
	a := sample(t)
	if err := a.Pack(&one); err != nil {
		t.Fatal(err)
	}
	back, err := tree.ReadTar(bytes.NewReader(one.Bytes()), tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if back.Sum() != a.Sum() || back.Len() != a.Len() {
		t.Errorf("it came back as another tree: %s and %s", back.Sum(), a.Sum())
	}
	if err := back.Pack(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("packed again it has other bytes (%v)", err)
	}
	if other := build(t, tree.File{Path: "site.yml", Exec: true, Data: []byte("- hosts: all\n")}); other.Sum() == build(t, tree.File{Path: "site.yml", Data: []byte("- hosts: all\n")}).Sum() {
		t.Error("the mode does not count")
	}
}

func TestReadDirLeavesHiddenFoldersOut(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{".git/config", "roles/x/tasks/main.yml", "site.yml"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte(p), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := tree.ReadDir(dir, tree.Limits{})
	if err != nil || tr.Len() != 2 || !tr.Has("site.yml") {
		t.Fatalf("%v, %v", tr, err)
	}
	copied, err := tree.FromFS(tr, tree.Limits{})
	if err != nil || copied.Sum() != tr.Sum() {
		t.Errorf("a copy differs: %v", err)
	}
}

func FuzzReadTar(f *testing.F) {
	b := tree.NewBuilder(tree.Limits{})
	_ = b.Add(tree.File{Path: "a/b", Data: []byte("x")})
	_ = b.Add(tree.File{Path: "c", Link: "a/b"})
	tr, err := b.Tree()
	if err != nil {
		f.Fatal(err)
	}
	var plain, packed bytes.Buffer
	if err := errors.Join(tr.Tar(&plain), tr.Pack(&packed)); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Add(packed.Bytes())
	f.Fuzz(func(t *testing.T, src []byte) {
		tr, err := tree.ReadTar(bytes.NewReader(src), tree.Limits{Files: 100, Size: 1 << 20})
		if err != nil {
			return
		}
		for _, file := range tr.Files() {
			if !fs.ValidPath(file.Path) {
				t.Fatalf("path %q", file.Path)
			}
			_, _ = fs.ReadFile(tr, file.Path)
		}
		if err := fs.WalkDir(tr, ".", func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	})
}
