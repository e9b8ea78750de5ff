package inventory_test

import (
	"drover/api"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"drover/internal/play/inventory"
	"drover/internal/play/source"
)

func files(m map[string]string) source.Files {
	fsys := fstest.MapFS{}
	for n, s := range m {
		fsys[n] = &fstest.MapFile{Data: []byte(s), Mode: 0o644}
	}
	return source.Bundle(fsys)
}

func load(t *testing.T, m map[string]string, sources ...string) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Load(inventory.Options{Files: files(m), Sources: sources})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

const sample = `
plain:2222 a=1
[web]
web[01:03] port=80 # a comment
extra color='dark red' list="['x', 2]"
[db]
db-[a:c:2].example
[big:children]
web
db
[web:vars]
who=web
on=True
text=FALSE
[big:vars]
who=big
size=1.5
`

func TestINI(t *testing.T) {
	inv := load(t, map[string]string{"hosts": sample}, "hosts")
	want := "plain web01 web02 web03 extra db-a.example db-c.example"
	if got := strings.Join(inv.Hosts(), " "); got != want {
		t.Errorf("hosts %s, want %s", got, want)
	}
	for host, want := range map[string]string{
		"plain": `{"a":1,"ansible_port":2222}`,
		"web02": `{"on":true,"port":80,"size":1.5,"text":"FALSE","who":"web"}`,
		"extra": `{"color":"dark red","list":["x",2],"on":true,"size":1.5,"text":"FALSE","who":"web"}`,
	} {
		got, err := json.Marshal(inv.VarsOf(host))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, want %s (%v)", host, got, want, err)
		}
	}
	if got := inv.GroupsOf("web01"); !slices.Equal(got, []string{"big", "web"}) {
		t.Errorf("groups %v", got)
	}
	if got := inv.GroupsOf("plain"); !slices.Equal(got, []string{"ungrouped"}) {
		t.Errorf("groups of plain %v", got)
	}
}

func TestPatterns(t *testing.T) {
	inv := load(t, map[string]string{"hosts": sample, "list": "# some\nweb01\ndb\n"}, "hosts")
	for pattern, want := range map[string]string{
		"all":           "plain web01 web02 web03 extra db-a.example db-c.example",
		"web":           "web01 web02 web03 extra",
		"web:!web02":    "web01 web03 extra",
		"!db":           "plain web01 web02 web03 extra",
		"big:&db":       "db-a.example db-c.example",
		"web*":          "web01 web02 web03 extra",
		"~db-[ab]":      "db-a.example",
		"web[0]":        "web01",
		"web[1:2]":      "web02 web03",
		"web[-1]":       "extra",
		"web[2:]":       "web03 extra",
		"web01,db":      "web01 db-a.example db-c.example",
		"localhost":     "localhost",
		"nosuch":        "",
		"web:db:!~.*a$": "web01 web02 web03 db-a.example db-c.example",
	} {
		got, err := inv.Select(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s (%v)", pattern, got, want, err)
		}
	}
	long := load(t, map[string]string{"hosts": strings.Repeat("a", 60) + "!\nb\n"}, "hosts")
	if got, err := long.Select("all:!~^(a+)+$"); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("a pattern without end: %v, %v", got, err)
	}
	if got, err := inv.SelectLimited("big", "@list:!db-c.example"); err != nil || strings.Join(got, " ") != "web01 db-a.example" {
		t.Errorf("limit by file: %v %v", got, err)
	}
	if _, err := inv.SelectLimited("all", "nosuch"); err == nil {
		t.Error("a limit that leaves no host must be an error")
	}
}

func TestPrecedence(t *testing.T) {
	m := map[string]string{
		"inv/hosts":                 "[a]\nh v=line\n[b]\nh\n[top:children]\na\nb\n[a:vars]\ng=a\nd=a\n[b:vars]\ng=b\n[top:vars]\ng=top\nd=top\n",
		"inv/group_vars/all.yml":    "shadowed: 1\nall: 1\ndir: no",
		"inv/group_vars/all/x.yml":  "dir: yes\nall: 2\ng: all-file",
		"inv/group_vars/b/one.yml":  "fromdir: 1",
		"inv/group_vars/b/two.json": `{"fromdir": 2}`,
		"inv/host_vars/h.yml":       "v: host_vars",
		"inv/README.md":             "not an inventory",
		"inv/old.cfg":               "nor this",
	}
	inv := load(t, m, "inv")
	got, _ := json.Marshal(inv.VarsOf("h"))
	want := `{"all":2,"d":"a","dir":true,"fromdir":2,"g":"all-file","v":"host_vars"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestYAML(t *testing.T) {
	inv := load(t, map[string]string{"hosts.yml": `
all:
  vars: {x: 1}
  hosts:
    loose:
  children:
    web:
      hosts:
        w[1:2]: {port: 80}
      children:
        deep: {hosts: {d: {x: 2}}}
`}, "hosts.yml", "more,")
	if got := strings.Join(inv.Hosts(), " "); got != "loose w1 w2 d more" {
		t.Errorf("hosts %s", got)
	}
	if v := inv.VarsOf("d")["x"]; v != int64(2) {
		t.Errorf("x of d is %v", v)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"[web\nx":                            "hosts:1:1: Invalid host pattern",
		"[web:vasr]\n":                       `did you mean "vars"?`,
		"[web:vars]\na=1\n":                  "not valid for undefined group: web",
		"[web]\nh x\n":                       "hosts:2:3: Expected key=value",
		"[web]\nh x='a\n":                    "No closing quotation",
		"[a:children]\nb\n[b:children]\na\n": "recursive dependency loop",
		"h[3:1]\n":                           "the end is before the begin",
		"h[1:99999999]\n":                    "more than",
	} {
		_, err := inventory.Load(inventory.Options{Files: files(map[string]string{"hosts": text}), Sources: []string{"hosts"}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestCloneStandsAlone(t *testing.T) {
	inv := load(t, map[string]string{"hosts": sample}, "hosts")
	c := inv.Clone()
	c.AddGroup("new", "all").AddHost(c.AddHost("fresh"))
	if inv.Host("fresh") != nil || inv.Group("new") != nil || slices.Contains(inv.Hosts(), "fresh") {
		t.Error("a change of the clone shows in the original")
	}
	if got, _ := c.Select("new"); !slices.Equal(got, []string{"fresh"}) {
		t.Errorf("new holds %v", got)
	}
}

func FuzzINI(f *testing.F) {
	f.Add(sample)
	f.Add("[a:children]\nb\n[b]\nx[1:3]y[a:c] k=\"[1, (2,), {'a': None}]\"\n[::1]:22\n")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := inventory.Load(inventory.Options{Files: files(map[string]string{"hosts": text}), Sources: []string{"hosts"}})
		if err != nil {
			return
		}
		for _, h := range inv.Hosts()[:min(5, len(inv.Hosts()))] {
			inv.VarsOf(h)
			s, err := inv.Slice(h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := inventory.LoadSlice(s, inv.Files()); err != nil {
				t.Fatalf("a slice that was cut cannot be loaded: %v", err)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"web:!db:&big", "~w.*(?=0)", "web[1:", "[", "a[b]c*", "@x"} {
		f.Add(p)
	}
	inv, err := inventory.Load(inventory.Options{Files: files(map[string]string{"hosts": sample}), Sources: []string{"hosts"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p string) {
		_, _ = inv.Select(p)
	})
}
