package jinja

import (
	"context"

	"drover/internal/play/value"
)

func (x *constExpr) eval(*state) (value.Value, error) { return x.val, nil }

func (x *nameExpr) eval(s *state) (value.Value, error) {
	v, err := s.lookup(x.name)
	if err != nil {
		return nil, s.located(err, x.offset())
	}
	return v, nil
}

// missing is what a[b] is when there is no b.
func missing(obj value.Value, key value.Value) *value.Undefined {
	return &value.Undefined{Name: value.Str(key),
		Hint: "object of type '" + value.TypeName(obj) + "' has no attribute " + value.Repr(key)}
}

// attr is obj.name: an attribute first, an item otherwise.
func (s *state) attr(obj value.Value, name string) (value.Value, error) {
	switch o := obj.(type) {
	case *value.Undefined:
		return o, nil
	case *value.Dict:
		// Methods come first in Jinja; names of methods are few.
		if !dictMethods(name) {
			if v, ok := o.GetString(name); ok {
				return plain(v), nil
			}
			return missing(obj, name), nil
		}
	}
	v, ok, err := value.Attr(obj, name)
	if err != nil {
		return nil, err
	}
	if ok {
		return plain(v), nil
	}
	if v, ok, err = value.GetItem(obj, name); err != nil {
		return nil, err
	}
	if ok {
		return plain(v), nil
	}
	if m, ok := obj.(interface {
		Missing(name string) *value.Undefined
	}); ok {
		return m.Missing(name), nil
	}
	return missing(obj, name), nil
}

func dictMethods(name string) bool {
	switch name {
	case "items", "keys", "values", "get", "setdefault", "__setitem__", "pop", "popitem", "update", "clear", "copy", "fromkeys":
		return true
	}
	return false
}

// item is obj[key]: an item first, an attribute otherwise.
func (s *state) item(obj, key value.Value) (value.Value, error) {
	if u, ok := obj.(*value.Undefined); ok {
		return u, nil
	}
	if u, ok := key.(*value.Undefined); ok {
		return u, nil
	}
	v, ok, err := value.GetItem(obj, key)
	if err != nil {
		return nil, err
	}
	if ok {
		return plain(v), nil
	}
	if name, isStr := value.StrOf(key); isStr {
		if _, isDict := obj.(*value.Dict); !isDict {
			v, ok, err := value.Attr(obj, name)
			if err != nil {
				return nil, err
			}
			if ok {
				return v, nil
			}
			if m, ok := obj.(interface {
				Missing(name string) *value.Undefined
			}); ok {
				return m.Missing(name), nil
			}
		} else if dictMethods(name) {
			v, _, err := value.Attr(obj, name)
			return v, err
		}
	}
	return missing(obj, key), nil
}

func (x *attrExpr) eval(s *state) (value.Value, error) {
	obj, err := x.obj.eval(s)
	if err != nil {
		return nil, err
	}
	v, err := s.attr(obj, x.name)
	if err != nil {
		return nil, s.located(err, x.offset())
	}
	return v, nil
}

func (x *itemExpr) eval(s *state) (value.Value, error) {
	obj, err := x.obj.eval(s)
	if err != nil {
		return nil, err
	}
	key, err := x.key.eval(s)
	if err != nil {
		return nil, err
	}
	v, err := s.item(obj, key)
	if err != nil {
		return nil, s.located(err, x.offset())
	}
	return v, nil
}

func (x *sliceExpr) eval(s *state) (value.Value, error) {
	obj, err := x.obj.eval(s)
	if err != nil {
		return nil, err
	}
	if u, ok := obj.(*value.Undefined); ok {
		return u, nil
	}
	var parts [3]value.Value
	for i, e := range [3]expr{x.start, x.stop, x.step} {
		if e == nil {
			continue
		}
		if parts[i], err = e.eval(s); err != nil {
			return nil, err
		}
	}
	v, err := value.Slice(obj, parts[0], parts[1], parts[2])
	return v, s.located(err, x.offset())
}

