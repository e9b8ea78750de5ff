package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"

	"drover/api"
)

// ServerConfig is the network side of a Hub.
type ServerConfig struct {
	// TLS has the server's certificate (pki's LinkTLS). What it says of
	// clients' certificates is replaced: they are verified against Roots after
	// the handshake, so that a host that is refused hears why.
	TLS *tls.Config
	// Roots is the PEM of the fleet's roots, asked at each handshake.
	Roots func() []byte
	// Identify reads the host's name from a verified certificate.
	Identify Identify
	// Fleet is the fleet's id, to say in errors.
	Fleet string
	// Grace is how long after its end a certificate may still be renewed; 30 days.
	Grace time.Duration

	Handshakes       int           // TLS handshakes at once; 32
	Waiting          int           // connections that may wait for one; 10,000
	HandshakeTimeout time.Duration // for one handshake; 10 s
	Log              *slog.Logger
}

// bufferSize is small because there are thousands of connections, all of them
// quiet nearly always.
const bufferSize = 4 << 10

// goodbyeTime is how long an agent has to hang up by itself.
const goodbyeTime = 2 * time.Second

// Serve accepts agents on l until ctx ends, then closes all connections.
func (h *Hub) Serve(ctx context.Context, l net.Listener, cfg ServerConfig) error {
	door := newDoor(cfg, h.cfg.Now)
	srv := grpc.NewServer(
		grpc.Creds(door),
		grpc.ForceServerCodecV2(codec{}),
		// TLS has a buffer for reading, so that another one would be 4 KB a host
		// for nothing; the one for writing is taken only while something is written.
		grpc.ReadBufferSize(0), grpc.WriteBufferSize(bufferSize),
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage+chunkSize),
		grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(32),
		// The wait for a handshake is part of this time.
		grpc.ConnectionTimeout(2*time.Minute),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 75 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	srv.RegisterService(&serviceDesc, &service{hub: h})

	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		h.Close()
		timer := time.AfterFunc(goodbyeTime+time.Second, srv.Stop)
		defer timer.Stop()
		srv.GracefulStop()
	})
	err := srv.Serve(l)
	if !stop() {
		<-done
		return nil
	}
	srv.Stop()
	return err
}

// service is what the methods below run on.
type service struct{ hub *Hub }

type linkServer interface {
	connect(grpc.ServerStream) error
	blob(grpc.ServerStream) error
	write(grpc.ServerStream) error
}

const serviceName = "drover.Link"

var serviceDesc = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*linkServer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Renew",
		Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return srv.(*service).renew(ctx, decode)
		},
	}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Connect", ServerStreams: true, ClientStreams: true,
			Handler: func(srv any, s grpc.ServerStream) error { return srv.(*service).connect(s) }},
		{StreamName: "Blob", ServerStreams: true,
			Handler: func(srv any, s grpc.ServerStream) error { return srv.(*service).blob(s) }},
		{StreamName: "Write", ClientStreams: true,
			Handler: func(srv any, s grpc.ServerStream) error { return srv.(*service).write(s) }},
	},
}

// caller is who calls, if its certificate is good for it.
func caller(ctx context.Context, renewOnly bool) (*peer, string, error) {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return nil, "", api.Errorf(api.CodeUnauthorized, "the connection has no peer")
	}
	who, ok := p.AuthInfo.(*peer)
	if !ok {
		return nil, "", api.Errorf(api.CodeUnauthorized, "the connection has no certificate")
	}
	if err := who.may(renewOnly); err != nil {
		return nil, "", err
	}
	return who, p.Addr.String(), nil
}

func (s *service) renew(ctx context.Context, decode func(any) error) (any, error) {
	answer, err := func() (*api.RenewResponse, error) {
		who, _, err := caller(ctx, true)
		if err != nil {
			return nil, err
		}
		req := new(api.RenewRequest)
		if err := decode(req); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot read the request: %v", err)
		}
		// The renewer may look at the certificate that the host came with.
		if conn, ok := who.conn.(*tls.Conn); ok {
			from := &grpcpeer.Peer{AuthInfo: credentials.TLSInfo{State: conn.ConnectionState(), CommonAuthInfo: who.CommonAuthInfo}}
			if p, ok := grpcpeer.FromContext(ctx); ok {
				from.Addr = p.Addr
			}
			ctx = grpcpeer.NewContext(ctx, from)
		}
		return s.hub.renew(ctx, who.host, req)
	}()
	if err != nil {
		trailer, err := refusal(err)
		_ = grpc.SetTrailer(ctx, trailer) // without it the status alone says why
		return nil, err
	}
	return answer, nil
}

