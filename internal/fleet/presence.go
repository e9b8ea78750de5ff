package fleet

import (
	"context"
	"sync"
	"time"

	"drover/api"
)

// presence turns comings and goings into events. A host that comes back within
// the debounce time never left; a server's restart makes no event for hosts
// that are there again soon after.
type presence struct {
	f *Fleet

	mu    sync.Mutex
	away  map[string]time.Time // left at, not yet an event
	known map[string]bool      // what the journal said last: true for connected
	back  []string             // joined, event not yet written
}

func newPresence(f *Fleet) *presence {
	return &presence{f: f, away: map[string]time.Time{}, known: map[string]bool{}}
}

func (p *presence) prime(events []api.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		switch e.Type {
		case "host.connected":
			p.known[e.Host] = true
		case "host.disconnected":
			p.known[e.Host] = false
		case "host.removed", "host.enrolled":
			delete(p.known, e.Host)
		}
	}
}

func (p *presence) joined(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.away, host)
	if !p.known[host] {
		p.known[host] = true
		p.back = append(p.back, host)
	}
}

func (p *presence) left(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.known[host]; ok {
		p.away[host] = p.f.s.Now()
	}
}

// since is when a host left that has not been away for long; zero for others.
func (p *presence) since(host string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away[host]
}

func (p *presence) forget(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.away, host)
	delete(p.known, host)
}

// startGrace is how long hosts have to come back after the server was away.
const startGrace = time.Minute

func (p *presence) run(ctx context.Context) error {
	tick := time.NewTicker(min(time.Second, p.f.o.Debounce/4+time.Millisecond))
	defer tick.Stop()
	started := p.f.s.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := p.f.s.Now()
		if !started.IsZero() && now.Sub(started) > startGrace {
			started = time.Time{}
			p.missing(now)
		}
		p.settle(ctx, now)
	}
}

// missing marks hosts as away that were connected before this start and did
// not come back.
func (p *presence) missing(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for host, there := range p.known {
		if _, away := p.away[host]; there && !away && !p.f.s.Hub.Connected(host) {
			p.away[host] = now
		}
	}
}

func (p *presence) settle(ctx context.Context, now time.Time) {
	p.mu.Lock()
	var events []*api.Event
	for _, host := range p.back {
		events = append(events, &api.Event{Type: "host.connected", Host: host, Message: host + " is connected"})
	}
	p.back = nil
	gone := map[string]time.Time{}
	for host, since := range p.away {
		if now.Sub(since) < p.f.o.Debounce {
			continue
		}
		delete(p.away, host)
		p.known[host] = false
		gone[host] = since
		events = append(events, &api.Event{Type: "host.disconnected", Host: host, Message: host + " is away", Data: map[string]any{"since": since.UTC()}})
	}
	p.mu.Unlock()
	p.f.event(ctx, events...)
	for host, since := range gone {
		p.f.intake.put(&item{host: host, mutate: func(h *api.Host) { h.Status.LastSeen = since.UTC() }})
	}
}
