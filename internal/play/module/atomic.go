package module

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"bytes"

	"golang.org/x/sys/unix"
)

// staged is a file being written beside its destination. Commit puts it in
// place in one step; until then the destination is untouched.
type staged struct {
	h    *Host
	f    *os.File
	dest string // real path
	done bool
}

// stage opens a temporary file in the folder of dest, a path as a module names
// it; follow writes to where a symbolic link leads instead of replacing the
// link. The name is fixed and the file locked, so that what a killed run left
// is taken over by the next one instead of piling up.
func (h *Host) stage(dest string, follow bool) (*staged, error) {
	if follow {
		dest = h.Realpath(dest)
	}
	real := h.Path(dest)
	return h.stageAs(real, filepath.Base(real))
}

// stageAs stages the real path dest under the temporary name that belongs to base.
func (h *Host) stageAs(real, base string) (*staged, error) {
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
			h.step("stage")
			return &staged{h: h, f: f, dest: real}, nil
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
	if err != nil || !fi.Mode().IsRegular() || os.Geteuid() != 0 && int(sysStat(fi).Uid) != os.Geteuid() {
		return false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	return os.Remove(name) == nil
}

func (s *staged) Write(b []byte) (int, error) { return s.f.Write(b) }

// path is where the temporary file is, as a command on this machine sees it.
func (s *staged) path() string { return s.f.Name() }

// abort drops the temporary file unless it was committed.
func (s *staged) abort() {
	if !s.done {
		os.Remove(s.f.Name())
		s.f.Close()
		s.done = true
	}
}

// commit gives the file the attributes of what it replaces (or, for a new one,
// those of a fresh file), then those of a, and renames it into place.
func (s *staged) commit(a *attrs, unsafe bool) error {
	mode := uint32(0o666) &^ umask()
	uid, gid := -1, -1
	if fi, err := os.Lstat(s.dest); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		if fi.IsDir() {
			return fmt.Errorf("cannot replace %s: it is a directory", s.dest)
		}
		st := sysStat(fi)
		mode, uid, gid = st.Mode&0o7777, int(st.Uid), int(st.Gid)
		copyXattrs(s.dest, s.f)
	}
	if a != nil {
		if u, g, err := a.ids(s.h); err == nil {
			if u >= 0 {
				uid = u
			}
			if g >= 0 {
				gid = g
			}
		}
		if a.mode != nil {
			if m, err := parseMode(a.mode, mode, false, umask()); err == nil {
				mode = m
			}
		}
	}
	if fi, err := s.f.Stat(); err == nil && (uid >= 0 && int(sysStat(fi).Uid) != uid || gid >= 0 && int(sysStat(fi).Gid) != gid) {
		if err := s.f.Chown(uid, gid); err != nil && os.Geteuid() == 0 {
			return fmt.Errorf("cannot set the owner of %s: %w", s.dest, err)
		}
	}
	if err := unix.Fchmod(int(s.f.Fd()), mode); err != nil {
		return fmt.Errorf("cannot set the mode of %s: %w", s.dest, err)
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.dest, err)
	}
	s.h.step("synced")
	if err := os.Rename(s.f.Name(), s.dest); err != nil {
		if unsafe && (errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.ETXTBSY)) {
			return s.overwrite(mode)
		}
		return fmt.Errorf("cannot put %s in place: %w", s.dest, err)
	}
	s.done = true
	s.f.Close()
	s.h.step("renamed")
	return syncDir(filepath.Dir(s.dest))
}

// overwrite writes into the destination itself: what unsafe_writes asks for where
// it cannot be replaced, as with a file that is a mount point.
func (s *staged) overwrite(mode uint32) error {
	defer s.abort()
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d, err := os.OpenFile(s.dest, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, os.FileMode(mode&0o777))
	if err != nil {
		return err
	}
	_, err = io.Copy(d, s.f)
	return errors.Join(err, d.Sync(), d.Close())
}

