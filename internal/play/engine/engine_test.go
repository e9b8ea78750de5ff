package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/module"
)

// fake stands for all hosts: what a module is asked is kept, and answered by
// the arguments: a command "fail …" fails, "change …" changes, "gone" does not answer.
type fake struct {
	mu    sync.Mutex
	calls []string
	open  int
	times map[string]int
}

func (f *fake) Connect(ctx context.Context, t engine.Target) (engine.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(t.Address, "dead") {
		return nil, errors.New("cannot connect: no route")
	}
	f.open++
	return &fakeConn{f, t}, nil
}

type fakeConn struct {
	f *fake
	t engine.Target
}

func (c *fakeConn) Close() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.open--
	return nil
}

func (c *fakeConn) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	res := &module.Result{}
	if req.Module == "setup" {
		res.Facts = map[string]any{"os_family": "Debian", "hostname": c.t.Host}
		return res, nil
	}
	text, _ := req.Args["_raw_params"].(string)
	line := fmt.Sprintf("%s %s %s", c.t.Host, req.Module, text)
	if req.Source != nil {
		line += fmt.Sprintf(" source=%q", req.Source.Content)
	}
	if req.User != "" {
		line += " as " + req.User
	}
	if req.Check {
		line += " check"
	}
	for _, k := range sortedKeys(req.Env) {
		line += " " + k + "=" + req.Env[k]
	}
	c.f.calls = append(c.f.calls, strings.TrimSpace(line))
	verb, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "fail":
		res.Fail("told to fail").Set("rc", 1)
	case "change":
		res.Changed = true
	case "gone":
		return nil, errors.New("connection lost")
	case "third": // fails twice, then works
		if c.f.times == nil {
			c.f.times = map[string]int{}
		}
		c.f.times[c.t.Host]++
		res.Set("rc", 0)
		if c.f.times[c.t.Host] < 3 {
			res.Set("rc", 1)
		}
	case "slow":
		c.f.mu.Unlock()
		<-ctx.Done()
		c.f.mu.Lock()
		return nil, ctx.Err()
	}
	res.Set("stdout", rest)
	return res, nil
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// load unpacks an archive's files and loads its site.yml and inventory.
func load(t *testing.T, a *txtar.Archive) (*engine.Project, *engine.Inventory, error) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range a.Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := engine.Bundle(os.DirFS(dir))
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: []string{"hosts"}})
	if err != nil {
		return nil, nil, err
	}
	p, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{"site.yml"}})
	return p, inv, err
}

// TestScenarios runs every archive in testdata: its comment says the options
// (tags, limit, check …), the files want.txt, calls.txt and problems.txt what
// must come of it.
func TestScenarios(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			run(t, a, got)
			if os.Getenv("UPDATE") != "" {
				for i, f := range a.Files {
					if s, ok := got[f.Name]; ok {
						a.Files[i].Data = []byte(s)
					}
				}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			checked := 0
			for _, f := range a.Files {
				if s, ok := got[f.Name]; ok {
					checked++
					if d := cmp.Diff(string(f.Data), s); d != "" {
						t.Errorf("%s (-want +got):\n%s", f.Name, d)
					}
				}
			}
			if checked == 0 {
				t.Fatal("the scenario checks nothing")
			}
		})
	}
}

