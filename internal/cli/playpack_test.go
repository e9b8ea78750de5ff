package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/tree"
)

func writeAll(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func collected(t *testing.T, home, playbook string, limits packLimits, touched ...string) (*playPack, error) {
	t.Helper()
	p := newPlayPack(home, limits)
	return p, p.collect([]string{playbook}, &ansibleConfig{values: map[string]string{}, getenv: func(string) string { return "" }}, touched)
}

func names(p *playPack, dir string) string {
	var out []string
	for n := range p.files {
		rel, err := filepath.Rel(dir, n)
		if err != nil {
			rel = n
		}
		out = append(out, rel)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestWhatIsPacked(t *testing.T) {
	for _, c := range []struct {
		name, playbook string
		files          []string
		text           string // of the playbook
		home           string
		touched        []string
		want           string
	}{
		{"the playbook's folder", "a/site.yml", []string{"a/x", "a/.git/config", "a/roles/r/tasks/main.yml", "b/y"}, "", "none", nil, "a/roles/r/tasks/main.yml a/site.yml a/x"},
		{"the project of a playbook in a folder", "p/plays/site.yml", []string{"p/ansible.cfg", "p/roles/r/x", "q/x"}, "", "none", nil, "p/ansible.cfg p/plays/site.yml p/roles/r/x"},
		{"a repository is no project", "p/plays/site.yml", []string{"p/.git/config", "p/large"}, "", "none", nil, "p/plays/site.yml"},
		{"unless the playbook looks at it", "p/plays/site.yml", []string{"p/.git/config", "p/large"}, "src: ../large", "none", nil, "p/large p/plays/site.yml"},
		{"a home folder has parts", "h/site.yml", []string{"h/.ssh/id", "h/secret", "h/files/f", "h/hosts", "h/more.yml"}, "src: ../x", "h", []string{"h/hosts", "h"}, "h/files/f h/hosts h/site.yml"},
		{"an ansible.cfg does not make a home a project", "h/p/site.yml", []string{"h/ansible.cfg", "h/secret"}, "", "h", nil, "h/p/site.yml"},
		{"a role elsewhere comes whole", "a/site.yml", []string{"else/roles/r/tasks/main.yml", "else/roles/r/files/f", "else/roles/other/x"}, "", "none", []string{"else/roles/r/tasks/main.yml", "else/roles"}, "a/site.yml else/roles/r/files/f else/roles/r/tasks/main.yml"},
		{"an inventory elsewhere brings what was read of it", "a/site.yml", []string{"i/hosts.ini", "i/group_vars/all.yml", "i/secret"}, "", "none", []string{"i", "i/hosts.ini", "i/group_vars/all.yml"}, "a/site.yml i/group_vars/all.yml i/hosts.ini"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{c.playbook: c.text}
			for _, f := range c.files {
				files[f] = "text"
			}
			dir := writeAll(t, files)
			var touched []string
			for _, x := range append(c.touched, c.playbook) {
				touched = append(touched, filepath.Join(dir, x))
			}
			p, err := collected(t, filepath.Join(dir, c.home), filepath.Join(dir, c.playbook), playLimits, touched...)
			if err != nil {
				t.Fatal(err)
			}
			if got := names(p, dir); got != c.want {
				t.Errorf("packed %s\nwant   %s", got, c.want)
			}
		})
	}
}

func TestLinksThatGoRound(t *testing.T) {
	dir := writeAll(t, map[string]string{"a/site.yml": "", "b/f": "x"})
	for from, to := range map[string]string{"a/self": ".", "a/up": "..", "a/b": "../b", "a/gone": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := collected(t, "/none", filepath.Join(dir, "a/site.yml"), playLimits)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(p, dir); got != "a/b/f a/site.yml a/up/b/f" {
		t.Errorf("packed %s", got)
	}
}

func TestTooMuch(t *testing.T) {
	files := map[string]string{"a/site.yml": "", "a/images/disk": strings.Repeat("x", 3<<20), "a/small": "x"}
	for i := range 30 {
		files[fmt.Sprintf("many/cache/%d", i)] = "x"
	}
	files["many/site.yml"] = ""
	dir := writeAll(t, files)
	for _, c := range []struct {
		playbook string
		limits   packLimits
		want     []string
	}{
		{"a/site.yml", packLimits{size: 1 << 20, files: 100, seen: 100}, []string{"a: it holds 3.0 MiB, and 1.0 MiB is the most", "images (3.0 MiB)", "get_url"}},
		{"many/site.yml", packLimits{size: 1 << 20, files: 20, seen: 100}, []string{"many: it holds more than 20 files", "cache (30 files)"}},
		{"many/site.yml", packLimits{size: 1 << 20, files: 20, seen: 10}, []string{"many: it holds more than 20 files"}},
	} {
		_, err := collected(t, "/none", filepath.Join(dir, c.playbook), c.limits)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeTooLarge {
			t.Fatalf("%s: %v", c.playbook, err)
		}
		for _, w := range c.want {
			if !strings.Contains(e.Message+"\n"+e.Remedy, w) {
				t.Errorf("there is no %q in: %s\n%s", w, e.Message, e.Remedy)
			}
		}
	}
	// What is above a playbook that says ../ is left out when it is too large.
	deep := writeAll(t, map[string]string{".git/config": "", "disk": strings.Repeat("x", 3<<20), "p/site.yml": "src: ../x"})
	p, err := collected(t, "/none", filepath.Join(deep, "p/site.yml"), packLimits{size: 1 << 20, files: 100, seen: 100})
	if err != nil || names(p, deep) != "p/site.yml" || len(p.broad) == 0 {
		t.Errorf("packed %s, broad %v: %v", names(p, deep), p.broad, err)
	}
}

func TestEnvironmentIsSentByName(t *testing.T) {
	dir := writeAll(t, map[string]string{"site.yml": "msg: \"{{ lookup('env', 'WANTED') }}\"", "other.yml": "UNASKED: x", "t.j2": "WANTED_TOO without a lookup of it"})
	p, err := collected(t, "/none", filepath.Join(dir, "site.yml"), playLimits)
	if err != nil {
		t.Fatal(err)
	}
	got := p.env(map[string]string{"WANTED": "1", "UNASKED": "2", "WANTED_TOO": "3", "HOME": "/h", "AWS_SECRET": "4"})
	if got["WANTED"] != "1" || got["HOME"] != "/h" || got["HOSTNAME"] == "" || len(got) != 3 {
		t.Errorf("sent %v", got)
	}
}

func TestPackIsRead(t *testing.T) {
	dir := writeAll(t, map[string]string{"site.yml": "- hosts: all\n", "files/large": strings.Repeat("many words ", 50_000), "files/empty": ""})
	p, err := collected(t, "/none", filepath.Join(dir, "site.yml"), playLimits)
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.write(api.PlayRequest{Playbooks: []string{"site.yml"}})
	if err != nil {
		t.Fatal(err)
	}
	if int64(body.Len()) > p.size/2 {
		t.Errorf("%d bytes of %d are sent", body.Len(), p.size)
	}
	tr, err := tree.ReadTar(body, tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range p.files {
		b, err := tr.ReadFile(strings.TrimPrefix(name, "/"))
		if err != nil || string(b) != string(f.data) {
			t.Errorf("%s arrives with %d bytes: %v", name, len(b), err)
		}
	}
}