func syncDir(dir string) error {
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

// umask is the process's, read without changing it.
func umask() uint32 {
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

// sysStat is the raw stat of a file.
func sysStat(fi fs.FileInfo) *syscall.Stat_t {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return &syscall.Stat_t{}
	}
	return st
}

// writeOptions says how a file is replaced.
type writeOptions struct {
	attrs    *attrs
	unsafe   bool
	validate string // command with %s, run on the new file before it is put in place
}

// write options of the common parameters.
func (c *Call) writeOptions() writeOptions {
	return writeOptions{attrs: c.fileAttrs(), unsafe: c.Bool("unsafe_writes"), validate: c.Str("validate")}
}

// WriteFile replaces a file in one step, keeping owner, mode and extended
// attributes of the one that was there.
func (h *Host) WriteFile(path string, data []byte) error {
	s, err := h.stage(path, true)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer s.abort()
	if _, err := s.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return s.commit(nil, false)
}

// writeFile replaces a file as the common parameters say. A failed validation
// is a failed result.
func (c *Call) writeFile(ctx context.Context, path string, data []byte, o writeOptions) *Result {
	s, err := c.Host.stage(path, true)
	if err != nil {
		return Fail("cannot write %s: %v", path, err)
	}
	defer s.abort()
	if _, err := s.Write(data); err != nil {
		return Fail("cannot write %s: %v", path, err)
	}
	if bad := c.validate(ctx, o, s.path()); bad != nil {
		return bad
	}
	if err := s.commit(o.attrs, o.unsafe); err != nil {
		return Fail("%v", err)
	}
	return nil
}

// validate runs the command of the parameter validate on a file.
func (c *Call) validate(ctx context.Context, o writeOptions, file string) *Result {
	if o.validate == "" {
		return nil
	}
	if !strings.Contains(o.validate, "%s") {
		return Fail("validate must contain %%s: %s", o.validate)
	}
	argv, err := splitShell(strings.ReplaceAll(o.validate, "%s", quoteShell(file)))
	if err != nil {
		return Fail("cannot read validate: %v", err)
	}
	out, err := c.Host.Run(ctx, Cmd{Argv: argv, Env: c.Env})
	if err != nil {
		return Fail("failed to validate: %v", err)
	}
	if out.Code != 0 {
		r := Fail("failed to validate: rc:%d error:%s", out.Code, out.Stderr)
		r.Set("exit_status", out.Code).Set("stdout", string(out.Stdout)).Set("stderr", string(out.Stderr))
		return r
	}
	return nil
}

// backup copies a file beside itself, by the name Ansible gives copies.
func (c *Call) backup(path string) (string, error) {
	name := fmt.Sprintf("%s.%d.%s~", path, os.Getpid(), c.Host.Time().Format("2006-01-02@15:04:05"))
	src, err := c.Host.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	s, err := c.Host.stageAs(c.Host.Path(name), filepath.Base(path)+"~")
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	defer s.abort()
	if _, err := io.Copy(s, src); err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	st := sysStat(fi)
	a := &attrs{mode: int64(st.Mode & 0o7777), uid: int(st.Uid), gid: int(st.Gid), haveIDs: true}
	if err := s.commit(a, false); err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	_ = os.Chtimes(s.dest, fi.ModTime(), fi.ModTime())
	return name, nil
}

// openSource opens the content that came with the request; what is fetched is
// checked against its hash when it has been read to the end.
func (c *Call) openSource(ctx context.Context, s *Source) (io.ReadCloser, error) {
	if s.Inline || s.Content != nil || s.Size == 0 {
		return io.NopCloser(bytes.NewReader(s.Content)), nil
	}
	if c.Fetch == nil {
		return nil, fmt.Errorf("cannot get the content of %s: nobody to ask for it", s.Name)
	}
	rc, err := c.Fetch(ctx, s.SHA256)
	if err != nil {
		return nil, fmt.Errorf("cannot get the content of %s: %w", s.Name, err)
	}
	return &hashedReader{rc: rc, sum: sha256.New(), want: s.SHA256, name: s.Name}, nil
}

type hashedReader struct {
	rc  io.ReadCloser
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	want string
	name string
}

func (r *hashedReader) Read(b []byte) (int, error) {
	n, err := r.rc.Read(b)
	r.sum.Write(b[:n])
	if err == io.EOF && r.want != "" && hex.EncodeToString(r.sum.Sum(nil)) != r.want {
		return n, fmt.Errorf("cannot get the content of %s: it arrived damaged", r.name)
	}
	return n, err
}

func (r *hashedReader) Close() error { return r.rc.Close() }