func run(t *testing.T, a *txtar.Archive, got map[string]string) {
	o := engine.Options{Forks: 10, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }}
	for line := range strings.Lines(string(a.Comment)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch k {
		case "tags":
			o.Tags = strings.Split(v, ",")
		case "skip":
			o.SkipTags = strings.Split(v, ",")
		case "limit":
			o.Limit = v
		case "check":
			o.Check = true
		case "become":
			o.Become.Enabled = true
		case "force":
			o.ForceHandler = true
		}
	}
	p, inv, err := load(t, a)
	var problems []*api.Error
	var list engine.Problems
	if errors.As(err, &list) {
		problems = list
	} else if err != nil {
		t.Fatal(err)
	} else {
		problems = p.Check(inv)
	}
	var text strings.Builder
	for _, e := range problems {
		text.WriteString(e.Error() + "\n")
	}
	got["problems.txt"] = text.String()
	if len(problems) > 0 {
		got["want.txt"], got["calls.txt"] = "", ""
		return
	}
	var out strings.Builder
	f := &fake{}
	o.Connector = f
	var pending []string
	flush := func() {
		sort.Strings(pending)
		for _, l := range pending {
			out.WriteString(l + "\n")
		}
		pending = nil
	}
	o.Events = func(e engine.Event) {
		line := ""
		switch e.Kind {
		case engine.EventPlay:
			line = "PLAY " + e.Play
		case engine.EventTask:
			line = "TASK " + e.Task
		case engine.EventHandler:
			line = "HANDLER " + e.Task
		case engine.EventInclude:
			line = "include " + e.Message + " for " + strings.Join(e.Hosts, ",")
		case engine.EventNoHosts:
			line = e.Message
		case engine.EventWarning:
			line = "warning: " + e.Message
		case engine.EventItem, engine.EventResult:
			if e.Loop {
				return
			}
			s := "  " + e.Host
			if e.Delegated != "" {
				s += "->" + e.Delegated
			}
			s += " " + e.Result.Status
			if e.Kind == engine.EventItem {
				s += " [" + e.Result.Item + "]"
			}
			if e.Ignored {
				s += " ignored"
			}
			if m := fmt.Sprint(e.Result.Result["msg"]); e.Result.Result["msg"] != nil {
				s += ": " + m
			}
			pending = append(pending, s)
			return
		default:
			return
		}
		flush()
		out.WriteString(line + "\n")
	}
	recap, err := p.Run(context.Background(), inv, o)
	flush()
	if err != nil {
		fmt.Fprintf(&out, "ERROR %v\n", err)
	}
	names := slices.Clone(recap.Order)
	sort.Strings(names)
	for _, h := range names {
		fmt.Fprintf(&out, "%s %+v\n", h, *recap.Hosts[h])
	}
	fmt.Fprintf(&out, "exit %d\n", recap.Exit())
	got["want.txt"] = out.String()
	sort.Strings(f.calls)
	got["calls.txt"] = strings.Join(append(f.calls, ""), "\n")
	if f.open != 0 {
		t.Errorf("%d sessions were left open", f.open)
	}
}

func TestSliceRunsAsTheWhole(t *testing.T) {
	a := txtar.Parse([]byte(`
-- hosts --
[web]
w1 a=1
w2
[all:vars]
v="{{ a | default('none') }} of {{ inventory_hostname }}"
-- group_vars/web.yml --
g: group {{ v }}
u: !unsafe "{{ never }}"
-- site.yml --
- hosts: web
  gather_facts: false
  tasks:
    - command: change {{ g }} {{ u }} {{ groups.web | join(' ') }}
`))
	p, inv, err := load(t, a)
	if err != nil {
		t.Fatal(err)
	}
	slice, err := inv.Slice("w1")
	if err != nil {
		t.Fatal(err)
	}
	part, err := engine.SliceInventory(slice, inv.Files())
	if err != nil {
		t.Fatal(err)
	}
	var calls [2][]string
	for i, inv := range []*engine.Inventory{inv, part} {
		f := &fake{}
		recap, err := p.Run(context.Background(), inv, engine.Options{Connector: f, Only: "w1"})
		if err != nil || recap.Exit() != 0 || len(recap.Order) != 1 {
			t.Fatalf("run %d: %v %+v", i, err, recap)
		}
		calls[i] = f.calls
	}
	want := []string{"w1 command change group 1 of w1 {{ never }} w1 w2"}
	if !slices.Equal(calls[0], want) || !slices.Equal(calls[1], want) {
		t.Errorf("whole %q, slice %q, want %q", calls[0], calls[1], want)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	a := txtar.Parse([]byte(`
-- hosts --
h
-- site.yml --
- hosts: all
  gather_facts: false
  tasks:
    - command: slow
    - command: change never
`))
	p, inv, err := load(t, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fake{}
	_, err = p.Run(ctx, inv, engine.Options{Connector: f, Events: func(e engine.Event) {
		if e.Kind == engine.EventTask {
			cancel()
		}
	}})
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want canceled", err)
	}
	if slices.Contains(f.calls, "h command change never") || f.open != 0 {
		t.Errorf("the run went on: %q, %d open", f.calls, f.open)
	}
}

// BenchmarkRun is 40 tasks that change nothing on 4 hosts.
func BenchmarkRun(b *testing.B) {
	var play strings.Builder
	play.WriteString("- hosts: all\n  gather_facts: true\n  vars: {base: /srv, who: \"{{ inventory_hostname }}\"}\n  tasks:\n")
	for i := range 40 {
		fmt.Fprintf(&play, "    - name: task %d\n      command: noop {{ base }}/%d {{ who }}\n      when: ansible_facts.os_family == 'Debian'\n      register: r%d\n", i, i, i)
	}
	dir := b.TempDir()
	for name, text := range map[string]string{"site.yml": play.String(), "hosts": "h[1:4]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	files := engine.OS(dir)
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: []string{"hosts"}})
	if err != nil {
		b.Fatal(err)
	}
	p, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{"site.yml"}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if recap, err := p.Run(context.Background(), inv, engine.Options{Connector: &fake{}}); err != nil || recap.Hosts["h4"].OK != 41 {
			b.Fatalf("%v %+v", err, recap.Hosts["h4"])
		}
	}
}
