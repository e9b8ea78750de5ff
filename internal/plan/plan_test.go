package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/plan"
)

func show(p *api.Plan, o plan.Options) string {
	var b strings.Builder
	plan.Print(&b, p, o)
	return b.String()
}

func TestPrint(t *testing.T) {
	for _, c := range []struct {
		name string
		plan api.Plan
		want string
	}{
		{"errors alone", api.Plan{Errors: 1, Declared: 3, Problems: []*api.Error{{Code: api.CodeInvalid, Message: "there is no module cpy", Remedy: "did you mean copy?",
			Place: &api.Place{File: "site.yml", Line: 3, Column: 7}}}},
			"1 error:\nsite.yml:3:7: there is no module cpy; did you mean copy?\n"},
		{"an empty inventory", api.Plan{}, "The inventory has no hosts.\n"},
		{"nobody enrolled", api.Plan{Declared: 2, NotEnrolled: []string{"a", "b"}},
			"Plan: none of the 2 hosts in the inventory has an agent yet; drover enroll ssh://root@HOST adds one.\n  a, b: in the inventory, without an agent\n"},
		{"no change", api.Plan{Declared: 1, Unchanged: 1}, "Plan: no host changes (1 host stays as it is).\n"},
		{"changes, failures and the rest", api.Plan{Declared: 5, Changed: []string{"a", "b", "c", "d", "e"}, Unchanged: 2, NotAsked: []string{"e"}, NotDeclared: []string{"x"},
			Groups: []api.PlanGroup{
				{Hosts: []string{"a", "b"}, Tasks: []api.TaskResult{{Name: "Write it", Module: "copy", Item: "one", Status: "changed",
					Changes: []api.Change{{Type: "file", ID: "/etc/x", Action: "update"}}, Diff: []api.Diff{{Before: "1\n2\n", After: "1\n3\n"}}}}},
				{Hosts: []string{"c"}, Failed: true, Error: "the play failed", Tasks: []api.TaskResult{{Name: "apt", Module: "apt", Status: "failed", Message: "no package\x1b[31m", Place: &api.Place{File: "r.yml", Line: 2}}}},
				{Hosts: []string{"d"}},
			}},
			`Plan: 4 hosts checked: 2 change, 1 is already so, 1 fails; for 2 hosts nothing is new.
  a, b
    ~ Write it [copy] (one)
      update file /etc/x
         1
        -2
        +3
  c
    ✗ apt
      r.yml:2: no package[31m
  d: nothing to do
  e: not asked in advance
  x: with an agent, in no inventory
`},
	} {
		if got := show(&c.plan, plan.Options{}); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
}

func TestLongThingsAreCut(t *testing.T) {
	p := api.Plan{Declared: 1, Changed: []string{"a"}, Groups: []api.PlanGroup{{}}}
	for i := range 30 {
		p.Groups[0].Hosts = append(p.Groups[0].Hosts, fmt.Sprintf("h%02d", i))
		p.Groups[0].Tasks = append(p.Groups[0].Tasks, api.TaskResult{Name: fmt.Sprint("t", i), Status: "changed",
			Diff: []api.Diff{{After: strings.Repeat("line\n", 100)}}})
	}
	got := show(&p, plan.Options{Hosts: 3, Tasks: 2, Lines: 4})
	for _, want := range []string{"h00, h01, h02 and 27 more\n", "… and 28 further changes", "        …\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "+line"); n != 8 {
		t.Errorf("%d lines of differences, want 8", n)
	}
}

func changed(before, after string) api.PlanGroup {
	return api.PlanGroup{Tasks: []api.TaskResult{{Name: "page", Status: "changed", Diff: []api.Diff{{Before: before, After: after}},
		Changes: []api.Change{{Type: "file", ID: "/etc/page", Action: "update", After: map[string]any{"size": len(after)}}}}}}
}

func TestSameChanges(t *testing.T) {
	one := changed("host one\ncolour red\nend\n", "host one\ncolour blue\nend\n")
	for _, c := range []struct {
		name  string
		other api.PlanGroup
		same  bool
	}{
		{"itself", one, true},
		{"another line beside it", changed("host two\ncolour red\nend\n", "host two\ncolour blue\nend\n"), true},
		{"more lines before it", changed("a\nb\nc\nhost one\ncolour red\nend\n", "a\nb\nc\nhost one\ncolour blue\nend\n"), true},
		{"another value", changed("host one\ncolour red\nend\n", "host one\ncolour green\nend\n"), false},
		{"another value before", changed("host one\ncolour black\nend\n", "host one\ncolour blue\nend\n"), false},
		{"one line more", changed("host one\ncolour red\nend\n", "host one\ncolour blue\nend\nmore\n"), false},
		{"a failure", api.PlanGroup{Failed: true, Tasks: one.Tasks}, false},
		{"nothing", api.PlanGroup{}, false},
	} {
		if got := plan.Same(one) == plan.Same(c.other); got != c.same {
			t.Errorf("%s: same is %v", c.name, got)
		}
	}
}

func TestUnforeseenIsNoError(t *testing.T) {
	p := api.Plan{Declared: 1, Changed: []string{"a"}, Groups: []api.PlanGroup{{Hosts: []string{"a"}, Tasks: []api.TaskResult{
		{Name: "Group", Module: "group", Status: "changed"},
		{Name: "User", Module: "user", Status: api.StatusUnforeseen, Message: "Group ops does not exist", Place: &api.Place{File: "roles/base/tasks/main.yml", Line: 6, Column: 3}},
		{Name: "File", Status: "changed"},
	}}}}
	want := `Plan: 1 host checked: 1 changes.
  a
    ~ Group [group]
    ~ File
    1 task cannot be foreseen before the changes above are made:
      User [user]: Group ops does not exist (roles/base/tasks/main.yml:6:3)
`
	if got := show(&p, plan.Options{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for range 20 {
		p.Groups[0].Tasks = append(p.Groups[0].Tasks, p.Groups[0].Tasks[1])
	}
	if got := show(&p, plan.Options{}); !strings.Contains(got, "21 tasks cannot") || !strings.Contains(got, "… and 15 more\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestHugePlans(t *testing.T) {
	p := api.Plan{Declared: 100}
	for i := range 100 {
		g := changed("", strings.Repeat(fmt.Sprintln("line", i), 100))
		g.Hosts = []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
		p.Groups = append(p.Groups, g)
		p.Changed = append(p.Changed, g.Hosts...)
	}
	got := show(&p, plan.Options{Total: 50})
	if n := strings.Count(got, "\n"); n > 80 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(got, "more hosts that change otherwise; drover plan shows all of it\n") {
		t.Errorf("got\n%s", got)
	}

	task := api.TaskResult{Status: "changed", Diff: []api.Diff{{Before: "x\n", After: strings.Repeat("many words here\n", 50_000), AfterHeader: "/etc/x"}, {Before: "1", After: "2"}}}
	plan.Trim(&task)
	if d := task.Diff[0]; len(d.Prepared) > 40<<10 || d.After != "" || d.AfterHeader != "/etc/x" || !strings.Contains(d.Prepared, "-x\n") || !strings.Contains(d.Prepared, "cut") {
		t.Errorf("trimmed to %d bytes, %d after", len(d.Prepared), len(d.After))
	}
	if task.Diff[1].After != "2" {
		t.Error("a small difference was trimmed")
	}
	// What is too large to compare is still told, and quickly.
	large := changed(strings.Repeat("a\n", 2<<20), strings.Repeat("b\n", 2<<20))
	if plan.Same(large) == plan.Same(changed("", "x")) {
		t.Error("different changes are the same")
	}
}

func FuzzSame(f *testing.F) {
	f.Add("a\nb\n", "a\nc\n", "@@ -1 +1 @@\n-x\n+y")
	f.Add("", "+++ x", "--- \n\x00")
	f.Fuzz(func(t *testing.T, before, after, prepared string) {
		g := changed(before, after)
		g.Tasks[0].Diff = append(g.Tasks[0].Diff, api.Diff{Prepared: prepared})
		if again := plan.Same(g); plan.Same(g) != again {
			t.Fatal("not the same as itself")
		}
		plan.Trim(&g.Tasks[0])
		got := show(&api.Plan{Declared: 1, Changed: []string{"h"}, Groups: []api.PlanGroup{g}}, plan.Options{})
		if strings.ContainsAny(got, "\x1b\x00\r") {
			t.Fatalf("control characters in %q", got)
		}
	})
}

func TestAnUndefinedVariableOnAllHostsDooms(t *testing.T) {
	failing := func(msg string) api.PlanGroup {
		return api.PlanGroup{Hosts: []string{"a"}, Failed: true, Tasks: []api.TaskResult{{Name: "x", Status: "failed", Message: msg}}}
	}
	undefined := failing("Error while resolving value for 'msg': 'greetin' is undefined")
	for _, c := range []struct {
		name   string
		groups []api.PlanGroup
		want   bool
	}{
		{"nobody asked", nil, false},
		{"all", []api.PlanGroup{undefined, undefined}, true},
		{"one host is well", []api.PlanGroup{undefined, {Hosts: []string{"b"}}}, false},
		{"a host's own failure", []api.PlanGroup{failing("no package")}, false},
		{"a result that a check lacks", []api.PlanGroup{failing("object of type 'dict' has no attribute 'stdout'")}, false},
	} {
		if _, got := plan.Doomed(&api.Plan{Groups: c.groups}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestUnitsAreToldOnce(t *testing.T) {
	got := show(&api.Plan{Declared: 1, Changed: []string{"a"}, Groups: []api.PlanGroup{{Hosts: []string{"a"}, Tasks: []api.TaskResult{{Name: "run", Module: "service", Status: "changed",
		Changes: []api.Change{{Type: "unit", ID: "cron", Action: "start"}}, Diff: []api.Diff{{Before: `{"state":"stopped"}`, After: `{"state":"started"}`}}}}}}}, plan.Options{})
	if !strings.Contains(got, "start unit cron") || strings.Contains(got, "stopped") {
		t.Error(got)
	}
}
