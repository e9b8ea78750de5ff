package link_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/link"
)

// call is one call to the consumer.
type call struct {
	what        string // joined left message
	host        string
	hello       *api.Hello
	message     *api.ToServer
	undelivered []*api.ToAgent
	body        []byte
}

// fleet is the consumer, the authorizer, the blobs and the renewer of a hub.
type fleet struct {
	calls chan call
	hold  chan struct{} // if set, Message waits for it

	mu    sync.Mutex
	may   map[string]string // host → the blob it may fetch
	blobs map[string][]byte
	in    map[string]int // calls under way, by host

	samples chan call     // bodies that were written
	storing chan struct{} // if set, Write waits for it
	bad     string
}

func newFleet() *fleet {
	return &fleet{calls: make(chan call, 10000), may: map[string]string{}, blobs: map[string][]byte{}, in: map[string]int{}, samples: make(chan call, 100)}
}

func (f *fleet) enter(c call) func() {
	f.mu.Lock()
	if f.in[c.host]++; f.in[c.host] > 1 {
		f.bad = "two calls about " + c.host + " at once"
	}
	f.mu.Unlock()
	f.calls <- c
	return func() {
		f.mu.Lock()
		f.in[c.host]--
		f.mu.Unlock()
	}
}

func (f *fleet) Joined(host string, hello *api.Hello) {
	defer f.enter(call{what: "joined", host: host, hello: hello})()
}

func (f *fleet) Left(host string, undelivered []*api.ToAgent) {
	defer f.enter(call{what: "left", host: host, undelivered: undelivered})()
}

func (f *fleet) Message(host string, m *api.ToServer) {
	defer f.enter(call{what: "message", host: host, message: m})()
	if f.hold != nil {
		<-f.hold
	}
}

func (f *fleet) MayFetch(_ context.Context, host, sha string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.may[host] != sha {
		return api.Errorf(api.CodeForbidden, "host %s may not fetch %s", host, sha)
	}
	return nil
}

type blobFile struct{ *bytes.Reader }

func (blobFile) Close() error { return nil }

func (f *fleet) Open(sha string) (io.ReadSeekCloser, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.blobs[sha]
	if !ok {
		return nil, 0, api.Errorf(api.CodeNotFound, "no blob %s", sha)
	}
	return blobFile{bytes.NewReader(b)}, int64(len(b)), nil
}

func (f *fleet) Renew(_ context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	if string(r.CSR) == "wrong" {
		return nil, api.Errorf(api.CodeInvalid, "not a request").WithRemedy("send one")
	}
	return &api.RenewResponse{Certificate: []byte("certificate of " + host + " for " + string(r.CSR))}, nil
}

func (f *fleet) Write(_ context.Context, host string, body []byte) error {
	switch string(body) {
	case "wrong":
		return api.Errorf(api.CodeInvalid, "not samples")
	case "full":
		return api.Errorf(api.CodeUnavailable, "the disk is full").WithRemedy("make room")
	}
	f.samples <- call{host: host, body: body}
	if f.storing != nil {
		<-f.storing
	}
	return nil
}

// next is the next call of a kind; others are passed over.
func (f *fleet) next(t *testing.T, what, host string) call {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case c := <-f.calls:
			if c.what == what && c.host == host {
				return c
			}
		case <-timeout:
			t.Fatalf("no %s of %s came", what, host)
		}
	}
}

func (f *fleet) addBlob(host string, data []byte) string {
	h := sha256.Sum256(data)
	sha := hex.EncodeToString(h[:])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blobs[sha], f.may[host] = data, sha
	return sha
}

// world is a hub and a way to reach it.
type world struct {
	hub    *link.Hub
	fleet  *fleet
	dialer func(host string) link.Dialer
}

func memoryWorld(t *testing.T, cfg link.HubConfig) *world {
	f := newFleet()
	cfg.Consumer, cfg.Authorizer, cfg.Blobs, cfg.Renewer, cfg.Metrics = f, f, f, f, f
	h := link.NewHub(cfg)
	t.Cleanup(h.Close)
	return &world{hub: h, fleet: f, dialer: func(host string) link.Dialer { return link.Memory(h, host) }}
}

func identify(c *x509.Certificate) (string, error) {
	if strings.HasPrefix(c.Subject.CommonName, "nobody") {
		return "", errors.New("it names no host")
	}
	return c.Subject.CommonName, nil
}

