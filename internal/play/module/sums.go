package module

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

// fileSums are the hashes that results and records carry.
type fileSums struct{ md5, sha1, sha256 string }

type summer struct{ md5, sha1, sha256 hash.Hash }

func newSummer() *summer { return &summer{md5.New(), sha1.New(), sha256.New()} }

func (s *summer) Write(b []byte) (int, error) {
	s.md5.Write(b)
	s.sha1.Write(b)
	s.sha256.Write(b)
	return len(b), nil
}

func (s *summer) sums() fileSums {
	hx := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return fileSums{md5: hx(s.md5), sha1: hx(s.sha1), sha256: hx(s.sha256)}
}

func sumsOf(b []byte) fileSums {
	s := newSummer()
	s.Write(b)
	return s.sums()
}

func (h *Host) sums(path string) (fileSums, error) {
	f, err := h.Open(path)
	if err != nil {
		return fileSums{}, err
	}
	defer f.Close()
	s := newSummer()
	if _, err := io.Copy(s, f); err != nil {
		return fileSums{}, err
	}
	return s.sums(), nil
}

// newHash is the hash of an algorithm by Ansible's names.
func newHash(name string) (hash.Hash, error) {
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

// hashFile is the hash of a file's content by an algorithm's name.
func (h *Host) hashFile(path, algorithm string) (string, error) {
	sum, err := newHash(algorithm)
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
