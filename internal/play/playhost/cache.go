package playhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxCache bounds what a session keeps of fetched content. What is in use may
// go over it.
const maxCache = 1 << 30

// cache keeps fetched content by its hash for the session, in files without a
// name: they are gone with the process, however it ends.
type cache struct {
	fetch func(ctx context.Context, sha256 string) (io.ReadCloser, error)

	mu    sync.Mutex
	items map[string]*cached
	order []string // oldest first
	size  int64
}

type cached struct {
	ready chan struct{}
	file  *os.File
	size  int64
	err   error
	users int
	gone  bool // dropped from the cache: the last user closes the file
}

func newCache(fetch func(context.Context, string) (io.ReadCloser, error)) *cache {
	return &cache{fetch: fetch, items: map[string]*cached{}}
}

// open gives the content, fetching it if nobody did before.
func (c *cache) open(ctx context.Context, hash string) (io.ReadCloser, error) {
	for {
		c.mu.Lock()
		it, ok := c.items[hash]
		if !ok {
			it = &cached{ready: make(chan struct{}), users: 1}
			c.items[hash] = it
			c.order = append(c.order, hash)
			c.mu.Unlock()
			c.fill(ctx, hash, it)
		} else {
			it.users++
			c.mu.Unlock()
			select {
			case <-it.ready:
			case <-ctx.Done():
				c.release(it)
				return nil, context.Cause(ctx)
			}
		}
		if it.err == nil {
			return &cachedReader{io.NewSectionReader(it.file, 0, it.size), func() { c.release(it) }, sync.Once{}}, nil
		}
		c.release(it)
		// The one who fetched may have been cancelled; that is not our failure.
		if !ok || ctx.Err() != nil {
			return nil, it.err
		}
	}
}

func (c *cache) fill(ctx context.Context, hash string, it *cached) {
	defer close(it.ready)
	it.file, it.size, it.err = c.load(ctx, hash)
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.err != nil {
		c.drop(hash)
		return
	}
	c.size += it.size
	for i := 0; c.size > maxCache && i < len(c.order); {
		if old := c.items[c.order[i]]; old.users == 0 {
			c.drop(c.order[i])
		} else {
			i++
		}
	}
}

// drop forgets an item; the caller holds the lock.
func (c *cache) drop(hash string) {
	it := c.items[hash]
	delete(c.items, hash)
	for i, h := range c.order {
		if h == hash {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	it.gone = true
	if it.file != nil {
		c.size -= it.size
		if it.users == 0 {
			it.file.Close()
		}
	}
}

func (c *cache) release(it *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if it.users--; it.users == 0 && it.gone && it.file != nil {
		it.file.Close()
	}
}

func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 {
		c.drop(c.order[0])
	}
}

func (c *cache) load(ctx context.Context, hash string) (*os.File, int64, error) {
	src, err := c.fetch(ctx, hash)
	if err != nil {
		return nil, 0, err
	}
	defer src.Close()
	f, err := nameless()
	if err != nil {
		return nil, 0, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), src)
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != hash {
		err = fmt.Errorf("cannot take the file with hash %s: what came has another one", hash)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// nameless makes a file that no folder holds. /var/tmp is preferred: /tmp is
// often memory.
func nameless() (*os.File, error) {
	dir := os.Getenv("TMPDIR")
	if dir == "" {
		dir = "/var/tmp"
	}
	f, err := os.CreateTemp(dir, ".drover-*")
	if err != nil {
		if f, err = os.CreateTemp("", ".drover-*"); err != nil {
			return nil, fmt.Errorf("cannot keep a file for the session: %w", err)
		}
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

type cachedReader struct {
	*io.SectionReader
	release func()
	once    sync.Once
}

func (r *cachedReader) Close() error {
	r.once.Do(r.release)
	return nil
}
