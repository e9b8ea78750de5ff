package source

import (
	"embed"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Files is where a project, an inventory and the files that tasks send are
// read from. Names are slash paths.
type Files interface {
	Open(name string) (fs.File, error)
	ReadFile(name string) ([]byte, error)
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	// Root is the folder that relative names start from.
	Root() string
}

// OS reads this machine's files; relative names start at dir, or at the
// working directory when dir is empty.
func OS(dir string) Files {
	if dir == "" {
		dir, _ = os.Getwd()
	}
	return osFiles{dir}
}

type osFiles struct{ root string }

func (o osFiles) abs(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(o.root, name)
}
func (o osFiles) Root() string                               { return o.root }
func (o osFiles) Open(name string) (fs.File, error)          { return os.Open(o.abs(name)) }
func (o osFiles) ReadFile(name string) ([]byte, error)       { return os.ReadFile(o.abs(name)) }
func (o osFiles) Stat(name string) (fs.FileInfo, error)      { return os.Stat(o.abs(name)) }
func (o osFiles) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(o.abs(name)) }

// Bundle reads from fsys, whose root is the absolute path "/": nothing
// outside of it can be named.
func Bundle(fsys fs.FS) Files { return bundle{fsys} }

// None are no files at all: what is read where nobody said from where.
func None() Files { return Bundle(embed.FS{}) }

type bundle struct{ fsys fs.FS }

func (b bundle) rel(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}
func (b bundle) Root() string                               { return "/" }
func (b bundle) Open(name string) (fs.File, error)          { return b.fsys.Open(b.rel(name)) }
func (b bundle) ReadFile(name string) ([]byte, error)       { return fs.ReadFile(b.fsys, b.rel(name)) }
func (b bundle) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(b.fsys, b.rel(name)) }
func (b bundle) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(b.fsys, b.rel(name)) }

// IsDir reports whether a folder is there.
func IsDir(f Files, name string) bool {
	st, err := f.Stat(name)
	return err == nil && st.IsDir()
}

// IsFile reports whether a file is there.
func IsFile(f Files, name string) bool {
	st, err := f.Stat(name)
	return err == nil && !st.IsDir()
}

// Here reports whether f are this machine's files.
func Here(f Files) bool {
	_, ok := f.(osFiles)
	return ok
}