// arguments evaluates args; room is left in front for extra values.
func (s *state) arguments(a *callArgs, front int) ([]value.Value, *value.Dict, error) {
	if len(a.pos) == 0 && len(a.names) == 0 && a.star == nil && a.dblStar == nil {
		if front == 0 {
			return nil, nil, nil
		}
		return make([]value.Value, front), nil, nil
	}
	pos := make([]value.Value, front, front+len(a.pos))
	for _, e := range a.pos {
		v, err := e.eval(s)
		if err != nil {
			return nil, nil, err
		}
		pos = append(pos, v)
	}
	if a.star != nil {
		v, err := a.star.eval(s)
		if err != nil {
			return nil, nil, err
		}
		items, err := value.Iter(v)
		if err != nil {
			return nil, nil, s.located(err, a.star.offset())
		}
		pos = append(pos, items...)
	}
	var kw *value.Dict
	if len(a.names) > 0 {
		kw = value.NewDict()
		for i, n := range a.names {
			v, err := a.named[i].eval(s)
			if err != nil {
				return nil, nil, err
			}
			kw.Set(n, v)
		}
	}
	if a.dblStar != nil {
		v, err := a.dblStar.eval(s)
		if err != nil {
			return nil, nil, err
		}
		d, ok, err := value.AsDict(v)
		if err == nil && !ok {
			err = &value.Error{Kind: "TypeError", Msg: "argument after ** must be a mapping, not " + value.TypeName(v)}
		}
		if err != nil {
			return nil, nil, s.located(err, a.dblStar.offset())
		}
		if kw == nil {
			kw = value.NewDict()
		}
		kw.Update(d)
	}
	return pos, kw, nil
}

// stateFunc is a global that needs the evaluation it is called in.
type stateFunc func(s *state, args []value.Value, kw *value.Dict) (value.Value, error)

type stateKey struct{}

// withState lets functions find the evaluation that calls them.
func (s *state) callContext() context.Context {
	return callCtx{s.ctx, s}
}

// callCtx is a context that knows its evaluation.
type callCtx struct {
	context.Context
	s *state
}

func (c callCtx) Value(key any) any {
	if _, ok := key.(stateKey); ok {
		return c.s
	}
	return c.Context.Value(key)
}

// ScopeOf returns the variables of the template that a function is called
// from, by the context that it was given.
func ScopeOf(ctx context.Context) (Scope, bool) {
	s, ok := ctx.Value(stateKey{}).(*state)
	if !ok {
		return nil, false
	}
	return templateScope{s}, true
}

func (x *callExpr) eval(s *state) (value.Value, error) {
	v, err := x.call(s, nil)
	return v, s.located(err, x.offset())
}

// call calls with an extra keyword argument `caller` where there is one.
func (x *callExpr) call(s *state, caller value.Value) (value.Value, error) {
	if err := s.descend(); err != nil {
		return nil, err
	}
	defer s.ascend()
	// A method of a built-in type is called without making a bound one.
	if a, ok := x.fn.(*attrExpr); ok && caller == nil {
		obj, err := a.obj.eval(s)
		if err != nil {
			return nil, err
		}
		if u, ok := obj.(*value.Undefined); ok {
			return u, nil
		}
		switch obj.(type) {
		case string, *value.Dict, *value.List, value.Tuple:
			pos, kw, err := s.arguments(&x.args, 0)
			if err != nil {
				return nil, err
			}
			if u := firstUndefined(pos, kw); u != nil && a.name != "append" && a.name != "get" && a.name != "update" && a.name != "setdefault" {
				return u, nil
			}
			v, ok, err := value.CallMethod(obj, a.name, pos, kw)
			if ok {
				return plain(v), err
			}
			fn, err := s.attr(obj, a.name)
			if err != nil {
				return nil, err
			}
			return s.invoke(fn, pos, kw)
		}
		fn, err := s.attr(obj, a.name)
		if err != nil {
			return nil, s.located(err, a.offset())
		}
		pos, kw, err := s.arguments(&x.args, 0)
		if err != nil {
			return nil, err
		}
		return s.invoke(fn, pos, kw)
	}
	fn, err := x.fn.eval(s)
	if err != nil {
		return nil, err
	}
	pos, kw, err := s.arguments(&x.args, 0)
	if err != nil {
		return nil, err
	}
	if caller != nil {
		if kw == nil {
			kw = value.NewDict()
		}
		kw.Set("caller", caller)
	}
	return s.invoke(fn, pos, kw)
}

