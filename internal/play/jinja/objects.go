package jinja

import (
	"context"
	"strings"

	"drover/internal/play/value"
)

// Macro is a macro with the variables around it.
type Macro struct {
	stmt *macroStmt
	s    *state // a copy: where the macro was defined
}

func newMacro(s *state, m *macroStmt) *Macro {
	for f := s.frame; f != nil && !f.kept; f = f.parent {
		f.kept = true
	}
	in := *s
	in.parent = nil
	return &Macro{stmt: m, s: &in}
}

// Call calls the macro from outside of a template, or from a filter.
func (m *Macro) Call(ctx context.Context, args []value.Value, kw *value.Dict) (value.Value, error) {
	if s, ok := ctx.Value(stateKey{}).(*state); ok {
		return m.call(s, args, kw)
	}
	return m.call(m.s, args, kw)
}

// TypeName is the class's name.
func (m *Macro) TypeName() string { return "Macro" }

// Repr prints the macro.
func (m *Macro) Repr() string { return "<Macro " + value.Repr(m.stmt.name) + ">" }

// Attr has what Jinja's macros have.
func (m *Macro) Attr(name string) (value.Value, bool, error) {
	switch name {
	case "name":
		return m.stmt.name, true, nil
	case "arguments":
		t := value.Tuple{}
		for _, p := range m.stmt.params {
			t = append(t, p)
		}
		return t, true, nil
	case "catch_kwargs":
		return m.stmt.kwargs, true, nil
	case "catch_varargs":
		return m.stmt.varargs, true, nil
	case "caller":
		return m.stmt.caller, true, nil
	}
	return nil, false, nil
}

func (m *Macro) call(from *state, args []value.Value, kw *value.Dict) (value.Value, error) {
	if err := from.descend(); err != nil {
		return nil, err
	}
	defer from.ascend()
	st := m.stmt
	in := *m.s
	in.run = from.run
	in.frame = &frame{parent: m.s.frame}
	in.out = &sink{native: from.out.native}
	typeError := func(msg string) error {
		return &value.Error{Kind: "TypeError", Msg: "macro " + value.Repr(st.name) + " " + msg}
	}
	n := len(st.params)
	used := 0
	firstDefault := n - len(st.defaults)
	for i, p := range st.params {
		var v value.Value
		named, isNamed := kw.Get(p)
		switch {
		case i < len(args):
			if isNamed {
				return nil, typeError("got multiple values for argument " + value.Repr(p))
			}
			v = args[i]
		case isNamed:
			v = named
			used++
		case i >= firstDefault:
			d, err := st.defaults[i-firstDefault].eval(&in)
			if err != nil {
				return nil, err
			}
			v = d
		default:
			v = &value.Undefined{Name: p, Hint: "parameter " + value.Repr(p) + " was not provided"}
		}
		in.frame.set(p, v)
	}
	rest := value.NewDict()
	for _, e := range kwItems(kw, used) {
		name := value.Str(e.Key)
		known := false
		for _, p := range st.params {
			known = known || p == name
		}
		if known {
			continue
		}
		if name == "caller" && st.caller {
			in.frame.set("caller", e.Value)
			continue
		}
		if !st.kwargs {
			if name == "caller" {
				return nil, typeError("was invoked with two values for the special caller argument or takes no caller")
			}
			return nil, typeError("takes no keyword argument " + value.Repr(name))
		}
		rest.Set(e.Key, e.Value)
	}
	if st.caller {
		if _, ok := in.frame.get("caller"); !ok || !hasOwn(in.frame, "caller") {
			in.frame.set("caller", &value.Undefined{Name: "caller", Hint: "No caller defined"})
		}
	}
	if st.kwargs {
		in.frame.set("kwargs", rest)
	}
	if st.varargs {
		var extra value.Tuple
		if len(args) > n {
			extra = args[n:]
		}
		in.frame.set("varargs", extra)
	} else if len(args) > n {
		return nil, typeError("takes not more than " + value.Str(int64(n)) + " argument(s)")
	}
	if err := in.exec(st.body); err != nil {
		if err == errBreak || err == errContinue {
			return nil, &value.Error{Kind: "RuntimeError", Msg: err.Error()}
		}
		return nil, err
	}
	if in.out.native && in.out.n == 0 {
		return "", nil
	}
	return in.out.result(), nil
}

func hasOwn(f *frame, name string) bool {
	for _, n := range f.names {
		if n == name {
			return true
		}
	}
	return false
}

