package link_test

import (
	"context"
	"net"
	"testing"
	"time"

	"drover/api"
	"drover/internal/link"
)

// strict is a consumer that sends every host away.
type strict struct {
	*fleet
	hub *link.Hub
}

func (s *strict) Joined(host string, hello *api.Hello) {
	s.hub.Disconnect(host, api.Errorf(api.CodeForbidden, "%s is another machine now", host))
	s.fleet.Joined(host, hello)
}

// Who is sent away has a moment to hang up, and nothing to say in it.
func TestWhoIsRefusedSaysNothing(t *testing.T) {
	f := newFleet()
	s := &strict{fleet: f}
	s.hub = link.NewHub(link.HubConfig{Consumer: s, Authorizer: f, Blobs: f, Renewer: f})
	ca := newAuthority(t, "fleet-a")
	addr := listen(t, s.hub, ca, link.ServerConfig{})
	c, err := dialerOf(ca, ca.host("web-1"), addr).Dial(t.Context(), hello())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 { // it does not read, so it does not hear the goodbye
		if err := c.Send(t.Context(), &api.ToServer{Facts: &api.Facts{Hash: "forged"}}); err != nil {
			break
		}
	}
	timeout := time.After(20 * time.Second)
	for {
		select {
		case call := <-f.calls:
			switch call.what {
			case "message":
				t.Fatalf("the refused host was heard: %+v", call.message)
			case "left":
				return
			}
		case <-timeout:
			t.Fatal("the refused host is still there")
		}
	}
}

// Connections on which nothing is sent cost their own time only.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	_, ca, addr := onNet(t, link.ServerConfig{Handshakes: 2, HandshakeTimeout: time.Minute})
	for range 10 {
		silent, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := dialerOf(ca, ca.host("web-1"), addr).Dial(ctx, hello())
	if err != nil {
		t.Fatalf("a host could not come in: %v", err)
	}
	c.Close()
}
