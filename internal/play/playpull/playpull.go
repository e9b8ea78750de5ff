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
	"os"
	"strings"

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
	// Env is what lookups of the environment see; nil is the process's.
	Env map[string]string
}

// Executor applies sections. It keeps nothing between two of them.
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
	inv, err := engine.SliceInventory(body.Slice, files)
	if err != nil {
		return api.Result{}, err
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{body.Playbook}, RolesPath: body.Roles})
	if err != nil {
		return api.Result{}, err
	}
	c := &collector{host: body.Slice.Host}
	recap, err := project.Run(ctx, inv, engine.Options{
		Connector: &local{exec: e, host: body.Slice.Host}, Events: c.event,
		Only: body.Slice.Host, Check: !apply, Diff: true, Forks: 1, Env: e.cfg.Env,
		// The host tries again by itself: what one try changed must not wait for
		// a handler that the next one, which changes nothing, does not notify.
		ForceHandler: true,
	})
	res := c.result(recap)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return res, err
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
}

func (l *local) Connect(_ context.Context, t engine.Target) (engine.Conn, error) {
	if t.Host != l.host && t.Host != "localhost" && t.Host != "127.0.0.1" {
		return nil, api.Errorf(api.CodeInvalid, "cannot reach host %s from host %s: it applies the play by itself", t.Host, l.host).
			WithRemedy("run plays that delegate to other hosts from the server: drover play")
	}
	c := playhost.LocalOptions(l.exec.cfg.Host, t.Open, l.exec.cfg.Play)
	c.SetBecome(playhost.Become{Method: t.Become.Method, Password: t.Become.Password, Flags: t.Become.Flags, Exe: t.Become.Exe})
	return c, nil
}

// collector turns a run's events into a result.
type collector struct {
	host  string
	tasks []api.TaskResult
	items int // results of the running task's loop items
	notes []string
}

func (c *collector) event(e engine.Event) {
	switch e.Kind {
	case engine.EventTask, engine.EventHandler:
		c.items = 0
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
	values := t.Result
	t.Result = nil
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

func (c *collector) result(recap *engine.Recap) api.Result {
	res := api.Result{Tasks: c.tasks}
	if recap == nil {
		return res
	}
	if st := recap.Hosts[c.host]; st != nil {
		res.OK, res.Changes, res.Failures, res.Skipped = st.OK, st.Changed, st.Failed+st.Unreachable, st.Skipped
		res.Ignored, res.Rescued = st.Ignored, st.Rescued
	}
	res.Changed = res.Changes > 0
	res.Failed = res.Failures > 0 || recap.Fatal
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
