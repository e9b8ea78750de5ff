package link_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/link"
)

// onNet is a hub of fleet-a on the network.
func onNet(t *testing.T, cfg link.ServerConfig) (*world, *authority, string) {
	f := newFleet()
	h := link.NewHub(link.HubConfig{Consumer: f, Authorizer: f, Blobs: f, Renewer: f})
	ca := newAuthority(t, "fleet-a")
	return &world{hub: h, fleet: f}, ca, listen(t, h, ca, cfg)
}

func wantError(t *testing.T, err error, code api.Code, parts ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error is %v, want one of kind %s", err, code)
	}
	if e.Remedy == "" {
		t.Errorf("error %v has no remedy", e)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func TestAnotherFleetsHostIsToldSo(t *testing.T) {
	_, a, addr := onNet(t, link.ServerConfig{})
	b := newAuthority(t, "fleet-b")

	// The host believes the server, but its own certificate is fleet-b's.
	trusting := link.NewDialer(link.DialConfig{Fleet: "fleet-b", Servers: func() []string { return []string{addr} }, TLS: func() (*tls.Config, error) {
		return &tls.Config{RootCAs: a.pool(), ServerName: "server", Certificates: []tls.Certificate{*b.host("web-1")}}, nil
	}})
	_, err := trusting.Dial(t.Context(), hello())
	wantError(t, err, api.CodeUnauthorized, "fleet-b", "fleet-a", "drover-agent join")
	_, err = trusting.Renew(t.Context(), &api.RenewRequest{CSR: []byte("csr")})
	wantError(t, err, api.CodeUnauthorized, "fleet-b", "fleet-a")

	// It does not believe the server either.
	_, err = dialerOf(b, b.host("web-1"), addr).Dial(t.Context(), hello())
	wantError(t, err, api.CodeUnauthorized, "fleet-a", "fleet-b", addr)
}

func TestCertificatesThatAreNoHosts(t *testing.T) {
	w, ca, addr := onNet(t, link.ServerConfig{})
	_, err := dialerOf(ca, ca.host("nobody-1"), addr).Dial(t.Context(), hello())
	if api.CodeOf(err) != api.CodeUnauthorized || !strings.Contains(err.Error(), "names no host") {
		t.Errorf("a certificate without a host: %v", err)
	}
	server := ca.issue("web-1", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	_, err = dialerOf(ca, server, addr).Dial(t.Context(), hello())
	wantError(t, err, api.CodeUnauthorized)
	_, err = link.NewDialer(link.DialConfig{Servers: func() []string { return []string{addr} }, TLS: func() (*tls.Config, error) {
		return &tls.Config{RootCAs: ca.pool(), ServerName: "server"}, nil
	}}).Dial(t.Context(), hello())
	if err == nil {
		t.Error("a host without a certificate got in")
	}
	if w.hub.Len() != 0 {
		t.Error("somebody is connected")
	}
}

func TestExpiredCertificateMayOnlyRenew(t *testing.T) {
	w, ca, addr := onNet(t, link.ServerConfig{Grace: 10 * 24 * time.Hour})
	recent := dialerOf(ca, ca.issue("web-1", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour)), addr)
	_, err := recent.Dial(t.Context(), hello())
	wantError(t, err, api.CodeUnauthorized, "web-1", "ended")
	r, err := recent.Renew(t.Context(), &api.RenewRequest{CSR: []byte("csr")})
	if err != nil || string(r.Certificate) != "certificate of web-1 for csr" {
		t.Errorf("renewal: %+v, %v", r, err)
	}
	old := dialerOf(ca, ca.issue("web-1", x509.ExtKeyUsageClientAuth, time.Now().Add(-11*24*time.Hour)), addr)
	_, err = old.Renew(t.Context(), &api.RenewRequest{CSR: []byte("csr")})
	wantError(t, err, api.CodeUnauthorized, "web-1", "too long ago")
	if w.hub.Len() != 0 {
		t.Error("somebody is connected")
	}
}

func TestServersAreTriedInOrder(t *testing.T) {
	w, ca, addr := onNet(t, link.ServerConfig{})
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := dead.Addr().String()
	dead.Close()
	c, err := dialerOf(ca, ca.host("web-1"), nobody, addr).Dial(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.fleet.next(t, "joined", "web-1")
	if c.Server() != addr {
		t.Errorf("connected to %s", c.Server())
	}
	_, err = dialerOf(ca, ca.host("web-1"), nobody).Dial(t.Context(), hello())
	if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), nobody) {
		t.Errorf("a dead server: %v", err)
	}
	_, err = dialerOf(ca, ca.host("web-1")).Dial(t.Context(), hello())
	wantError(t, err, api.CodeInvalid, "no server")
}

func TestSomethingElseListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			c.Close()
		}
	})
	defer wg.Wait()
	defer l.Close()
	ca := newAuthority(t, "fleet-a")
	_, err = dialerOf(ca, ca.host("web-1"), l.Addr().String()).Dial(t.Context(), hello())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error is %v", err)
	}
}

// TestHandshakesAreAdmitted holds the door open for some while others, who say
// nothing, stand in it.
func TestHandshakesAreAdmitted(t *testing.T) {
	w, ca, addr := onNet(t, link.ServerConfig{Handshakes: 2, Waiting: 3, HandshakeTimeout: 200 * time.Millisecond})
	for range 4 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	c, err := dialerOf(ca, ca.host("web-1"), addr).Dial(t.Context(), hello())
	if err != nil {
		t.Fatalf("those who say nothing keep others out: %v", err)
	}
	defer c.Close()
	w.fleet.next(t, "joined", "web-1")
}

func TestServerStopsWithAGoodbye(t *testing.T) {
	f := newFleet()
	h := link.NewHub(link.HubConfig{Consumer: f})
	ca := newAuthority(t, "fleet-a")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- h.Serve(ctx, l, link.ServerConfig{Roots: ca.pem, Identify: identify, Fleet: ca.name,
			TLS: &tls.Config{Certificates: []tls.Certificate{*ca.issue("server", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))}}})
	}()
	c, err := dialerOf(ca, ca.host("web-1"), l.Addr().String()).Dial(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	f.next(t, "joined", "web-1")
	stop()
	if _, err := c.Recv(); api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("the line ended with %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	f.next(t, "left", "web-1")
}

// refusing is a dialer that never connects.
type refusing struct{ at []time.Time }

func (r *refusing) Dial(context.Context, *api.Hello) (link.Conn, error) {
	r.at = append(r.at, time.Now())
	return nil, api.Errorf(api.CodeUnavailable, "no")
}

func (r *refusing) Renew(context.Context, *api.RenewRequest) (*api.RenewResponse, error) {
	return nil, api.Errorf(api.CodeUnavailable, "no")
}

func TestKeepWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &refusing{}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		var waits []time.Duration
		link.Keep(ctx, link.KeepConfig{Dialer: r, Hello: hello, Backoff: link.Backoff{First: time.Second, Most: 32 * time.Second},
			Failed: func(_ error, wait time.Duration) { waits = append(waits, wait) }})
		bound := time.Second
		for i, w := range waits {
			if w > bound+bound/20 {
				t.Errorf("wait %d is %v, more than %v", i, w, bound)
			}
			bound = min(2*bound, 32*time.Second)
		}
		if len(waits) < 100 || len(waits) > 1000 {
			t.Errorf("it dialled %d times in an hour", len(waits))
		}
		// Hosts that began together are spread: two of them do not agree.
		var again []time.Duration
		ctx2, stop2 := context.WithTimeout(t.Context(), time.Minute)
		defer stop2()
		link.Keep(ctx2, link.KeepConfig{Dialer: r, Hello: hello, Failed: func(_ error, wait time.Duration) { again = append(again, wait) }})
		if again[0] == waits[0] && again[1] == waits[1] {
			t.Error("two hosts wait for the same times")
		}
	})
}

func TestReachable(t *testing.T) {
	got := strings.Join(link.Reachable([]string{":7441", "0.0.0.0:7441", "[::]:7441", "a.example:7441", "10.0.0.1:7441", "rubbish"}, "fleet.example"), " ")
	if want := "fleet.example:7441 fleet.example:7441 fleet.example:7441 a.example:7441 10.0.0.1:7441"; got != want {
		t.Errorf("got %s", got)
	}
	if got := link.Reachable([]string{":1"}, "2001:db8::1"); got[0] != "[2001:db8::1]:1" {
		t.Errorf("got %s", got)
	}
}
