package fleet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleet"
	"drover/internal/link"
	"drover/internal/server"
	"drover/internal/store"
)

// world is a server with the fleet room behind its real door, over a store in
// memory, and a clone of its repository.
type world struct {
	*testing.T
	dir     string // of the server's data
	backend store.Backend
	opts    fleet.Options
	srv     *server.Server
	http    *httptest.Server
	token   string
	clone   string
	wrap    func(store.Backend) store.Backend
}

// The tests' compiler: the inventory is a file with a host and its groups a
// line; every host in it gets what site.yml says.
type lines map[string][]string

func (l lines) Hosts() []string {
	var out []string
	for h := range l {
		out = append(out, h)
	}
	slices.Sort(out)
	return out
}
func (l lines) Groups(h string) []string { return l[h] }

func readLines(t fs.FS) (fleet.Inventory, error) {
	b, err := fs.ReadFile(t, "inventory")
	if err != nil {
		return lines{}, nil
	}
	out := lines{}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 0 {
			out[f[0]] = f[1:]
		}
	}
	return out, nil
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func compile(_ context.Context, in domain.Input) (domain.Output, error) {
	site, err := fs.ReadFile(in.Tree, "site.yml")
	if err != nil {
		return domain.Output{}, nil
	}
	out := domain.Output{Sections: map[string]api.Section{}}
	for i, l := range strings.Split(string(site), "\n") {
		if col := strings.Index(l, "BAD"); col >= 0 {
			out.Problems = append(out.Problems, &api.Error{Code: api.CodeInvalid, Message: "there is no module BAD", Remedy: "did you mean copy?",
				Place: &api.Place{File: "site.yml", Line: i + 1, Column: col + 1}})
		}
	}
	inv, _ := readLines(in.Tree)
	out.Blobs = []domain.Blob{{SHA256: sum(site), Content: site}}
	for _, h := range in.Hosts {
		if inv.(lines)[h.Name] == nil && !slices.Contains(inv.Hosts(), h.Name) {
			continue
		}
		body, _ := json.Marshal(map[string]string{"host": h.Name, "site": string(site)})
		out.Sections[h.Name] = api.Section{Room: "play", Hash: sum(body), Body: body, Blobs: []string{sum(site)}}
	}
	return out, nil
}

func newWorld(t *testing.T, o fleet.Options) *world {
	t.Helper()
	o.Compilers = []domain.Compiler{{Room: "play", Compile: compile}}
	o.Inventory = readLines
	w := &world{T: t, dir: t.TempDir(), backend: store.Memory(), opts: o, clone: filepath.Join(t.TempDir(), "clone")}
	w.start()
	t.Cleanup(func() { w.stop() })
	w.git("", "init", "-q", "-b", "main", w.clone)
	return w
}

func (w *world) start() {
	w.Helper()
	var err error
	backend := w.backend
	if w.wrap != nil {
		backend = w.wrap(backend)
	}
	w.srv, err = server.New(w.Context(), server.Config{DataDir: w.dir, Backend: backend, Rooms: []domain.Room{fleet.Room(w.opts)}, Version: "test"})
	if err != nil {
		w.Fatal(err)
	}
	if err := w.srv.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.token = w.srv.AdminToken()
	w.http = httptest.NewServer(w.srv.Handler())
}

func (w *world) stop() {
	err := w.srv.Close()
	w.http.Close()
	if err != nil {
		w.Errorf("the server does not stop: %v", err)
	}
}

func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

func (w *world) try(dir string, args ...string) (string, error) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=ada", "GIT_COMMITTER_EMAIL=ada@localhost")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) git(dir string, args ...string) string {
	w.Helper()
	out, err := w.try(dir, args...)
	if err != nil {
		w.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func (w *world) commit(subject string, files ...string) string {
	w.Helper()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(w.clone, files[i]), []byte(files[i+1]), 0o644); err != nil {
			w.Fatal(err)
		}
	}
	w.git(w.clone, "add", "-A")
	w.git(w.clone, "commit", "-q", "--allow-empty", "-m", subject)
	return strings.TrimSpace(w.git(w.clone, "rev-parse", "HEAD"))
}

func (w *world) push(token string, args ...string) (string, error) {
	w.Helper()
	url := strings.Replace(w.http.URL, "http://", "http://git:"+token+"@", 1) + "/fleet.git"
	return w.try(w.clone, append([]string{"push", url}, args...)...)
}

func (w *world) pushed(want ...string) string {
	w.Helper()
	out, err := w.push(w.token, "main")
	if err != nil {
		w.Fatalf("git push: %v\n%s", err, out)
	}
	w.says(out, want...)
	return out
}

