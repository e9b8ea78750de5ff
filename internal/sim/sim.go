// Package sim is a fleet that is not there: thousands of agents in one process
// that join, connect and speak the real protocol over real connections, for
// load. Nothing is applied: an assignment is acknowledged and reported at once,
// `true` and other commands are answered at once.
//
// What agents have in common they share (one key, one set of roots, one
// schedule), so that the machine's memory goes to connections.
package sim

import (
	"context"
	"crypto"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/link"
	"drover/internal/pki"
)

// Config says how large the fleet is and where it joins.
type Config struct {
	N        int
	Client   *client.Client // may make join tokens: an operator's
	Joiner   *client.Client // the same server without a token: each host shows its own
	Server   string         // URL of the API, to reach links without a host of their own
	Prefix   string         // of the hosts' names, before "-1", "-2" …; "sim-" and four random letters if empty
	Parallel int            // joins and dials at once; 64
	Version  string         // of the agents
	Metrics  int            // series that each host sends every 15 s; 0: none
	Backoff  link.Backoff
	// Facts are what each host says of itself; a few plausible ones if nil.
	Facts func(host string) map[string]any
	// Progress is called about once a second, and at each step's end. May be nil.
	Progress func(Stats)
}

// Stats is how the fleet is at a moment.
type Stats struct {
	Step      string // joining connecting running removing
	Hosts     int
	Joined    int
	Connected int
	Failed    string // the last thing that went wrong
	Elapsed   time.Duration
	// Since the start.
	Assigned  int64 // assignments acknowledged
	Acked     int64 // reports acknowledged by the server
	Jobs      int64
	Drops     int64 // connections that broke
	Samples   int64 // stored by the server
	Unwritten int64 // batches of samples that it did not take
	// Of dialling until the welcome, over all connections so far.
	DialP50, DialP99 time.Duration
	ConnectedIn      time.Duration // from the first dial until all were connected
}

// Fleet is a running simulation.
type Fleet struct {
	cfg   Config
	hosts []*host
	key   crypto.Signer
	dials chan struct{}
	start time.Time

	joined, connected atomic.Int64
	assigned, acked   atomic.Int64
	jobs, drops       atomic.Int64

	metrics            *metrics // nil: none are sent
	samples, unwritten atomic.Int64

	mu       sync.Mutex
	step     string
	failed   string
	times    []time.Duration
	dialling time.Time
	allUp    time.Duration
}

// host is one simulated agent, kept small.
type host struct {
	fleet  *Fleet
	name   string
	dialer link.Dialer
	commit string
	hash   string
	told   bool // its facts
	line   atomic.Pointer[link.Conn]
}

// New prepares a fleet.
func New(cfg Config) *Fleet {
	if cfg.Prefix == "" {
		var b [2]byte
		n := rand.Uint32()
		b[0], b[1] = byte(n), byte(n>>8)
		cfg.Prefix = "sim-" + hex.EncodeToString(b[:])
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 64
	}
	if cfg.Version == "" {
		cfg.Version = "sim"
	}
	if cfg.Facts == nil {
		cfg.Facts = plausible
	}
	f := &Fleet{cfg: cfg, dials: make(chan struct{}, cfg.Parallel), start: time.Now(), step: "joining"}
	if cfg.Metrics > 0 {
		f.metrics = newMetrics(cfg.Metrics, f.start)
	}
	for i := range cfg.N {
		f.hosts = append(f.hosts, &host{fleet: f, name: fmt.Sprintf("%s-%d", cfg.Prefix, i+1)})
	}
	return f
}

func plausible(host string) map[string]any {
	return map[string]any{"hostname": host, "fqdn": host + ".sim", "distribution": "Debian", "distribution_version": "12", "os_family": "Debian",
		"architecture": "x86_64", "kernel": "6.1.0", "processor_vcpus": 2, "memtotal_mb": 2000, "service_mgr": "systemd", "pkg_mgr": "apt"}
}

// Join enrols every host. It may take a while; what was joined stays so.
func (f *Fleet) Join(ctx context.Context) error {
	defer f.progress(ctx, "joining")()
	key, _, err := pki.NewKey()
	if err != nil {
		return err
	}
	f.key = key
	return f.parallel(ctx, func(ctx context.Context, h *host) error {
		if h.dialer != nil {
			return nil
		}
		if err := f.join(ctx, h); err != nil {
			return fmt.Errorf("cannot join host %s: %w", h.name, err)
		}
		f.joined.Add(1)
		return nil
	})
}

// Attach gives the hosts lines of another kind instead of joining.
func (f *Fleet) Attach(dialer func(host string) link.Dialer) {
	for _, h := range f.hosts {
		h.dialer = &timed{f, dialer(h.name)}
		f.joined.Add(1)
	}
}