func kwItems(kw *value.Dict, used int) []value.Item {
	if kw.Len() == used {
		return nil
	}
	return kw.Items()
}

// Namespace is what namespace() makes: `set` can change its attributes.
type Namespace struct{ dict *value.Dict }

// Attr returns an attribute.
func (n *Namespace) Attr(name string) (value.Value, bool, error) {
	v, ok := n.dict.GetString(name)
	return v, ok, nil
}

// Item returns an attribute by its name as a key.
func (n *Namespace) Item(key value.Value) (value.Value, bool, error) {
	v, ok := n.dict.Get(key)
	return v, ok, nil
}

// TypeName is the class's name.
func (n *Namespace) TypeName() string { return "Namespace" }

// Repr prints the namespace.
func (n *Namespace) Repr() string { return "<Namespace " + value.Repr(n.dict) + ">" }

// Module is an imported template.
type Module struct {
	name  string
	frame *frame
	text  string
}

// Attr returns what the template exports.
func (m *Module) Attr(name string) (value.Value, bool, error) {
	if strings.HasPrefix(name, "_") {
		return nil, false, nil
	}
	for i, n := range m.frame.names {
		if n == name {
			return m.frame.vals[i], true, nil
		}
	}
	return nil, false, nil
}

// Missing is the value of a name that the template does not export.
func (m *Module) Missing(name string) *value.Undefined {
	return &value.Undefined{Name: name,
		Hint: "the template " + value.Repr(m.name) + " does not export the requested name " + value.Repr(name)}
}

// TypeName is the class's name.
func (m *Module) TypeName() string { return "TemplateModule" }

func (m *Module) String() string { return m.text }

// loopVar is `loop`.
type loopVar struct {
	stmt    *forStmt
	items   []value.Value
	i       int
	depth   int
	owner   *state
	changed []value.Value
	asked   bool
}

// TypeName is the class's name.
func (l *loopVar) TypeName() string { return "LoopContext" }

// Repr prints the loop.
func (l *loopVar) Repr() string {
	return "<LoopContext " + value.Str(int64(l.i+1)) + "/" + value.Str(int64(len(l.items))) + ">"
}

// Len is the number of iterations.
func (l *loopVar) Len() int { return len(l.items) }

// Attr has what Jinja's loop has.
func (l *loopVar) Attr(name string) (value.Value, bool, error) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1), true, nil
	case "index0":
		return int64(l.i), true, nil
	case "revindex":
		return int64(n - l.i), true, nil
	case "revindex0":
		return int64(n - l.i - 1), true, nil
	case "first":
		return l.i == 0, true, nil
	case "last":
		return l.i == n-1, true, nil
	case "length":
		return int64(n), true, nil
	case "depth":
		return int64(l.depth), true, nil
	case "depth0":
		return int64(l.depth - 1), true, nil
	case "previtem":
		if l.i > 0 {
			return l.items[l.i-1], true, nil
		}
		return &value.Undefined{Name: name, Hint: "there is no previous item"}, true, nil
	case "nextitem":
		if l.i+1 < n {
			return l.items[l.i+1], true, nil
		}
		return &value.Undefined{Name: name, Hint: "there is no next item"}, true, nil
	case "cycle":
		return stateFunc(func(_ *state, args []value.Value, _ *value.Dict) (value.Value, error) {
			if len(args) == 0 {
				return nil, &value.Error{Kind: "TypeError", Msg: "no items for cycling given"}
			}
			return args[l.i%len(args)], nil
		}), true, nil
	case "changed":
		return stateFunc(func(_ *state, args []value.Value, _ *value.Dict) (value.Value, error) {
			if l.asked && value.Equal(value.Tuple(l.changed), value.Tuple(args)) {
				return false, nil
			}
			l.asked, l.changed = true, args
			return true, nil
		}), true, nil
	}
	return nil, false, nil
}

// call runs the loop again over other items, for recursive loops.
func (l *loopVar) call(from *state, args []value.Value) (value.Value, error) {
	if !l.stmt.recursive {
		return nil, &value.Error{Kind: "TypeError", Msg: "The loop must have the 'recursive' marker to be called recursively."}
	}
	if len(args) != 1 {
		return nil, &value.Error{Kind: "TypeError", Msg: "loop() takes exactly one argument"}
	}
	in := *from
	in.out = &sink{}
	if err := l.stmt.loop(&in, args[0], l.depth+1); err != nil {
		return nil, err
	}
	return string(in.out.b), nil
}
