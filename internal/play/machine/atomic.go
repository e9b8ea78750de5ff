package machine

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Staged is a file being written beside its destination. Commit puts it in
// place in one step; until then the destination is untouched.
type Staged struct {
	h    *Host
	f    *os.File
	Dest string // real path
	done bool
}

// Stage opens a temporary file in the folder of dest, a path as a module names
// it; follow writes to where a symbolic link leads instead of replacing the
// link. The name is fixed and the file locked, so that what a killed run left
// is taken over by the next one instead of piling up.
func (h *Host) Stage(dest string, follow bool) (*Staged, error) {
	if follow {
		dest = h.Realpath(dest)
	}
	real := h.Path(dest)
	return h.StageAs(real, filepath.Base(real))
}

// StageAs stages the real path dest under the temporary name that belongs to base.
func (h *Host) StageAs(real, base string) (*Staged, error) {
	dir := filepath.Dir(real)
	if len(base) > 200 {
		base = base[:200]
	}
	name := filepath.Join(dir, "."+base+".drover-tmp")
	for try := range 3 {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
		if err == nil {
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil && !errors.Is(err, unix.ENOTSUP) {
				f.Close()
				return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
			}
			h.Step("stage")
			return &Staged{h: h, f: f, Dest: real}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if try > 0 || !removeStale(name) {
			name = filepath.Join(dir, "."+base+".drover-tmp-"+rand.Text()[:8])
		}
	}
	return nil, fmt.Errorf("cannot make a temporary file for %s", real)
}

// removeStale removes a temporary file that nobody holds any more.
func removeStale(name string) bool {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() || os.Geteuid() != 0 && int(RawStat(fi).Uid) != os.Geteuid() {
		return false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	return os.Remove(name) == nil
}

// Write adds to the temporary file.
func (s *Staged) Write(b []byte) (int, error) { return s.f.Write(b) }

// TempPath is where the temporary file is, as a command on this machine sees it.
func (s *Staged) TempPath() string { return s.f.Name() }

// Abort drops the temporary file unless it was committed.
func (s *Staged) Abort() {
	if !s.done {
		os.Remove(s.f.Name())
		s.f.Close()
		s.done = true
	}
}

// Commit gives the file the attributes of what it replaces (or, for a new one,
// those of a fresh file), then those of a, and renames it into place.
func (s *Staged) Commit(a *Attrs, unsafe bool) error {
	mode := uint32(0o666) &^ Umask()
	uid, gid := -1, -1
	if fi, err := os.Lstat(s.Dest); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		if fi.IsDir() {
			return fmt.Errorf("cannot replace %s: it is a directory", s.Dest)
		}
		st := RawStat(fi)
		mode, uid, gid = st.Mode&0o7777, int(st.Uid), int(st.Gid)
		copyXattrs(s.Dest, s.f)
	}
	if a != nil {
		if u, g, err := a.IDs(s.h); err == nil {
			if u >= 0 {
				uid = u
			}
			if g >= 0 {
				gid = g
			}
		}
		if a.Mode != nil {
			if m, err := ParseMode(a.Mode, mode, false, Umask()); err == nil {
				mode = m
			}
		}
	}
	if fi, err := s.f.Stat(); err == nil && (uid >= 0 && int(RawStat(fi).Uid) != uid || gid >= 0 && int(RawStat(fi).Gid) != gid) {
		if err := s.f.Chown(uid, gid); err != nil && os.Geteuid() == 0 {
			return fmt.Errorf("cannot set the owner of %s: %w", s.Dest, err)
		}
	}
	if err := unix.Fchmod(int(s.f.Fd()), mode); err != nil {
		return fmt.Errorf("cannot set the mode of %s: %w", s.Dest, err)
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.Dest, err)
	}
	s.h.Step("synced")
	if err := os.Rename(s.f.Name(), s.Dest); err != nil {
		if unsafe && (errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.ETXTBSY)) {
			return s.overwrite(mode)
		}
		return fmt.Errorf("cannot put %s in place: %w", s.Dest, err)
	}
	s.done = true
	s.f.Close()
	s.h.Step("renamed")
	return SyncDir(filepath.Dir(s.Dest))
}

// overwrite writes into the destination itself: what unsafe_writes asks for where
// it cannot be replaced, as with a file that is a mount point.
func (s *Staged) overwrite(mode uint32) error {
	defer s.Abort()
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d, err := os.OpenFile(s.Dest, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, os.FileMode(mode&0o777))
	if err != nil {
		return err
	}
	_, err = io.Copy(d, s.f)
	return errors.Join(err, d.Sync(), d.Close())
}

// SyncDir makes a rename in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // not readable: nothing more can be done
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("cannot write %s: %w", dir, err)
	}
	return nil
}

// copyXattrs carries access control lists and labels over to a new file; a
// filesystem without them is no error.
func copyXattrs(from string, to *os.File) {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(from, buf)
	if err != nil || n <= 0 || n > len(buf) {
		return
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		val := make([]byte, 64<<10)
		if k, err := unix.Lgetxattr(from, name, val); err == nil && k <= len(val) {
			_ = unix.Fsetxattr(int(to.Fd()), name, val[:k], 0)
		}
	}
}

// Umask is the process's, read without changing it.
func Umask() uint32 {
	b, err := os.ReadFile("/proc/self/status")
	if err == nil {
		if i := bytes.Index(b, []byte("Umask:")); i >= 0 {
			f := strings.Fields(string(b[i+6 : min(i+20, len(b))]))
			if n, err := strconv.ParseUint(f[0], 8, 32); err == nil {
				return uint32(n)
			}
		}
	}
	return 0o022
}

// RawStat is the raw stat of a file.
func RawStat(fi fs.FileInfo) *syscall.Stat_t {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return &syscall.Stat_t{}
	}
	return st
}

// WriteFile replaces a file in one step, keeping owner, mode and extended
// attributes of the one that was there.
func (h *Host) WriteFile(path string, data []byte) error {
	s, err := h.Stage(path, true)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer s.Abort()
	if _, err := s.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return s.Commit(nil, false)
}

// ReplaceLink makes a symbolic link, or makes it lead elsewhere, in one step.
func (h *Host) ReplaceLink(target, path string) error {
	real := h.Path(path)
	err := os.Symlink(target, real)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return h.Swap(real, func(tmp string) error { return os.Symlink(target, tmp) })
}

// Swap makes something under a temporary name and renames it into place.
func (h *Host) Swap(real string, create func(tmp string) error) error {
	tmp := filepath.Join(filepath.Dir(real), fmt.Sprintf(".%s.drover-link", filepath.Base(real)))
	_ = os.Remove(tmp) // left by a killed run
	if err := create(tmp); err != nil {
		return err
	}
	h.Step("linked")
	if err := os.Rename(tmp, real); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	_ = os.Remove(tmp) // a rename between two names of one file leaves both
	return SyncDir(filepath.Dir(real))
}
