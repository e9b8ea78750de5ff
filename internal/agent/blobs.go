package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/link"
)

// maxBlob bounds one blob, against a server that never ends one.
const maxBlob = 4 << 30

// partSuffix marks a blob that is being fetched; the next attempt goes on from its end.
const partSuffix = ".part"

// Blobs are verified files named by their SHA-256.
type Blobs struct {
	dir string

	mu   sync.Mutex
	good map[string]bool // verified by this process
	pins map[string]int  // in use by something that no assignment on disk names yet
}

// pin keeps blobs, here already or not, from being collected until unpin is called.
func (b *Blobs) pin(hashes []string) (unpin func()) {
	add := func(n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, h := range hashes {
			if b.pins[h] += n; b.pins[h] == 0 {
				delete(b.pins, h)
			}
		}
	}
	add(1)
	return func() { add(-1) }
}

// Path is the file of a blob; it is an error when it is not here or damaged.
func (b *Blobs) Path(sha256 string) (string, error) {
	if !validHash(sha256) {
		return "", api.Errorf(api.CodeInvalid, "cannot open blob %q: not a SHA-256", sha256)
	}
	path := filepath.Join(b.dir, sha256)
	b.mu.Lock()
	good := b.good[sha256]
	b.mu.Unlock()
	if good {
		return path, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot open blob %s: %w", sha256, err)
	}
	defer f.Close()
	h := newHash()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot read blob %s: %w", sha256, err)
	}
	if sum(h) != sha256 {
		// The disk changed it: fetched again it is right.
		os.Remove(path)
		return "", fmt.Errorf("cannot open blob %s: the file was damaged on disk and is removed: %w", sha256, fs.ErrNotExist)
	}
	b.markGood(sha256)
	return path, nil
}

// Open opens a blob.
func (b *Blobs) Open(sha256 string) (*os.File, error) {
	path, err := b.Path(sha256)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Has reports whether a blob is here and whole.
func (b *Blobs) Has(sha256 string) bool {
	_, err := b.Path(sha256)
	return err == nil
}

func (b *Blobs) markGood(sha256 string) {
	b.mu.Lock()
	b.good[sha256] = true
	b.mu.Unlock()
}

// fetch gets a blob over c unless it is here. What a broken line left is gone
// on with, and thrown away if the whole has not the hash it should have.
func (b *Blobs) fetch(ctx context.Context, c link.Conn, sha256 string) error {
	if b.Has(sha256) {
		return nil
	}
	if !validHash(sha256) {
		return api.Errorf(api.CodeInvalid, "cannot fetch blob %q: not a SHA-256", sha256)
	}
	part := filepath.Join(b.dir, sha256+partSuffix)
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot fetch blob %s: %w", sha256, err)
	}
	defer f.Close()
	h := newHash()
	offset, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("cannot fetch blob %s: %w", sha256, err)
	}
	r, size, err := c.Blob(ctx, sha256, offset)
	if api.CodeOf(err) == api.CodeInvalid && offset > 0 {
		// What is here is longer than the blob: it is something else.
		os.Remove(part)
		return fmt.Errorf("cannot fetch blob %s: what was fetched before did not fit: %w", sha256, err)
	}
	if err != nil {
		return fmt.Errorf("cannot fetch blob %s: %w", sha256, err)
	}
	defer r.Close()
	if size > maxBlob {
		return api.Errorf(api.CodeTooLarge, "cannot fetch blob %s: it has %d bytes, the limit is %d", sha256, size, int64(maxBlob))
	}
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, size-offset+1))
	if err != nil {
		return fmt.Errorf("cannot fetch blob %s: stopped after %d of %d bytes: %w", sha256, offset+n, size, err)
	}
	if sum(h) != sha256 {
		os.Remove(part)
		return api.Errorf(api.CodeInvalid, "cannot fetch blob %s: what the server sent has hash %s", sha256, sum(h))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot fetch blob %s: %w", sha256, err)
	}
	if err := os.Rename(part, filepath.Join(b.dir, sha256)); err != nil {
		return fmt.Errorf("cannot fetch blob %s: %w", sha256, err)
	}
	b.markGood(sha256)
	return syncDir(b.dir)
}

// collect removes what nobody needs.
func (b *Blobs) collect(keep []string) error {
	needed := make(map[string]bool, len(keep))
	for _, k := range keep {
		needed[k] = true
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), partSuffix)
		b.mu.Lock()
		if !needed[name] && b.pins[name] == 0 {
			delete(b.good, name)
			errs = append(errs, os.Remove(filepath.Join(b.dir, e.Name())))
		}
		b.mu.Unlock()
	}
	return errors.Join(errs...)
}

func newHash() hash.Hash { return sha256.New() }

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func validHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}
