package link

import (
	"context"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"drover/api"
)

// Hub is the server's end: the hosts that are connected and what waits for them.
type Hub struct {
	cfg    HubConfig
	blobs  chan struct{} // one place for each blob fetch under way
	writes chan struct{} // one place for each body of samples

	mu     sync.RWMutex
	hosts  map[string]*seat
	closed bool
}

// NewHub returns a hub without connections.
func NewHub(cfg HubConfig) *Hub {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.QueueMessages <= 0 {
		cfg.QueueMessages = 1024
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 8 << 20
	}
	if cfg.BlobStreams <= 0 {
		cfg.BlobStreams = 128
	}
	if cfg.Writes <= 0 {
		cfg.Writes = 64
	}
	return &Hub{cfg: cfg, hosts: make(map[string]*seat), blobs: make(chan struct{}, cfg.BlobStreams), writes: make(chan struct{}, cfg.Writes)}
}

// Send queues m for host and returns at once. The error says that the host is
// not connected or that its queue is full; then m was not taken.
func (h *Hub) Send(host string, m *api.ToAgent) error {
	o, err := encode(m)
	if err != nil {
		return err
	}
	return h.send(host, o)
}

// SendWait is Send that waits for room in the queue until ctx ends.
func (h *Hub) SendWait(ctx context.Context, host string, m *api.ToAgent) error {
	o, err := encode(m)
	if err != nil {
		return err
	}
	for {
		s := h.seat(host)
		if s == nil {
			return notConnected(host)
		}
		room, err := s.queueOrWait(o)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("cannot send to host %s: its queue stayed full: %w", host, context.Cause(ctx))
		}
	}
}

// Broadcast sends one message to many hosts, encoded once. The result names
// the hosts that did not get it and why; it is nil when all did.
func (h *Hub) Broadcast(hosts []string, m *api.ToAgent) map[string]error {
	var failed map[string]error
	o, err := encode(m)
	for _, host := range hosts {
		e := err
		if e == nil {
			e = h.send(host, o)
		}
		if e != nil {
			if failed == nil {
				failed = make(map[string]error)
			}
			failed[host] = e
		}
	}
	return failed
}

func (h *Hub) send(host string, o *outgoing) error {
	s := h.seat(host)
	if s == nil {
		return notConnected(host)
	}
	return s.queue(o)
}

func notConnected(host string) error {
	return api.Errorf(api.CodeUnavailable, "cannot send to host %s: it is not connected", host).
		WithRemedy("see `systemctl status drover-agent` on it")
}

func (h *Hub) seat(host string) *seat {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.hosts[host]
	if s == nil || !s.taken() {
		return nil
	}
	return s
}

// Connected reports whether host has a connection now.
func (h *Hub) Connected(host string) bool { return h.seat(host) != nil }

// Hosts lists the connected hosts by name.
func (h *Hub) Hosts() []string {
	h.mu.RLock()
	names := make([]string, 0, len(h.hosts))
	for name, s := range h.hosts {
		if s.taken() {
			names = append(names, name)
		}
	}
	h.mu.RUnlock()
	sort.Strings(names)
	return names
}

// Len counts the connected hosts.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := 0
	for _, s := range h.hosts {
		if s.taken() {
			n++
		}
	}
	return n
}

// Info describes the connection of host.
func (h *Hub) Info(host string) (ConnInfo, bool) {
	s := h.seat(host)
	if s == nil {
		return ConnInfo{}, false
	}
	return s.info()
}

// Disconnect ends the connection of host, which is told why.
func (h *Hub) Disconnect(host string, why *api.Error) {
	if s := h.seat(host); s != nil {
		s.disconnect(why)
	}
}

// Close ends every connection and refuses new ones.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	seats := make([]*seat, 0, len(h.hosts))
	for _, s := range h.hosts {
		seats = append(seats, s)
	}
	h.mu.Unlock()
	for _, s := range seats {
		s.disconnect(errStopping)
	}
}

var errStopping = api.Errorf(api.CodeUnavailable, "the server is stopping").WithRemedy("the agent reconnects by itself")

// openBlob is the Blob method without its transport.
func (h *Hub) openBlob(ctx context.Context, host, sha256 string, offset int64) (io.ReadSeekCloser, int64, func(), error) {
	if !validHash(sha256) || offset < 0 {
		return nil, 0, nil, api.Errorf(api.CodeInvalid, "cannot read blob %q from %d: not a SHA-256 and an offset", sha256, offset)
	}
	if h.cfg.Authorizer == nil || h.cfg.Blobs == nil {
		return nil, 0, nil, api.Errorf(api.CodeNotFound, "cannot read blob %s: this server has no blobs", sha256)
	}
	if err := h.cfg.Authorizer.MayFetch(ctx, host, sha256); err != nil {
		return nil, 0, nil, err
	}
	select {
	case h.blobs <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, nil, api.Errorf(api.CodeUnavailable, "cannot read blob %s: too many fetches at once", sha256)
	}
	release := func() { <-h.blobs }
	f, size, err := h.cfg.Blobs.Open(sha256)
	if err == nil && offset > size {
		f.Close()
		err = api.Errorf(api.CodeInvalid, "cannot read blob %s from %d: it has %d bytes", sha256, offset, size)
	}
	if err == nil && offset > 0 {
		if _, err = f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
		}
	}
	if err != nil {
		release()
		return nil, 0, nil, err
	}
	return f, size, release, nil
}

func validHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// renew is the Renew method without its transport.
func (h *Hub) renew(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	if h.cfg.Renewer == nil {
		return nil, api.Errorf(api.CodeUnavailable, "this server renews no certificates")
	}
	return h.cfg.Renewer.Renew(ctx, host, r)
}
