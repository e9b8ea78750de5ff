package link

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"drover/api"
)

// DialConfig is the network side of an agent.
type DialConfig struct {
	// Servers are tried in order, host:port each; the one that worked last comes first.
	Servers func() []string
	// TLS proves the host and knows the fleet's servers (pki's Identity.TLS);
	// it is asked before each handshake, so that the certificate may rotate.
	TLS func() (*tls.Config, error)
	// Fleet is the fleet's id, to say in errors.
	Fleet string
	// Timeout bounds the wait for one server, handshake queue and all; 60 s.
	Timeout time.Duration
}

// Reachable fills in the host that an agent joined by, where the server does
// not know under which address it is reached: ":7441", "0.0.0.0:7441".
func Reachable(links []string, joined string) []string {
	var out []string
	for _, l := range links {
		host, port, err := net.SplitHostPort(l)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = joined
		}
		out = append(out, net.JoinHostPort(host, port))
	}
	return out
}

// NewDialer returns a Dialer over the network.
func NewDialer(cfg DialConfig) Dialer {
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	return &netDialer{cfg: cfg}
}

type netDialer struct {
	cfg  DialConfig
	last atomic.Pointer[string] // the server that answered last
}

func (d *netDialer) Dial(ctx context.Context, hello *api.Hello) (Conn, error) {
	var conn *netConn
	err := d.each(ctx, func(addr string) error {
		c, err := d.open(ctx, addr)
		if err != nil {
			return err
		}
		if err := c.hello(ctx, hello, d.cfg.Timeout); err != nil {
			c.Close()
			return err
		}
		conn = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (d *netDialer) Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error) {
	var answer *api.RenewResponse
	err := d.each(ctx, func(addr string) error {
		c, err := d.open(ctx, addr)
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, stop := context.WithTimeout(ctx, d.cfg.Timeout)
		defer stop()
		answer, err = c.Renew(ctx, r)
		return err
	})
	return answer, err
}

// each tries the servers until one does; the error is of all of them.
func (d *netDialer) each(ctx context.Context, try func(addr string) error) error {
	servers := d.cfg.Servers()
	if len(servers) == 0 {
		return api.Errorf(api.CodeInvalid, "no server is known").WithRemedy("run `drover-agent join` again")
	}
	if last := d.last.Load(); last != nil {
		for i, s := range servers {
			if s == *last {
				servers = append([]string{s}, append(append([]string(nil), servers[:i]...), servers[i+1:]...)...)
				break
			}
		}
	}
	var errs []error
	for _, addr := range servers {
		err := try(addr)
		if err == nil {
			d.last.Store(&addr)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// open makes the connection. TLS is done before gRPC sees it: errors stay whole,
// and gRPC never reconnects behind our back.
func (d *netDialer) open(ctx context.Context, addr string) (*netConn, error) {
	dialCtx, stop := context.WithTimeout(ctx, d.cfg.Timeout)
	defer stop()
	raw, err := dialTLS(dialCtx, addr, d.cfg)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	cc, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			var c net.Conn
			once.Do(func() { c = raw })
			if c == nil {
				return nil, errors.New("the connection ended")
			}
			return c, nil
		}),
		grpc.WithTransportCredentials(standing{}),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithDisableHealthCheck(),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(MaxMessage+chunkSize), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second, PermitWithoutStream: true}),
	)
	if err != nil {
		raw.Close()
		return nil, api.Errorf(api.CodeInternal, "cannot open a line to server %s: %v", addr, err)
	}
	return &netConn{addr: addr, raw: raw, cc: cc, stop: func() {}}, nil
}

// netConn is a line over the network.
type netConn struct {
	addr    string
	raw     io.Closer
	cc      *grpc.ClientConn
	stream  grpc.ClientStream
	stop    context.CancelFunc
	welcome *api.Welcome
	sending chan struct{} // a stream takes one message at a time
	closing sync.Once
}

