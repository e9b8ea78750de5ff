// Package fleettest is a whole fleet in one test process: a real server with
// every room over a store in memory, and real agents that reach it through an
// in-memory link and converge folders that stand for machines. Only the
// network, systemd and the disk's root are not real.
package fleettest

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/agent"
	"drover/internal/all"
	"drover/internal/link"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/play/playpull"
	"drover/internal/server"
	"drover/internal/store"
)

// Fleet is one server and its hosts. Stop ends all of it.
type Fleet struct {
	dir     string
	ctx     context.Context
	cancel  context.CancelFunc
	backend store.Backend
	// Metrics, if set, is what an agent that starts does about metrics;
	// agent.Config.Metrics. Its folder outlives the agent.
	Metrics func(host, dir string) func(ctx context.Context, write func(ctx context.Context, body []byte) error)

	mu    sync.Mutex
	srv   *server.Server
	http  *httptest.Server
	hosts map[string]*host
}

type host struct {
	name  string
	dir   string
	state *agent.State
	stop  context.CancelFunc
	done  chan error
}

// Start starts a server whose data, and whose hosts' roots, are below dir.
func Start(ctx context.Context, dir string) (*Fleet, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &Fleet{dir: dir, ctx: ctx, cancel: cancel, backend: store.Memory(), hosts: map[string]*host{}}
	if err := f.startServer(); err != nil {
		cancel()
		return nil, err
	}
	return f, nil
}

func (f *Fleet) startServer() error {
	srv, err := server.New(f.ctx, server.Config{DataDir: f.data(), Backend: keepOpen{f.backend}, Rooms: all.Rooms(), Version: "test", LinkNames: []string{"memory:7441"}})
	if err != nil {
		return err
	}
	if err := srv.Start(f.ctx); err != nil {
		return errors.Join(err, srv.Close())
	}
	f.mu.Lock()
	f.srv, f.http = srv, httptest.NewServer(srv.Handler())
	f.mu.Unlock()
	return f.writeCredential()
}

// keepOpen lets a server stop without ending the store, which outlives it as
// a disk would.
type keepOpen struct{ store.Backend }

func (keepOpen) Close() error { return nil }

func (f *Fleet) data() string { return filepath.Join(f.dir, "data") }

// Config is the file that $DROVER_CONFIG has to name for `drover` to reach the fleet.
func (f *Fleet) Config() string { return filepath.Join(f.dir, "config.yml") }

func (f *Fleet) writeCredential() error {
	return server.WriteCredentials(f.Config(), &server.Credentials{Current: "test",
		Contexts: map[string]server.Credential{"test": {Server: f.http.URL, Token: f.srv.AdminToken()}}})
}

// URL is where the API is; it changes when the server is started again.
func (f *Fleet) URL() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.http.URL
}

// API is a client with an administrator's rights.
func (f *Fleet) API() (*client.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return client.New(client.Config{URL: f.http.URL, Token: f.srv.AdminToken()})
}

// StopServer ends the server; its data stays. Hosts go on alone.
func (f *Fleet) StopServer() error {
	f.mu.Lock()
	srv, door := f.srv, f.http
	f.srv, f.http = nil, nil
	f.mu.Unlock()
	if srv == nil {
		return nil
	}
	err := srv.Close()
	door.Close()
	return err
}

// StartServer starts the server again over the same data.
func (f *Fleet) StartServer() error { return f.startServer() }

// Root is the folder that stands for a host's "/".
func (f *Fleet) Root(name string) string { return filepath.Join(f.dir, "hosts", name, "root") }

// Enrol makes a host, has it join the fleet with a join token and starts its agent.
func (f *Fleet) Enrol(ctx context.Context, name string) error {
	if err := makeRoot(f.Root(name)); err != nil {
		return err
	}
	c, err := f.API()
	if err != nil {
		return err
	}
	var token server.NewToken
	if err := c.Create(ctx, "tokens", &api.Token{Meta: api.Meta{Kind: "token"},
		Spec: api.TokenSpec{Join: true, Host: name, Expires: time.Now().Add(time.Hour)}}, &token); err != nil {
		return err
	}
	h := &host{name: name, dir: filepath.Join(f.dir, "hosts", name, "state")}
	state, err := agent.OpenState(h.dir)
	if err != nil {
		return err
	}
	// A join speaks TLS only; in process the request goes to the handler itself.
	_, err = agent.Join(ctx, state, agent.JoinConfig{Server: "https://fleet.test", Token: token.Secret, Name: name, Version: "test", Transport: handlerTransport{f}})
	if err != nil {
		return errors.Join(err, state.Close())
	}
	if err := state.Close(); err != nil {
		return err
	}
	f.mu.Lock()
	f.hosts[name] = h
	f.mu.Unlock()
	return f.StartAgent(name)
}

