package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"drover/internal/play/engine"
	"drover/internal/play/module"
)

// spy runs modules on a fake and tells of each before it does.
type spy struct {
	*fake
	before func(host, text string)
}

func (s *spy) Connect(ctx context.Context, t engine.Target) (engine.Conn, error) {
	c, err := s.fake.Connect(ctx, t)
	return spyConn{c, t.Host, s}, err
}

type spyConn struct {
	engine.Conn
	host string
	s    *spy
}

func (c spyConn) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	text, _ := req.Args["_raw_params"].(string)
	c.s.before(c.host, text)
	return c.Conn.Run(ctx, req)
}

const owing = `
-- hosts --
h1
h2
-- roles/late/tasks/main.yml --
- command: STATE role {{ item }}
  loop: [1, 2]
  notify: "topic {{ name }}"
-- roles/late/handlers/main.yml --
- name: of the role
  listen: "topic {{ name }}"
  command: change role handler
-- site.yml --
- name: first {{ name }}
  hosts: all
  gather_facts: false
  vars: {name: x}
  tasks:
    - include_role: {name: late}
    - command: STATE file
      notify: [restart, more]
    - command: STATE last
  handlers:
    - name: restart
      command: change restart
    - name: more
      include_tasks: more.yml
- hosts: h1
  gather_facts: false
  tasks:
    - command: noop second
-- more.yml --
- command: change more one
- command: change more two
`

// pass runs the plays; changing says whether tasks find something to do. It
// returns what handlers ran, and what was owed before each command.
func pass(t *testing.T, changing bool, o engine.Options, fail string) (ran []string, owed map[string][]engine.Notice, left []engine.Notice) {
	t.Helper()
	state := "noop"
	if changing {
		state = "change"
	}
	p, inv, err := load(t, txtar.Parse([]byte(strings.ReplaceAll(strings.ReplaceAll(owing, "STATE", state), "change restart", fail+" restart"))))
	if err != nil {
		t.Fatal(err)
	}
	left = o.Notified
	owed = map[string][]engine.Notice{}
	f := &fake{}
	o.Owed = func(all []engine.Notice) { left = all }
	o.Forks = 1
	o.Connector = &spy{f, func(host, text string) { owed[host+" "+text] = slices.Clone(left) }}
	if _, err := p.Run(context.Background(), inv, o); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.calls {
		if strings.Contains(c, "restart") || strings.Contains(c, "role handler") || strings.Contains(c, "more") {
			ran = append(ran, c)
		}
	}
	return ran, owed, left
}

func short(list []engine.Notice) string {
	var out []string
	for _, n := range list {
		s := n.Host + " " + n.Handler
		if n.Maybe {
			s += "?"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestWhatIsOwedIsToldInTime(t *testing.T) {
	_, owed, left := pass(t, true, engine.Options{}, "change")
	for at, want := range map[string]string{
		"h1 change role 1":  "h1 topic x?, h2 topic x?",
		"h1 change file":    "h1 more?, h1 restart?, h1 topic x, h2 more?, h2 restart?, h2 topic x",
		"h1 change last":    "h1 more, h1 restart, h1 topic x, h2 more, h2 restart, h2 topic x",
		"h1 change restart": "h1 more, h1 restart, h1 topic x, h2 more, h2 restart, h2 topic x",
		// Handlers that include are owed until what they included is done.
		"h2 change more two":     "h1 more, h1 topic x, h2 more, h2 topic x",
		"h1 change role handler": "h1 topic x, h2 topic x",
	} {
		if got := short(owed[at]); got != want {
			t.Errorf("at %q %q is owed, want %q", at, got, want)
		}
	}
	if len(left) != 0 {
		t.Errorf("left: %s", short(left))
	}
	if _, owed, _ = pass(t, false, engine.Options{}, "change"); short(owed["h1 noop last"]) != "" {
		t.Errorf("without changes %q is owed", short(owed["h1 noop last"]))
	}
}

// A run that dies at any command leaves notices; with them the next, in which
// nothing changes, runs all handlers that had not run.
func TestHandlersOutliveTheRun(t *testing.T) {
	_, owed, _ := pass(t, true, engine.Options{}, "change")
	all, _, _ := pass(t, true, engine.Options{}, "change")
	if len(all) != 8 {
		t.Fatalf("handlers: %q", all)
	}
	got, _, left := pass(t, false, engine.Options{Notified: owed["h1 change restart"]}, "change")
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(all))) || len(left) != 0 {
		t.Errorf("ran %q, left %s; want %q", got, short(left), all)
	}
	got, _, left = pass(t, false, engine.Options{Notified: owed["h2 change more two"]}, "change")
	if want := 6; len(got) != want || len(left) != 0 || slices.Contains(got, "h1 command change restart") {
		t.Errorf("ran %q, left %s", got, short(left))
	}
	// Check mode shows them and keeps them.
	got, _, left = pass(t, false, engine.Options{Notified: owed["h1 change restart"], Check: true}, "change")
	if len(got) != 8 || len(left) != 6 {
		t.Errorf("check: ran %q, left %s", got, short(left))
	}
}

func TestAFailedHandlerIsOwedStill(t *testing.T) {
	_, _, left := pass(t, true, engine.Options{}, "fail")
	if got, want := short(left), "h1 more, h1 restart, h1 topic x, h2 more, h2 restart, h2 topic x"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
	ran, _, left := pass(t, false, engine.Options{Notified: left}, "change")
	if len(ran) != 8 || len(left) != 0 {
		t.Errorf("ran %q, left %q", ran, short(left))
	}
}

func TestHandlersThatAreGoneAreForgotten(t *testing.T) {
	var warnings []string
	list := []engine.Notice{{Play: "another", Host: "h1", Handler: "restart"}, {Play: "first {{ name }}", Host: "h1", Handler: "no more"}, {Play: "all", Host: "h9", Handler: "restart"}}
	ran, _, left := pass(t, false, engine.Options{Notified: list, Events: func(e engine.Event) {
		if e.Kind == engine.EventWarning {
			warnings = append(warnings, e.Message)
		}
	}}, "change")
	if fmt.Sprint(ran) != "[h1 command change restart]" || len(left) != 0 || len(warnings) != 2 {
		t.Errorf("ran %q, left %q, warnings %q", ran, short(left), warnings)
	}
}
