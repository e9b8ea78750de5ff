// Package playpull is the agent's executor of the section "play": it unpacks
// the bundle, cuts nothing but its own slice of the inventory, and runs the
// playbook on this machine with the same interpreter that the CLI and the
// server drive. Check and apply are one run of it, with and without --check.
//
// It never talks to a server: the bundle is a blob on the host's disk. A task
// that is delegated to another host fails and says so; such plays are the
// server's to coordinate.
package playpull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/tree"
)

// Room is the section that the executor is for.
const Room = "play"

// Section is the body of the section.
type Section struct {
	Playbook string        `json:"playbook"`        // path in the bundle
	Bundle   string        `json:"bundle"`          // SHA-256 of a tar.zst
	Roles    []string      `json:"roles,omitempty"` // folders of roles in the bundle, after those beside the playbook
	Slice    *engine.Slice `json:"slice"`
	// Names, in a large fleet, is the SHA-256 of a slice with nothing but the
	// names of all hosts and groups, which Slice leaves out then.
	Names string `json:"names,omitempty"`
}

// Config says what the executor works on.
type Config struct {
	// Open opens a blob that the section names.
	Open func(sha256 string) (io.ReadCloser, error)
	// Host is the machine; nil is this one.
	Host *module.Host
	// Play are the options of sessions for other users.
	Play playhost.Options
	// Env is what lookups of the environment see; nil is nothing.
	Env map[string]string
	// State is a folder that outlives the process, for the handlers that are
	// still to run; "" forgets them when a run is broken off.
	State string
}

// Executor applies sections. Between two of them it keeps the handlers that
// were notified and have not run.
type Executor struct{ cfg Config }

// New makes an executor.
func New(cfg Config) *Executor {
	if cfg.Host == nil {
		cfg.Host = &module.Host{}
	}
	return &Executor{cfg: cfg}
}

// CheckApply runs the section's playbook on this host.
func (e *Executor) CheckApply(ctx context.Context, s api.Section, apply bool) (api.Result, error) {
	var body Section
	if err := json.Unmarshal(s.Body, &body); err != nil {
		return api.Result{}, api.Errorf(api.CodeInvalid, "cannot read the section: %v", err)
	}
	if body.Slice == nil || body.Slice.Host == "" {
		return api.Result{}, api.Errorf(api.CodeInvalid, "cannot read the section: it has no slice of the inventory")
	}
	files, err := e.bundle(body.Bundle)
	if err != nil {
		return api.Result{}, err
	}
	if body.Names != "" {
		if err := e.names(body.Names, body.Slice); err != nil {
			return api.Result{}, err
		}
	}
	repo := repository(files)
	inv, err := engine.SliceInventory(body.Slice, files)
	if err != nil {
		return api.Result{}, repo.err(err)
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{body.Playbook}, RolesPath: body.Roles})
	if err != nil {
		return api.Result{}, repo.err(err)
	}
	r := &runner{exec: e, host: body.Slice.Host, repo: repo, project: project, inv: inv, apply: apply}
	c, recap, err := r.run(ctx, nobody)
	if from := c.stop; !apply && err == nil && ctx.Err() == nil && from != nobody {
		// The check stopped at a task that may need what an earlier one makes:
		// look at the tasks behind it as well.
		c, recap, err = r.run(ctx, from)
	}
	res := c.result(recap)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return res, repo.err(err)
}

// runner runs one section's play, once or more.
type runner struct {
	exec    *Executor
	host    string
	repo    repoPaths
	project *engine.Project
	inv     *engine.Inventory
	apply   bool
}

// nobody is the number of a request that there is not.
const nobody = 1 << 60

// run runs the play. Requests to modules are counted; from the given one on,
// those that fail in a check do not end it.
func (r *runner) run(ctx context.Context, from int) (*collector, *engine.Recap, error) {
	owed, err := openOwed(r.exec.cfg.State)
	if err != nil {
		return &collector{host: r.host, repo: r.repo, stop: nobody}, nil, err
	}
	l := &local{exec: r.exec, host: r.host, from: from}
	c := &collector{host: r.host, repo: r.repo, check: !r.apply, conn: l, stop: nobody}
	recap, err := r.project.Run(ctx, r.inv, engine.Options{
		Connector: l, Events: c.event,
		Only: r.host, Check: !r.apply, Diff: true, Forks: 1, Env: r.exec.cfg.Env,
		// The host tries again by itself: what one try changed must not wait for
		// a handler that the next one, which changes nothing, does not notify.
		ForceHandler: true,
		Notified:     owed.was, Owed: owed.keep,
	})
	if err == nil && owed.err != nil {
		err = fmt.Errorf("cannot keep which handlers are still to run: %w", owed.err)
	}
	if recap != nil && recap.Hosts[r.host] != nil && recap.Hosts[r.host].Failed == 0 {
		c.stop = nobody // what failed was rescued
	}
	return c, recap, err
}