func (f *Fleet) join(ctx context.Context, h *host) error {
	var token struct {
		Secret string `json:"secret"`
	}
	want := &api.Token{Meta: api.Meta{Kind: "token"}, Spec: api.TokenSpec{Join: true, Host: h.name, Expires: time.Now().Add(time.Hour).UTC(), Note: "drover sim"}}
	if err := f.cfg.Client.Call(ctx, http.MethodPost, "/v1/tokens", want, &token); err != nil {
		return err
	}
	csr, err := pki.Request(h.name, f.key)
	if err != nil {
		return err
	}
	header := http.Header{"Authorization": {"Bearer " + token.Secret}}
	var answer api.JoinResponse
	if err := callAs(ctx, f.cfg.Joiner, header, &api.JoinRequest{Name: h.name, CSR: csr, AgentVersion: f.cfg.Version}, &answer); err != nil {
		return err
	}
	u, err := url.Parse(f.cfg.Server)
	if err != nil {
		return err
	}
	servers := link.Reachable(answer.Link, u.Hostname())
	keyPEM, err := marshalKey(f.key)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	cert, ca := answer.Certificate, answer.CA
	d := link.NewDialer(link.DialConfig{Fleet: answer.Fleet, Timeout: 2 * time.Minute, Servers: func() []string { return servers },
		TLS: func() (*tls.Config, error) {
			mu.Lock()
			defer mu.Unlock()
			id, err := pki.ParseIdentity(cert, keyPEM, ca)
			if err != nil {
				return nil, err
			}
			return id.TLS(), nil
		}})
	h.dialer = &timed{f, d}
	return nil
}

// Run keeps all hosts connected until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	f.mu.Lock()
	f.dialling = time.Now()
	f.mu.Unlock()
	defer f.progress(ctx, "connecting")()
	var wg sync.WaitGroup
	if f.metrics != nil {
		wg.Go(func() { f.sendMetrics(ctx) })
	}
	for _, h := range f.hosts {
		if h.dialer == nil {
			continue
		}
		wg.Go(func() {
			link.Keep(ctx, link.KeepConfig{Dialer: h.dialer, Backoff: f.cfg.Backoff, Hello: h.hello, Use: h.use,
				Failed: func(err error, _ time.Duration) { f.fail(err) }})
		})
	}
	wg.Wait()
}

// Remove takes the hosts out of the fleet again.
func (f *Fleet) Remove(ctx context.Context) error {
	defer f.progress(ctx, "removing")()
	return f.parallel(ctx, func(ctx context.Context, h *host) error {
		if h.dialer == nil {
			return nil
		}
		err := f.cfg.Client.Delete(ctx, "hosts", h.name)
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return fmt.Errorf("cannot remove host %s: %w", h.name, err)
		}
		f.joined.Add(-1)
		return nil
	})
}

// parallel does something for all hosts, a number at once, until one fails.
func (f *Fleet) parallel(ctx context.Context, do func(context.Context, *host) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan *host)
	var wg sync.WaitGroup
	for range f.cfg.Parallel {
		wg.Go(func() {
			for h := range work {
				if err := do(ctx, h); err != nil {
					f.fail(err)
					stop(err)
					return
				}
			}
		})
	}
	for _, h := range f.hosts {
		select {
		case work <- h:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

func (f *Fleet) fail(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	f.failed = err.Error()
	f.mu.Unlock()
}

// progress reports until the function that it returns is called.
func (f *Fleet) progress(ctx context.Context, step string) func() {
	f.mu.Lock()
	f.step = step
	f.mu.Unlock()
	if f.cfg.Progress == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f.cfg.Progress(f.Stats())
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		stop()
		<-done
		f.cfg.Progress(f.Stats())
	}
}

// Stats is how the fleet is now.
func (f *Fleet) Stats() Stats {
	s := Stats{Hosts: len(f.hosts), Joined: int(f.joined.Load()), Connected: int(f.connected.Load()), Elapsed: time.Since(f.start),
		Assigned: f.assigned.Load(), Acked: f.acked.Load(), Jobs: f.jobs.Load(), Drops: f.drops.Load(), Samples: f.samples.Load(), Unwritten: f.unwritten.Load()}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Step, s.Failed, s.ConnectedIn = f.step, f.failed, f.allUp
	if s.Step == "connecting" && s.Connected == s.Hosts {
		s.Step = "running"
	}
	if n := len(f.times); n > 0 {
		sorted := slices.Clone(f.times)
		slices.Sort(sorted)
		s.DialP50, s.DialP99 = sorted[n/2], sorted[n*99/100]
	}
	return s
}

// timed is a dialer that waits for its turn and takes the time.
type timed struct {
	fleet *Fleet
	link.Dialer
}

func (t *timed) Dial(ctx context.Context, hello *api.Hello) (link.Conn, error) {
	select {
	case t.fleet.dials <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-t.fleet.dials }()
	began := time.Now()
	c, err := t.Dialer.Dial(ctx, hello)
	if err == nil {
		t.fleet.mu.Lock()
		if len(t.fleet.times) < 100_000 {
			t.fleet.times = append(t.fleet.times, time.Since(began))
		}
		t.fleet.mu.Unlock()
	}
	return c, err
}
