package link

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"drover/api"
)

// transport is what a connection is made of, below the hub.
type transport interface {
	send(*outgoing) error
	// end closes the connection; the host is told why.
	end(why *api.Error)
}

// outgoing is a message and its encoding, made once for all that get it.
type outgoing struct {
	msg  *api.ToAgent
	data []byte
}

func encode(m *api.ToAgent) (*outgoing, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, api.Errorf(api.CodeInternal, "cannot encode a message: %v", err)
	}
	if len(data) > MaxMessage {
		return nil, api.Errorf(api.CodeTooLarge, "cannot send a message of %d bytes: the limit is %d", len(data), MaxMessage)
	}
	return &outgoing{msg: m, data: data}, nil
}

// seat is one host's place in the hub. It outlives connections, so that a
// newer connection takes over what the older one had not sent.
type seat struct {
	hub  *Hub
	host string

	// call is held around calls to the consumer: they never overlap, and each
	// first looks whether its connection is still the one that counts.
	call   sync.Mutex
	joined bool // Joined was called, Left not since; under call

	mu      sync.Mutex
	line    *line // nil: not connected
	pending []*outgoing
	bytes   int64
	room    chan struct{} // closed when the queue shrinks; nil: nobody waits
	writing bool          // samples of the host are being stored
}

// line is one connection of a seat.
type line struct {
	seat    *seat
	to      transport
	hello   api.Hello
	remote  string
	since   time.Time
	seen    time.Time
	expires time.Time
	sending bool          // a goroutine empties the queue through this line
	drained chan struct{} // closed when that goroutine has ended
	dead    bool          // superseded or ended: sends no more
	refused bool          // was told to go: nothing that it still says counts
}

func (s *seat) taken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line != nil
}

func (s *seat) info() (ConnInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line
	if l == nil {
		return ConnInfo{}, false
	}
	return ConnInfo{Host: s.host, Hello: l.hello, Remote: l.remote, Since: l.since, LastSeen: l.seen,
		CertExpires: l.expires, Queued: len(s.pending)}, true
}

// queue takes o or says why not.
func (s *seat) queue(o *outgoing) error {
	_, err := s.put(o, false)
	return err
}

// queueOrWait takes o, or returns a channel that is closed when there may be room.
func (s *seat) queueOrWait(o *outgoing) (<-chan struct{}, error) { return s.put(o, true) }

func (s *seat) put(o *outgoing, wait bool) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == nil {
		return nil, notConnected(s.host)
	}
	if o.msg.Assign != nil {
		// Only the newest assignment counts; it takes the older one's place.
		if i := slices.IndexFunc(s.pending, func(p *outgoing) bool { return p.msg.Assign != nil }); i >= 0 {
			s.bytes += int64(len(o.data) - len(s.pending[i].data))
			s.pending[i] = o
			s.wake()
			return nil, nil
		}
	}
	// There is one assignment at most, so it is taken whatever waits.
	full := o.msg.Assign == nil && (len(s.pending) >= s.hub.cfg.QueueMessages || (len(s.pending) > 0 && s.bytes+int64(len(o.data)) > s.hub.cfg.QueueBytes))
	if full {
		if !wait {
			return nil, api.Errorf(api.CodeUnavailable, "cannot send to host %s: %d messages already wait for it", s.host, len(s.pending)).
				WithRemedy("try again when the host keeps up")
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		return s.room, nil
	}
	s.pending = append(s.pending, o)
	s.bytes += int64(len(o.data))
	s.wake()
	return nil, nil
}

// wake starts the goroutine that empties the queue, if there is none. It lives
// while there is something to send, so that an idle host costs none. Under mu.
func (s *seat) wake() {
	if l := s.line; l != nil && !l.sending && len(s.pending) > 0 {
		l.sending = true
		l.drained = make(chan struct{})
		go l.drain(l.drained)
	}
}

func (l *line) drain(done chan struct{}) {
	defer close(done)
	s := l.seat
	for {
		s.mu.Lock()
		if l.dead || len(s.pending) == 0 {
			l.sending = false
			if len(s.pending) == 0 {
				s.pending = nil
			}
			s.mu.Unlock()
			return
		}
		o := s.pending[0]
		s.pending[0] = nil
		s.pending = s.pending[1:]
		s.bytes -= int64(len(o.data))
		if s.room != nil {
			close(s.room)
			s.room = nil
		}
		s.mu.Unlock()
		if err := l.to.send(o); err != nil {
			s.giveBack(o)
			// The stream is broken; its reader sees it too and ends the line.
			l.to.end(nil)
			s.mu.Lock()
			l.sending = false
			l.dead = true
			s.mu.Unlock()
			return
		}
	}
}

// giveBack puts what could not be sent in front of the queue again. If another
// line took over meanwhile, that one sends it.
func (s *seat) giveBack(o *outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.msg.Assign != nil && slices.ContainsFunc(s.pending, func(p *outgoing) bool { return p.msg.Assign != nil }) {
		return
	}
	s.pending = append([]*outgoing{o}, s.pending...)
	s.bytes += int64(len(o.data))
	if s.line != nil && !s.line.dead {
		s.wake()
	}
}

