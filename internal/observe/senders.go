package observe

import (
	"sync"
	"time"
)

// senders knows when hosts last sent metrics, and how far their clocks are off.
type senders struct {
	now func() time.Time

	mu sync.Mutex
	by map[string]*sender
}

type sender struct {
	at     time.Time // when the last batch came
	newest time.Time // of that batch, by the host's clock
	offset time.Duration
	known  bool // offset was measured
}

// A batch tells the host's clock only if it was sent when it was made. One that
// was kept and is sent later does not; those come in close order, so a batch
// counts that came as long after the one before as it is younger.
const (
	minApart = 8 * time.Second
	maxApart = 45 * time.Second
	evenly   = 3 * time.Second
)

func newSenders(now func() time.Time) *senders { return &senders{now: now, by: map[string]*sender{}} }

func (s *senders) sent(host string, newest time.Time) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.by[host]
	if w == nil {
		w = &sender{}
		s.by[host] = w
	}
	if !newest.IsZero() {
		came, made := now.Sub(w.at), newest.Sub(w.newest)
		if came >= minApart && came <= maxApart && (came-made).Abs() <= evenly {
			w.offset, w.known = newest.Sub(now), true
		}
		w.newest = newest
	}
	w.at = now
}

// last is what is known of a host's sending.
func (s *senders) last(host string) (at time.Time, offset time.Duration, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.by[host]; w != nil {
		return w.at, w.offset, w.known
	}
	return time.Time{}, 0, false
}

// recall sets when a host last sent before this start.
func (s *senders) recall(host string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[host] == nil {
		s.by[host] = &sender{at: at}
	}
}

// count is how many hosts sent since.
func (s *senders) count(since time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, w := range s.by {
		if w.at.After(since) {
			n++
		}
	}
	return n
}

// keep forgets all hosts but those.
func (s *senders) keep(hosts map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.by {
		if !hosts[name] {
			delete(s.by, name)
		}
	}
}
