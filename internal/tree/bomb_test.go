package tree_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing"

	"drover/api"
	"drover/internal/tree"

	"github.com/klauspost/compress/zstd"
)

// A walk follows links, as Ansible's do; it must end all the same.
func TestAWalkEnds(t *testing.T) {
	walk := func(tr *tree.Tree) (names []string) {
		err := fs.WalkDir(tr, ".", func(p string, _ fs.DirEntry, err error) error {
			if names = append(names, p); len(names) > 1000 {
				return fmt.Errorf("it goes on and on: %s", p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	itself := build(t, tree.File{Path: "a/x", Link: "."}, tree.File{Path: "a/y", Link: ".."}, tree.File{Path: "a/f"})
	if got, want := walk(itself), []string{".", "a", "a/f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := fs.Stat(itself, "a/y/a/x/f"); err != nil {
		t.Errorf("the links lead nowhere any more: %v", err)
	}
	each := build(t, tree.File{Path: "a/b", Link: "../b"}, tree.File{Path: "b/a", Link: "../a"}, tree.File{Path: "a/f"}, tree.File{Path: "b/g"})
	if got := walk(each); !slices.Contains(got, "a/b/g") || len(got) > 12 {
		t.Errorf("got %q", got)
	}
}

// Links that double what is there, again and again, are no loop.
func TestLinksThatMultiplyAreRefused(t *testing.T) {
	b := tree.NewBuilder(tree.Limits{})
	add := func(f tree.File) {
		if err := b.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		for _, n := range "xy" {
			add(tree.File{Path: fmt.Sprintf("d%d/%c", i, n), Link: fmt.Sprintf("../d%d", i+1)})
		}
	}
	add(tree.File{Path: "d30/f"})
	if _, err := b.Tree(); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

// endless is a tar of folders without end, of which a compressed one of a few
// MB has millions.
func TestATarOfNothingEnds(t *testing.T) {
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	const folders = 20_000 // 10 MB
	if _, err := z.Write(bytes.Repeat(head.Bytes(), folders)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if packed.Len() > 64<<10 {
		t.Fatalf("%d bytes", packed.Len())
	}
	in := bytes.NewReader(packed.Bytes())
	_, err = tree.ReadTar(in, tree.Limits{Files: 10, Size: 1 << 20})
	if api.CodeOf(err) != api.CodeTooLarge {
		t.Errorf("got %v", err)
	}
	if _, err := tree.ReadTar(io.LimitReader(bytes.NewReader(packed.Bytes()), int64(packed.Len())), tree.Limits{}); err != nil {
		t.Errorf("within the limits: %v", err)
	}
}
