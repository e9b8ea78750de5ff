package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"drover/api"
)

// peer is who is at the other end of a server's connection.
type peer struct {
	credentials.CommonAuthInfo
	host    string
	expires time.Time
	expired bool       // may only renew
	err     *api.Error // why it may do nothing
	conn    net.Conn
}

func (*peer) AuthType() string { return "drover" }

// door is the server's TLS: it admits a bounded number of handshakes at once,
// and tells who came. A certificate that is not of this fleet still gets
// through the handshake, so that the host hears why it is refused; each method
// refuses it then, and the connection is cut soon after.
type door struct {
	cfg     ServerConfig
	tls     *tls.Config
	now     func() time.Time
	roots   *rootPool
	slots   chan struct{}
	waiting atomic.Int64
}

func newDoor(cfg ServerConfig, now func() time.Time) *door {
	if cfg.Handshakes <= 0 {
		cfg.Handshakes = 32
	}
	if cfg.Waiting <= 0 {
		cfg.Waiting = 10000
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 30 * 24 * time.Hour
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &door{cfg: cfg, now: now, slots: make(chan struct{}, cfg.Handshakes), roots: &rootPool{pem: cfg.Roots}}
	d.tls = ours(cfg.TLS)
	if choose := d.tls.GetConfigForClient; choose != nil {
		d.tls.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := choose(h)
			if c == nil || err != nil {
				return c, err
			}
			return ours(c), nil
		}
	}
	return d
}

// ours is what the link needs, on top of the certificate in c.
func ours(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{"h2"}
	c.ClientAuth = tls.RequireAnyClientCert // identify verifies it
	c.ClientCAs = nil                       // as a hint it would keep another fleet's hosts from sending theirs
	c.VerifyConnection = nil
	c.VerifyPeerCertificate = nil
	// A resumed session would skip the certificate; agents stay connected for
	// days, so there is nothing to gain.
	c.SessionTicketsDisabled = true
	return c
}

// rootPool parses the roots again only when they changed.
type rootPool struct {
	pem  func() []byte
	mu   sync.Mutex
	last []byte
	pool *x509.CertPool
}

func (r *rootPool) get() *x509.CertPool {
	now := r.pem()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool == nil || !bytes.Equal(now, r.last) {
		r.pool = x509.NewCertPool()
		r.pool.AppendCertsFromPEM(now)
		r.last = bytes.Clone(now)
	}
	return r.pool
}

func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if d.waiting.Add(1) > int64(d.cfg.Waiting+d.cfg.Handshakes) {
		d.waiting.Add(-1)
		return nil, nil, errors.New("too many connections wait for their handshake")
	}
	d.slots <- struct{}{}
	defer func() { <-d.slots; d.waiting.Add(-1) }()

	turn := &turn{Conn: raw, slots: d.slots, left: d.cfg.HandshakeTimeout}
	defer turn.over.Store(true)
	conn := tls.Server(turn, d.tls)
	if err := conn.Handshake(); err != nil {
		d.cfg.Log.Debug("link: handshake failed", "remote", raw.RemoteAddr().String(), "error", err)
		return nil, nil, err
	}
	p := d.identify(conn.ConnectionState().PeerCertificates)
	p.conn = conn
	p.CommonAuthInfo = credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	if p.err != nil || p.expired {
		d.cfg.Log.Warn("link: certificate not accepted", "remote", raw.RemoteAddr().String(), "host", p.host, "error", p.err, "expired", p.expired)
		time.AfterFunc(d.cfg.HandshakeTimeout, func() { conn.Close() })
	}
	return conn, p, nil
}

// turn is a connection in its handshake. It has one of the slots, but not while
// it waits for the other end: who sends nothing keeps nobody from coming in.
type turn struct {
	net.Conn
	slots chan struct{}
	left  time.Duration // for the other end, all its answers together
	over  atomic.Bool   // the handshake is done: just a connection
}

func (t *turn) Read(b []byte) (int, error) {
	if t.over.Load() {
		return t.Conn.Read(b)
	}
	return t.wait(t.Conn.Read, b)
}

func (t *turn) Write(b []byte) (int, error) {
	if t.over.Load() {
		return t.Conn.Write(b)
	}
	return t.wait(t.Conn.Write, b)
}

func (t *turn) wait(do func([]byte) (int, error), b []byte) (int, error) {
	begun := time.Now()
	// gRPC takes the deadline off when the connection stands.
	if err := t.SetDeadline(begun.Add(t.left)); err != nil {
		return 0, err
	}
	<-t.slots
	n, err := do(b)
	t.left -= time.Since(begun)
	t.slots <- struct{}{}
	return n, err
}