func (s *seat) disconnect(why *api.Error) {
	s.mu.Lock()
	l := s.line
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.to.end(why)
	// It has a moment to hang up by itself. Who was refused, such as a machine
	// whose name another has now, must not use it to speak as that host.
	s.mu.Lock()
	l.refused = true
	s.mu.Unlock()
}

// open makes a connection the host's newest: hello was read, the welcome is the
// first that is sent. Who has its welcome holds the seat, so that of two
// connections the one counts that the host dialled later. The caller reads
// messages, gives them to message, and calls close.
func (h *Hub) open(host, remote string, expires time.Time, hello *api.Hello, to transport) (*line, error) {
	welcome, err := h.welcome(host, hello)
	if err != nil {
		return nil, err
	}
	first, err := encode(&api.ToAgent{Welcome: welcome})
	if err != nil {
		return nil, err
	}

	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errStopping
	}
	s := h.hosts[host]
	if s == nil {
		s = &seat{hub: h, host: host}
		h.hosts[host] = s
	}
	// The seat is entered under the hub's lock: close removes empty seats.
	s.mu.Lock()
	now := h.cfg.Now()
	l := &line{seat: s, to: to, hello: *hello, remote: remote, since: now, seen: now, expires: expires}
	old := s.line
	var before chan struct{}
	if old != nil {
		old.dead = true
		before = old.drained
	}
	s.line = l
	l.sending = true // nothing else is sent before Joined was called
	s.mu.Unlock()
	h.mu.Unlock()

	if old != nil {
		old.to.end(errReplaced(host))
		if before != nil {
			<-before // what it could not send is in front of the queue again
		}
	}
	if err := to.send(first); err != nil {
		l.close()
		return nil, err
	}
	s.call.Lock()
	if l.current() {
		s.joined = true
		h.cfg.Consumer.Joined(host, hello)
	}
	s.call.Unlock()
	s.mu.Lock()
	l.sending = false
	if s.line == l {
		s.wake()
	}
	s.mu.Unlock()
	return l, nil
}

func errReplaced(host string) *api.Error {
	return api.Errorf(api.CodeConflict, "a newer connection of host %s replaced this one", host).
		WithRemedy("if this repeats, two agents run with the same identity: let one of them join again")
}

func (h *Hub) welcome(host string, hello *api.Hello) (*api.Welcome, error) {
	if hello.Version > api.LinkVersion {
		return nil, api.Errorf(api.CodeInvalid, "the agent of host %s (%s) speaks protocol %d, this server (%s) at most %d: the agent is newer than the server",
			host, hello.AgentVersion, hello.Version, h.cfg.ServerVersion, api.LinkVersion).
			WithRemedy("upgrade the server first; agents follow by themselves")
	}
	if hello.Version < api.LinkOldest {
		return nil, api.Errorf(api.CodeInvalid, "the agent of host %s (%s) speaks protocol %d, this server (%s) no less than %d: the agent is too old",
			host, hello.AgentVersion, hello.Version, h.cfg.ServerVersion, api.LinkOldest).
			WithRemedy("install the current drover-agent on the host")
	}
	w := &api.Welcome{Version: hello.Version, ServerVersion: h.cfg.ServerVersion, Time: h.cfg.Now().UTC()}
	if h.cfg.Offer != nil {
		w.Update = h.cfg.Offer(host, hello)
	}
	return w, nil
}

func (l *line) current() bool {
	l.seat.mu.Lock()
	defer l.seat.mu.Unlock()
	return l.seat.line == l
}

// message hands m to the consumer. It is false when the line was replaced or refused.
func (l *line) message(m *api.ToServer) bool {
	s := l.seat
	s.call.Lock()
	defer s.call.Unlock()
	s.mu.Lock()
	current := s.line == l && !l.refused
	if current {
		l.seen = s.hub.cfg.Now()
	}
	s.mu.Unlock()
	if !current {
		return false
	}
	if m.Hello == nil {
		s.hub.cfg.Consumer.Message(s.host, m)
	}
	return true
}

// close ends the line. If it was still the host's newest, the host has left.
func (l *line) close() {
	s := l.seat
	h := s.hub
	s.call.Lock()
	defer s.call.Unlock()
	h.mu.Lock()
	s.mu.Lock()
	if s.line != l {
		s.mu.Unlock()
		h.mu.Unlock()
		return
	}
	s.line = nil
	l.dead = true
	left := s.pending
	s.pending, s.bytes = nil, 0
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
	s.mu.Unlock()
	h.mu.Unlock()

	undelivered := make([]*api.ToAgent, len(left))
	for i, o := range left {
		undelivered[i] = o.msg
	}
	if s.joined {
		s.joined = false
		h.cfg.Consumer.Left(s.host, undelivered)
	}
}
