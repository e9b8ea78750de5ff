package all_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	"drover/client"
	"drover/internal/all"
	"drover/internal/link"
	"drover/internal/play"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/server"
	"drover/internal/store"
	"drover/internal/tree"
)

// house is a server with all rooms over a store in memory.
type house struct {
	*testing.T
	srv   *server.Server
	http  *httptest.Server
	api   *client.Client
	clone string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, clone: filepath.Join(t.TempDir(), "clone")}
	var err error
	h.srv, err = server.New(t.Context(), server.Config{DataDir: t.TempDir(), Backend: store.Memory(), Rooms: all.Rooms(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewServer(h.srv.Handler())
	t.Cleanup(func() { h.http.Close(); _ = h.srv.Close() })
	h.api = h.as(h.srv.AdminToken())
	h.git("", "init", "-q", "-b", "main", h.clone)
	return h
}

func (h *house) as(token string) *client.Client {
	h.Helper()
	c, err := client.New(client.Config{URL: h.http.URL, Token: token})
	if err != nil {
		h.Fatal(err)
	}
	return c
}

func (h *house) try(dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(h.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=ada", "GIT_COMMITTER_EMAIL=ada@localhost")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (h *house) git(dir string, args ...string) {
	h.Helper()
	if out, err := h.try(dir, args...); err != nil {
		h.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// push commits files (name, content pairs) and pushes main.
func (h *house) push(files ...string) (string, error) {
	h.Helper()
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(h.clone, files[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			h.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(files[i+1]), 0o644); err != nil {
			h.Fatal(err)
		}
	}
	h.git(h.clone, "add", "-A")
	h.git(h.clone, "commit", "-q", "-m", "change")
	return h.try(h.clone, "push", strings.Replace(h.http.URL, "http://", "http://git:"+h.srv.AdminToken()+"@", 1)+"/fleet.git", "main")
}

func (h *house) says(out string, want ...string) {
	h.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			h.Errorf("there is no %q in:\n%s", w, out)
		}
	}
}

// host is an enrolled host whose agent runs commands as the test says.
type host struct {
	name string
	conn link.Conn
	root string
	mu   sync.Mutex
	has  *api.AssignmentSpec
	user string        // of the last session
	got  chan struct{} // an assignment came
	over chan struct{}
	run  func(h *host, j *api.Job)
}

func (h *house) add(name string, labels map[string]string, run func(*host, *api.Job)) *host {
	h.Helper()
	t := store.TableOf[api.Host](h.srv.Services().Store, "host")
	if err := t.Create(h.Context(), &api.Host{Meta: api.Meta{Kind: "host", Name: name, Labels: labels}}); err != nil {
		h.Fatal(err)
	}
	x := &host{name: name, run: run, got: make(chan struct{}, 16), over: make(chan struct{}), root: h.TempDir()}
	var err error
	if x.conn, err = link.Memory(h.srv.Hub(), name).Dial(h.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "test"}); err != nil {
		h.Fatal(err)
	}
	go x.loop()
	h.Cleanup(func() { x.conn.Close(); <-x.over })
	return x
}

func (x *host) send(m *api.ToServer) { _ = x.conn.Send(context.Background(), m) }

func (x *host) loop() {
	defer close(x.over)
	pipes := map[string]*link.Pipe{}
	var work sync.WaitGroup
	defer work.Wait()
	defer func() {
		for _, p := range pipes {
			p.Break(io.EOF)
		}
	}()
	for {
		m, err := x.conn.Recv()
		switch {
		case err != nil:
			return
		case m.Assign != nil:
			x.mu.Lock()
			x.has = m.Assign
			x.mu.Unlock()
			x.got <- struct{}{}
		case m.Converge != nil:
			x.send(&api.ToServer{Done: &api.JobDone{ID: m.Converge.ID, Report: &api.Report{}}})
		case m.Session != nil && pipes[m.Session.ID] != nil:
			pipes[m.Session.ID].Deliver(m.Session)
		case m.Cancel != nil && pipes[m.Cancel.ID] != nil:
			pipes[m.Cancel.ID].Break(io.EOF)
		case m.Job != nil && m.Job.Session:
			id := m.Job.ID
			x.mu.Lock()
			x.user = m.Job.User
			x.mu.Unlock()
			p := link.NewPipe(context.Background(), id, func(ctx context.Context, f *api.Frame) error {
				return x.conn.Send(ctx, &api.ToServer{Session: f})
			})
			pipes[id] = p
			work.Go(func() {
				_ = playhost.Serve(context.Background(), p, &module.Host{Root: x.root})
				_ = p.Close()
			})
		case m.Job != nil && x.run != nil:
			work.Go(func() { x.run(x, m.Job) })
		}
	}
}

func (x *host) section(t *testing.T) play.Section {
	t.Helper()
	select {
	case <-x.got:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s got no assignment", x.name)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var s play.Section
	if len(x.has.Sections) == 0 {
		return s
	}
	if err := json.Unmarshal(x.has.Sections[0].Body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// bundle fetches what the host would run.
func (x *host) bundle(t *testing.T, s play.Section) *tree.Tree {
	t.Helper()
	r, _, err := x.conn.Blob(t.Context(), s.Bundle, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := tree.ReadTar(r, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const inventory = "[web]\nweb-1\nweb-2\n[db]\ndb-1\n[web:vars]\nport=80\n"

func TestARevisionBecomesBundlesAndSlices(t *testing.T) {
	h := newHouse(t)
	web := h.add("web-1", nil, nil)
	db := h.add("db-1", nil, nil)
	out, err := h.push("inventory/hosts", inventory, "inventory/host_vars/db-1.yml", "password: secret-of-db\n",
		"site.yml", "- hosts: web\n  roles: [web]\n", "roles/web/tasks/main.yml", "- copy:\n    content: hello\n    dest: /etc/motd\n", "README.md", "words\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.says(out, "web-2: in the inventory, without an agent", "Accepted and sent to 2 hosts")
	s := web.section(t)
	if s.Playbook != "site.yml" || s.Slice == nil || s.Slice.Host != "web-1" {
		t.Errorf("section: %+v", s)
	}
	raw, _ := json.Marshal(s)
	if strings.Contains(string(raw), "secret-of-db") {
		t.Errorf("web-1 is told the secret of db-1")
	}
	b := web.bundle(t, s)
	if !b.Has("site.yml") || !b.Has("roles/web/tasks/main.yml") || b.Has("README.md") || b.Has("inventory/host_vars/db-1.yml") {
		t.Errorf("the bundle holds %v", b.Files())
	}
	if d := db.section(t); d.Bundle != s.Bundle || !strings.Contains(string(d.Slice.Plugin), "secret-of-db") {
		t.Errorf("db-1: %+v", d)
	}

	// What is of one host's business reaches that host alone.
	if out, err := h.push("inventory/host_vars/db-1.yml", "password: changed\n"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else {
		h.says(out, "Plan: 1 host ", "sent to 1 host.")
	}
	if d := db.section(t); d.Bundle != s.Bundle {
		t.Errorf("the bundle changed with a variable")
	}
	select {
	case <-web.got:
		t.Errorf("web-1 was sent a new assignment")
	default:
	}
}

func TestAPushThatAnsibleWouldTripOver(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"YAML that does not parse", []string{"site.yml", "- hosts: all\n  tasks:\n   - debug: msg='x\n  - y: [\n"}, []string{"remote: site.yml:"}},
		{"an unknown keyword", []string{"site.yml", "- hosts: all\n  tsks: []\n"}, []string{"remote: site.yml:2:3:", "tasks"}},
		{"a role that is not there", []string{"site.yml", "- hosts: all\n  roles: [nowhere]\n"}, []string{"remote: site.yml:2:", "nowhere"}},
		{"an inventory that is not one", []string{"site.yml", "- hosts: all\n", "inventory/hosts.yml", "all: [\n"}, []string{"remote: inventory/hosts.yml:"}},
		{"a wrong type", []string{"inventory/hosts.yml", "all: {hosts: {a: }}\n", "site.yml", "- hosts: all\n  tasks: 5\n"}, []string{"remote: site.yml:2:"}},
	} {
		out, err := h.push(append([]string{"x", c.name}, c.files...)...)
		if err == nil {
			t.Errorf("%s: it was accepted:\n%s", c.name, out)
		}
		h.says(out, append(c.want, "Nothing was accepted, and no host changes.")...)
	}
}

func (h *house) runs(c *client.Client, q api.RunRequest, fn func(api.RunEvent)) error {
	h.Helper()
	return c.Stream(h.Context(), "POST", "/v1/runs", q, func(m client.Message) error {
		var e api.RunEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return err
		}
		fn(e)
		return nil
	})
}

func TestRunsStreamWhatHostsSay(t *testing.T) {
	h := newHouse(t)
	echo := func(x *host, j *api.Job) {
		x.send(&api.ToServer{Output: &api.JobOutput{ID: j.ID, Data: []byte(x.name + " says " + j.Command + "\n")}})
		x.send(&api.ToServer{Done: &api.JobDone{ID: j.ID}})
	}
	fails := func(x *host, j *api.Job) { x.send(&api.ToServer{Done: &api.JobDone{ID: j.ID, Exit: 3}}) }
	h.add("web-1", map[string]string{"env": "prod"}, echo)
	h.add("web-2", nil, fails)
	h.add("db-1", map[string]string{"env": "prod"}, echo)
	away := h.add("web-9", nil, nil)
	away.conn.Close()
	<-away.over
	if out, err := h.push("inventory", inventory); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(pattern string) (said map[string]string, exits map[string]int, end *api.RunEnd, err error) {
		said, exits = map[string]string{}, map[string]int{}
		err = h.runs(h.api, api.RunRequest{Command: "hi", Hosts: pattern}, func(e api.RunEvent) {
			for _, o := range e.Output {
				said[o.Host] += string(o.Data)
			}
			for _, d := range e.Done {
				exits[d.Host] = d.Exit
			}
			end = e.End
		})
		return said, exits, end, err
	}
	said, exits, end, err := run("")
	if err != nil || end == nil || end.OK != 2 || end.Failed != 1 || end.Lost != 1 {
		t.Fatalf("end %+v, %v", end, err)
	}
	if said["web-1"] != "web-1 says hi\n" || said["db-1"] != "db-1 says hi\n" || exits["web-2"] != 3 {
		t.Errorf("said %q, exits %v", said, exits)
	}
	for pattern, want := range map[string]string{"web:!web-2:!web-9": "web-1", "label:env=prod": "db-1 web-1", "label:env=prod:&web": "web-1", "db": "db-1", "web*:!web-[29]": "web-1"} {
		said, _, _, err := run(pattern)
		var names []string
		for n := range said {
			names = append(names, n)
		}
		slices.Sort(names)
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %v, want %s (%v)", pattern, names, want, err)
		}
	}
	if _, _, _, err := run("nobody"); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("a pattern without hosts: %v", err)
	}
	viewer, err := h.srv.Services().Access.CreateToken(t.Context(), &api.Token{Meta: api.Meta{Name: "v"}, Spec: api.TokenSpec{Role: api.RoleViewer}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.runs(h.as(viewer), api.RunRequest{Command: "hi"}, func(api.RunEvent) {}); api.CodeOf(err) != api.CodeForbidden {
		t.Errorf("a viewer runs: %v", err)
	}
}

func TestARunEndsWithItsReaderAndItsTime(t *testing.T) {
	h := newHouse(t)
	started := make(chan string, 4)
	h.add("web-1", nil, func(x *host, j *api.Job) { started <- j.ID })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	err := h.api.Stream(ctx, "POST", "/v1/runs", api.RunRequest{Command: "sleep 1000"}, func(client.Message) error { return nil })
	if err == nil {
		t.Error("a run ended that nobody answered")
	}
	var end *api.RunEnd
	if err := h.runs(h.api, api.RunRequest{Command: "sleep 1000", Timeout: time.Millisecond}, func(e api.RunEvent) { end = e.End }); err != nil || end == nil || end.Lost != 1 {
		t.Errorf("end %+v, %v", end, err)
	}
	var e *api.Error
	for _, q := range []api.RunRequest{{}, {Command: "x", Timeout: 48 * time.Hour}, {Command: "x", ID: "a b"}, {Command: strings.Repeat("x", 200<<10)}} {
		if err := h.runs(h.api, q, func(api.RunEvent) {}); !asError(err, &e) || e.Field == "" || e.Remedy == "" {
			t.Errorf("%.40v: %v", q, err)
		}
	}
}

func asError(err error, e **api.Error) bool {
	for ; err != nil; err = unwrap(err) {
		if x, ok := err.(*api.Error); ok {
			*e = x
			return true
		}
	}
	return false
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// upload is the body of POST /v1/plays.
func upload(t *testing.T, q api.PlayRequest, files ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name, content string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, content)
	}
	raw, _ := json.Marshal(q)
	add(api.PlayOptionsFile, string(raw))
	for i := 0; i < len(files); i += 2 {
		add(files[i], files[i+1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestAPlayRunsThroughAgents(t *testing.T) {
	h := newHouse(t)
	one, two := h.add("web-1", nil, nil), h.add("web-2", nil, nil)
	body := upload(t, api.PlayRequest{Playbooks: []string{"p.yml"}, Inventory: []string{"web-1,web-2,"}, ExtraVars: map[string]any{"who": "ada"}, User: "worker"},
		"p.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n  - copy:\n      content: 'hello {{ who }} from {{ inventory_hostname }}'\n      dest: /motd\n")
	resp, err := h.api.Do(t.Context(), http.MethodPost, "/v1/plays", body, http.Header{"Content-Type": {"application/x-tar"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var end *api.PlayEnd
	var kinds []string
	err = client.ReadEvents(resp.Body, func(m client.Message) error {
		if m.Event == "end" {
			return json.Unmarshal(m.Data, &end)
		}
		var together []struct{ Kind string }
		if err := json.Unmarshal(m.Data, &together); err != nil {
			return err
		}
		for _, e := range together {
			kinds = append(kinds, e.Kind)
		}
		return nil
	})
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if end == nil || end.Exit != 0 || end.Recap["web-1"]["changed"] != 1 || end.Recap["web-2"]["changed"] != 1 || !slices.Contains(kinds, "result") {
		t.Fatalf("end %+v after %v", end, kinds)
	}
	for _, x := range []*host{one, two} {
		if b, err := os.ReadFile(filepath.Join(x.root, "motd")); err != nil || string(b) != "hello ada from "+x.name {
			t.Errorf("%s: %q, %v", x.name, b, err)
		}
		x.mu.Lock()
		if x.user != "worker" {
			t.Errorf("the session on %s is of %q", x.name, x.user)
		}
		x.mu.Unlock()
	}

	// What is wrong is said before any host is touched.
	var e *api.Error
	for want, body := range map[string]io.Reader{
		"p.yml:1:": upload(t, api.PlayRequest{Playbooks: []string{"p.yml"}}, "p.yml", "- hots: all\n"),
		"playbook": upload(t, api.PlayRequest{}),
	} {
		_, err := h.api.Do(t.Context(), http.MethodPost, "/v1/plays", body, nil)
		if !asError(err, &e) || !strings.Contains(fmt.Sprint(e), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	// "local" is not the server.
	body = upload(t, api.PlayRequest{Playbooks: []string{"p.yml"}, Inventory: []string{"localhost,"}}, "p.yml",
		"- hosts: all\n  gather_facts: false\n  connection: local\n  tasks:\n  - command: touch /tmp/never\n")
	resp, err = h.api.Do(t.Context(), http.MethodPost, "/v1/plays", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	end = nil
	_ = client.ReadEvents(resp.Body, func(m client.Message) error {
		if m.Event == "end" {
			return json.Unmarshal(m.Data, &end)
		}
		return nil
	})
	if end == nil || end.Recap["localhost"]["unreachable"] != 1 {
		t.Errorf("a play on the server itself: %+v", end)
	}
}
