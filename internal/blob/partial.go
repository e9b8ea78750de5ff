package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"syscall"

	"drover/api"
)

// Partial is a download that can go on after it broke off, also in another
// process. One process at a time has it.
type Partial struct {
	s    *Store
	f    *os.File
	hash string
	at   int64
}

// Resume opens the partial file of a blob that is being fetched. CodeExists if
// the blob is there already, CodeConflict if somebody else is fetching it.
func (s *Store) Resume(hash string) (*Partial, error) {
	if err := checkHash(hash); err != nil {
		return nil, err
	}
	if s.Has(hash) {
		return nil, api.Errorf(api.CodeExists, "blob %s is there already", hash)
	}
	f, err := os.OpenFile(s.partial(hash), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, full("fetch blob "+hash, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, api.Errorf(api.CodeConflict, "cannot fetch blob %s: it is being fetched already", hash).WithRemedy("wait for that to end")
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, full("fetch blob "+hash, err)
	}
	return &Partial{s: s, f: f, hash: hash, at: at}, nil
}

// Offset is how many bytes are there already: fetch from here.
func (p *Partial) Offset() int64 { return p.at }

// Write implements io.Writer.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.at += int64(n)
	if err != nil {
		err = full("fetch blob "+p.hash, err)
	}
	return n, err
}

// Commit verifies and puts the blob in its place, and ends the download. If
// the hash is wrong (CodeInvalid), what was fetched is dropped.
func (p *Partial) Commit() error {
	defer p.f.Close()
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return full("store blob "+p.hash, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, p.f); err != nil {
		return full("store blob "+p.hash, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.hash {
		return errors.Join(mismatch(p.hash, got), os.Remove(p.f.Name()))
	}
	if err := p.s.place(p.f, p.hash); err != nil {
		return err
	}
	_ = os.Remove(p.f.Name()) // there only if somebody else was faster
	return nil
}

// Close keeps what is there for a later Resume. After Commit it does nothing.
func (p *Partial) Close() error {
	if err := p.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return full("fetch blob "+p.hash, err)
	}
	return nil
}
