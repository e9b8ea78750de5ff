package playpull_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/agent/agenttest"
	"drover/internal/play/engine"
	"drover/internal/play/module"
	"drover/internal/play/playpull"
	"drover/internal/tree"
)

const site = `
- hosts: all
  gather_facts: false
  vars:
    greeting: hello
  tasks:
    - name: folder
      file: {path: /srv/app, state: directory, mode: "0755"}
    - name: page
      template: {src: page.j2, dest: /srv/app/page, mode: "0644"}
      notify: reload
    - name: settings
      copy:
        content: "{{ item }}\n"
        dest: "/srv/app/{{ item }}"
      loop: [a, b]
    - name: only others
      copy: {content: x, dest: /srv/app/other}
      when: inventory_hostname != "web-1"
  handlers:
    - name: reload
      copy: {content: reloaded, dest: /srv/app/reloaded}
- hosts: db
  gather_facts: false
  tasks:
    - copy: {content: x, dest: /srv/db}
`

// world is a bundle, a slice and hosts with roots of their own.
type world struct {
	bundle []byte
	slice  *engine.Slice
}

func newWorld(files map[string]string) (*world, error) {
	b := tree.NewBuilder(tree.Limits{})
	for name, text := range files {
		if err := b.Add(tree.File{Path: name, Data: []byte(text)}); err != nil {
			return nil, err
		}
	}
	tr, err := b.Tree()
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := tr.Pack(&packed); err != nil {
		return nil, err
	}
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: engine.Bundle(tr), Sources: []string{"inventory.yml"}})
	if err != nil {
		return nil, err
	}
	slice, err := inv.Slice("web-1")
	return &world{bundle: packed.Bytes(), slice: slice}, err
}

