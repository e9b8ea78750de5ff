package jinja

import (
	"context"
	"errors"
	"strings"

	"drover/api"
	"drover/internal/play/value"
)

// run is what all parts of one evaluation share.
type run struct {
	ctx    context.Context
	env    *Env
	steps  int64 // left
	depth  int   // calls, includes and the like that are open
	maxDep int
	out    int // bytes of output left
	scope  Scope
	vars   map[string]value.Value // what scope returned, so that changes to it last
}

// state is one place of evaluation: which template, which variables, where
// output goes.
type state struct {
	*run
	tree   *tree
	opts   *Options
	frame  *frame
	top    *frame // the template's own top level
	out    *sink
	blocks map[string][]boundBlock // by name, the most derived first
	parent *Template               // set by extends
	block  *boundBlock             // the block that is rendered, and its depth
	depthB int
	bare   bool // an import without context: no variables but globals
}

// boundBlock is a block and the template it comes from.
type boundBlock struct {
	stmt *blockStmt
	tree *tree
	opts *Options
}

// frame is one level of variables.
type frame struct {
	names  []string
	vals   []value.Value
	parent *frame
	kept   bool // a macro refers to it: it must not be used again
}

func (f *frame) set(name string, v value.Value) {
	for i, n := range f.names {
		if n == name {
			f.vals[i] = v
			return
		}
	}
	f.names = append(f.names, name)
	f.vals = append(f.vals, v)
}

func (f *frame) get(name string) (value.Value, bool) {
	for ; f != nil; f = f.parent {
		for i, n := range f.names {
			if n == name {
				return f.vals[i], true
			}
		}
	}
	return nil, false
}

// sink collects output. Natively it remembers whether all there is is one value.
type sink struct {
	b      []byte
	native bool
	n      int
	single value.Value
}

func (k *sink) text(s *state, t string) error {
	if k.native {
		if k.n == 0 {
			k.n, k.single = 1, t
			return nil
		}
		if err := k.flush(s); err != nil {
			return err
		}
		k.n++
	}
	if s.run.out -= len(t); s.run.out < 0 {
		return tooLong()
	}
	k.b = append(k.b, t...)
	return nil
}

func tooLong() error {
	return &value.Error{Kind: "OverflowError", Msg: "the template's output is larger than allowed"}
}

// flush turns a single value kept back into text.
func (k *sink) flush(s *state) error {
	if k.n == 1 {
		v := k.single
		k.single = nil
		k.n++
		return k.append(s, v)
	}
	return nil
}

func (k *sink) append(s *state, v value.Value) error {
	if v == nil && s.env.NoneIsEmpty {
		return nil
	}
	before := len(k.b)
	b, err := value.AppendStr(k.b, v)
	if err != nil {
		return err
	}
	k.b = b
	if s.run.out -= len(b) - before; s.run.out < 0 {
		return tooLong()
	}
	return nil
}

func (k *sink) value(s *state, v value.Value) error {
	if k.native {
		if k.n == 0 {
			k.n, k.single = 1, v
			return nil
		}
		if err := k.flush(s); err != nil {
			return err
		}
		k.n++
	}
	return k.append(s, v)
}

// result is what the sink holds: one value natively, else text.
func (k *sink) result() value.Value {
	if k.native {
		switch k.n {
		case 0:
			return nil
		case 1:
			return k.single
		}
	}
	return string(k.b)
}

const checkEvery = 256

// step counts work and notices when the time is up.
func (s *state) step() error {
	s.steps--
	if s.steps%checkEvery == 0 {
		if err := s.ctx.Err(); err != nil {
			return context.Cause(s.ctx)
		}
	}
	if s.steps <= 0 {
		return &value.Error{Kind: "RuntimeError", Msg: "the template takes too many steps"}
	}
	return nil
}

// descend counts nested calls; the caller must call ascend.
func (s *state) descend() error {
	if s.depth >= s.maxDep {
		return &value.Error{Kind: "RecursionError", Msg: "the template calls itself too deeply"}
	}
	s.run.depth++
	return s.step()
}

