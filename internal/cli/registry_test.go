package cli

import "sync"

// registry finds the server that a script started, by its data directory:
// scripts run at the same time.
type registry struct {
	mu sync.Mutex
	m  map[string]*served
}

func (r *registry) set(dir string, s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[dir] = s
}

func (r *registry) get(dir string) *served {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m[dir]
}
