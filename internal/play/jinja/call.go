package jinja

import (
	"context"
	"slices"
	"strings"

	"drover/internal/play/value"
)

// Call is one call of a filter or a test.
type Call struct {
	Ctx    context.Context
	Args   []value.Value // Args[0] is what stands before the bar
	Kwargs *value.Dict   // nil when there are none
	Name   string
	Scope  Scope // the template's variables, its own `set` ones included
	Env    *Env
	s      *state
}

// Filter is a filter.
type Filter func(c *Call) (value.Value, error)

// Test is a test.
type Test func(c *Call) (bool, error)

// In is the value that the filter is applied to.
func (c *Call) In() value.Value { return c.Args[0] }

// Rest is the arguments after it.
func (c *Call) Rest() *value.Args { return &value.Args{Name: c.Name, Pos: c.Args[1:], Kw: c.Kwargs} }

// Text is the input as a string.
func (c *Call) Text() (string, error) {
	if s, ok := value.StrOf(c.Args[0]); ok {
		return s, nil
	}
	b, err := value.AppendStr(nil, c.Args[0])
	return string(b), err
}

// List is the input's items.
func (c *Call) List() ([]value.Value, error) { return value.Iter(c.Args[0]) }

// Filter calls another filter.
func (c *Call) Filter(name string, args []value.Value, kw *value.Dict) (value.Value, error) {
	if c.s != nil {
		return c.s.filter(name, args, kw)
	}
	f, ok := c.Env.filterNamed(name)
	if !ok {
		return nil, unknown("filter", name, c.Env.filterNames())
	}
	return f(&Call{Ctx: c.Ctx, Args: args, Kwargs: kw, Name: name, Scope: c.Scope, Env: c.Env})
}

// Test calls a test.
func (c *Call) Test(name string, args []value.Value, kw *value.Dict) (bool, error) {
	if c.s != nil {
		return c.s.test(name, args, kw)
	}
	t, ok := c.Env.testNamed(name)
	if !ok {
		return false, unknown("test", name, c.Env.testNames())
	}
	return t(&Call{Ctx: c.Ctx, Args: args, Kwargs: kw, Name: name, Scope: c.Scope, Env: c.Env})
}

// Attr is value[path], where path is one of Jinja's attribute arguments: a
// name, an integer, or names with dots between.
func (c *Call) Attr(v, path value.Value) (value.Value, error) {
	s := c.s
	if s == nil {
		s = &state{run: c.Env.start(c.Ctx, c.Scope)}
	}
	if name, ok := value.StrOf(path); ok {
		for part := range strings.SplitSeq(name, ".") {
			var key value.Value = part
			if part != "" && strings.Trim(part, "0123456789") == "" {
				key, _ = value.ParseInt(part, 10)
			}
			r, err := s.item(v, key)
			if err != nil {
				return nil, err
			}
			v = r
		}
		return v, nil
	}
	return s.item(v, path)
}

// names under which Ansible knows the same filter
func shortName(name string) string {
	for _, p := range []string{"ansible.builtin.", "ansible.legacy."} {
		if s, ok := strings.CutPrefix(name, p); ok {
			return s
		}
	}
	return name
}

func (e *Env) filterNamed(name string) (Filter, bool) {
	f, ok := e.Filters[name]
	if !ok && strings.IndexByte(name, '.') >= 0 {
		f, ok = e.Filters[shortName(name)]
	}
	return f, ok
}

func (e *Env) testNamed(name string) (Test, bool) {
	t, ok := e.Tests[name]
	if !ok && strings.IndexByte(name, '.') >= 0 {
		t, ok = e.Tests[shortName(name)]
	}
	return t, ok
}

func (e *Env) filterNames() []string {
	names := make([]string, 0, len(e.Filters))
	for n := range e.Filters {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (e *Env) testNames() []string {
	names := make([]string, 0, len(e.Tests))
	for n := range e.Tests {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// HasFilter reports whether there is a filter of that name, short or full.
func (e *Env) HasFilter(name string) bool { _, ok := e.filterNamed(name); return ok }

// HasTest reports whether there is a test of that name, short or full.
func (e *Env) HasTest(name string) bool { _, ok := e.testNamed(name); return ok }

// FilterNames lists all filters, for "did you mean".
func (e *Env) FilterNames() []string { return e.filterNames() }

// TestNames lists all tests.
func (e *Env) TestNames() []string { return e.testNames() }

// Call calls the function outside of a template's own calls.
func (f stateFunc) Call(ctx context.Context, args []value.Value, kw *value.Dict) (value.Value, error) {
	s, _ := ctx.Value(stateKey{}).(*state)
	return f(s, args, kw)
}

// TypeName is the class's name.
func (f stateFunc) TypeName() string { return "function" }
