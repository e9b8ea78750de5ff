package jinja

import (
	"errors"
	"io/fs"
	"strings"

	"drover/internal/play/value"
)

var (
	errBreak    = errors.New("break outside of a loop")
	errContinue = errors.New("continue outside of a loop")
)

func (s *state) exec(body []stmt) error {
	for _, st := range body {
		if err := st.exec(s); err != nil {
			return err
		}
	}
	return nil
}

// capture runs body and returns what it writes.
func (s *state) capture(body []stmt) (value.Value, error) {
	old := s.out
	s.out = &sink{native: old.native}
	err := s.exec(body)
	v := s.out.result()
	if s.out.native && s.out.n == 0 {
		v = ""
	}
	s.out = old
	return v, err
}

func (t *textStmt) exec(s *state) error {
	if s.parent != nil {
		return nil
	}
	return s.out.text(s, t.text)
}

func (o *outStmt) exec(s *state) error {
	if s.parent != nil {
		return nil
	}
	if err := s.step(); err != nil {
		return s.located(err, o.x.offset())
	}
	v, err := o.x.eval(s)
	if err != nil {
		return err
	}
	return s.located(s.out.value(s, v), o.x.offset())
}

func (i *ifStmt) exec(s *state) error {
	for n, t := range i.tests {
		ok, err := s.truth(t)
		if err != nil {
			return err
		}
		if ok {
			return s.exec(i.thens[n])
		}
	}
	return s.exec(i.els)
}