// StartAgent starts a host's agent again.
func (f *Fleet) StartAgent(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[name]
	if h == nil || h.stop != nil {
		return api.Errorf(api.CodeInvalid, "host %s is not there, or runs", name)
	}
	state, err := agent.OpenState(h.dir)
	if err != nil {
		return err
	}
	machine := &module.Host{Root: f.Root(name)}
	cfg := agent.Config{
		State: state, Version: "test", Dialer: memoryLink{f, name},
		Executors: map[string]agent.Executor{playpull.Room: playpull.New(playpull.Config{Open: playpull.Files(state.Blobs().Path), Host: machine, State: state.Dir()})},
		Session:   sessionOn(machine),
		Facts:     func(context.Context) map[string]any { return map[string]any{"hostname": name, "os_family": "Debian"} },
		Retry:     50 * time.Millisecond,
		Backoff:   link.Backoff{First: 10 * time.Millisecond, Most: 50 * time.Millisecond},
	}
	if f.Metrics != nil {
		cfg.Metrics = f.Metrics(name, filepath.Join(h.dir, "metrics"))
	}
	a := agent.New(cfg)
	ctx, stop := context.WithCancel(f.ctx)
	h.stop, h.state, h.done = stop, state, make(chan error, 1)
	go func() { h.done <- a.Run(ctx) }()
	return nil
}

// StopAgent ends a host's agent; its disk stays.
func (f *Fleet) StopAgent(name string) error {
	f.mu.Lock()
	h := f.hosts[name]
	f.mu.Unlock()
	if h == nil || h.stop == nil {
		return api.Errorf(api.CodeInvalid, "host %s does not run", name)
	}
	h.stop()
	err := <-h.done
	h.stop = nil
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, h.state.Close())
}

// Stop ends hosts and server.
func (f *Fleet) Stop() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(f.hosts)) {
		if f.hosts[name].stop != nil {
			errs = append(errs, f.StopAgent(name))
		}
	}
	errs = append(errs, f.StopServer())
	f.cancel()
	return errors.Join(append(errs, f.backend.Close())...)
}

// makeRoot lays out what modules look for on any machine.
func makeRoot(root string) error {
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n",
		"etc/hostname": filepath.Base(filepath.Dir(root)) + "\n", "tmp/.keep": "", "srv/.keep": "", "var/lib/.keep": "", "etc/cron.d/.keep": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// File reads a host's file; "" if it is not there.
func (f *Fleet) File(host, path string) string {
	b, err := os.ReadFile(filepath.Join(f.Root(host), strings.TrimPrefix(path, "/")))
	if err != nil {
		return ""
	}
	return string(b)
}

func sessionOn(machine *module.Host) agent.SessionFunc {
	return func(ctx context.Context, rw agent.Stream, _ *api.Job) error {
		return playhost.Serve(ctx, rw, machine)
	}
}

// memoryLink dials whatever server runs now, as an agent on the network would.
type memoryLink struct {
	f    *Fleet
	name string
}

func (m memoryLink) dialer() (link.Dialer, error) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.f.srv == nil {
		return nil, api.Errorf(api.CodeUnavailable, "the server is away")
	}
	return link.Memory(m.f.srv.Hub(), m.name), nil
}

func (m memoryLink) Dial(ctx context.Context, hello *api.Hello) (link.Conn, error) {
	d, err := m.dialer()
	if err != nil {
		return nil, err
	}
	return d.Dial(ctx, hello)
}

func (m memoryLink) Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error) {
	d, err := m.dialer()
	if err != nil {
		return nil, err
	}
	return d.Renew(ctx, r)
}

// handlerTransport answers requests by the server's handler, without a network.
type handlerTransport struct{ f *Fleet }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	h.f.mu.Lock()
	srv := h.f.srv
	h.f.mu.Unlock()
	if srv == nil {
		return nil, errors.New("the server is away")
	}
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	return w.Result(), nil
}
