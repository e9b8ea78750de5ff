// Package jinja is a Jinja2 engine with Python's values. A template is parsed
// once, kept, and evaluated as often as wanted, from any number of goroutines.
//
// Evaluation is bounded in time (the context), in depth, in the size of what
// it makes, and in steps. A template cannot reach anything that its Env,
// Scope or a filter does not give it.
package jinja

import (
	"context"
	"slices"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/play/value"
)

// Env is what templates share: filters, tests, globals, the loader and the
// limits. Change it only before its first template.
//
// An undefined value may be passed on, but any use of it is an error. An
// attribute, item or call of something undefined is undefined again, and so is
// a filter's result when it is given something undefined.
type Env struct {
	Filters map[string]Filter
	Tests   map[string]Test
	Globals map[string]value.Value
	// TakesUndefined names the filters and tests that are called with
	// undefined values too.
	TakesUndefined map[string]bool
	// Loader returns the source of a template by name, for include, import
	// and extends. It returns an error that wraps fs.ErrNotExist when there
	// is none.
	Loader func(name string) (string, error)
	// NoneIsEmpty lets None print as nothing, as Ansible does.
	NoneIsEmpty bool
	Limits      Limits

	mu    sync.Mutex
	cache map[cacheKey]*tree
	exprs map[string]*Expr
	size  int // bytes of source in both
}

// cacheKey is what a parsed template depends on.
type cacheKey struct {
	src  string
	opts Options
}

// maxCached bounds the source that an Env keeps parsed.
const maxCached = 32 << 20

// Limits bound one evaluation; zero fields take defaults.
type Limits struct {
	Steps  int64 // statements, iterations and calls; default 50 million
	Depth  int   // nested calls, includes and loops; default 200
	Output int   // bytes of output; default 64 MiB
}

// Scope gives a template its variables. A missing one is not an error. An
// error that is a *value.UndefinedError leaves the variable undefined, with
// that message. Within one evaluation a name is asked for once.
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