// listen serves hub as fleet ca until the test ends.
func listen(t *testing.T, hub *link.Hub, ca *authority, cfg link.ServerConfig) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{*ca.issue("server", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))}, ClientCAs: ca.pool()}
	cfg.Roots, cfg.Identify, cfg.Fleet = ca.pem, identify, ca.name
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Serve(ctx, l, cfg) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dialerOf(ca *authority, cert *tls.Certificate, servers ...string) link.Dialer {
	return link.NewDialer(link.DialConfig{Fleet: ca.name, Timeout: 10 * time.Second, Servers: func() []string { return servers },
		TLS: func() (*tls.Config, error) {
			return &tls.Config{RootCAs: ca.pool(), ServerName: "server", Certificates: []tls.Certificate{*cert}}, nil
		}})
}

func netWorld(t *testing.T, cfg link.HubConfig) *world {
	f := newFleet()
	cfg.Consumer, cfg.Authorizer, cfg.Blobs, cfg.Renewer, cfg.Metrics = f, f, f, f, f
	h := link.NewHub(cfg)
	ca := newAuthority(t, "fleet-a")
	addr := listen(t, h, ca, link.ServerConfig{})
	return &world{hub: h, fleet: f, dialer: func(host string) link.Dialer { return dialerOf(ca, ca.host(host), addr) }}
}

func hello() *api.Hello { return &api.Hello{Version: api.LinkVersion, AgentVersion: "1.0"} }

func (w *world) dial(t *testing.T, host string) link.Conn {
	t.Helper()
	c, err := w.dialer(host).Dial(t.Context(), hello())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	w.fleet.next(t, "joined", host)
	return c
}

func recv(t *testing.T, c link.Conn) *api.ToAgent {
	t.Helper()
	m, err := c.Recv()
	if err != nil {
		t.Fatalf("recv: %v", err)
	}
	return m
}

func jobOf(id string) *api.ToAgent { return &api.ToAgent{Job: &api.Job{ID: id}} }

// TestConformance holds both transports to the same promises.
func TestConformance(t *testing.T) {
	transports := map[string]func(*testing.T, link.HubConfig) *world{"memory": memoryWorld, "grpc": netWorld}
	for name, make := range transports {
		t.Run(name, func(t *testing.T) {
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) {
					w := make(t, c.cfg)
					c.run(t, w)
					w.fleet.mu.Lock()
					defer w.fleet.mu.Unlock()
					if w.fleet.bad != "" {
						t.Error(w.fleet.bad)
					}
				})
			}
		})
	}
}