func (w *world) says(out string, want ...string) {
	w.Helper()
	for _, s := range want {
		if !strings.Contains(out, s) {
			w.Errorf("there is no %q in:\n%s", s, out)
		}
	}
}

// call does one API call and decodes the answer; status is 0 for any 2xx.
func (w *world) call(token, method, path string, in, out any) *api.Error {
	w.Helper()
	var body io.Reader
	if in != nil {
		b, _ := json.Marshal(in)
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.Context(), method, w.http.URL+path, body)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		e := &api.Error{}
		if err := json.Unmarshal(raw, e); err != nil {
			w.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, raw)
		}
		return e
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			w.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return nil
}

func (w *world) host(name string) *api.Host {
	w.Helper()
	h := &api.Host{}
	if err := w.call(w.token, "GET", "/v1/hosts/"+name, nil, h); err != nil {
		w.Fatal(err)
	}
	return h
}

// add makes a host without the ceremony of joining.
func (w *world) add(names ...string) {
	w.Helper()
	t := store.TableOf[api.Host](w.srv.Services().Store, "host")
	for _, n := range names {
		if err := t.Create(w.Context(), &api.Host{Meta: api.Meta{Kind: "host", Name: n}}); err != nil {
			w.Fatal(err)
		}
	}
}

// until waits for a condition by looking again and again; the test's own
// deadline ends it.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			w.Fatalf("it never came about that %s", what)
		}
	}
}

func (w *world) events(typ string) []api.Event {
	w.Helper()
	var out struct {
		Items []api.Event `json:"items"`
	}
	if err := w.call(w.token, "GET", "/v1/events?limit=500", nil, &out); err != nil {
		w.Fatal(err)
	}
	return slices.DeleteFunc(out.Items, func(e api.Event) bool { return e.Type != typ })
}

// agent is a host's end of the line that does as it is told.
type agent struct {
	w    *world
	name string
	conn link.Conn
	over chan struct{}

	mu    sync.Mutex
	has   api.AssignmentSpec
	acks  []string // reports that were acknowledged
	err   error    // why the line ended
	check func(c *api.Converge) *api.Report
}

func (w *world) connect(name string, has api.AssignmentSpec) *agent {
	w.Helper()
	a := &agent{w: w, name: name, has: has, over: make(chan struct{}), check: func(*api.Converge) *api.Report { return &api.Report{} }}
	c, err := link.Memory(w.srv.Hub(), name).Dial(w.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "test", AgentHash: "h", Hash: has.Hash, Commit: has.Commit})
	if err != nil {
		w.Fatal(err)
	}
	a.conn = c
	go a.loop()
	w.Cleanup(a.close)
	return a
}

func (a *agent) close() { a.conn.Close(); <-a.over }

func (a *agent) loop() {
	defer close(a.over)
	for {
		m, err := a.conn.Recv()
		if err != nil {
			a.mu.Lock()
			a.err = err
			a.mu.Unlock()
			return
		}
		switch {
		case m.Assign != nil:
			a.mu.Lock()
			a.has = *m.Assign
			a.mu.Unlock()
			_ = a.conn.Send(context.Background(), &api.ToServer{Ack: &api.Ack{Commit: m.Assign.Commit, Hash: m.Assign.Hash}})
			a.report(&api.Report{Reason: "new", Changed: true, Sections: map[string]api.Result{"play": {Changed: true, Changes: 1}}})
		case m.ReportAck != nil:
			a.mu.Lock()
			a.acks = append(a.acks, m.ReportAck.ID)
			a.mu.Unlock()
		case m.Converge != nil && m.Converge.Check:
			d := &api.JobDone{ID: m.Converge.ID, Report: a.check(m.Converge)}
			for _, s := range m.Converge.Assignment.Sections {
				for _, b := range s.Blobs { // what a check needs can be fetched
					r, _, err := a.conn.Blob(context.Background(), b, 0)
					if err != nil {
						d = &api.JobDone{ID: m.Converge.ID, Error: err.Error()}
						continue
					}
					_, _ = io.Copy(io.Discard, r)
					r.Close()
				}
			}
			_ = a.conn.Send(context.Background(), &api.ToServer{Done: d})
		}
	}
}

var serial struct {
	sync.Mutex
	n int
}

func (a *agent) report(r *api.Report) string {
	a.mu.Lock()
	r.Commit, r.Hash = a.has.Commit, a.has.Hash
	a.mu.Unlock()
	if r.ID == "" {
		serial.Lock()
		serial.n++
		r.ID = fmt.Sprintf("%s-%d", a.name, serial.n)
		serial.Unlock()
	}
	if r.Start.IsZero() {
		r.Start = time.Now()
	}
	_ = a.conn.Send(context.Background(), &api.ToServer{Report: r})
	return r.ID
}

func (a *agent) acked(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.acks, id)
}