// Names lists the variables.
func (v Vars) Names() []string {
	names := make([]string, 0, len(v))
	for n := range v {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// NamedScope is a Scope that can list its names, for the lookups that search
// variables.
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
	// RawStrings keeps backslashes in text literals within {{ }}, as Ansible
	// does for what stands in playbooks and variables (not in template files,
	// in {% %} or in bare expressions).
	RawStrings bool
}

func (o *Options) defaults() {
	for _, d := range []struct {
		s *string
		v string
	}{{&o.VariableStart, "{{"}, {&o.VariableEnd, "}}"}, {&o.BlockStart, "{%"}, {&o.BlockEnd, "%}"}, {&o.CommentStart, "{#"},
		{&o.CommentEnd, "#}"}, {&o.NewlineSequence, "\n"}} {
		if *d.s == "" {
			*d.s = d.v
		}
	}
}

// Template is a parsed template.
type Template struct {
	env  *Env
	opts Options
	tree *tree
}

// Expr is a parsed expression, without delimiters.
type Expr struct {
	env  *Env
	tree *tree
	x    expr
	opts Options
}

// New makes an environment with all of Jinja's own filters, tests and globals.
func New() *Env {
	return &Env{Filters: builtinFilters(), Tests: builtinTests(), Globals: builtinGlobals(),
		TakesUndefined: map[string]bool{"default": true, "d": true, "defined": true, "undefined": true}}
}

// Template parses src, or takes it from the cache. The error is an *api.Error
// with the place in src.
func (e *Env) Template(src string, o Options) (*Template, error) {
	o.defaults()
	key := cacheKey{src, o}
	key.opts.Place = api.Place{}
	e.mu.Lock()
	t := e.cache[key]
	e.mu.Unlock()
	if t == nil {
		if len(src) > value.MaxString {
			return nil, &api.Error{Code: api.CodeTooLarge, Message: "the template is larger than 64 MiB", Place: o.placeOf(1, 1)}
		}
		var err error
		if t, err = parseTemplate(src, &o); err != nil {
			return nil, syntaxError(err, src, &o)
		}
		e.mu.Lock()
		e.room(len(src))
		e.cache[key] = t
		e.mu.Unlock()
	}
	return &Template{env: e, opts: o, tree: t}, nil
}

// room makes place for n more bytes of source; the lock is held.
func (e *Env) room(n int) {
	if e.cache == nil || e.size > maxCached {
		e.cache, e.exprs, e.size = map[cacheKey]*tree{}, map[string]*Expr{}, 0
	}
	e.size += n + 64
}

// Expr parses a bare expression, as `when` has.
func (e *Env) Expr(src string) (*Expr, error) {
	e.mu.Lock()
	x := e.exprs[src]
	e.mu.Unlock()
	if x != nil {
		return x, nil
	}
	t, ex, err := parseExpr(src)
	if err != nil {
		return nil, syntaxError(err, src, &Options{})
	}
	x = &Expr{env: e, tree: t, x: ex}
	x.opts.defaults()
	e.mu.Lock()
	e.room(len(src))
	e.exprs[src] = x
	e.mu.Unlock()
	return x, nil
}

func (e *Env) start(ctx context.Context, s Scope) *run {
	r := &run{ctx: ctx, env: e, steps: e.Limits.Steps, maxDep: e.Limits.Depth, out: e.Limits.Output, scope: s}
	if r.steps == 0 {
		r.steps = 50_000_000
	}
	if r.maxDep == 0 {
		r.maxDep = 200
	}
	if r.out == 0 {
		r.out = value.MaxString
	}
	if r.scope == nil {
		r.scope = Vars(nil)
	}
	return r
}

func (t *Template) run(ctx context.Context, s Scope, native bool) (*sink, *state, error) {
	st := &state{run: t.env.start(ctx, s), tree: t.tree, opts: &t.opts, out: &sink{native: native}}
	st.frame = &frame{}
	st.top = st.frame
	st.bind(t)
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	err := st.root()
	return st.out, st, err
}

// Render evaluates the template to text.
func (t *Template) Render(ctx context.Context, s Scope) (string, error) {
	if len(t.tree.body) == 1 {
		if d, ok := t.tree.body[0].(*textStmt); ok {
			return t.newline(d.text), nil
		}
	}
	out, _, err := t.run(ctx, s, false)
	if err != nil {
		return "", err
	}
	return t.newline(string(out.b)), nil
}

func (t *Template) newline(s string) string {
	if n := t.opts.NewlineSequence; n != "\n" {
		return strings.ReplaceAll(s, "\n", n)
	}
	return s
}

// Eval evaluates the template natively: what consists of one expression keeps
// its type, everything else is text. Something undefined is an error, within a
// list or dictionary too.
func (t *Template) Eval(ctx context.Context, s Scope) (value.Value, error) {
	if len(t.tree.body) == 1 {
		switch d := t.tree.body[0].(type) {
		case *textStmt:
			return d.text, nil
		case *outStmt:
			st := &state{run: t.env.start(ctx, s), tree: t.tree, opts: &t.opts, out: &sink{native: true}, frame: &frame{}}
			st.top = st.frame
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			v, err := d.x.eval(st)
			if err != nil {
				return nil, err
			}
			v, err = final(v, 0)
			return v, st.located(err, d.x.offset())
		}
	}
	out, st, err := t.run(ctx, s, true)
	if err != nil {
		return nil, err
	}
	v, err := final(out.result(), 0)
	return v, st.located(err, 0)
}

// final makes what leaves a template storable: ranges and views become lists,
// and nothing in it is undefined.
func final(v value.Value, depth int) (value.Value, error) {
	v, _, err := settle(v, depth)
	return v, err
}

// settle does final's work and tells whether it made another value.
func settle(v value.Value, depth int) (value.Value, bool, error) {
	if depth > value.MaxDepth {
		return nil, false, &value.Error{Kind: "RecursionError", Msg: "the value is nested too deeply"}
	}
	switch x := v.(type) {
	case *value.Undefined:
		return nil, false, x.Use()
	case value.Range, *value.View:
		items, err := value.Iter(x)
		if err != nil {
			return nil, false, err
		}
		items, _, err = settleItems(items, depth)
		return &value.List{Items: items}, true, err
	case *value.List:
		items, changed, err := settleItems(x.Items, depth)
		if changed {
			x = &value.List{Items: items}
		}
		return x, changed, err
	case value.Tuple:
		items, changed, err := settleItems(x, depth)
		return value.Tuple(items), changed, err
	case *value.Dict:
		err := x.Each(func(_, e value.Value) (value.Value, error) { return final(e, depth+1) })
		return x, false, err
	}
	return v, false, nil
}

func settleItems(items []value.Value, depth int) ([]value.Value, bool, error) {
	changed := false
	for i, e := range items {
		f, c, err := settle(e, depth+1)
		if err != nil {
			return nil, false, err
		}
		if c && !changed {
			items = slices.Clone(items)
			changed = true
		}
		if c {
			items[i] = f
		}
	}
	return items, changed, nil
}

// Eval evaluates the expression. An undefined result is returned as
// *value.Undefined, not as an error.
func (x *Expr) Eval(ctx context.Context, s Scope) (value.Value, error) {
	st := &state{run: x.env.start(ctx, s), tree: x.tree, opts: &x.opts, out: &sink{native: true}, frame: &frame{}}
	st.top = st.frame
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	v, err := x.x.eval(st)
	if err != nil {
		return nil, err
	}
	switch v.(type) {
	case value.Range, *value.View:
		return final(v, 0)
	}
	return v, nil
}

// Test evaluates the expression and tells whether it is true.
func (x *Expr) Test(ctx context.Context, s Scope) (bool, error) {
	v, err := x.Eval(ctx, s)
	if err != nil {
		return false, err
	}
	return value.Truth(v)
}

// HasTemplate tells, fast, whether s can hold anything to evaluate.
func HasTemplate(s string) bool {
	for {
		i := strings.IndexByte(s, '{')
		if i < 0 || i+1 >= len(s) {
			return false
		}
		switch s[i+1] {
		case '{', '%', '#':
			return true
		}
		s = s[i+1:]
	}
}

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

func (t *tree) list(o *Options) Uses {
	var u Uses
	for _, m := range t.uses {
		line, col := t.place(m.pos)
		x := Use{Name: m.name, Place: *o.placeOf(line, col), Guarded: m.guarded, Called: m.called}
		switch m.kind {
		case 'f':
			u.Filters = append(u.Filters, x)
		case 't':
			u.Tests = append(u.Tests, x)
		case 'l':
			u.Lookups = append(u.Lookups, x)
		default:
			u.Names = append(u.Names, x)
		}
	}
	return u
}

// Uses lists what the template mentions, for checks before anything runs.
func (t *Template) Uses() Uses { return t.tree.list(&t.opts) }

// Uses lists what the expression mentions.
func (x *Expr) Uses() Uses { return x.tree.list(&x.opts) }

// Value templates v: text that holds a template is evaluated natively, lists
// and dictionaries at any depth. Unsafe text stays as it is.
func (e *Env) Value(ctx context.Context, v value.Value, s Scope, o Options) (value.Value, error) {
	return e.resolve(ctx, v, s, o, false, 0)
}

// Lazy is Value that templates each entry of a dictionary when it is first
// read; one that cannot be templated is an *value.Undefined with the error.
// What is read later runs under ctx still.
func (e *Env) Lazy(ctx context.Context, v value.Value, s Scope, o Options) (value.Value, error) {
	return e.resolve(ctx, v, s, o, true, 0)
}

func (e *Env) resolve(ctx context.Context, v value.Value, s Scope, o Options, lazy bool, depth int) (value.Value, error) {
	if depth > value.MaxDepth {
		return nil, &value.Error{Kind: "RecursionError", Msg: "the value is nested too deeply"}
	}
	switch x := v.(type) {
	case string:
		if !HasTemplate(x) {
			return x, nil
		}
		t, err := e.Template(x, o)
		if err != nil {
			return nil, err
		}
		return t.Eval(ctx, s)
	case *value.List:
		out := &value.List{Items: make([]value.Value, len(x.Items))}
		for i, item := range x.Items {
			r, err := e.resolve(ctx, item, s, o, lazy, depth+1)
			if err != nil {
				if !lazy {
					return nil, err
				}
				r = &value.Undefined{Err: err}
			}
			out.Items[i] = r
		}
		return out, nil
	case value.Tuple:
		out := make(value.Tuple, len(x))
		for i, item := range x {
			r, err := e.resolve(ctx, item, s, o, lazy, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	case *value.Dict:
		if lazy {
			return x.Lazy(func(item value.Value) value.Value {
				r, err := e.resolve(ctx, item, s, o, true, depth+1)
				if err != nil {
					return &value.Undefined{Err: err}
				}
				return r
			}), nil
		}
		out := value.NewDict()
		for _, item := range x.Items() {
			key := item.Key
			if k, ok := key.(string); ok && HasTemplate(k) {
				r, err := e.resolve(ctx, k, s, o, false, depth+1)
				if err != nil {
					return nil, err
				}
				key = r
			}
			r, err := e.resolve(ctx, item.Value, s, o, false, depth+1)
			if err != nil {
				return nil, err
			}
			out.Set(key, r)
		}
		return out, nil
	}
	return v, nil
}
