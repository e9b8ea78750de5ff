package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"drover/internal/play/engine"
)

const canary = "canary-7c1e"

// outside is a folder of this machine that no project may reach: with a
// secret in a file, and nothing else when the test is over.
func outside(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"secret": canary + "\n", "secret.yml": "leak: " + canary + "\n", "secret.j2": canary, "secret.ini": "[global]\nk=" + canary + "\n",
		"secret.csv": "k\t" + canary + "\n", "play.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{command: change " + canary + "}]\n",
		"tasks.yml": "- command: change " + canary + "\n", "parts/1": canary, "role/tasks/main.yml": "- command: change " + canary + "\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, dir)
	t.Cleanup(func() {
		if after := listing(t, dir); after != before {
			t.Errorf("a project wrote outside of itself:\nbefore %s\nafter  %s", before, after)
		}
	})
	t.Setenv("DROVER_TEST_SECRET", canary)
	return dir
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			st, e := d.Info()
			if err = e; e == nil {
				fmt.Fprintf(&out, "%s %d; ", name, st.Size())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// ways are templates that try to reach DIR, or this machine at all.
var ways = []string{
	"lookup('file', 'DIR/secret')", "lookup('file', 'UP/secret')", "lookup('unvault', 'DIR/secret')", "lookup('template', 'DIR/secret.j2')",
	"lookup('first_found', ['DIR/secret']) | basename", "query('fileglob', 'DIR/sec*') | join(' ')", "'DIR/sec*' | fileglob | join(' ')",
	"lookup('ini', 'k', file='DIR/secret.ini')", "lookup('csvfile', 'k', file='DIR/secret.csv')", "lookup('password', 'DIR/secret')",
	"lookup('password', 'DIR/new')", "lookup('password', 'UP/new')", "lookup('password', 'new-in-cwd')", "lookup('env', 'DROVER_TEST_SECRET')",
	"'$DROVER_TEST_SECRET' | expandvars", "lookup('pipe', 'cat DIR/secret; touch DIR/piped')", "query('lines', 'cat DIR/secret') | join",
	"lookup('url', 'file://DIR/secret')", "('DIR/secret' is exists) | ternary('CANARY', 'no')", "('DIR/secret' is file) | ternary('CANARY', 'no')",
	"('DIR' is directory) | ternary('CANARY', 'no')",
}

func fill(s, dir string) string {
	return strings.NewReplacer("DIR", dir, "UP", strings.Repeat("../", 12)+strings.TrimPrefix(dir, "/"), "CANARY", canary).Replace(s)
}

// try loads and runs a pushed project as the server does; it returns all that
// came of it: problems, events and what hosts were sent.
func try(t *testing.T, project map[string]string) string {
	t.Helper()
	tree := fstest.MapFS{"hosts": {Data: []byte("h1\n")}}
	for name, text := range project {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var out strings.Builder
	files := engine.Bundle(tree)
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: []string{"hosts"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{"site.yml"}, RolesPath: []string{"roles"}})
	fmt.Fprintln(&out, err)
	if err != nil {
		return out.String()
	}
	for _, e := range p.Check(inv) {
		fmt.Fprintln(&out, e)
	}
	f := &fake{}
	_, err = p.Run(context.Background(), inv, engine.Options{Connector: f, Connection: "agent", Events: func(e engine.Event) {
		fmt.Fprintln(&out, e.Kind, e.Task, e.Message)
		if e.Result != nil {
			fmt.Fprintln(&out, e.Result.Status, e.Result.Message, e.Result.Result)
		}
	}})
	fmt.Fprintln(&out, err, strings.Join(f.calls, "\n"))
	return out.String()
}

func TestProjectsOfOthersReachNothingHere(t *testing.T) {
	cwd := t.TempDir()
	t.Chdir(cwd)
	dir := outside(t)
	head := "- hosts: all\n  gather_facts: false\n"
	task := func(format string, args ...any) map[string]string {
		return map[string]string{"site.yml": head + "  tasks:\n    - " + fmt.Sprintf(format, args...) + "\n"}
	}
	cases := map[string]map[string]string{}
	for _, w := range ways {
		cases["run: "+w] = task("debug: {msg: \"{{ %s }}\"}", w)
		cases["load: "+w] = map[string]string{"site.yml": "- import_playbook: \"{{ x }}.yml\"\n  vars: {x: \"{{ " + w + " }}\"}\n"}
		cases["keyword: "+w] = map[string]string{"site.yml": "- hosts: \"{{ x | default('none') }}\"\n  name: \"{{ x }}\"\n  gather_facts: false\n  vars: {x: \"{{ " + w + " }}\"}\n  tasks: [{ping: }]\n"}
		cases["loop: "+w] = task("{debug: {msg: \"{{ item }}\"}, loop: [\"{{ %s }}\"]}", w)
		cases["inventory: "+w] = map[string]string{"site.yml": head + "  tasks: [{debug: {var: x}}]\n", "group_vars/all.yml": "x: \"{{ " + w + " }}\"\n"}
		cases["file: "+w] = map[string]string{"site.yml": head + "  tasks: [{template: {src: a.j2, dest: /x}}]\n", "templates/a.j2": "{{ " + w + " }}\n"}
	}
	for _, line := range []string{
		"copy: {src: DIR/secret, dest: /x}", "copy: {src: UP/secret, dest: /x}", "copy: {src: DIR/, dest: /x}", "template: {src: DIR/secret.j2, dest: /x}", "script: DIR/secret",
		"unarchive: {src: DIR/secret, dest: /x}", "assemble: {src: DIR/parts, dest: /x, remote_src: false}", "include_vars: DIR/secret.yml", "include_vars: {dir: DIR}",
		"include_tasks: DIR/tasks.yml", "import_tasks: DIR/tasks.yml", "include_role: {name: DIR/role}", "import_role: {name: DIR/role}", "import_role: {name: UP/role}",
		"fetch: {src: /etc/hostname, dest: DIR/fetched, flat: true}", "{debug: {msg: '{{ item }}'}, with_fileglob: 'DIR/*'}",
		"{debug: {msg: '{{ item }}'}, with_file: DIR/secret}", "{debug: {msg: '{{ item }}'}, with_lines: cat DIR/secret}",
	} {
		cases[line] = task("%s", line)
	}
	cases["vars_files"] = map[string]string{"site.yml": head + "  vars_files: [DIR/secret.yml]\n  tasks: [{debug: {var: leak}}]\n"}
	cases["vars_files up"] = map[string]string{"site.yml": head + "  vars_files: [UP/secret.yml]\n  tasks: [{debug: {var: leak}}]\n"}
	cases["import_playbook"] = map[string]string{"site.yml": "- import_playbook: DIR/play.yml\n"}
	cases["roles"] = map[string]string{"site.yml": head + "  roles: [DIR/role]\n"}
	for _, w := range []string{"include 'DIR/secret.j2'", "include 'UP/secret.j2'", "import 'DIR/secret.j2' as x", "extends 'DIR/secret.j2'"} {
		cases["template "+w] = map[string]string{"site.yml": head + "  tasks: [{template: {src: a.j2, dest: /x}}]\n", "templates/a.j2": "{% " + w + " %}\n"}
	}
	for name, project := range cases {
		t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
			for n, text := range project {
				project[n] = fill(text, dir)
			}
			got := try(t, project)
			// Names that the project itself spells are no leak.
			if strings.Contains(strings.ReplaceAll(got, fill("CANARY", dir)+"', 'no'", ""), canary) {
				t.Errorf("this machine's secret came out:\n%s", got)
			}
			if list := listing(t, cwd); list != "" {
				t.Errorf("it wrote %s", list)
			}
		})
	}
}

