// Package blob keeps files named by their SHA-256 in a folder.
//
// A blob is there whole or not at all: it is written beside its place, synced,
// and renamed. What is read is verified against its name.
package blob

import (
	"io"
)

// Store is a folder of blobs.
type Store struct{}

// Open opens the folder, making it if missing, and removes what unfinished writes left.
func Open(dir string) (*Store, error) { return nil, nil }

// Put stores what r yields and returns its SHA-256 in hex and its size.
func (s *Store) Put(r io.Reader) (hash string, size int64, err error) { return "", 0, nil }

// PutBytes is Put of b.
func (s *Store) PutBytes(b []byte) (hash string, err error) { return "", nil }

// PutAs stores what r yields if it has that hash, else CodeInvalid.
func (s *Store) PutAs(hash string, r io.Reader) error { return nil }

// Has reports whether the blob is there.
func (s *Store) Has(hash string) bool { return false }

// Open opens a blob; reading it to its end fails if it is not what its name
// says. CodeNotFound if there is none.
func (s *Store) Open(hash string) (*Reader, error) { return nil, nil }

// Reader reads one blob.
type Reader struct{}

// Size of the whole blob.
func (r *Reader) Size() int64                    { return 0 }
func (r *Reader) Read(p []byte) (int, error)     { return 0, io.EOF }
func (r *Reader) Seek(int64, int) (int64, error) { return 0, nil } // a reader that was moved no longer verifies
func (r *Reader) Close() error                   { return nil }

// ReadAll reads and verifies a small blob, at most limit bytes (CodeTooLarge).
func (s *Store) ReadAll(hash string, limit int64) ([]byte, error) { return nil, nil }

// Path is where the blob's file is, for programs run on it; it may not be there.
func (s *Store) Path(hash string) string { return "" }

// Remove removes a blob; one that is not there is fine.
func (s *Store) Remove(hash string) error { return nil }

// List is every blob's hash.
func (s *Store) List() ([]string, error) { return nil, nil }

// Partial is a download that can go on after it broke off, also in another process.
type Partial struct{}

// Resume opens the partial file of a blob that is being fetched.
func (s *Store) Resume(hash string) (*Partial, error) { return nil, nil }

// Offset is how many bytes are there already: fetch from here.
func (p *Partial) Offset() int64               { return 0 }
func (p *Partial) Write(b []byte) (int, error) { return len(b), nil }

// Commit verifies and puts the blob in its place; if the hash is wrong, the partial file is dropped.
func (p *Partial) Commit() error { return nil }

// Close keeps what is there for a later Resume.
func (p *Partial) Close() error { return nil }
