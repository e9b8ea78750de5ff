package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"drover/api"
)

// A server's data directory, mode 0700:
//
//	lock         held by the one server that uses the directory
//	admin.yml    credential of this machine's root user, in the form of the
//	             CLI's context file, mode 0600
//	store/       the embedded store engine; not there with an external one
//	ca/          the fleet's certificate authority and its keys
//	blobs/       files by their SHA-256
//	journal/     events
//	runs/        what ran, what hosts printed, and how they came to revisions
//	audit.jsonl  the audit, one entry a line
//	ROOM/        what a room keeps itself, such as fleet/ with the repository
//
// A backup of a stopped server is a copy of all of it.
type layout struct{ dir string }

func (l layout) path(name string) string { return filepath.Join(l.dir, name) }

// AdminFile is where the credential of this machine's root user is kept.
func AdminFile(dataDir string) string { return filepath.Join(dataDir, "admin.yml") }

// DefaultDataDir is where `drover server` keeps its data, and where `drover`
// looks for the credential of this machine's root user.
const DefaultDataDir = "/var/lib/drover"

// probeSize is what must be free for a server to start.
const probeSize = 1 << 20

// open makes the directory, checks that it can be written and has room, and
// takes its lock; the caller closes the file, which gives the lock back.
func (l layout) open() (*os.File, error) {
	if l.dir == "" {
		return nil, api.Errorf(api.CodeInvalid, "cannot start: no data directory is given").WithRemedy("use --data DIR")
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, l.explain("make", err)
	}
	lock, err := os.OpenFile(l.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, l.explain("write to", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := make([]byte, 16)
		n, _ := lock.Read(pid)
		lock.Close()
		return nil, api.Errorf(api.CodeUnavailable, "cannot start: another server (process %s) uses the data directory %s", pid[:n], l.dir).
			WithRemedy("stop that one, or use another --data DIR")
	}
	if err := l.probe(lock); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// probe finds out now, rather than in the middle of a write, that the disk is full.
func (l layout) probe(lock *os.File) error {
	_ = lock.Truncate(0)
	if _, err := fmt.Fprintf(lock, "%d", os.Getpid()); err != nil {
		return l.explain("write to", err)
	}
	f, err := os.CreateTemp(l.dir, ".probe-*")
	if err != nil {
		return l.explain("write to", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err = f.Write(make([]byte, probeSize)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return l.explain("write to", err)
	}
	return nil
}

// explain says what is wrong with the directory and what to do.
func (l layout) explain(verb string, err error) error {
	cause := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		cause = pe.Err
	}
	e := api.Errorf(api.CodeUnavailable, "cannot %s the data directory %s: %v", verb, l.dir, cause)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return e.WithRemedy("free some space there (`df -h %s`), or use another --data DIR", l.dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return e.WithRemedy("run as a user who may write there, or use another --data DIR")
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrExist):
		return e.WithRemedy("something that is no directory is in its place: use another --data DIR")
	}
	return e
}

// full turns an error of a full disk into one that says so.
func (l layout) full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return api.Errorf(api.CodeUnavailable, "the server's disk is full: %v", err).
			WithRemedy("free some space for %s on the server and try again; nothing was half done", l.dir)
	}
	return err
}