var conformance = []struct {
	name string
	cfg  link.HubConfig
	run  func(*testing.T, *world)
}{
	{"messages arrive both ways in order", link.HubConfig{ServerVersion: "9"}, func(t *testing.T, w *world) {
		c := w.dial(t, "web-1")
		if v := c.Welcome(); v.ServerVersion != "9" || v.Version != api.LinkVersion || v.Time.IsZero() {
			t.Errorf("welcome is %+v", v)
		}
		go func() {
			for i := range 500 {
				if err := w.hub.SendWait(t.Context(), "web-1", jobOf(fmt.Sprint(i))); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		}()
		for i := range 500 {
			if m := recv(t, c); m.Job == nil || m.Job.ID != fmt.Sprint(i) {
				t.Fatalf("message %d is %+v", i, m)
			}
			if err := c.Send(t.Context(), &api.ToServer{Done: &api.JobDone{ID: fmt.Sprint(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 500 {
			if m := w.fleet.next(t, "message", "web-1").message; m.Done.ID != fmt.Sprint(i) {
				t.Fatalf("message %d is %+v", i, m)
			}
		}
		info, ok := w.hub.Info("web-1")
		if !ok || info.Hello.AgentVersion != "1.0" || info.Since.IsZero() || info.LastSeen.Before(info.Since) {
			t.Errorf("info is %+v, %v", info, ok)
		}
	}},
	{"an offer comes with the welcome", link.HubConfig{Offer: func(host string, h *api.Hello) *api.AgentOffer {
		return &api.AgentOffer{Version: host + h.AgentVersion}
	}}, func(t *testing.T, w *world) {
		if o := w.dial(t, "a").Welcome().Update; o == nil || o.Version != "a1.0" {
			t.Errorf("offer is %+v", o)
		}
	}},
	{"a host that is not there", link.HubConfig{}, func(t *testing.T, w *world) {
		for _, err := range []error{w.hub.Send("x", jobOf("1")), w.hub.SendWait(t.Context(), "x", jobOf("1")), w.hub.Broadcast([]string{"x"}, jobOf("1"))["x"]} {
			if api.CodeOf(err) != api.CodeUnavailable || !strings.Contains(err.Error(), "x") {
				t.Errorf("error is %v", err)
			}
		}
		if w.hub.Connected("x") || w.hub.Len() != 0 {
			t.Error("it is connected")
		}
	}},
	{"only the newest assignment is delivered and no job is lost", link.HubConfig{QueueMessages: 5}, func(t *testing.T, w *world) {
		// The host does not read, so that the queue fills. Large messages fill
		// what the transport itself buffers.
		w.dial(t, "a")
		big := strings.Repeat("x", 1<<20)
		taken := 0
		for {
			err := w.hub.Send("a", &api.ToAgent{Job: &api.Job{ID: fmt.Sprint(taken), Command: big}})
			if err != nil {
				if api.CodeOf(err) != api.CodeUnavailable {
					t.Fatalf("error is %v", err)
				}
				if info, _ := w.hub.Info("a"); info.Queued >= 5 {
					break
				}
				continue // the sender was about to take one
			}
			taken++
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer stop()
		if err := w.hub.SendWait(ctx, "a", jobOf("late")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full queue took a message: %v", err)
		}
		// The newer connection gets all that the older one was not given.
		c2 := w.dial(t, "a")
		for i := range 3 {
			if err := w.hub.Send("a", &api.ToAgent{Assign: &api.AssignmentSpec{Commit: fmt.Sprint(i)}}); err != nil {
				t.Fatalf("a full queue refused an assignment: %v", err)
			}
		}
		go func() {
			if err := w.hub.SendWait(t.Context(), "a", jobOf("end")); err != nil {
				t.Error(err)
			}
		}()
		var jobs []string
		last := ""
		for {
			m := recv(t, c2)
			if m.Assign != nil {
				last = m.Assign.Commit
			}
			if m.Job != nil {
				if m.Job.ID == "end" {
					break
				}
				jobs = append(jobs, m.Job.ID)
			}
		}
		if last != "2" {
			t.Errorf("the last assignment is %q", last)
		}
		if len(jobs) < 5 || jobs[len(jobs)-1] != fmt.Sprint(taken-1) {
			t.Errorf("the new connection got %v of %d jobs", jobs, taken)
		}
		for i := 1; i < len(jobs); i++ {
			var a, b int
			fmt.Sscan(jobs[i-1], &a)
			fmt.Sscan(jobs[i], &b)
			if b != a+1 {
				t.Errorf("jobs came as %v", jobs)
			}
		}
	}},
	{"what was not sent is handed back", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		big := strings.Repeat("x", 1<<20)
		for i := range 7 {
			if err := w.hub.Send("a", &api.ToAgent{Job: &api.Job{ID: fmt.Sprint(i), Command: big}}); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		left := w.fleet.next(t, "left", "a")
		if n := len(left.undelivered); n == 0 || left.undelivered[n-1].Job.ID != "6" {
			t.Errorf("%d messages were handed back", n)
		}
		if w.hub.Connected("a") {
			t.Error("it is still connected")
		}
	}},
	{"the newest connection wins", link.HubConfig{}, func(t *testing.T, w *world) {
		c1 := w.dial(t, "a")
		c2 := w.dial(t, "a")
		if _, err := c1.Recv(); api.CodeOf(err) != api.CodeConflict {
			t.Errorf("the old connection ended with %v", err)
		}
		if err := w.hub.Send("a", jobOf("1")); err != nil {
			t.Fatal(err)
		}
		if m := recv(t, c2); m.Job.ID != "1" {
			t.Errorf("got %+v", m)
		}
		c2.Close()
		w.fleet.next(t, "left", "a")
		select {
		case c := <-w.fleet.calls:
			t.Errorf("after left came %+v", c)
		default:
		}
	}},
	{"of connections one after the other the last one counts", link.HubConfig{}, func(t *testing.T, w *world) {
		const last = 199
		for i := range last + 1 {
			h := hello()
			h.AgentVersion = fmt.Sprint(i)
			c, err := w.dialer("a").Dial(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			if info, ok := w.hub.Info("a"); !ok || info.Hello.AgentVersion != h.AgentVersion {
				t.Fatalf("connection %d has its welcome, and the hub has %+v (%v)", i, info.Hello, ok)
			}
			c.Close()
		}
		joined := false // the last call about the host was not that it left
		for before := -1; before != last; {
			c := <-w.fleet.calls
			if c.what == "left" {
				if !joined {
					t.Error("the host left and had not come")
				}
				joined = false
				continue
			}
			var i int
			if fmt.Sscan(c.hello.AgentVersion, &i); i <= before {
				t.Fatalf("connection %d came after %d", i, before)
			}
			before, joined = i, true
		}
		w.fleet.next(t, "left", "a")
	}},
	{"disconnect says why", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		w.hub.Disconnect("a", api.Errorf(api.CodeForbidden, "host a was removed").WithRemedy("join again"))
		_, err := c.Recv()
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeForbidden || e.Remedy != "join again" {
			t.Errorf("the connection ended with %v", err)
		}
		w.fleet.next(t, "left", "a")
	}},
	{"an agent that is newer than the server is refused", link.HubConfig{ServerVersion: "0.9"}, func(t *testing.T, w *world) {
		h := hello()
		h.Version = api.LinkVersion + 1
		_, err := w.dialer("a").Dial(t.Context(), h)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeInvalid || !strings.Contains(e.Message, "newer than the server") || !strings.Contains(e.Remedy, "upgrade the server") {
			t.Errorf("error is %v", err)
		}
		h.Version = api.LinkOldest - 1
		if _, err := w.dialer("a").Dial(t.Context(), h); err == nil || !strings.Contains(err.Error(), "too old") {
			t.Errorf("error is %v", err)
		}
		if w.hub.Len() != 0 {
			t.Error("it is connected")
		}
	}},
	{"blobs come from an offset and only to who may", link.HubConfig{BlobStreams: 1}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		data := bytes.Repeat([]byte("0123456789abcdef"), 20000)
		sha := w.fleet.addBlob("a", data)
		for _, offset := range []int{0, 1, 70000, len(data)} {
			r, size, err := c.Blob(t.Context(), sha, int64(offset))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || size != int64(len(data)) || !bytes.Equal(got, data[offset:]) {
				t.Errorf("from %d: %d bytes of %d, %v", offset, len(got), size, err)
			}
			r.Close()
		}
		refused := map[api.Code]func() error{
			api.CodeForbidden: func() error {
				_, _, err := c.Blob(t.Context(), strings.Repeat("0", 64), 0)
				return err
			},
			api.CodeInvalid: func() error {
				_, _, err := c.Blob(t.Context(), "../etc/passwd", 0)
				return err
			},
		}
		for code, try := range refused {
			if err := try(); api.CodeOf(err) != code {
				t.Errorf("want %s, got %v", code, err)
			}
		}
		if _, _, err := c.Blob(t.Context(), sha, int64(len(data)+1)); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("past the end: %v", err)
		}
		if _, _, err := w.dial(t, "b").Blob(t.Context(), sha, 0); api.CodeOf(err) != api.CodeForbidden {
			t.Errorf("another host's blob: %v", err)
		}
	}},
	{"certificates are renewed for the caller", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		for name, renew := range map[string]func(context.Context, *api.RenewRequest) (*api.RenewResponse, error){"line": c.Renew, "dialer": w.dialer("a").Renew} {
			r, err := renew(t.Context(), &api.RenewRequest{CSR: []byte("csr")})
			if err != nil || string(r.Certificate) != "certificate of a for csr" {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			_, err = renew(t.Context(), &api.RenewRequest{CSR: []byte("wrong")})
			var e *api.Error
			if !errors.As(err, &e) || e.Code != api.CodeInvalid || e.Remedy != "send one" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"samples are stored before write returns", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		body := bytes.Repeat([]byte{0, 1, 0xff, 'x'}, 300_000)
		if err := c.Write(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-w.fleet.samples:
			if got.host != "a" || !bytes.Equal(got.body, body) {
				t.Errorf("%d bytes of %q were stored", len(got.body), got.host)
			}
		default:
			t.Error("write returned before anything was stored")
		}
		for body, want := range map[string]*api.Error{"wrong": {Code: api.CodeInvalid, Message: "not samples"},
			"full": {Code: api.CodeUnavailable, Message: "the disk is full", Remedy: "make room"}} {
			var e *api.Error
			if err := c.Write(t.Context(), []byte(body)); !errors.As(err, &e) || *e != *want {
				t.Errorf("%s: %v", body, err)
			}
		}
		if err := c.Write(t.Context(), make([]byte, link.MaxMessage+1)); api.CodeOf(err) != api.CodeTooLarge {
			t.Errorf("too much: %v", err)
		}
		if err := w.hub.Send("a", jobOf("1")); err != nil {
			t.Fatal(err)
		}
		if m := recv(t, c); m.Job.ID != "1" {
			t.Error("the line did not survive")
		}
	}},
	{"samples are taken from the connection that counts, one body at a time", link.HubConfig{Writes: 2}, func(t *testing.T, w *world) {
		w.fleet.storing = make(chan struct{})
		old := w.dial(t, "a")
		first := make(chan error, 1)
		go func() { first <- old.Write(t.Context(), []byte("1")) }()
		<-w.fleet.samples
		if err := old.Write(t.Context(), []byte("2")); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("a second body at once: %v", err)
		}
		// Another host is not held up, a third has to wait for its turn.
		b, c := w.dial(t, "b"), w.dial(t, "c")
		second := make(chan error, 1)
		go func() { second <- b.Write(t.Context(), []byte("3")) }()
		<-w.fleet.samples
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		if err := c.Write(ctx, []byte("4")); err == nil {
			t.Error("three bodies were taken at once")
		}
		close(w.fleet.storing)
		for _, done := range []chan error{first, second} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		w.dial(t, "a")
		if err := old.Write(t.Context(), []byte("5")); err == nil {
			t.Error("a replaced connection stored samples")
		}
		// What a host gave up on may have got its turn all the same.
		select {
		case got := <-w.fleet.samples:
			if string(got.body) != "4" {
				t.Errorf("%s of %s was stored", got.body, got.host)
			}
		default:
		}
	}},
	{"messages over the limit are refused", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		huge := strings.Repeat("x", link.MaxMessage)
		if err := w.hub.Send("a", &api.ToAgent{Job: &api.Job{Command: huge}}); api.CodeOf(err) != api.CodeTooLarge {
			t.Errorf("hub: %v", err)
		}
		if err := c.Send(t.Context(), &api.ToServer{Done: &api.JobDone{Error: huge}}); api.CodeOf(err) != api.CodeTooLarge {
			t.Errorf("host: %v", err)
		}
		if err := w.hub.Send("a", jobOf("1")); err != nil {
			t.Fatal(err)
		}
		if m := recv(t, c); m.Job.ID != "1" {
			t.Error("the line did not survive")
		}
	}},
	{"a hub that is closed", link.HubConfig{}, func(t *testing.T, w *world) {
		c := w.dial(t, "a")
		w.hub.Close()
		if _, err := c.Recv(); api.CodeOf(err) != api.CodeUnavailable {
			t.Errorf("the connection ended with %v", err)
		}
		w.fleet.next(t, "left", "a")
		if _, err := w.dialer("b").Dial(t.Context(), hello()); err == nil {
			t.Error("it takes new connections")
		}
	}},
	{"hosts are many", link.HubConfig{}, func(t *testing.T, w *world) {
		const n = 50
		var wg sync.WaitGroup
		names := make([]string, n)
		conns := make([]link.Conn, n)
		for i := range n {
			names[i] = fmt.Sprintf("h%03d", i)
			wg.Go(func() {
				c, err := w.dialer(names[i]).Dial(t.Context(), hello())
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		for range n { // each has joined
			c := <-w.fleet.calls
			if c.what != "joined" {
				t.Fatalf("got %+v", c)
			}
		}
		if hosts := w.hub.Hosts(); len(hosts) != n || hosts[n-1] != names[n-1] || w.hub.Len() != n {
			t.Errorf("hosts are %v", hosts)
		}
		if failed := w.hub.Broadcast(append(names, "ghost"), jobOf("all")); len(failed) != 1 || failed["ghost"] == nil {
			t.Errorf("failed are %v", failed)
		}
		for _, c := range conns {
			if m := recv(t, c); m.Job.ID != "all" {
				t.Errorf("got %+v", m)
			}
			c.Close()
		}
	}},
}
