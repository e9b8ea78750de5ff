package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"drover/internal/link"
)

// lineHolder is the line of the moment, if there is one.
type lineHolder struct {
	mu      sync.Mutex
	conn    link.Conn
	changed chan struct{} // closed at the next change
}

func newLineHolder() *lineHolder { return &lineHolder{changed: make(chan struct{})} }

func (h *lineHolder) set(c link.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = c
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *lineHolder) get() (link.Conn, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn, h.changed
}

// wait returns a line when there is one.
func (h *lineHolder) wait(ctx context.Context) (link.Conn, error) {
	for {
		c, changed := h.get()
		if c != nil {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// waitOther returns when the line is not c any more.
func (h *lineHolder) waitOther(ctx context.Context, c link.Conn) error {
	select {
	case <-h.gone(c):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gone is closed when the line is not c any more.
func (h *lineHolder) gone(c link.Conn) <-chan struct{} {
	now, changed := h.get()
	if now == c {
		return changed
	}
	over := make(chan struct{})
	close(over)
	return over
}

// slot holds the newest of something.
type slot[T comparable] struct {
	mu    *sync.Mutex
	value *T
	put1  chan struct{}
}

func newSlot[T comparable]() slot[T] {
	return slot[T]{mu: new(sync.Mutex), put1: make(chan struct{}, 1)}
}

func (s *slot[T]) put(v T) {
	s.mu.Lock()
	s.value = &v
	s.mu.Unlock()
	select {
	case s.put1 <- struct{}{}:
	default:
	}
}

func (s *slot[T]) putIfEmpty(v T) {
	s.mu.Lock()
	empty := s.value == nil
	s.mu.Unlock()
	if empty {
		s.put(v)
	}
}

func (s *slot[T]) take(ctx context.Context) (T, error) {
	for {
		s.mu.Lock()
		v := s.value
		s.value = nil
		s.mu.Unlock()
		if v != nil {
			return *v, nil
		}
		select {
		case <-s.put1:
		case <-ctx.Done():
			var zero T
			return zero, context.Cause(ctx)
		}
	}
}

// pauseUnlessNewer waits for d, or until the slot holds something other than v.
func (s *slot[T]) pauseUnlessNewer(ctx context.Context, d time.Duration, v T) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		s.mu.Lock()
		newer := s.value != nil && *s.value != v
		s.mu.Unlock()
		if newer {
			return true
		}
		select {
		case <-s.put1:
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// newID is unique for ever.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
