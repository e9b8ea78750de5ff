package machine

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// FileSums are the hashes that results and records carry.
type FileSums struct{ MD5, SHA1, SHA256 string }

// Summer computes them all as content passes through.
type Summer struct{ md5, sha1, sha256 hash.Hash }

// NewSummer starts one.
func NewSummer() *Summer { return &Summer{md5.New(), sha1.New(), sha256.New()} }

// Write adds content.
func (s *Summer) Write(b []byte) (int, error) {
	s.md5.Write(b)
	s.sha1.Write(b)
	s.sha256.Write(b)
	return len(b), nil
}

// Sums are the hashes of what was written.
func (s *Summer) Sums() FileSums {
	hx := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return FileSums{MD5: hx(s.md5), SHA1: hx(s.sha1), SHA256: hx(s.sha256)}
}

// SumsOf are the hashes of a content.
func SumsOf(b []byte) FileSums {
	s := NewSummer()
	s.Write(b)
	return s.Sums()
}

// Sums are the hashes of a file's content.
func (h *Host) Sums(path string) (FileSums, error) {
	f, err := h.Open(path)
	if err != nil {
		return FileSums{}, err
	}
	defer f.Close()
	s := NewSummer()
	if _, err := io.Copy(s, f); err != nil {
		return FileSums{}, err
	}
	return s.Sums(), nil
}

// NewHash is the hash of an algorithm by Ansible's names.
func NewHash(name string) (hash.Hash, error) {
	switch strings.ToLower(name) {
	case "md5":
		return md5.New(), nil
	case "sha1":
		return sha1.New(), nil
	case "sha224":
		return sha256.New224(), nil
	case "sha256":
		return sha256.New(), nil
	case "sha384":
		return sha512.New384(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("unsupported hash algorithm %q; use md5, sha1, sha224, sha256, sha384 or sha512", name)
}

// HashFile is the hash of a file's content by an algorithm's name.
func (h *Host) HashFile(path, algorithm string) (string, error) {
	sum, err := NewHash(algorithm)
	if err != nil {
		return "", err
	}
	f, err := h.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