func (c *netConn) hello(ctx context.Context, hello *api.Hello, timeout time.Duration) error {
	// The stream outlives the dial; ctx and the timeout only bound the welcome.
	streamCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	late := context.AfterFunc(ctx, stop)
	defer late()
	timer := time.AfterFunc(timeout, stop)
	defer timer.Stop()

	stream, err := c.cc.NewStream(streamCtx, &serviceDesc.Streams[0], "/"+serviceName+"/Connect")
	if err != nil {
		return received(c.addr, err, nil)
	}
	c.stream = stream
	c.sending = make(chan struct{}, 1)
	if err := stream.SendMsg(&api.ToServer{Hello: hello}); err != nil && err != io.EOF {
		return received(c.addr, err, nil)
	}
	m, err := c.Recv()
	if err != nil {
		return err
	}
	if m.Welcome == nil {
		return api.Errorf(api.CodeInvalid, "server %s did not answer hello with a welcome", c.addr)
	}
	if v := m.Welcome.Version; v < api.LinkOldest || v > api.LinkVersion {
		return api.Errorf(api.CodeInvalid, "server %s (%s) chose protocol %d, this agent speaks %d to %d", c.addr, m.Welcome.ServerVersion, v, api.LinkOldest, api.LinkVersion).
			WithRemedy("upgrade the older of the two; the server comes first")
	}
	c.welcome = m.Welcome
	return nil
}

func (c *netConn) Welcome() *api.Welcome { return c.welcome }
func (c *netConn) Server() string        { return c.addr }

func (c *netConn) Send(ctx context.Context, m *api.ToServer) error {
	// gRPC ends the stream when a message is too large, so it never sees one.
	data, err := json.Marshal(m)
	if err != nil {
		return api.Errorf(api.CodeInternal, "cannot encode a message: %v", err)
	}
	if len(data) > MaxMessage {
		return api.Errorf(api.CodeTooLarge, "cannot send a message of %d bytes: the limit is %d", len(data), MaxMessage)
	}
	select {
	case c.sending <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.sending }()
	if err := c.stream.SendMsg(&outgoing{data: data}); err != nil {
		if err == io.EOF {
			return api.Errorf(api.CodeUnavailable, "the line to server %s ended", c.addr)
		}
		return received(c.addr, err, nil)
	}
	return nil
}

func (c *netConn) Recv() (*api.ToAgent, error) {
	m := new(api.ToAgent)
	if err := c.stream.RecvMsg(m); err != nil {
		return nil, received(c.addr, err, c.stream.Trailer())
	}
	if m.Goodbye != nil {
		c.Close()
		return nil, m.Goodbye
	}
	return m, nil
}

func (c *netConn) Blob(ctx context.Context, sha256 string, offset int64) (io.ReadCloser, int64, error) {
	ctx, stop := context.WithCancel(ctx)
	stream, err := c.cc.NewStream(ctx, &serviceDesc.Streams[1], "/"+serviceName+"/Blob")
	if err == nil {
		err = stream.SendMsg(&blobRequest{SHA256: sha256, Offset: offset})
		if err == nil || err == io.EOF {
			err = stream.CloseSend()
		}
	}
	if err != nil {
		stop()
		return nil, 0, received(c.addr, err, nil)
	}
	r := &blobReader{server: c.addr, stream: stream, stop: stop}
	header, err := stream.Header()
	if err == nil && len(header.Get(sizeKey)) == 1 {
		var size int64
		if size, err = strconv.ParseInt(header.Get(sizeKey)[0], 10, 64); err == nil {
			return r, size, nil
		}
	}
	// Refused: the reason is in the trailer.
	err = stream.RecvMsg(new(chunk))
	if err == nil || err == io.EOF {
		err = errors.New("it sent no size")
	}
	err = received(c.addr, err, stream.Trailer())
	stop()
	return nil, 0, err
}

type blobReader struct {
	server string
	stream grpc.ClientStream
	stop   context.CancelFunc
	rest   []byte
	err    error
}

func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		c := new(chunk)
		if err := r.stream.RecvMsg(c); err == io.EOF {
			r.err = io.EOF
		} else if err != nil {
			r.err = received(r.server, err, r.stream.Trailer())
		}
		r.rest = c.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *blobReader) Close() error {
	r.stop()
	return nil
}

func (c *netConn) Renew(ctx context.Context, req *api.RenewRequest) (*api.RenewResponse, error) {
	answer := new(api.RenewResponse)
	var trailer metadata.MD
	if err := c.cc.Invoke(ctx, "/"+serviceName+"/Renew", req, answer, grpc.Trailer(&trailer)); err != nil {
		return nil, received(c.addr, err, trailer)
	}
	return answer, nil
}

func (c *netConn) Close() error {
	c.closing.Do(func() {
		c.stop()
		c.cc.Close()
		c.raw.Close()
	})
	return nil
}
