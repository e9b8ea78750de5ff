// Package jinja is a Jinja2 engine with Python's values. A template is parsed
// once, kept, and evaluated as often as wanted, from any number of goroutines.
//
// Evaluation is bounded in time (the context), in depth, in the size of what
// it makes, and in steps. A template cannot reach anything that its Env,
// Scope or a filter does not give it.
package jinja

import (
	"context"

	"drover/api"
	"drover/internal/play/value"
)

// Env is what templates share: filters, tests, globals, the loader and the
// limits. Change it only before its first template.
type Env struct {
	Filters map[string]Filter
	Tests   map[string]Test
	Globals map[string]value.Value
	// TakesUndefined names the filters and tests that are called with
	// undefined values; for all others such an argument makes the result
	// undefined (filters, tests: an error).
	TakesUndefined map[string]bool
	// Loader returns the source of a template by name, for include, import
	// and extends. It returns an error that wraps fs.ErrNotExist when there
	// is none.
	Loader func(name string) (string, error)
	// Undefined says what undefined values do.
	Undefined UndefinedMode
	Limits    Limits
}

// UndefinedMode says what happens to undefined values.
type UndefinedMode int

// The modes.
const (
	Strict  UndefinedMode = iota // any use is an error; an attribute of undefined is undefined again (Ansible)
	Lenient                      // prints as nothing, iterates as empty, is false (Jinja's own default)
)

// Limits bound one evaluation; zero fields take defaults.
type Limits struct {
	Steps  int64 // nodes evaluated; default 50 million
	Depth  int   // nested calls, includes and loops; default 200
	Output int   // bytes of output; default 64 MiB
}

// Scope gives a template its variables. A missing one is not an error. An
// error that is a *value.UndefinedError leaves the variable undefined, with
// that message.
type Scope interface {
	Var(name string) (value.Value, bool, error)
}

// Vars is the simplest scope.
type Vars map[string]value.Value

// Var returns one variable.
func (v Vars) Var(name string) (value.Value, bool, error) {
	x, ok := v[name]
	return x, ok, nil
}

// NamedScope is a Scope that can list its names, for the `vars` lookups and
// for "did you mean".
type NamedScope interface {
	Scope
	Names() []string
}

// Options are those of one template.
type Options struct {
	// Place is where the source begins: errors count from there. The zero
	// Place reports lines and columns within the source.
	Place api.Place

	VariableStart, VariableEnd string // "{{", "}}"
	BlockStart, BlockEnd       string // "{%", "%}"
	CommentStart, CommentEnd   string // "{#", "#}"
	TrimBlocks                 bool   // the newline after a block is dropped
	LstripBlocks               bool   // blanks before a block are dropped
	KeepTrailingNewline        bool
	NewlineSequence            string // "\n"
}

// Template is a parsed template.
type Template struct{ opts Options }

// Expr is a parsed expression, without delimiters.
type Expr struct{}

// New makes an environment with all of Jinja's own filters, tests and globals.
func New() *Env { return &Env{} }

// Template parses src, or takes it from the cache. The error is an *api.Error
// with the place in src.
func (e *Env) Template(src string, o Options) (*Template, error) { return nil, nil }

// Expr parses a bare expression, as `when` has.
func (e *Env) Expr(src string) (*Expr, error) { return nil, nil }

// Render evaluates the template to text.
func (t *Template) Render(ctx context.Context, s Scope) (string, error) { return "", nil }

// Eval evaluates the template natively: what consists of one expression keeps
// its type, everything else is text.
func (t *Template) Eval(ctx context.Context, s Scope) (value.Value, error) { return nil, nil }

// Eval evaluates the expression. An undefined result is returned as
// *value.Undefined, not as an error.
func (x *Expr) Eval(ctx context.Context, s Scope) (value.Value, error) { return nil, nil }

// Test evaluates the expression and tells whether it is true.
func (x *Expr) Test(ctx context.Context, s Scope) (bool, error) { return false, nil }

// HasTemplate tells, fast, whether s can hold anything to evaluate.
func HasTemplate(s string) bool { return false }

// Uses is what a template mentions.
type Uses struct {
	Filters []Use
	Tests   []Use
	Lookups []Use // names given literally to lookup, query and q
	Names   []Use // variables and globals that are not set in the template itself
}

// Use is one mention.
type Use struct {
	Name    string
	Place   api.Place
	Guarded bool // stands under default, or in a template that asks whether it is defined
	Called  bool // a name that is called like a function
}

// Uses lists what the template mentions, for checks before anything runs.
func (t *Template) Uses() Uses { return Uses{} }

// Uses lists what the expression mentions.
func (x *Expr) Uses() Uses { return Uses{} }

// Call is one call of a filter or a test.
type Call struct {
	Ctx    context.Context
	Args   []value.Value // Args[0] is what stands before the bar
	Kwargs *value.Dict   // nil when there are none
	Name   string
	Scope  Scope // the template's variables, its own `set` ones included
	Env    *Env
}

// Filter is a filter.
type Filter func(c *Call) (value.Value, error)

// Test is a test.
type Test func(c *Call) (bool, error)

// Value templates v: text that holds a template is evaluated natively, lists
// and dictionaries at any depth. Unsafe text stays as it is.
func (e *Env) Value(ctx context.Context, v value.Value, s Scope, o Options) (value.Value, error) {
	return v, nil
}

// Lazy is Value that templates each entry of a dictionary when it is first
// read; one that cannot be templated is an *value.Undefined with the error.
func (e *Env) Lazy(ctx context.Context, v value.Value, s Scope, o Options) (value.Value, error) {
	return v, nil
}