func (s *service) blob(stream grpc.ServerStream) error {
	err := func() error {
		who, _, err := caller(stream.Context(), false)
		if err != nil {
			return err
		}
		req := new(blobRequest)
		if err := stream.RecvMsg(req); err != nil {
			return api.Errorf(api.CodeInvalid, "cannot read the request: %v", err)
		}
		f, size, release, err := s.hub.openBlob(stream.Context(), who.host, req.SHA256, req.Offset)
		if err != nil {
			return err
		}
		defer release()
		defer f.Close()
		if err := stream.SendHeader(metadata.Pairs(sizeKey, strconv.FormatInt(size, 10))); err != nil {
			return err
		}
		for {
			// A fresh piece each time: gRPC keeps it until it is written.
			buf := make([]byte, chunkSize)
			n, err := io.ReadFull(f, buf)
			if n > 0 {
				if err := stream.SendMsg(&chunk{buf[:n]}); err != nil {
					return err
				}
			}
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return nil
			}
			if err != nil {
				return api.Errorf(api.CodeInternal, "cannot read blob %s: %v", req.SHA256, err)
			}
		}
	}()
	if err != nil {
		trailer, err := refusal(err)
		stream.SetTrailer(trailer)
		return err
	}
	return nil
}

func (s *service) connect(stream grpc.ServerStream) error {
	err := func() error {
		who, remote, err := caller(stream.Context(), false)
		if err != nil {
			return err
		}
		first := new(api.ToServer)
		if err := stream.RecvMsg(first); err != nil {
			return err
		}
		if first.Hello == nil {
			return api.Errorf(api.CodeInvalid, "the first message of a stream is not a hello")
		}
		to := &grpcTransport{stream: stream, conn: who.conn}
		l, err := s.hub.open(who.host, remote, who.expires, first.Hello, to)
		if err != nil {
			to.over() // it may have been told to go before its welcome
			return to.reason(err)
		}
		defer l.close()
		defer to.over()
		for {
			m := new(api.ToServer)
			if err := stream.RecvMsg(m); err != nil {
				return to.reason(err)
			}
			if !l.message(m) {
				return to.reason(errReplaced(who.host))
			}
		}
	}()
	if err == io.EOF {
		return nil
	}
	trailer, err := refusal(err)
	stream.SetTrailer(trailer)
	return err
}

// grpcTransport is a Connect stream as the hub sees it.
type grpcTransport struct {
	stream grpc.ServerStream
	conn   io.Closer

	sending sync.Mutex // a stream takes one message at a time

	mu    sync.Mutex
	ended bool
	why   *api.Error
	timer *time.Timer
}

func (t *grpcTransport) send(o *outgoing) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended {
		return errEnded // after the goodbye nobody reads any more
	}
	return t.stream.SendMsg(o)
}

var errEnded = errors.New("the connection ended")

// end says goodbye and gives the agent a moment to hang up. The handler sits
// in RecvMsg, which nothing but the end of the connection interrupts.
func (t *grpcTransport) end(why *api.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended, t.why = true, why
	if why == nil || !t.sending.TryLock() {
		t.conn.Close()
		return
	}
	defer t.sending.Unlock()
	t.timer = time.AfterFunc(goodbyeTime, func() { t.conn.Close() })
	if o, err := encode(&api.ToAgent{Goodbye: why}); err == nil {
		_ = t.stream.SendMsg(o) // the timer cuts what does not listen
	}
}

func (t *grpcTransport) reason(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why != nil {
		return t.why
	}
	return err
}

// over is called when the handler returns: the timer has nothing more to do.
func (t *grpcTransport) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