// What is refused says what to do instead.
func TestRefusalsHaveRemedies(t *testing.T) {
	for expr, want := range map[string]string{
		"lookup('pipe', 'id')": "register", "lookup('url', 'http://x')": "register", "lookup('password', '/new')": "vaulted variable",
		"lookup('file', '/etc/passwd')": "project's own files",
	} {
		if got := try(t, map[string]string{"site.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: \"{{ " + expr + " }}\"}}]\n"}); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in\n%s", expr, want, got)
		}
	}
	if got := try(t, map[string]string{"site.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{copy: {src: /etc/passwd, dest: /x}}]\n"}); !strings.Contains(got, "remote_src") || !strings.Contains(got, "project's own files") {
		t.Errorf("copy:\n%s", got)
	}
}

// Somebody's own playbooks on their own machine may do what they may.
func TestOwnProjectsReachThisMachine(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DROVER_TEST_SECRET", "unused: the environment is what the caller hands in")
	for name, text := range map[string]string{"hosts": "h1\n", "note": "text", "site.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - command: change {{ lookup('env', 'GIVEN') }} {{ lookup('pipe', 'cat note') }} {{ lookup('file', dir + '/note') }} {{ lookup('password', 'kept length=5') | length }}
- import_playbook: "{{ lookup('env', 'GIVEN') }}.yml"
`, "yes.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{command: change imported}]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, env := engine.OS(dir), map[string]string{"GIVEN": "yes"}
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: []string{"hosts"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{"site.yml"}, Env: env, ExtraVars: map[string]any{"dir": dir}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	if _, err := p.Run(context.Background(), inv, engine.Options{Connector: f, Env: env}); err != nil {
		t.Fatal(err)
	}
	if want := "h1 command change yes text text 5\nh1 command change imported"; strings.Join(f.calls, "\n") != want {
		t.Errorf("got %q, want %q", f.calls, want)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "kept")); err != nil || len(bytes.TrimSpace(kept)) != 5 {
		t.Errorf("the password file: %q, %v", kept, err)
	}
}

// An inventory script of somebody else's project is not run.
func TestInventoryScriptsOfOthers(t *testing.T) {
	tree := fstest.MapFS{"hosts": {Data: []byte("#!/bin/sh\ntouch " + filepath.Join(outside(t), "ran") + "\n"), Mode: 0o755}}
	_, err := engine.LoadInventory(engine.InventoryOptions{Files: engine.Bundle(tree), Sources: []string{"hosts"}})
	if err == nil || !strings.Contains(err.Error(), "script") {
		t.Errorf("got %v", err)
	}
	if _, err := engine.LoadInventory(engine.InventoryOptions{Sources: []string{"/etc/passwd"}}); err == nil {
		t.Error("an inventory without files reads this machine's")
	}
	if _, err := engine.LoadProject(engine.ProjectOptions{Playbooks: []string{"/etc/passwd"}}); err == nil || strings.Contains(err.Error(), "root") {
		t.Errorf("a project without files: %v", err)
	}
}
