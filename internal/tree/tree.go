// Package tree holds a folder of files in memory: a commit of the fleet
// repository, an uploaded working tree, or a folder on disk. It is a read-only
// fs.FS whose links cannot lead out of it, with bounds on count and size, so
// that content from outside can be read without touching the server's own
// files. Pack writes it as a bundle whose bytes depend on its content alone.
package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"

	"drover/api"
)

// Limits bound what a tree may hold. Zero fields mean the defaults.
type Limits struct {
	Files int   // number of files; 50,000
	Size  int64 // sum of all files' bytes; 256 MB
	Path  int   // bytes of one path; 1,024
}

// WithDefaults fills in the zero fields.
func (l Limits) WithDefaults() Limits {
	if l.Files == 0 {
		l.Files = 50_000
	}
	if l.Size == 0 {
		l.Size = 256 << 20
	}
	if l.Path == 0 {
		l.Path = 1024
	}
	return l
}

// File is one file or link of a tree.
type File struct {
	Path string // slash-separated, clean, relative
	Exec bool   // mode 0755 instead of 0644
	Link string // target of a symbolic link, or ""
	Data []byte
	Sum  string // SHA-256 of Data in hex; a link has none
}

// Tree is a folder of files. It is never changed once built.
type Tree struct {
	files map[string]*File
	paths []string            // sorted
	dirs  map[string][]string // folder → sorted names in it; "." is the root
	back  map[string]bool     // links to a folder that they are in; no listing has them
	sum   string
}

// Builder collects files for a Tree.
type Builder struct {
	limits Limits
	files  map[string]*File
	size   int64
}

// NewBuilder starts a tree within limits.
func NewBuilder(l Limits) *Builder {
	return &Builder{limits: l.WithDefaults(), files: map[string]*File{}}
}

// Reserve refuses, before anything is read, what would be over a limit.
func (b *Builder) Reserve(files int, size int64) error {
	if len(b.files)+files > b.limits.Files {
		return api.Errorf(api.CodeTooLarge, "the tree has more than %d files", b.limits.Files).
			WithRemedy("keep what playbooks do not need out of the repository")
	}
	if b.size+size > b.limits.Size {
		return api.Errorf(api.CodeTooLarge, "the files together are over %d MB", b.limits.Size>>20).
			WithRemedy("keep large files on a web server and fetch them with get_url")
	}
	return nil
}

// Add puts one file into the tree.
func (b *Builder) Add(f File) error {
	if err := b.check(f.Path); err != nil {
		return err
	}
	if _, ok := b.files[f.Path]; ok {
		return place(f.Path, "there are two files of this name", "remove one of them")
	}
	if err := b.Reserve(1, int64(len(f.Data))); err != nil {
		return err
	}
	if f.Link != "" {
		if path.IsAbs(f.Link) || strings.HasPrefix(path.Join(path.Dir(f.Path), f.Link)+"/", "../") {
			return place(f.Path, fmt.Sprintf("the link leads out of the repository, to %q", f.Link),
				"link to a file inside the repository, or put the file itself here")
		}
	} else if f.Sum == "" {
		h := sha256.Sum256(f.Data)
		f.Sum = hex.EncodeToString(h[:])
	}
	b.files[f.Path] = &f
	b.size += int64(len(f.Data))
	return nil
}

func (b *Builder) check(p string) error {
	switch {
	case len(p) > b.limits.Path:
		return place(p[:60]+"…", fmt.Sprintf("the path is longer than %d bytes", b.limits.Path), "use shorter names")
	case !fs.ValidPath(p) || p == "." || strings.ContainsAny(p, "\x00\\") && strings.Contains(p, "\x00"):
		return place(p, fmt.Sprintf("%q is not a path inside the tree", p), "use relative paths without '.' and '..' parts")
	}
	return nil
}

func place(file, msg, remedy string) *api.Error {
	return &api.Error{Code: api.CodeInvalid, Message: msg, Place: &api.Place{File: file}, Remedy: remedy}
}

// Tree finishes the building. A name that is both file and folder is refused.
func (b *Builder) Tree() (*Tree, error) {
	t := &Tree{files: b.files, dirs: map[string][]string{".": nil}}
	for p := range b.files {
		t.paths = append(t.paths, p)
	}
	sort.Strings(t.paths)
	h := sha256.New()
	for _, p := range t.paths {
		f := t.files[p]
		fmt.Fprintf(h, "%d:%s %t %d:%s %s\n", len(p), p, f.Exec, len(f.Link), f.Link, f.Sum)
		for child := p; child != "."; {
			dir := path.Dir(child)
			if dir != "." {
				if _, clash := t.files[dir]; clash {
					return nil, place(dir, "it is both a file and a folder", "rename one of them")
				}
			}
			names, known := t.dirs[dir]
			t.dirs[dir] = append(names, path.Base(child))
			if known && dir != "." {
				break
			}
			child = dir
		}
	}
	for _, names := range t.dirs {
		sort.Strings(names)
	}
	t.sum = hex.EncodeToString(h.Sum(nil))
	return t, t.unroll(b.limits.Files)
}

// manyTimes is how often more entries a walk may meet than there are files,
// because of links to folders.
const manyTimes = 10