// maxNames bounds the names of all hosts and groups.
const maxNames = 64 << 20

// names puts the names of the other hosts into a slice that left them out.
func (e *Executor) names(sha256 string, s *engine.Slice) error {
	r, err := e.cfg.Open(sha256)
	if err != nil {
		return fmt.Errorf("cannot open the names of all hosts: %w", err)
	}
	defer r.Close()
	var all engine.Slice
	if err := json.NewDecoder(io.LimitReader(r, maxNames)).Decode(&all); err != nil {
		return fmt.Errorf("cannot read the names of all hosts: %w", err)
	}
	in := make(map[string][]string, len(all.Groups))
	for _, g := range all.Groups {
		in[g.Name] = g.Hosts
	}
	s.Hosts = all.Hosts
	for i := range s.Groups {
		s.Groups[i].Hosts = in[s.Groups[i].Name]
	}
	return nil
}

// bundle reads the bundle into memory; links cannot lead out of it.
func (e *Executor) bundle(sha256 string) (engine.Files, error) {
	r, err := e.cfg.Open(sha256)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, api.Errorf(api.CodeUnavailable, "cannot open bundle %s: it is not on this host", sha256).WithRemedy("it is fetched when the server sends the assignment again")
		}
		return nil, err
	}
	defer r.Close()
	t, err := tree.ReadTar(r, tree.Limits{})
	if err != nil {
		return nil, fmt.Errorf("cannot unpack bundle %s: %w", sha256, err)
	}
	return engine.Bundle(t), nil
}

// local connects to this machine, whatever the inventory says of how to reach it.
type local struct {
	exec *Executor
	host string
	from int // the request from which on failures in a check are passed over

	mu     sync.Mutex
	calls  int
	failed int // the number of the last request whose module failed
}

// count is how many requests there were.
func (l *local) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// first is the first request after so many, if the module of that or of a
// later one failed; nobody if not.
func (l *local) first(calls int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed <= calls {
		return nobody
	}
	return calls + 1
}

func (l *local) Connect(_ context.Context, t engine.Target) (engine.Conn, error) {
	if t.Host != l.host && t.Host != "localhost" && t.Host != "127.0.0.1" {
		return nil, api.Errorf(api.CodeInvalid, "cannot reach host %s from host %s: it applies the play by itself", t.Host, l.host).
			WithRemedy("run plays that delegate to other hosts from the server: drover play")
	}
	c := playhost.LocalOptions(l.exec.cfg.Host, t.Open, l.exec.cfg.Play)
	c.SetBecome(playhost.Become{Method: t.Become.Method, Password: t.Become.Password, Flags: t.Become.Flags, Exe: t.Become.Exe})
	return discreet{counted{c, l}}, nil
}

// counted counts requests, and lets a check go on behind a task that fails:
// what it misses may be what an earlier task would have made.
type counted struct {
	engine.Conn
	l *local
}

// failedKey marks the result of a module whose failure was passed over.
const failedKey = "drover_failed_in_check"

func (c counted) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	res, err := c.Conn.Run(ctx, req)
	c.l.mu.Lock()
	c.l.calls++
	failed := err == nil && res.Failed
	if failed {
		c.l.failed = c.l.calls
	}
	over := failed && req.Check && c.l.calls >= c.l.from
	c.l.mu.Unlock()
	if !over {
		return res, err
	}
	out := *res
	out.Failed, out.Changed = false, false
	out.Values = maps.Clone(res.Values)
	if out.Values == nil {
		out.Values = map[string]any{}
	}
	out.Values[failedKey] = true
	return &out, nil
}

// collector turns a run's events into a result.
type collector struct {
	host    string
	repo    repoPaths
	check   bool
	conn    *local
	begun   int // requests before the running task
	stop    int // first request of the last task that failed: what ended the play, unless it was rescued
	tasks   []api.TaskResult
	items   int // results of the running task's loop items
	changes int
	passed  int  // tasks that failed without the play noticing
	over    bool // the running task is one
	notes   []string
}