func mustWorld(t *testing.T) *world {
	t.Helper()
	w, err := newWorld(files())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestMain makes this program one that applies a play and is killed in it.
func TestMain(m *testing.M) {
	if root := os.Getenv("DROVER_TEST_KILL_ROOT"); root != "" {
		if err := applyAndDie(root, os.Getenv("DROVER_TEST_KILL_AT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func applyAndDie(root, at string) error {
	moment, err := strconv.Atoi(at)
	if err != nil {
		return err
	}
	w, err := newWorld(files())
	if err != nil {
		return err
	}
	n := 0
	e := w.executor(&module.Host{Root: root, Crash: func(string) {
		if n++; n > moment {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	body, err := json.Marshal(playpull.Section{Playbook: "plain.yml", Bundle: "b", Slice: w.slice})
	if err != nil {
		return err
	}
	_, err = e.CheckApply(context.Background(), agenttest.Section(playpull.Room, body), true)
	return err
}

func (w *world) section(t *testing.T, playbook string) api.Section {
	body, err := json.Marshal(playpull.Section{Playbook: playbook, Bundle: "b", Slice: w.slice})
	if err != nil {
		t.Fatal(err)
	}
	return agenttest.Section(playpull.Room, body)
}

func (w *world) executor(h *module.Host) *playpull.Executor {
	return playpull.New(playpull.Config{Host: h, Open: func(sha string) (io.ReadCloser, error) {
		if sha != "b" {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(bytes.NewReader(w.bundle)), nil
	}})
}

func (w *world) host(t *testing.T) (agent.Executor, func() string) {
	root := newRoot(t)
	return w.executor(&module.Host{Root: root}), func() string { return snapshot(t, root) }
}

func newRoot(t *testing.T) string {
	root := t.TempDir()
	for _, d := range []string{"srv", "tmp", "etc"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// snapshot is all files below root with mode and content.
func snapshot(t *testing.T, root string) string {
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s", strings.TrimPrefix(path, root), info.Mode())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", b)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func files() map[string]string {
	return map[string]string{
		"site.yml":          site,
		"templates/page.j2": "{{ greeting }} from {{ inventory_hostname }} in {{ group_names | join(',') }}, port {{ port }}\n",
		"inventory.yml":     "all:\n  vars: {port: 80}\n  children:\n    web: {hosts: {web-1: {port: 8080}, web-2: {}}}\n    db: {hosts: {db-1: {}}}\n",
		"plain.yml":         strings.Replace(strings.Split(site, "  handlers:")[0], "      notify: reload\n", "", 1),
		"broken.yml":        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: fine\n      copy: {content: x, dest: /srv/fine}\n    - name: not fine\n      fail: {msg: no way}\n",
		"empty.yml":         "- hosts: db\n  tasks: []\n",
	}
}

func TestConformance(t *testing.T) {
	w := mustWorld(t)
	crash := func(t *testing.T, i int) (agent.Executor, func() string, bool) {
		root := newRoot(t)
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "DROVER_TEST_KILL_ROOT="+root, "DROVER_TEST_KILL_AT="+strconv.Itoa(i))
		out, err := cmd.CombinedOutput()
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := ok && status.Signal() == syscall.SIGKILL
		if err != nil && !killed {
			t.Fatalf("the apply failed: %v %s", err, out)
		}
		return w.executor(&module.Host{Root: root}), func() string { return snapshot(t, root) }, killed
	}
	agenttest.Conformance(t,
		agenttest.Case{Name: "a play", Host: w.host, Section: w.section(t, "site.yml")},
		agenttest.Case{Name: "a play that is killed", Host: w.host, Section: w.section(t, "plain.yml"), Kill: crash},
		agenttest.Case{Name: "a play for others", Host: w.host, Section: w.section(t, "empty.yml"), AlreadySo: true},
		agenttest.Case{Name: "a play that is not there", Host: w.host, Section: w.section(t, "missing.yml"), Fails: true},
		agenttest.Case{Name: "rubbish", Host: w.host, Section: agenttest.Section(playpull.Room, []byte("{")), Fails: true},
		agenttest.Case{Name: "no bundle", Host: w.host, Section: agenttest.Section(playpull.Room, []byte(`{"playbook":"site.yml","bundle":"x","slice":{"host":"web-1","groups":[]}}`)), Fails: true},
	)
}

func TestResult(t *testing.T) {
	w := mustWorld(t)
	e, snap := w.host(t)
	res, err := e.CheckApply(t.Context(), w.section(t, "site.yml"), true)
	if err != nil || res.Failed {
		t.Fatalf("failed: %v %+v", err, res)
	}
	if res.OK != 4 || res.Changes != 4 || res.Skipped != 1 || !res.Changed {
		t.Errorf("counts are %+v", res)
	}
	var got []string
	for _, task := range res.Tasks {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", task.Name, task.Status, task.Item)))
		if task.Status == "changed" && (task.Place == nil || task.Place.File == "" || task.Place.Line == 0) {
			t.Errorf("task %s has place %v", task.Name, task.Place)
		}
	}
	if s := strings.Join(got, "; "); s != "folder changed; page changed; settings changed a; settings changed b; only others skipped; reload changed" {
		t.Errorf("tasks are %s", s)
	}
	if s := snap(); !strings.Contains(s, "hello from web-1 in web, port 8080") || !strings.Contains(s, "reloaded") || strings.Contains(s, "/srv/db") {
		t.Errorf("the host is\n%s", s)
	}
	res, err = e.CheckApply(t.Context(), w.section(t, "broken.yml"), true)
	if err != nil || !res.Failed || res.Failures != 1 || res.Changes != 1 || !strings.Contains(res.Message, "broken.yml:6") || !strings.Contains(res.Message, "no way") {
		t.Errorf("a failing play: %v %+v", err, res)
	}
}

func TestPlanHasDiffs(t *testing.T) {
	w := mustWorld(t)
	e, _ := w.host(t)
	res, err := e.CheckApply(t.Context(), w.section(t, "site.yml"), false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(res)
	if err != nil || !bytes.Contains(text, []byte("hello from web-1")) {
		t.Errorf("the plan does not show the new page: %v %s", err, text)
	}
}
