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

// first is what a push to a new fleet meets: tasks that need what earlier ones
// would have made.
const first = `
- hosts: all
  gather_facts: false
  tasks:
    - name: not there, and it does not matter
      file: {path: /srv/a/b/c, state: file}
      ignore_errors: true
    - name: truly wrong
      file: {path: /srv/nowhere, state: file}
      when: wrong is defined
    - name: group
      group: {name: ops}
    - import_role: {name: base}
    - name: in it
      file: {path: "/srv/{{ item }}", state: file}
      loop: [one, two]
    - name: last
      copy: {content: x, dest: /srv/last}
    - name: asks what is not known
      assert: {that: [made is defined], fail_msg: it is not made}
      when: asks is defined
    - name: behind it
      copy: {content: x, dest: /srv/behind}
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
		"site.yml":                  site,
		"templates/page.j2":         "{{ greeting }} from {{ inventory_hostname }} in {{ group_names | join(',') }}, port {{ port }}\n",
		"inventory.yml":             "all:\n  vars: {port: 80}\n  children:\n    web: {hosts: {web-1: {port: 8080}, web-2: {}}}\n    db: {hosts: {db-1: {}}}\n",
		"plain.yml":                 strings.Replace(strings.Split(site, "  handlers:")[0], "      notify: reload\n", "", 1),
		"broken.yml":                "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: fine\n      copy: {content: x, dest: /srv/fine}\n    - name: not fine\n      fail: {msg: no way}\n",
		"first.yml":                 first,
		"roles/base/tasks/main.yml": "- name: made\n  file: {path: /srv/made, state: file}\n  when: loop_only is undefined\n- name: wrong in a role\n  copy: {src: nothing, dest: /srv/x}\n  when: fail_in_role is defined\n",
		"empty.yml":                 "- hosts: db\n  tasks: []\n",
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

func TestFirstPush(t *testing.T) {
	check := func(vars string) (api.Result, []string) {
		t.Helper()
		fs := files()
		fs["first.yml"] = strings.Replace(fs["first.yml"], "  tasks:", "  vars: {"+vars+"}\n  tasks:", 1)
		w, err := newWorld(fs)
		if err != nil {
			t.Fatal(err)
		}
		e, snap := w.host(t)
		before := snap()
		res, err := e.CheckApply(t.Context(), w.section(t, "first.yml"), false)
		if err != nil {
			t.Fatal(err)
		}
		if snap() != before {
			t.Error("the check changed the host")
		}
		var got []string
		for _, task := range res.Tasks {
			got = append(got, strings.TrimSpace(task.Name+" "+task.Item)+": "+task.Status)
		}
		return res, got
	}
	res, got := check("")
	want := "not there, and it does not matter: ignored; truly wrong: skipped; group: changed; base : made: unforeseen; base : wrong in a role: skipped; " +
		"in it one: unforeseen; in it two: unforeseen; last: changed; asks what is not known: skipped; behind it: changed"
	if s := strings.Join(got, "; "); s != want || res.Failed || res.Failures != 0 || res.Changes != 3 {
		t.Errorf("got  %s\nwant %s\n%+v", s, want, res)
	}
	for _, task := range res.Tasks {
		if task.Name == "base : made" && (task.Place.String() != "roles/base/tasks/main.yml:1:3" || !strings.Contains(task.Message, "absent")) {
			t.Errorf("place %v: %s", task.Place, task.Message)
		}
	}

	// Nothing that would come before it can make it work.
	res, got = check("wrong: true")
	if !res.Failed || res.Failures != 1 || got[1] != "truly wrong: failed" || got[len(got)-1] != "behind it: changed" || !strings.Contains(res.Message, "first.yml:9:7") {
		t.Errorf("%v %+v", got, res)
	}

	// A loop stops it as well.
	res, got = check("loop_only: true")
	if res.Failed || got[len(got)-1] != "behind it: changed" || strings.Join(got, "; ") != strings.Replace(want, "base : made: unforeseen", "base : made: skipped", 1) {
		t.Errorf("%v %+v", got, res)
	}

	// What is no module's to say ends the check, but not with an error.
	res, got = check("asks: true")
	if res.Failed || got[len(got)-1] != "asks what is not known: unforeseen" || !strings.Contains(res.Tasks[len(got)-1].Message, "not looked at") {
		t.Errorf("%v %+v", got, res)
	}
}

func TestPlacesAreTheRepositorys(t *testing.T) {
	fs := files()
	fs["wrong.yml"] = "- hosts: all\n  gather_facts: false\n  vars: {fail_in_role: true}\n  roles: [{role: base}]\n"
	fs["roles/base/tasks/main.yml"] = "- name: wrong in a role\n  template: {src: nothing, dest: /srv/x}\n"
	fs["broken.yml"] = "- hosts: all\n  tasks: {\n"
	w, err := newWorld(fs)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := w.host(t)
	res, err := e.CheckApply(t.Context(), w.section(t, "wrong.yml"), true)
	if err != nil || !res.Failed {
		t.Fatalf("%v %+v", err, res)
	}
	last := res.Tasks[len(res.Tasks)-1]
	if last.Place.String() != "roles/base/tasks/main.yml:1:3" || strings.Contains(last.Message, "'/roles") || strings.Contains(last.Message, " /roles") || !strings.HasPrefix(res.Message, "roles/base/tasks/main.yml:1:3: ") {
		t.Errorf("place %v, message %q, %q", last.Place, last.Message, res.Message)
	}
	if _, err = e.CheckApply(t.Context(), w.section(t, "broken.yml"), true); err == nil || !strings.Contains(err.Error(), "broken.yml:") || strings.Contains(err.Error(), "/broken.yml") {
		t.Errorf("a playbook that does not parse: %v", err)
	}
}