// unroll makes sure that a walk through the tree, which follows links, ends
// soon. A few links to folders are enough to make it endless, or as good as.
func (t *Tree) unroll(files int) error {
	linked := false
	for _, f := range t.files {
		linked = linked || f.Link != ""
	}
	if !linked {
		return nil
	}
	t.back = map[string]bool{}
	const open = -1
	count := map[string]int{} // what a walk of a folder meets
	limit := manyTimes*files + len(t.dirs)
	var walk func(dir string) (int, error)
	walk = func(dir string) (int, error) {
		count[dir] = open
		n := 1
		for _, name := range t.dirs[dir] {
			p := path.Join(dir, name)
			to := t.resolve(p)
			if _, folder := t.dirs[to]; to == "" || !folder {
				n++
				continue
			}
			below, known := count[to]
			if below == open && known {
				t.back[p] = true
				continue
			}
			if !known {
				var err error
				if below, err = walk(to); err != nil {
					return 0, err
				}
			}
			if n += below; n > limit {
				return 0, place(p, fmt.Sprintf("links to folders make more than %d files of those that are there", limit), "link to fewer folders")
			}
		}
		count[dir] = n
		return n, nil
	}
	_, err := walk(".")
	return err
}

// Sum names the tree's content: equal content has an equal sum.
func (t *Tree) Sum() string { return t.sum }

// Len is the number of files.
func (t *Tree) Len() int { return len(t.paths) }

// Files are all files in the order of their paths.
func (t *Tree) Files() []*File {
	out := make([]*File, len(t.paths))
	for i, p := range t.paths {
		out[i] = t.files[p]
	}
	return out
}

// Has reports whether name is a file (not a folder) of the tree.
func (t *Tree) Has(name string) bool { return t.files[name] != nil }

// Sub is the part of the tree for which keep says yes.
func (t *Tree) Sub(keep func(p string) bool) (*Tree, error) {
	b := NewBuilder(Limits{Files: max(len(t.paths)+1, Limits{}.WithDefaults().Files), Size: 1 << 60})
	for _, p := range t.paths {
		if keep(p) {
			b.files[p] = t.files[p]
		}
	}
	return b.Tree()
}

// resolve follows links to a file or folder; "" if there is none.
func (t *Tree) resolve(name string) string {
	for range 40 {
		if _, ok := t.dirs[name]; ok {
			return name
		}
		if f := t.files[name]; f != nil {
			if f.Link == "" {
				return name
			}
			name = path.Join(path.Dir(name), f.Link)
			continue
		}
		// A part of the path may be a link to a folder.
		parts, hit := strings.Split(name, "/"), false
		for i := 1; i < len(parts); i++ {
			if f := t.files[strings.Join(parts[:i], "/")]; f != nil && f.Link != "" {
				name = path.Join(append([]string{path.Dir(f.Path), f.Link}, parts[i:]...)...)
				hit = true
				break
			}
		}
		if !hit || name == ".." || strings.HasPrefix(name, "../") {
			return ""
		}
	}
	return ""
}

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	st, err := t.stat("open", name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		ents, err := t.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{info: st, ents: ents}, nil
	}
	return &openFile{info: st, Reader: strings.NewReader(string(st.file.Data))}, nil
}

// ReadFile implements fs.ReadFileFS. The bytes are the caller's.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	st, err := t.stat("open", name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is a directory")}
	}
	return append([]byte(nil), st.file.Data...), nil
}

// Stat implements fs.StatFS; it follows links.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	st, err := t.stat("stat", name)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (t *Tree) stat(op, name string) (*info, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	real := t.resolve(name)
	if real == "" {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return &info{name: path.Base(name), file: t.files[real]}, nil
}

// ReadDir implements fs.ReadDirFS; links appear as what they lead to.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	real := t.resolve(name)
	names, ok := t.dirs[real]
	if real == "" || !ok {
		err := fs.ErrNotExist
		if real != "" {
			err = fmt.Errorf("not a directory")
		}
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []fs.DirEntry
	for _, n := range names {
		p := path.Join(real, n)
		target := t.resolve(p)
		if target == "" || t.back[p] {
			continue // a link to nothing, or back to where we are
		}
		out = append(out, fs.FileInfoToDirEntry(&info{name: n, file: t.files[target]}))
	}
	return out, nil
}

// info describes a file, or a folder when file is nil.
type info struct {
	name string
	file *File
}

func (i *info) Name() string       { return i.name }
func (i *info) IsDir() bool        { return i.file == nil }
func (i *info) ModTime() time.Time { return time.Time{} }
func (i *info) Sys() any           { return nil }
func (i *info) Size() int64 {
	if i.file == nil {
		return 0
	}
	return int64(len(i.file.Data))
}

func (i *info) Mode() fs.FileMode {
	switch {
	case i.file == nil:
		return fs.ModeDir | 0o755
	case i.file.Exec:
		return 0o755
	}
	return 0o644
}

type openFile struct {
	info *info
	*strings.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info *info
	ents []fs.DirEntry
	at   int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fmt.Errorf("is a directory")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.ents[d.at:]
	if n <= 0 {
		d.at = len(d.ents)
		return append([]fs.DirEntry(nil), rest...), nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(rest))
	d.at += n
	return append([]fs.DirEntry(nil), rest[:n]...), nil
}
