// Package blob keeps files named by their SHA-256 in a folder.
//
// A blob is there whole or not at all: it is written beside its place, synced,
// and renamed. What is read is verified against its name.
package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"drover/api"
)

// Store is a folder of blobs: HASH[:2]/HASH, with tmp/ for what is being
// written and partial/ for downloads that may go on.
type Store struct {
	dir string
}

// staleAfter is when an unfinished write or download is given up.
const staleAfter = 24 * time.Hour

// Open opens the folder, making it if missing, and removes what was left
// unfinished more than a day ago.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	for _, d := range []string{s.tmp(), s.partial("")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("cannot open the blobs: %w", err)
		}
		es, err := os.ReadDir(d)
		if err != nil {
			return nil, fmt.Errorf("cannot open the blobs: %w", err)
		}
		for _, e := range es {
			if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > staleAfter {
				_ = os.Remove(filepath.Join(d, e.Name()))
			}
		}
	}
	return s, nil
}

func (s *Store) tmp() string                { return filepath.Join(s.dir, "tmp") }
func (s *Store) partial(hash string) string { return filepath.Join(s.dir, "partial", hash) }

// valid reports whether hash is a SHA-256 in lower-case hex: never a path.
func valid(hash string) bool {
	if len(hash) != 64 {
		return false
	}
	for _, c := range hash {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func checkHash(hash string) error {
	if valid(hash) {
		return nil
	}
	return api.Errorf(api.CodeInvalid, "%.80q is no SHA-256 in lower-case hex", hash)
}

// Put stores what r yields and returns its SHA-256 in hex and its size.
func (s *Store) Put(r io.Reader) (hash string, size int64, err error) { return s.put(r, "") }

// PutBytes is Put of b.
func (s *Store) PutBytes(b []byte) (hash string, err error) {
	hash, _, err = s.Put(bytes.NewReader(b))
	return hash, err
}

// PutAs stores what r yields if it has that hash, else CodeInvalid.
func (s *Store) PutAs(hash string, r io.Reader) error {
	if err := checkHash(hash); err != nil {
		return err
	}
	_, _, err := s.put(r, hash)
	return err
}

func (s *Store) put(r io.Reader, want string) (hash string, size int64, err error) {
	f, err := os.CreateTemp(s.tmp(), "put-*")
	if err != nil {
		return "", 0, full("store a blob", err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(io.MultiWriter(f, h), r); err != nil {
		return "", 0, full("store a blob", err)
	}
	hash = hex.EncodeToString(h.Sum(nil))
	if want != "" && want != hash {
		return "", 0, mismatch(want, hash)
	}
	return hash, size, s.place(f, hash)
}

// place syncs f and moves it to where the blob belongs.
func (s *Store) place(f *os.File, hash string) error {
	if s.Has(hash) {
		return nil
	}
	if err := f.Sync(); err != nil {
		return full("store blob "+hash, err)
	}
	to := s.Path(hash)
	if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return full("store blob "+hash, err)
	} else if err == nil {
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
	if err := f.Chmod(0o600); err != nil {
		return full("store blob "+hash, err)
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return full("store blob "+hash, err)
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync the blobs: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot sync the blobs: %w", err)
	}
	return nil
}

// full says what to do about a full disk; other errors stay what they are.
func full(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return api.Errorf(api.CodeUnavailable, "cannot %s: %v", doing, err).WithRemedy("free disk space and try again")
	}
	return fmt.Errorf("cannot %s: %w", doing, err)
}

func mismatch(want, got string) error {
	return api.Errorf(api.CodeInvalid, "cannot store blob %s: the content has the SHA-256 %s", want, got).WithRemedy("fetch it again")
}

// Has reports whether the blob is there.
func (s *Store) Has(hash string) bool {
	if !valid(hash) {
		return false
	}
	_, err := os.Stat(s.Path(hash))
	return err == nil
}

// Path is where the blob's file is, for programs run on it; it may not be
// there. Nothing may write to it.
func (s *Store) Path(hash string) string {
	if !valid(hash) {
		return filepath.Join(s.dir, "none")
	}
	return filepath.Join(s.dir, hash[:2], hash)
}

// Reader reads one blob. Reading it to its end fails if it is not what its
// name says; one that was moved by Seek verifies only if moved to its start.
type Reader struct {
	f    *os.File
	h    hash.Hash // nil when the start was skipped
	hash string
	size int64
}

// Open opens a blob. CodeNotFound if there is none.
func (s *Store) Open(hash string) (*Reader, error) {
	if err := checkHash(hash); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Path(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(api.CodeNotFound, "there is no blob %s", hash)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open blob %s: %w", hash, err)
	}
	i, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot open blob %s: %w", hash, err)
	}
	return &Reader{f: f, h: sha256.New(), hash: hash, size: i.Size()}, nil
}

// Size of the whole blob.
func (r *Reader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	if r.h != nil {
		r.h.Write(p[:n])
		if err == io.EOF {
			if got := hex.EncodeToString(r.h.Sum(nil)); got != r.hash {
				return n, api.Errorf(api.CodeInternal, "cannot read blob %s: its file is damaged (SHA-256 %s)", r.hash, got).
					WithRemedy("remove its file; it is fetched or built again")
			}
		}
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.f.Seek(offset, whence)
	if r.h = nil; err == nil && at == 0 {
		r.h = sha256.New()
	}
	return at, err
}

// Close implements io.Closer.
func (r *Reader) Close() error { return r.f.Close() }

// ReadAll reads and verifies a small blob, at most limit bytes (CodeTooLarge).
func (s *Store) ReadAll(hash string, limit int64) ([]byte, error) {
	r, err := s.Open(hash)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.size > limit {
		return nil, api.Errorf(api.CodeTooLarge, "cannot read blob %s: it is %d bytes, the limit is %d", hash, r.size, limit)
	}
	return io.ReadAll(r)
}

// Remove removes a blob; one that is not there is fine.
func (s *Store) Remove(hash string) error {
	if err := checkHash(hash); err != nil {
		return err
	}
	if err := os.Remove(s.Path(hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove blob %s: %w", hash, err)
	}
	return nil
}

// List is every blob's hash, sorted.
func (s *Store) List() ([]string, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the blobs: %w", err)
	}
	var out []string
	for _, d := range dirs {
		if len(d.Name()) != 2 {
			continue
		}
		es, err := os.ReadDir(filepath.Join(s.dir, d.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot list the blobs: %w", err)
		}
		for _, e := range es {
			if valid(e.Name()) {
				out = append(out, e.Name())
			}
		}
	}
	return out, nil
}

// Prune removes every blob that is older than age and that keep does not
// want, and returns the bytes won. The age spares blobs that are about to be referred to.
func (s *Store) Prune(age time.Duration, keep func(hash string) bool) (int64, error) {
	all, err := s.List()
	if err != nil {
		return 0, err
	}
	var won int64
	for _, hash := range all {
		i, err := os.Stat(s.Path(hash))
		if err != nil || time.Since(i.ModTime()) < age || keep(hash) {
			continue
		}
		if err := s.Remove(hash); err != nil {
			return won, err
		}
		won += i.Size()
	}
	return won, nil
}