func firstUndefined(pos []value.Value, kw *value.Dict) *value.Undefined {
	for _, v := range pos {
		if u, ok := v.(*value.Undefined); ok {
			return u
		}
	}
	if kw.Len() > 0 {
		for _, v := range kw.Values() {
			if u, ok := v.(*value.Undefined); ok {
				return u
			}
		}
	}
	return nil
}

func (s *state) invoke(fn value.Value, pos []value.Value, kw *value.Dict) (value.Value, error) {
	switch f := fn.(type) {
	case *value.Undefined:
		return f, nil
	case *Macro:
		return f.call(s, pos, kw)
	case stateFunc:
		return f(s, pos, kw)
	case *loopVar:
		return f.call(s, pos)
	}
	v, err := value.Call(s.callContext(), fn, pos, kw)
	return plain(v), err
}

func (x *filterExpr) eval(s *state) (value.Value, error) {
	in, err := x.in.eval(s)
	if err != nil {
		return nil, err
	}
	return x.apply(s, in)
}

func (x *filterExpr) apply(s *state, in value.Value) (value.Value, error) {
	args, kw, err := s.arguments(&x.args, 1)
	if err != nil {
		return nil, err
	}
	args[0] = in
	v, err := s.filter(x.name, args, kw)
	return v, s.located(err, x.offset())
}

func (s *state) filter(name string, args []value.Value, kw *value.Dict) (value.Value, error) {
	f, ok := s.env.filterNamed(name)
	if !ok {
		return nil, unknown("filter", name, s.env.filterNames())
	}
	if err := s.step(); err != nil {
		return nil, err
	}
	if !s.env.TakesUndefined[name] {
		if u := firstUndefined(args, kw); u != nil {
			return u, nil
		}
	}
	v, err := f(&Call{Ctx: s.callContext(), Args: args, Kwargs: kw, Name: name, Scope: templateScope{s}, Env: s.env, s: s})
	return plain(v), err
}

func (s *state) test(name string, args []value.Value, kw *value.Dict) (bool, error) {
	f, ok := s.env.testNamed(name)
	if !ok {
		return false, unknown("test", name, s.env.testNames())
	}
	if err := s.step(); err != nil {
		return false, err
	}
	if !s.env.TakesUndefined[name] {
		if u := firstUndefined(args, kw); u != nil {
			return false, u.Use()
		}
	}
	return f(&Call{Ctx: s.callContext(), Args: args, Kwargs: kw, Name: name, Scope: templateScope{s}, Env: s.env, s: s})
}

func unknown(what, name string, known []string) error {
	msg := "No " + what + " named '" + name + "'."
	if near := Nearest(name, known); near != "" {
		msg += " Did you mean '" + near + "'?"
	}
	return &value.Error{Kind: "TemplateAssertionError", Msg: msg}
}

func (x *testExpr) eval(s *state) (value.Value, error) {
	in, err := x.in.eval(s)
	if err != nil {
		return nil, err
	}
	args, kw, err := s.arguments(&x.args, 1)
	if err != nil {
		return nil, err
	}
	args[0] = in
	ok, err := s.test(x.name, args, kw)
	return ok, s.located(err, x.offset())
}

// truth evaluates e for its truth.
func (s *state) truth(e expr) (bool, error) {
	v, err := e.eval(s)
	if err != nil {
		return false, err
	}
	if b, ok := v.(bool); ok {
		return b, nil
	}
	b, err := value.Truth(v)
	return b, s.located(err, e.offset())
}

func (x *notExpr) eval(s *state) (value.Value, error) {
	b, err := s.truth(x.x)
	return !b, err
}

func (x *andExpr) eval(s *state) (value.Value, error) {
	l, err := x.l.eval(s)
	if err != nil {
		return nil, err
	}
	b, err := value.Truth(l)
	if err != nil || !b {
		return l, s.located(err, x.l.offset())
	}
	return x.r.eval(s)
}