func (c *collector) event(e engine.Event) {
	switch e.Kind {
	case engine.EventTask, engine.EventHandler:
		c.items, c.over, c.begun = 0, false, c.conn.count()
	case engine.EventItem:
		if e.Host == c.host && e.Result != nil {
			c.items++
			c.add(e)
		}
	case engine.EventResult:
		// The result of a loop sums up its items, which are here already.
		if e.Host == c.host && e.Result != nil && (!e.Loop || c.items == 0) {
			c.add(e)
		}
	case engine.EventNoHosts:
		if e.Message != "" {
			c.notes = append(c.notes, e.Message)
		}
	}
}

// kept are the return values that say why a task failed.
var kept = []string{"msg", "rc", "stdout", "stderr", "cmd", "dest", "path", "name"}

const keptText = 4 << 10 // bytes of one text that is kept

func (c *collector) add(e engine.Event) {
	t := *e.Result
	if t.Place == nil {
		t.Place = e.Place
	}
	t.Place = c.repo.place(t.Place)
	t.Message = reason(c.repo.text(t.Message))
	values := t.Result
	t.Result = nil
	switch {
	case e.Ignored && (t.Status == "failed" || t.Status == "unreachable"):
		t.Status = "ignored"
	case c.check:
		c.judge(&t, e, values)
	}
	if t.Status == "changed" {
		c.changes++
	}
	if t.Status == "failed" || t.Status == "ignored" || t.Status == "unreachable" {
		for _, k := range kept {
			v, ok := values[k]
			if !ok || e.NoLog {
				continue
			}
			if s, ok := v.(string); ok && len(s) > keptText {
				v = strings.ToValidUTF8(s[:keptText], "") + " …"
			}
			if t.Result == nil {
				t.Result = make(map[string]any)
			}
			t.Result[k] = v
		}
	}
	c.tasks = append(c.tasks, t)
}

// judge tells tasks that fail in a check from those that cannot be judged yet:
// behind a change, what a task misses may be what the change makes.
func (c *collector) judge(t *api.TaskResult, e engine.Event, values map[string]any) {
	passed := values[failedKey] == true && (t.Status == "ok" || t.Status == "changed")
	switch {
	case passed:
		if c.items <= 1 || !c.over {
			c.passed++
			c.over = true
		}
		if t.Status = "failed"; t.Message == "" && !e.NoLog {
			t.Message, _ = values["msg"].(string)
			t.Message = reason(c.repo.text(t.Message))
		}
	case t.Status != "failed" || e.Handler:
		return
	default:
		c.stop = c.conn.first(c.begun)
	}
	if c.changes == 0 && (!passed || c.passed == 1) {
		return // nothing would come before it
	}
	t.Status = api.StatusUnforeseen
	if !passed && c.stop == nobody {
		t.Message = firstLine(t.Message) + "; the tasks behind it were not looked at"
	}
}

func (c *collector) result(recap *engine.Recap) api.Result {
	res := api.Result{Tasks: c.tasks}
	if recap == nil {
		return res
	}
	failed, unforeseen := 0, 0
	for _, t := range c.tasks {
		switch t.Status {
		case "failed", "unreachable":
			failed++
		case api.StatusUnforeseen:
			unforeseen++
		}
	}
	if st := recap.Hosts[c.host]; st != nil {
		res.OK, res.Changes, res.Failures, res.Skipped = st.OK-c.passed, st.Changed, st.Failed+st.Unreachable, st.Skipped
		res.Ignored, res.Rescued = st.Ignored, st.Rescued
	}
	if unforeseen+c.passed > 0 {
		res.Failures = failed
	}
	res.Changed = res.Changes > 0
	res.Failed = res.Failures > 0 || recap.Fatal && unforeseen == 0
	if res.Failed {
		res.Message = "the play failed"
		for _, t := range c.tasks {
			if t.Status == "failed" || t.Status == "unreachable" {
				where := ""
				if t.Place != nil {
					where = t.Place.String() + ": "
				}
				res.Message = fmt.Sprintf("%stask %q failed: %s", where, t.Name, firstLine(t.Message))
			}
		}
	}
	return res
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// Files opens blobs that are files in a folder, named by SHA-256.
func Files(path func(sha256 string) (string, error)) func(string) (io.ReadCloser, error) {
	return func(sha256 string) (io.ReadCloser, error) {
		name, err := path(sha256)
		if err != nil {
			return nil, err
		}
		return os.Open(name)
	}
}