func (s *state) ascend() { s.run.depth-- }

// push begins a level of variables; restore s.frame afterwards.
func (s *state) push() *frame {
	old := s.frame
	s.frame = &frame{parent: old}
	return old
}

// lookup resolves a name.
func (s *state) lookup(name string) (value.Value, error) {
	if v, ok := s.frame.get(name); ok {
		return v, nil
	}
	if !s.bare {
		if v, ok := s.vars[name]; ok {
			return v, nil
		}
		v, ok, err := s.scope.Var(name)
		if err != nil {
			var u *value.UndefinedError
			if !errors.As(err, &u) {
				return nil, err
			}
			v, ok = &value.Undefined{Name: name, Hint: err.Error(), Err: err}, true
		}
		if ok {
			v = plain(v)
			if s.vars == nil {
				s.run.vars = map[string]value.Value{}
			}
			s.run.vars[name] = v
			return v, nil
		}
	}
	if v, ok := s.env.Globals[name]; ok {
		return v, nil
	}
	return &value.Undefined{Name: name}, nil
}

// plain makes an unsafe string an ordinary one: inside an evaluation nothing
// is templated again.
func plain(v value.Value) value.Value {
	if u, ok := v.(value.Unsafe); ok {
		return string(u)
	}
	return v
}

// templateScope shows filters the template's own variables too.
type templateScope struct{ s *state }

func (t templateScope) Var(name string) (value.Value, bool, error) {
	v, err := t.s.lookup(name)
	if u, ok := v.(*value.Undefined); ok && u.Err == nil && u.Name == name {
		return nil, false, err
	}
	return v, err == nil, err
}

// Names lists the scope's names and the template's own.
func (t templateScope) Names() []string {
	var names []string
	for f := t.s.frame; f != nil; f = f.parent {
		names = append(names, f.names...)
	}
	if n, ok := t.s.scope.(NamedScope); ok {
		names = append(names, n.Names()...)
	}
	return names
}

// Inner is the scope below, for those who know its type.
func (t templateScope) Inner() Scope { return t.s.scope }

// evalError is an error of evaluation with the place where it happened.
type evalError struct {
	api   *api.Error
	cause error
}

func (e *evalError) Error() string   { return e.cause.Error() }
func (e *evalError) Unwrap() []error { return []error{e.cause, e.api} }

// located adds the place of a node to err, unless it has one.
func (s *state) located(err error, pos int) error {
	if err == nil || errors.Is(err, errBreak) || errors.Is(err, errContinue) {
		return err
	}
	var have *evalError
	if errors.As(err, &have) {
		return err
	}
	var ctxErr = s.ctx.Err()
	code := api.CodeInvalid
	if ctxErr != nil && errors.Is(err, ctxErr) {
		code = api.CodeUnavailable
	}
	line, col := s.tree.place(pos)
	return &evalError{cause: err, api: &api.Error{Code: code, Message: err.Error(), Place: s.opts.placeOf(line, col)}}
}

// placeOf moves a position within the source to where the source stands.
func (o *Options) placeOf(line, col int) *api.Place {
	p := &api.Place{File: o.Place.File, Line: line, Column: col}
	if o.Place.Line > 0 {
		if line == 1 && o.Place.Column > 0 {
			p.Column += o.Place.Column - 1
		}
		p.Line += o.Place.Line - 1
	}
	return p
}

// syntaxError makes an error of the parser one for users.
func syntaxError(err error, src string, o *Options) error {
	var sy *syntax
	if !errors.As(err, &sy) {
		return err
	}
	line, col := position(newlines(src), sy.pos)
	return &api.Error{Code: api.CodeInvalid, Message: "Syntax error in template: " + strings.TrimSuffix(sy.msg, "."),
		Place: o.placeOf(line, col), Remedy: sy.remedy}
}