func (d *door) identify(chain []*x509.Certificate) *peer {
	p := &peer{}
	if len(chain) == 0 {
		p.err = api.Errorf(api.CodeUnauthorized, "the agent sent no certificate")
		return p
	}
	cert := chain[0]
	p.expires = cert.NotAfter
	now := d.now()
	opts := x509.VerifyOptions{Roots: d.roots.get(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := cert.Verify(opts)
	if now.After(cert.NotAfter) {
		opts.CurrentTime = cert.NotAfter
		_, err = cert.Verify(opts)
		p.expired = err == nil
	}
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		p.err = api.Errorf(api.CodeUnauthorized, "the host's certificate was issued by %q, not by this fleet (%s)", cert.Issuer.CommonName, d.cfg.Fleet).
			WithRemedy("on the host, run `drover-agent join` with a token of this fleet, or give it this fleet's old server address")
		return p
	case err != nil:
		p.err = api.Errorf(api.CodeUnauthorized, "cannot accept the host's certificate: %v", err).
			WithRemedy("check the clocks of both machines; else run `drover-agent join` with a new token")
		return p
	}
	host, err := d.cfg.Identify(cert)
	if err != nil {
		var e *api.Error
		if !errors.As(err, &e) {
			e = api.Errorf(api.CodeUnauthorized, "cannot accept the host's certificate: %v", err)
		}
		p.err = e
		return p
	}
	p.host = host
	if p.expired && now.Sub(cert.NotAfter) > d.cfg.Grace {
		p.expired = false
		p.err = api.Errorf(api.CodeUnauthorized, "the certificate of host %s ended %s, too long ago to renew it", host, cert.NotAfter.UTC().Format(time.DateTime)).
			WithRemedy("run `drover-agent join` on the host with a new token")
	}
	return p
}

// may refuses a peer what its certificate is not good for.
func (p *peer) may(renewOnly bool) error {
	if p.err != nil {
		return p.err
	}
	if p.expired && !renewOnly {
		return api.Errorf(api.CodeUnauthorized, "the certificate of host %s ended %s", p.host, p.expires.UTC().Format(time.DateTime)).
			WithRemedy("the agent renews it by itself; if it does not, run `drover-agent join` with a new token")
	}
	return nil
}

func (d *door) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the server's end dials nobody")
}

func (d *door) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (d *door) Clone() credentials.TransportCredentials { return d }
func (d *door) OverrideServerName(string) error         { return nil }

// dialTLS connects to a server and makes sure that it is one of this fleet.
func dialTLS(ctx context.Context, addr string, cfg DialConfig) (*tls.Conn, error) {
	base, err := cfg.TLS()
	if err != nil {
		return nil, err
	}
	base = base.Clone()
	base.MinVersion = tls.VersionTLS13
	base.NextProtos = []string{"h2"}
	if base.ServerName == "" {
		base.ServerName, _, _ = net.SplitHostPort(addr)
	}
	d := net.Dialer{Timeout: 15 * time.Second}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot reach server %s: %v", addr, err)
	}
	conn := tls.Client(raw, base)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, handshakeError(addr, cfg.Fleet, err)
	}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		conn.Close()
		return nil, api.Errorf(api.CodeInvalid, "%s is no Drover link: it does not speak HTTP/2", addr).
			WithRemedy("check the address and port of the link (7441 unless set otherwise)")
	}
	return conn, nil
}

func handshakeError(addr, fleet string, err error) error {
	var known *api.Error
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &unknown):
		issuer := "nobody"
		if unknown.Cert != nil {
			issuer = fmt.Sprintf("%q", unknown.Cert.Issuer.CommonName)
		}
		return api.Errorf(api.CodeUnauthorized, "server %s is not of this host's fleet (%s): its certificate was issued by %s", addr, fleet, issuer).
			WithRemedy("if the host should change fleets, run `drover-agent join` with a token of the other one; else check the address")
	case errors.As(err, &name):
		return api.Errorf(api.CodeUnauthorized, "%s is of this fleet but no Drover server: %v", addr, name).WithRemedy("check the address")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return api.Errorf(api.CodeUnauthorized, "cannot accept the certificate of server %s: %v", addr, invalid).WithRemedy("check the clocks of both machines")
	case errors.As(err, &record):
		return api.Errorf(api.CodeInvalid, "%s is no Drover link: it does not speak TLS", addr).
			WithRemedy("check the address and port of the link (7441 unless set otherwise)")
	}
	return api.Errorf(api.CodeUnavailable, "cannot open a line to server %s: %v", addr, err)
}

// standing are the credentials of a connection whose handshake is done.
type standing struct{}

type standingInfo struct{ credentials.CommonAuthInfo }

func (standingInfo) AuthType() string { return "tls" }

func (standing) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, standingInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (standing) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("an agent's end serves nobody")
}

func (standing) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (standing) Clone() credentials.TransportCredentials { return standing{} }
func (standing) OverrideServerName(string) error         { return nil }
