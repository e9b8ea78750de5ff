package filter

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// keepsOwnWords are errors that say all there is to say: something undefined,
// or the context's end.
func keepsOwnWords(err error) bool {
	var u *value.UndefinedError
	return errors.As(err, &u) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func device(i fs.FileInfo) uint64 {
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

func splitDots(s string) []string { return strings.Split(s, ".") }

func (s *set) lookupNamed(name string) (Lookup, string, bool) {
	short := name
	for _, p := range []string{"ansible.builtin.", "ansible.legacy.", "community.general."} {
		if t, ok := strings.CutPrefix(name, p); ok {
			short = t
		}
	}
	for _, n := range []string{name, short} {
		if l, ok := s.o.Lookups[n]; ok {
			return l, short, true
		}
	}
	l, ok := s.lookups()[short]
	return l, short, ok
}

// lookup is the global of that name; as query it always returns a list.
func (s *set) lookup(query bool) value.Func {
	return func(ctx context.Context, args []value.Value, kw *value.Dict) (value.Value, error) {
		if len(args) == 0 {
			return nil, &value.Error{Kind: "TypeError", Msg: "lookup() needs the name of a lookup plugin"}
		}
		if u, ok := args[0].(*value.Undefined); ok {
			return u, nil
		}
		name, ok := value.StrOf(args[0])
		if !ok {
			return nil, &value.Error{Kind: "TypeError", Msg: "the name of a lookup plugin must be a string, not " + value.TypeName(args[0])}
		}
		scope, ok := jinja.ScopeOf(ctx)
		if !ok {
			scope = jinja.Vars(nil)
		}
		wantList := query
		policy := "strict"
		opts := value.NewDict()
		for _, e := range kw.Items() {
			switch value.Str(e.Key) {
			case "wantlist":
				wantList = truthOf(e.Value)
			case "errors":
				policy = value.Str(e.Value)
			default:
				opts.Set(e.Key, e.Value)
			}
		}
		terms := args[1:]
		if name != "first_found" && !strings.HasSuffix(name, ".first_found") {
			for _, t := range terms {
				if u, ok := t.(*value.Undefined); ok {
					return u, nil
				}
			}
		}
		out, err := s.run(ctx, scope, name, terms, opts, false)
		if err != nil {
			var u *value.UndefinedError
			if policy == "strict" || ctx.Err() != nil || errors.As(err, &u) {
				return nil, err
			}
			if policy == "warn" && s.o.Warn != nil {
				s.o.Warn(err.Error())
			}
			if wantList {
				return &value.List{Items: []value.Value{}}, nil
			}
			return nil, nil
		}
		for _, v := range out {
			if u, ok := v.(*value.Undefined); ok {
				return u, nil
			}
		}
		if wantList {
			return &value.List{Items: out}, nil
		}
		if len(out) == 1 {
			return out[0], nil
		}
		parts := make([]string, len(out))
		for i, v := range out {
			t, ok := value.StrOf(v)
			if !ok {
				return &value.List{Items: out}, nil
			}
			parts[i] = t
		}
		if len(out) == 0 {
			return &value.List{Items: []value.Value{}}, nil
		}
		return strings.Join(parts, ","), nil
	}
}

func (s *set) run(ctx context.Context, scope jinja.Scope, name string, terms []value.Value, kw *value.Dict, loop bool) ([]value.Value, error) {
	l, short, ok := s.lookupNamed(name)
	if !ok {
		msg := "The lookup plugin '" + name + "' was not found."
		if near := jinja.Nearest(name, Names(*s.o)); near != "" {
			msg += " Did you mean '" + near + "'?"
		}
		return nil, &value.Error{Kind: "AnsibleError", Msg: msg}
	}
	if kw == nil {
		kw = value.NewDict()
	}
	c := &LookupCall{Call: &jinja.Call{Ctx: ctx, Name: short, Args: terms, Kwargs: kw, Scope: scope, Env: s.env}, Terms: terms, Kwargs: kw, Options: s.o, Loop: loop, set: s}
	out, err := l(c)
	if err != nil {
		var own *plain
		if errors.As(err, &own) {
			return nil, err
		}
		return nil, pluginError("lookup", short, err)
	}
	return out, nil
}

// plain is an error of a lookup that already says everything.
type plain struct{ msg string }

func (p *plain) Error() string { return p.msg }

// RunLookup runs a lookup by name outside a template: with_X and the like.
// The terms are already templated. o must be what was given to Install.
func RunLookup(ctx context.Context, e *jinja.Env, o *Options, scope jinja.Scope, name string, terms []value.Value, kwargs *value.Dict) ([]value.Value, error) {
	opts := *o
	opts.defaults()
	s := &set{o: &opts, re: newRegexCache(), env: e}
	return s.run(ctx, scope, name, terms, kwargs, true)
}