func (x *orExpr) eval(s *state) (value.Value, error) {
	l, err := x.l.eval(s)
	if err != nil {
		return nil, err
	}
	b, err := value.Truth(l)
	if err != nil || b {
		return l, s.located(err, x.l.offset())
	}
	return x.r.eval(s)
}

func (x *unaryExpr) eval(s *state) (value.Value, error) {
	v, err := x.x.eval(s)
	if err != nil {
		return nil, err
	}
	if x.op == '-' {
		v, err = value.Neg(v)
	} else {
		v, err = value.Pos(v)
	}
	return v, s.located(err, x.offset())
}

func (x *binExpr) eval(s *state) (value.Value, error) {
	l, err := x.l.eval(s)
	if err != nil {
		return nil, err
	}
	r, err := x.r.eval(s)
	if err != nil {
		return nil, err
	}
	var v value.Value
	switch x.op {
	case "+":
		v, err = value.Add(l, r)
	case "-":
		v, err = value.Sub(l, r)
	case "*":
		v, err = value.Mul(l, r)
	case "/":
		v, err = value.Div(l, r)
	case "//":
		v, err = value.FloorDiv(l, r)
	case "%":
		v, err = value.Mod(l, r)
	default:
		v, err = value.Pow(l, r)
	}
	return v, s.located(err, x.offset())
}

func (x *concatEx) eval(s *state) (value.Value, error) {
	var b []byte
	for _, p := range x.parts {
		v, err := p.eval(s)
		if err != nil {
			return nil, err
		}
		if b, err = value.AppendStr(b, v); err != nil {
			return nil, s.located(err, p.offset())
		}
		if len(b) > value.MaxString {
			return nil, s.located(tooLong(), x.offset())
		}
	}
	return string(b), nil
}

func (x *compareExpr) eval(s *state) (value.Value, error) {
	l, err := x.first.eval(s)
	if err != nil {
		return nil, err
	}
	for _, c := range x.ops {
		r, err := c.x.eval(s)
		if err != nil {
			return nil, err
		}
		var ok bool
		switch c.op {
		case "in":
			ok, err = value.Contains(r, l)
		case "not in":
			ok, err = value.Contains(r, l)
			ok = !ok
		default:
			ok, err = value.CompareOp(c.op, l, r)
		}
		if err != nil {
			return nil, s.located(err, x.offset())
		}
		if !ok {
			return false, nil
		}
		l = r
	}
	return true, nil
}

func (x *condExpr) eval(s *state) (value.Value, error) {
	ok, err := s.truth(x.test)
	if err != nil {
		return nil, err
	}
	if ok {
		return x.then.eval(s)
	}
	if x.els == nil {
		return &value.Undefined{Soft: true, Hint: "the inline if-expression evaluated to false and no else section was defined."}, nil
	}
	return x.els.eval(s)
}

func (s *state) evalAll(xs []expr) ([]value.Value, error) {
	out := make([]value.Value, len(xs))
	for i, e := range xs {
		v, err := e.eval(s)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (x *listExpr) eval(s *state) (value.Value, error) {
	items, err := s.evalAll(x.items)
	return &value.List{Items: items}, err
}

func (x *tupleExpr) eval(s *state) (value.Value, error) {
	items, err := s.evalAll(x.items)
	return value.Tuple(items), err
}

func (x *dictExpr) eval(s *state) (value.Value, error) {
	d := value.NewDict()
	for i, k := range x.keys {
		key, err := k.eval(s)
		if err != nil {
			return nil, err
		}
		if !value.Hashable(key) {
			return nil, s.located(&value.Error{Kind: "TypeError", Msg: "unhashable type: '" + value.TypeName(key) + "'"}, k.offset())
		}
		if u, ok := key.(*value.Undefined); ok {
			return nil, s.located(u.Use(), k.offset())
		}
		v, err := x.vals[i].eval(s)
		if err != nil {
			return nil, err
		}
		d.Set(key, v)
	}
	return d, nil
}

func (x *namespaceExpr) eval(s *state) (value.Value, error) {
	ns, err := s.lookup(x.ns)
	if err != nil {
		return nil, err
	}
	return s.attr(ns, x.name)
}
