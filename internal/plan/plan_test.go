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
			`Plan: 5 hosts get a new assignment, 2 as before.
  a, b
    ~ Write it [copy] (one)
      update file /etc/x
         1
        -2
        +3
  c
    ✗ apt
      r.yml:2: no package[31m
    the check stops here: the play failed
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
