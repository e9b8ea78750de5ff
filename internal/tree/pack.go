package tree

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"drover/api"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Pack writes the tree as tar.zst. Equal trees give equal bytes: no times, no
// owners, one order, one level of compression, one thread.
func (t *Tree) Pack(w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("cannot compress the bundle: %w", err)
	}
	if err := t.Tar(z); err != nil {
		return err
	}
	return z.Close()
}

// Tar writes the tree as a plain tar, as Pack does.
func (t *Tree) Tar(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, f := range t.Files() {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: 0o644, Size: int64(len(f.Data)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if f.Exec {
			h.Mode = 0o755
		}
		if f.Link != "" {
			h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, f.Link, 0, 0o777
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Path, err)
		}
		if f.Link == "" {
			if _, err := tw.Write(f.Data); err != nil {
				return fmt.Errorf("cannot pack %s: %w", f.Path, err)
			}
		}
	}
	return tw.Close()
}

// ReadTar reads a tar, plain or compressed by gzip or zstd.
func ReadTar(r io.Reader, l Limits) (*Tree, error) {
	br := bufio.NewReader(r)
	magic, _ := br.Peek(4)
	var in io.Reader = br
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, tarErr(err)
		}
		in = z
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, tarErr(err)
		}
		defer z.Close()
		in = z
	}
	b := NewBuilder(l)
	// What is in no file counts too: headers can be packed to next to nothing.
	tr := tar.NewReader(&bounded{r: in, left: b.limits.Size + perFile*int64(b.limits.Files)})
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return b.Tree()
		}
		if err != nil {
			return nil, tarErr(err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "./"))
		f := File{Path: name, Exec: h.Mode&0o111 != 0}
		switch h.Typeflag {
		case tar.TypeReg:
			if err := b.Reserve(1, h.Size); err != nil {
				return nil, err
			}
			if f.Data, err = io.ReadAll(tr); err != nil {
				return nil, tarErr(err)
			}
		case tar.TypeSymlink:
			f.Link, f.Exec = h.Linkname, false
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		default:
			return nil, place(name, "it is neither a file nor a link", "leave it out")
		}
		if err := b.Add(f); err != nil {
			return nil, err
		}
	}
}

// perFile is what a tar may hold for each file beside its content.
const perFile = 4 << 10

// bounded reads at most left bytes and fails then.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, api.Errorf(api.CodeTooLarge, "the upload is too large when it is unpacked").WithRemedy("send only what playbooks need")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func tarErr(err error) error {
	var big *api.Error
	if errors.As(err, &big) {
		return err
	}
	return api.Errorf(api.CodeInvalid, "cannot read the upload: %v", err).WithRemedy("send a tar, plain or compressed with gzip or zstd")
}

// ReadDir reads a folder from disk. Hidden folders such as .git are left out.
func ReadDir(root string, l Limits) (*Tree, error) {
	b := NewBuilder(l)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || rel == "." {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Path: name, Exec: st.Mode()&0o111 != 0}
		switch {
		case st.Mode().IsRegular():
			if err := b.Reserve(1, st.Size()); err != nil {
				return err
			}
			f.Data, err = os.ReadFile(p)
		case st.Mode()&fs.ModeSymlink != 0:
			f.Link, err = os.Readlink(p)
			f.Exec = false
		default:
			return place(name, "it is neither a file nor a link", "leave it out")
		}
		if err != nil {
			return err
		}
		return b.Add(f)
	})
	if err != nil {
		var e *api.Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, fmt.Errorf("cannot read %s: %w", root, err)
	}
	return b.Tree()
}

// FromFS copies all files of another file system, which has no links.
func FromFS(fsys fs.FS, l Limits) (*Tree, error) {
	b := NewBuilder(l)
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if err := b.Reserve(1, st.Size()); err != nil {
			return err
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		return b.Add(File{Path: p, Exec: st.Mode()&0o111 != 0, Data: data})
	})
	if err != nil {
		return nil, err
	}
	return b.Tree()
}
