package play_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/play"
	"drover/internal/tree"
)

func treeOf(t testing.TB, files ...string) *tree.Tree {
	t.Helper()
	b := tree.NewBuilder(tree.Limits{})
	for i := 0; i < len(files); i += 2 {
		if err := b.Add(tree.File{Path: files[i], Data: []byte(files[i+1])}); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func hosts(names ...string) []*api.Host {
	var out []*api.Host
	for _, n := range names {
		out = append(out, &api.Host{Meta: api.Meta{Name: n}})
	}
	return out
}

func compile(t testing.TB, in domain.Input) domain.Output {
	t.Helper()
	out, err := play.Compiler().Compile(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func section(t testing.TB, s api.Section) play.Section {
	t.Helper()
	var out play.Section
	if err := json.Unmarshal(s.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

var small = []string{"fleet.yml", "name: x\n", "inventory/hosts", "[web]\nweb-1\nweb-2\n[db]\ndb-1\n", "inventory/group_vars/web.yml", "port: 80\n",
	"inventory/host_vars/db-1.yml", "password: hidden\n", "playbooks/site.yml", "- hosts: web\n  roles: [web]\n", "roles/web/tasks/main.yml", "- ping:\n"}

func TestCompileCutsWhatEachHostNeeds(t *testing.T) {
	in := domain.Input{Tree: treeOf(t, small...), Hosts: hosts("web-1", "db-1", "stranger")}
	out := compile(t, in)
	if len(out.Problems) > 0 || len(out.Sections) != 2 || len(out.Blobs) != 1 {
		t.Fatalf("%+v", out)
	}
	web, db := section(t, out.Sections["web-1"]), section(t, out.Sections["db-1"])
	if web.Playbook != "playbooks/site.yml" || len(web.Roles) != 1 || web.Slice.Host != "web-1" || web.Names != "" {
		t.Errorf("web-1: %+v", web)
	}
	if raw := string(out.Sections["web-1"].Body); strings.Contains(raw, "hidden") || !strings.Contains(raw, `"port":80`) {
		t.Errorf("web-1: %s", raw)
	}
	if !strings.Contains(string(db.Slice.Plugin), "hidden") {
		t.Errorf("db-1: %s", db.Slice.Plugin)
	}
	again := compile(t, in)
	if again.Sections["web-1"].Hash != out.Sections["web-1"].Hash || again.Blobs[0].SHA256 != out.Blobs[0].SHA256 {
		t.Error("the same input gives another output")
	}
	in.Changed = []string{"db-1"}
	if one := compile(t, in); len(one.Sections) != 1 || one.Sections["db-1"].Hash != out.Sections["db-1"].Hash {
		t.Errorf("compiling one host gives %v", one.Sections)
	}
}

func TestAChangeTouchesWhatItIsAbout(t *testing.T) {
	before := compile(t, domain.Input{Tree: treeOf(t, small...), Hosts: hosts("web-1", "web-2", "db-1")})
	for _, c := range []struct {
		file, content string
		want          string // hosts that change
	}{
		{"README.md", "words", ""},
		{"rules/x.yml", "groups: []", ""},
		{"inventory/group_vars/web.yml", "port: 81\n", "web-1 web-2"},
		{"inventory/host_vars/db-1.yml", "password: other\n", "db-1"},
		{"roles/web/tasks/main.yml", "- debug:\n", "web-1 web-2 db-1"},
	} {
		files := append([]string{}, small...)
		found := false
		for i := 0; i < len(files); i += 2 {
			if files[i] == c.file {
				files[i+1], found = c.content, true
			}
		}
		if !found {
			files = append(files, c.file, c.content)
		}
		after := compile(t, domain.Input{Tree: treeOf(t, files...), Hosts: hosts("web-1", "web-2", "db-1")})
		var changed []string
		for _, h := range []string{"web-1", "web-2", "db-1"} {
			if before.Sections[h].Hash != after.Sections[h].Hash {
				changed = append(changed, h)
			}
		}
		if got := strings.Join(changed, " "); got != c.want {
			t.Errorf("%s: %q change, want %q", c.file, got, c.want)
		}
	}
}

func TestNothingToDoIsAWarning(t *testing.T) {
	out := compile(t, domain.Input{Tree: treeOf(t, "inventory", "a\n"), Hosts: hosts("a")})
	if len(out.Problems) != 1 || out.Problems[0].Code == api.CodeInvalid || out.Problems[0].Remedy == "" || len(out.Sections) != 0 {
		t.Errorf("%+v", out)
	}
}

func TestTooManyVariablesNameTheHost(t *testing.T) {
	_, err := play.Compiler().Compile(context.Background(), domain.Input{Hosts: hosts("a"),
		Tree: treeOf(t, "inventory/hosts", "a\n", "inventory/host_vars/a.yml", "x: "+strings.Repeat("y", 60<<10)+"\n", "site.yml", "- hosts: all\n")})
	if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "the variables of host a are") {
		t.Errorf("%v", err)
	}
}

// TestALargeFleetCompilesInSeconds holds the size of sections as well.
func TestALargeFleetCompilesInSeconds(t *testing.T) {
	const n = 5000
	var inv strings.Builder
	var names []string
	inv.WriteString("[web]\n")
	for i := range n {
		names = append(names, fmt.Sprintf("web-%04d.example.internal", i))
		fmt.Fprintf(&inv, "%s rack=%d\n", names[i], i%40)
	}
	in := domain.Input{Hosts: hosts(names...), Tree: treeOf(t, "inventory/hosts", inv.String(), "inventory/group_vars/web.yml", "port: 80\n",
		"site.yml", "- hosts: web\n  tasks:\n  - ping:\n")}
	begin := time.Now()
	out := compile(t, in)
	took := time.Since(begin)
	t.Logf("%d hosts in %v", n, took)
	if len(out.Sections) != n || len(out.Blobs) != 2 {
		t.Fatalf("%d sections, %d blobs", len(out.Sections), len(out.Blobs))
	}
	if s := out.Sections[names[17]]; len(s.Body) > 2000 || len(s.Blobs) != 2 {
		t.Errorf("a section of %d bytes with %v", len(s.Body), s.Blobs)
	}
	if took > 30*time.Second {
		t.Errorf("compiling took %v", took)
	}
}

// TestVaultedTextIsRefused wherever a host would read it: the server cannot
// open it, and an empty value in its place would be rolled out.
func TestVaultedTextIsRefused(t *testing.T) {
	const text = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
	const tagged = "secret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"
	base := map[string]string{"inventory/hosts.yml": "all:\n  hosts:\n    a:\n", "site.yml": "- hosts: all\n  vars_files: [more.yml]\n  roles: [r]\n  tasks:\n  - include_vars: late.yml\n  - copy: {src: f, dest: /f}\n",
		"more.yml": "x: 1\n", "late.yml": "y: 1\n", "files/f": "text", "roles/r/tasks/main.yml": "- ping:\n"}
	for file, c := range map[string]struct{ content, place string }{
		"inventory/hosts.yml":           {"all:\n  hosts:\n    a:\n      secret: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n", "inventory/hosts.yml:4:15"},
		"inventory/hosts":               {text, "inventory/hosts:1:1"},
		"inventory/group_vars/all.yml":  {tagged, "inventory/group_vars/all.yml:1:9"},
		"inventory/host_vars/a/v.yml":   {text, "inventory/host_vars/a/v.yml:1:1"},
		"group_vars/all.yml":            {text, "group_vars/all.yml:1:1"},
		"more.yml":                      {tagged, "more.yml:1:9"},
		"late.yml":                      {text, "late.yml:1:1"},
		"files/f":                       {text, "site.yml:6:17"},
		"roles/r/vars/main.yml":         {"a: b\n" + tagged, "roles/r/vars/main.yml:2:9"},
		"roles/r/defaults/main/one.yml": {text, "roles/r/defaults/main/one.yml:1:1"},
		"roles/r/tasks/main.yml":        {"- debug:\n    msg: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6162\n", "roles/r/tasks/main.yml:2:10"},
	} {
		var files []string
		for name, content := range base {
			if name != file {
				files = append(files, name, content)
			}
		}
		out, err := play.Compiler().Compile(context.Background(), domain.Input{Tree: treeOf(t, append(files, file, c.content)...), Hosts: hosts("a")})
		text := ""
		if err != nil {
			text = err.Error()
		}
		for _, p := range out.Problems {
			if p.Code == api.CodeInvalid {
				text += p.Error()
			}
		}
		if !strings.HasPrefix(text, c.place+": ") || strings.Count(text, "is vaulted, and the server cannot open vaults") != 1 || !strings.Contains(text, "drover play") {
			t.Errorf("%s: %q, want one error at %s", file, text, c.place)
		}
	}
}

func TestAnINIFileInTheFolderIsRead(t *testing.T) {
	out := compile(t, domain.Input{Tree: treeOf(t, "inventory/hosts.ini", "[web]\na\n", "site.yml", "- hosts: web\n  tasks:\n  - ping:\n"), Hosts: hosts("a")})
	if len(out.Problems) > 0 || len(out.Sections) != 1 {
		t.Errorf("%+v", out)
	}
}

// TestAllErrorsAreToldAtOnce, those of parsing and those of checking, in the
// inventory and in the playbook, in plain words.
func TestAllErrorsAreToldAtOnce(t *testing.T) {
	out := compile(t, domain.Input{Hosts: hosts("a"), Tree: treeOf(t, "inventory/hosts.yml", "all:\n  hosts: [a]\n", "site.yml", `- hosts: all
  tasks:
  - import_tasks: gone.yml
  - user: {name: x, createhome: maybe}
    notify: of gone.yml
  - debug: {msg: "{{ 1 + }}"}
  - ping:
    when: a ==
  - cpoy: {src: x, dest: /y}
`)})
	var got []string
	for _, p := range out.Problems {
		got = append(got, p.Error())
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"inventory/hosts.yml:2:10: ", "gone.yml", "create_home", "site.yml:6:", "site.yml:8:", "cpoy"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if len(got) != 6 || strings.Contains(text, "<class") || strings.Contains(text, "Valid booleans") || strings.Contains(text, ".;") {
		t.Errorf("%d errors:\n%s", len(got), text)
	}
}

func TestAPlayForNobodyIsAWarning(t *testing.T) {
	out := compile(t, domain.Input{Hosts: hosts("a"), Tree: treeOf(t, "inventory/hosts", "[web]\na\n[none]\n", "site.yml", "- hosts: wbe\n- hosts: none\n- hosts: localhost\n- hosts: web:bd\n")})
	if len(out.Problems) != 2 || out.Problems[0].Code == api.CodeInvalid || out.Problems[0].Error() != `site.yml:1:10: no host matches "wbe", so this play does nothing (field hosts); did you mean "web"?` || len(out.Sections) != 1 {
		t.Errorf("%v", out.Problems)
	}
}
