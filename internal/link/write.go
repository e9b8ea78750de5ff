package link

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"drover/api"
)

// Writer takes a host's samples. The body is a remote-write 1.0 WriteRequest
// (https://prometheus.io/docs/specs/prw/remote_write_spec/), compressed as a
// snappy block. nil says that it is stored. CodeInvalid says that it never
// will be, so that it is not to be sent again; any other code says that it may
// be, later.
type Writer interface {
	Write(ctx context.Context, body []byte) error
}

// Metrics stores the samples of hosts. Calls about one host never overlap.
type Metrics interface {
	Write(ctx context.Context, host string, body []byte) error
}

// samples is the body of a Write, which the codec leaves as it is.
type samples struct{ data []byte }

// write is the Write method without its transport. Only the connection that
// counts may speak as the host; same tells whether a transport is that of the caller.
func (h *Hub) write(ctx context.Context, host string, same func(transport) bool, read func() ([]byte, error)) error {
	if h.cfg.Metrics == nil {
		return api.Errorf(api.CodeUnavailable, "this server takes no metrics")
	}
	s := h.seat(host)
	if s == nil {
		return notConnected(host)
	}
	if err := s.beginWrite(same); err != nil {
		return err
	}
	defer s.endWrite()
	// Thousands of hosts catch up at once after an outage. Until it is its turn
	// a body stays with its host; one host has one turn, so that none can take all.
	select {
	case h.writes <- struct{}{}:
		defer func() { <-h.writes }()
	case <-ctx.Done():
		return api.Errorf(api.CodeUnavailable, "cannot take the samples of host %s: too many hosts write at once", host)
	}
	body, err := read()
	if err != nil {
		return err
	}
	return h.cfg.Metrics.Write(ctx, host, body)
}

// beginWrite notes a sign of life, or says why the caller does not speak for
// the host now.
func (s *seat) beginWrite(same func(transport) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch l := s.line; {
	case l == nil:
		return notConnected(s.host)
	case !same(l.to):
		return errReplaced(s.host)
	case l.refused:
		return api.Errorf(api.CodeUnavailable, "the connection of host %s was ended", s.host)
	case s.writing:
		return api.Errorf(api.CodeUnavailable, "samples of host %s are being written already", s.host)
	default:
		s.writing = true
		l.seen = s.hub.cfg.Now()
		return nil
	}
}

func (s *seat) endWrite() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// write serves the method. It is unary on the wire; taken as a stream, the
// body is read when it is its turn and not before.
func (s *service) write(stream grpc.ServerStream) error {
	ctx := stream.Context()
	err := func() error {
		who, _, err := caller(ctx, false)
		if err != nil {
			return err
		}
		same := func(t transport) bool { g, ok := t.(*grpcTransport); return ok && g.conn == who.conn }
		err = s.hub.write(ctx, who.host, same, func() ([]byte, error) {
			m := new(samples)
			if err := stream.RecvMsg(m); err != nil {
				if err == io.EOF {
					return nil, api.Errorf(api.CodeInvalid, "the request has no body")
				}
				return nil, err
			}
			return m.data, nil
		})
		if err != nil {
			return err
		}
		return stream.SendMsg(&samples{})
	}()
	if err != nil {
		trailer, err := refusal(err)
		stream.SetTrailer(trailer)
		return err
	}
	return nil
}

func (c *netConn) Write(ctx context.Context, body []byte) error {
	if err := writable(body); err != nil {
		return err
	}
	var trailer metadata.MD
	err := c.cc.Invoke(ctx, "/"+serviceName+"/Write", &samples{body}, &samples{}, grpc.Trailer(&trailer))
	if err == nil {
		return nil
	}
	if status.Code(err) == codes.Unimplemented {
		// Invalid would have the samples thrown away.
		return api.Errorf(api.CodeUnavailable, "server %s takes no metrics: it is older than this agent", c.addr).WithRemedy("upgrade the server")
	}
	return received(c.addr, err, trailer)
}

// write of a memoryConn copies, as a network would.
func (c *memoryConn) Write(ctx context.Context, body []byte) error {
	if err := writable(body); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	default:
	}
	same := func(t transport) bool { return t == transport(c) }
	return c.dialer.hub.write(ctx, c.dialer.host, same, func() ([]byte, error) { return append([]byte(nil), body...), nil })
}

func writable(body []byte) error {
	if len(body) > MaxMessage {
		return api.Errorf(api.CodeTooLarge, "cannot write %d bytes of samples: the limit is %d", len(body), MaxMessage)
	}
	return nil
}