// assign sets what target names.
func (s *state) assign(target expr, v value.Value) error {
	switch t := target.(type) {
	case *nameExpr:
		s.frame.set(t.name, v)
	case *namespaceExpr:
		ns, err := s.lookup(t.ns)
		if err != nil {
			return err
		}
		n, ok := ns.(*Namespace)
		if !ok {
			return s.located(&value.Error{Kind: "TemplateRuntimeError", Msg: "cannot assign attribute on non-namespace object"}, t.offset())
		}
		n.dict.Set(t.name, v)
	case *tupleExpr:
		items, err := value.Iter(v)
		if err != nil {
			if _, undef := v.(*value.Undefined); !undef {
				err = &value.Error{Kind: "TypeError", Msg: "cannot unpack non-iterable " + value.TypeName(v) + " object"}
			}
			return s.located(err, t.offset())
		}
		want, have := int64(len(t.items)), int64(len(items))
		if have > want {
			return s.located(&value.Error{Kind: "ValueError", Msg: "too many values to unpack (expected " + value.Str(want) + ")"}, t.offset())
		}
		if have < want {
			return s.located(&value.Error{Kind: "ValueError", Msg: "not enough values to unpack (expected " + value.Str(want) + ", got " + value.Str(have) + ")"}, t.offset())
		}
		for i, e := range t.items {
			if err := s.assign(e, plain(items[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *setStmt) exec(s *state) error {
	v, err := t.x.eval(s)
	if err != nil {
		return err
	}
	return s.assign(t.target, v)
}

func (t *setBlock) exec(s *state) error {
	old := s.push()
	v, err := s.captureAs(t.body)
	s.frame = old
	if err != nil {
		return err
	}
	for _, f := range t.filters {
		if v, err = f.apply(s, v); err != nil {
			return err
		}
	}
	return s.assign(t.target, v)
}

// captureAs is capture in a template that extends another: the body runs
// although the template's own output is dropped.
func (s *state) captureAs(body []stmt) (value.Value, error) {
	parent := s.parent
	s.parent = nil
	v, err := s.capture(body)
	if s.parent == nil {
		s.parent = parent
	}
	return v, err
}

func (w *withStmt) exec(s *state) error {
	vals, err := s.evalAll(w.vals)
	if err != nil {
		return err
	}
	old := s.push()
	defer func() { s.frame = old }()
	for i, n := range w.names {
		if err := s.assign(n, vals[i]); err != nil {
			return err
		}
	}
	return s.exec(w.body)
}

func (t *scopeStmt) exec(s *state) error {
	old := s.push()
	defer func() { s.frame = old }()
	return s.exec(t.body)
}

func (d *doStmt) exec(s *state) error {
	_, err := d.x.eval(s)
	return err
}

func (*breakStmt) exec(*state) error    { return errBreak }
func (*continueStmt) exec(*state) error { return errContinue }

func (f *filterStmt) exec(s *state) error {
	old := s.push()
	v, err := s.captureAs(f.body)
	s.frame = old
	if err != nil {
		return err
	}
	for _, x := range f.filters {
		if v, err = x.apply(s, v); err != nil {
			return err
		}
	}
	if s.parent != nil {
		return nil
	}
	return s.out.value(s, v)
}

func (c *callStmt) exec(s *state) error {
	caller := newMacro(s, c.macro)
	v, err := c.call.(*callExpr).call(s, caller)
	if err != nil {
		return s.located(err, c.offset())
	}
	if s.parent != nil {
		return nil
	}
	return s.located(s.out.value(s, v), c.offset())
}

func (m *macroStmt) exec(s *state) error {
	s.frame.set(m.name, newMacro(s, m))
	return nil
}

func (f *forStmt) exec(s *state) error {
	v, err := f.iter.eval(s)
	if err != nil {
		return err
	}
	return f.loop(s, v, 1)
}

// loop runs the body over v; a recursive loop calls it again.
func (f *forStmt) loop(s *state, v value.Value, depth int) error {
	items, err := value.Iter(v)
	if err != nil {
		return s.located(err, f.iter.offset())
	}
	if err := s.descend(); err != nil {
		return s.located(err, f.offset())
	}
	defer s.ascend()
	old := s.frame
	defer func() { s.frame = old }()
	fr := &frame{parent: old}
	if f.cond != nil {
		var kept []value.Value
		for _, e := range items {
			if err := s.step(); err != nil {
				return s.located(err, f.offset())
			}
			s.frame = &frame{parent: old}
			if err := s.assign(f.target, plain(e)); err != nil {
				return err
			}
			ok, err := s.truth(f.cond)
			if err != nil {
				return err
			}
			if ok {
				kept = append(kept, e)
			}
		}
		items = kept
	}
	if len(items) == 0 {
		s.frame = fr
		return s.exec(f.els)
	}
	var lv *loopVar
	if f.usesLoop || f.recursive {
		lv = &loopVar{stmt: f, items: items, depth: depth}
	}
	for i, e := range items {
		if err := s.step(); err != nil {
			return s.located(err, f.offset())
		}
		if fr.kept {
			fr = &frame{parent: old}
		}
		fr.names, fr.vals = fr.names[:0], fr.vals[:0]
		s.frame = fr
		if lv != nil {
			lv.i = i
			lv.owner = s
			fr.set("loop", lv)
		}
		if err := s.assign(f.target, plain(e)); err != nil {
			return err
		}
		if err := s.exec(f.body); err != nil {
			if err == errBreak {
				break
			}
			if err != errContinue {
				return err
			}
		}
	}
	return nil
}

func (b *blockStmt) exec(s *state) error {
	if s.parent != nil {
		return nil
	}
	return s.renderBlock(b.name, 0, b.scoped)
}

// renderBlock writes a block, level steps up the line of its ancestors.
func (s *state) renderBlock(name string, level int, scoped bool) error {
	chain := s.blocks[name]
	if level >= len(chain) {
		return nil
	}
	b := chain[level]
	if b.stmt.required {
		return s.located(&value.Error{Kind: "TemplateRuntimeError", Msg: "Required block '" + name + "' not found"}, b.stmt.offset())
	}
	if err := s.descend(); err != nil {
		return s.located(err, b.stmt.offset())
	}
	defer s.ascend()
	in := *s
	in.tree, in.opts = b.tree, b.opts
	in.block, in.depthB = &b, level
	in.parent = nil
	if scoped {
		in.frame = &frame{parent: s.frame}
	} else {
		in.frame = &frame{parent: s.top}
	}
	owner := &in
	in.frame.set("super", stateFunc(func(_ *state, _ []value.Value, _ *value.Dict) (value.Value, error) {
		if level+1 >= len(chain) {
			return &value.Undefined{Name: "super", Hint: "there is no parent block called '" + name + "'."}, nil
		}
		return owner.captureBlock(name, level+1)
	}))
	in.frame.set("self", &selfVar{owner})
	err := in.exec(b.stmt.body)
	return err
}

func (s *state) captureBlock(name string, level int) (value.Value, error) {
	in := *s
	in.out = &sink{}
	if err := in.renderBlock(name, level, false); err != nil {
		return nil, err
	}
	return string(in.out.b), nil
}

// selfVar is `self`: the blocks of the template as functions.
type selfVar struct{ s *state }

// Attr returns a block.
func (v *selfVar) Attr(name string) (value.Value, bool, error) {
	if _, ok := v.s.blocks[name]; !ok {
		return nil, false, nil
	}
	return stateFunc(func(_ *state, _ []value.Value, _ *value.Dict) (value.Value, error) {
		return v.s.captureBlock(name, 0)
	}), true, nil
}

// TypeName says what `self` is.
func (v *selfVar) TypeName() string { return "TemplateReference" }

func (e *extendsStmt) exec(s *state) error {
	if s.parent != nil {
		return s.located(&value.Error{Kind: "TemplateRuntimeError", Msg: "extended multiple times"}, e.offset())
	}
	v, err := e.parent.eval(s)
	if err != nil {
		return err
	}
	t, err := s.load(v)
	if err != nil {
		return s.located(err, e.offset())
	}
	s.parent = t
	for _, name := range t.tree.order {
		s.blocks[name] = append(s.blocks[name], boundBlock{t.tree.blocks[name], t.tree, &t.opts})
	}
	return nil
}

// load finds a template by name, or the first of a list of names.
func (s *state) load(v value.Value) (*Template, error) {
	if t, ok := v.(*Template); ok {
		return t, nil
	}
	names := []value.Value{v}
	if _, ok := value.StrOf(v); !ok {
		items, err := value.Iter(v)
		if err != nil {
			return nil, err
		}
		names = items
	}
	var tried []string
	for _, n := range names {
		name, ok := value.StrOf(n)
		if !ok {
			if u, ok := n.(*value.Undefined); ok {
				return nil, u.Use()
			}
			return nil, &value.Error{Kind: "TypeError", Msg: "a template's name must be a string, not " + value.TypeName(n)}
		}
		if s.env.Loader == nil {
			return nil, &value.Error{Kind: "TypeError", Msg: "no loader for this environment specified"}
		}
		src, err := s.env.Loader(name)
		if errors.Is(err, fs.ErrNotExist) {
			tried = append(tried, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		o := *s.opts
		o.Place.File, o.Place.Line, o.Place.Column = name, 0, 0
		return s.env.Template(src, o)
	}
	if len(names) == 1 {
		return nil, &notFound{tried[0]}
	}
	return nil, &notFound{"none of the templates given were found: " + strings.Join(tried, ", ")}
}

type notFound struct{ msg string }

func (e *notFound) Error() string { return e.msg }
func (e *notFound) Unwrap() error { return fs.ErrNotExist }

func (i *includeStmt) exec(s *state) error {
	if s.parent != nil {
		return nil
	}
	v, err := i.name.eval(s)
	if err != nil {
		return err
	}
	t, err := s.load(v)
	if err != nil {
		var nf *notFound
		if i.ignoreMissing && errors.As(err, &nf) {
			return nil
		}
		return s.located(err, i.offset())
	}
	if err := s.descend(); err != nil {
		return s.located(err, i.offset())
	}
	defer s.ascend()
	in := s.enter(t, i.withContext)
	return in.root()
}

// enter makes the state for another template within this evaluation.
func (s *state) enter(t *Template, context bool) *state {
	in := &state{run: s.run, tree: t.tree, opts: &t.opts, out: s.out}
	in.frame = &frame{}
	if context {
		in.frame.parent = s.frame
		in.bare = s.bare
	} else {
		in.bare = true
	}
	in.top = in.frame
	in.bind(t)
	return in
}

func (s *state) bind(t *Template) {
	s.blocks = map[string][]boundBlock{}
	for _, name := range t.tree.order {
		s.blocks[name] = []boundBlock{{t.tree.blocks[name], t.tree, &t.opts}}
	}
}

// root runs a whole template, and what it extends.
func (s *state) root() error {
	if err := s.exec(s.tree.body); err != nil {
		return err
	}
	for n := 0; s.parent != nil; n++ {
		if n > s.maxDep {
			return &value.Error{Kind: "RecursionError", Msg: "templates extend each other too deeply"}
		}
		p := s.parent
		s.parent = nil
		s.tree, s.opts = p.tree, &p.opts
		if err := s.exec(p.tree.body); err != nil {
			return err
		}
	}
	return nil
}

// module evaluates a template for what it defines.
func (s *state) module(name expr, context bool) (*Module, error) {
	v, err := name.eval(s)
	if err != nil {
		return nil, err
	}
	t, err := s.load(v)
	if err != nil {
		return nil, s.located(err, name.offset())
	}
	if err := s.descend(); err != nil {
		return nil, s.located(err, name.offset())
	}
	defer s.ascend()
	in := s.enter(t, context)
	in.out = &sink{}
	if err := in.root(); err != nil {
		return nil, err
	}
	return &Module{name: t.opts.Place.File, frame: in.top, text: string(in.out.b)}, nil
}

func (i *importStmt) exec(s *state) error {
	m, err := s.module(i.name, i.withContext)
	if err != nil {
		return err
	}
	s.frame.set(i.target, m)
	return nil
}

func (f *fromStmt) exec(s *state) error {
	m, err := s.module(f.name, f.withContext)
	if err != nil {
		return err
	}
	for i, n := range f.names {
		v, ok, _ := m.Attr(n)
		if !ok {
			v = m.Missing(n)
		}
		s.frame.set(f.aliases[i], v)
	}
	return nil
}
