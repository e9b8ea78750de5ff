package engine

import (
	"context"
	"drover/internal/play/source"
	"errors"
	"fmt"
	"sort"
	"strings"

	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// scope gives templates the variables of one host in one task. It belongs to
// one goroutine. Layers are asked from the strongest to the weakest; what
// they hold is templated when it is read, and kept for the scope's life.
type scope struct {
	r    *run
	pr   *playRun
	h    *hostState
	c    *common     // of the task or block; nil outside of one
	t    *Task       // nil outside of a task
	over *value.Dict // loop variables and the like: stronger than anything
	set  *value.Dict // facts and registered values of this task, not yet kept
	ctx  context.Context
	busy map[string]bool
	kept map[string]value.Value

	delegated *value.Dict
}

func (r *run) newScope(ctx context.Context, pr *playRun, h *hostState, t *Task) *scope {
	s := &scope{r: r, pr: pr, h: h, t: t}
	if t != nil {
		s.c = &t.common
	} else if pr != nil {
		s.c = &pr.play.common
	}
	s.ctx = context.WithValue(ctx, scopeKey{}, s)
	return s
}

type scopeKey struct{}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// with is the scope with further strongest variables.
func (s *scope) with(k string, v value.Value) *scope {
	c := *s
	c.over = value.NewDict()
	c.over.Update(s.over)
	c.over.Set(k, v)
	c.kept, c.busy = nil, nil
	c.ctx = context.WithValue(s.ctx, scopeKey{}, &c)
	return &c
}

// forget drops what was templated, after variables changed.
func (s *scope) forget() { s.kept = nil }

// Var implements jinja.Scope.
func (s *scope) Var(name string) (value.Value, bool, error) {
	if v, ok := s.kept[name]; ok {
		return v, true, nil
	}
	raw, tmpl, ok := s.lookup(name)
	if !ok {
		return nil, false, nil
	}
	if u, isU := raw.(*value.Undefined); isU {
		return u, true, nil
	}
	if !tmpl {
		return raw, true, nil
	}
	if !needsWork(raw) {
		return raw, true, nil
	}
	if s.busy[name] {
		return nil, true, fmt.Errorf("Recursive loop detected in template: variable '%s' refers to itself", name)
	}
	if s.busy == nil {
		s.busy = map[string]bool{}
	}
	if len(s.busy) > 100 {
		return nil, true, fmt.Errorf("Recursive loop detected in template: '%s' is nested too deeply", name)
	}
	s.busy[name] = true
	v, err := s.r.env.Lazy(s.ctx, raw, s, inline)
	delete(s.busy, name)
	if err != nil {
		return nil, true, err
	}
	if s.kept == nil {
		s.kept = map[string]value.Value{}
	}
	s.kept[name] = v
	return v, true, nil
}

// needsWork is false for values that templating leaves as they are and that
// a template cannot change.
func needsWork(v value.Value) bool {
	switch v := v.(type) {
	case string:
		return jinja.HasTemplate(v)
	case *value.List, *value.Dict, value.Tuple:
		return true
	}
	return false
}

// lookup finds the raw value; tmpl tells whether it may hold templates.
func (s *scope) lookup(name string) (v value.Value, tmpl, ok bool) {
	if v, ok = s.over.GetString(name); ok {
		return v, false, true
	}
	if v, ok = s.magic(name); ok {
		return v, false, true
	}
	r := s.r
	if v, ok = r.extra.GetString(name); ok {
		return v, true, true
	}
	if s.c != nil {
		for _, d := range s.c.params {
			if v, ok = d.GetString(name); ok {
				return v, true, true
			}
		}
		for role := s.c.role; role != nil; role = role.parent {
			if v, ok = role.params.GetString(name); ok {
				return v, true, true
			}
		}
	}
	if v, ok = s.set.GetString(name); ok {
		return v, false, true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if v, ok = s.h.set.GetString(name); ok {
		return v, false, true
	}
	if v, ok = s.h.included.GetString(name); ok {
		return v, true, true
	}
	if s.c != nil {
		for _, d := range s.c.vars {
			if s.pr != nil && isPlayVars(s.pr.play, d) {
				break
			}
			if v, ok = d.GetString(name); ok {
				return v, true, true
			}
		}
		for role := s.c.role; role != nil; role = role.parent {
			if v, ok = roleVar(role, name); ok {
				return v, true, true
			}
		}
	}
	if s.pr != nil {
		for i := len(s.pr.roles) - 1; i >= 0; i-- {
			if v, ok = s.pr.roles[i].vars.GetString(name); ok {
				return v, true, true
			}
		}
		if v, ok = s.pr.fileVars[s.h.name].GetString(name); ok {
			return v, true, true
		}
		if v, ok = s.pr.prompted.GetString(name); ok {
			return v, false, true
		}
		for _, d := range s.pr.play.vars {
			if v, ok = d.GetString(name); ok {
				return v, true, true
			}
		}
	}
	if v, ok = s.h.injected.GetString(name); ok {
		return v, false, true
	}
	if fact, found := strings.CutPrefix(name, "ansible_"); found && s.h.prefixed[fact] {
		if v, ok = s.h.facts.GetString(fact); ok {
			return v, false, true
		}
	}
	inv := s.h.inv
	if s.pr != nil {
		inv = r.inventoryVars(s.pr, s.h)
	}
	if v, ok = inv.GetString(name); ok {
		return v, true, true
	}
	if s.c != nil {
		for role := s.c.role; role != nil; role = role.parent {
			if v, ok = roleDefault(role, name); ok {
				return v, true, true
			}
		}
	}
	if s.pr != nil {
		for i := len(s.pr.roles) - 1; i >= 0; i-- {
			if v, ok = s.pr.roles[i].defaults.GetString(name); ok {
				return v, true, true
			}
		}
	}
	return nil, false, false
}

func isPlayVars(p *Play, d *value.Dict) bool {
	for _, x := range p.vars {
		if x == d {
			return true
		}
	}
	return false
}

// roleVar looks into a role's vars, then into those of what it depends on.
func roleVar(r *roleRun, name string) (value.Value, bool) {
	if v, ok := r.vars.GetString(name); ok {
		return v, true
	}
	for i := len(r.deps) - 1; i >= 0; i-- {
		if r.deps[i] != r {
			if v, ok := roleVar(r.deps[i], name); ok {
				return v, true
			}
		}
	}
	return nil, false
}

func roleDefault(r *roleRun, name string) (value.Value, bool) {
	if v, ok := r.defaults.GetString(name); ok {
		return v, true
	}
	for i := len(r.deps) - 1; i >= 0; i-- {
		if r.deps[i] != r {
			if v, ok := roleDefault(r.deps[i], name); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// Names implements jinja.NamedScope.
func (s *scope) Names() []string {
	seen := map[string]bool{}
	add := func(d *value.Dict) {
		for _, k := range d.Keys() {
			if n, ok := value.StrOf(k); ok {
				seen[n] = true
			}
		}
	}
	add(s.over)
	for n := range magicNames {
		if _, ok := s.magic(n); ok {
			seen[n] = true
		}
	}
	add(s.r.extra)
	add(s.set)
	if s.c != nil {
		for _, d := range append(append([]*value.Dict{}, s.c.params...), s.c.vars...) {
			add(d)
		}
		for role := s.c.role; role != nil; role = role.parent {
			add(role.params)
			add(role.vars)
			add(role.defaults)
			for _, d := range role.deps {
				add(d.vars)
				add(d.defaults)
			}
		}
	}
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	add(s.h.set)
	add(s.h.included)
	add(s.h.injected)
	for n := range s.h.prefixed {
		seen["ansible_"+n] = true
	}
	if s.pr != nil {
		for _, role := range s.pr.roles {
			add(role.vars)
			add(role.defaults)
		}
		add(s.pr.fileVars[s.h.name])
		add(s.pr.prompted)
		for _, d := range s.pr.play.vars {
			add(d)
		}
		add(s.r.inventoryVars(s.pr, s.h))
	} else {
		add(s.h.inv)
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// template resolves the templates in v; what comes out stands on its own: it
// holds no lazy parts, nothing undefined and nothing omitted.
func (s *scope) template(v value.Value) (value.Value, error) {
	out, err := s.r.env.Value(s.ctx, v, s, inline)
	if err != nil {
		return nil, err
	}
	return settled(out, 0)
}

// settled copies a value, resolving lazy parts; undefined ones are an error,
// omitted entries are left out.
func settled(v value.Value, depth int) (value.Value, error) {
	if depth > value.MaxDepth {
		return nil, errors.New("Recursive loop detected in template: a value is nested too deeply")
	}
	switch v := v.(type) {
	case *value.Undefined:
		return nil, v.Use()
	case *value.List:
		out := &value.List{Items: make([]value.Value, 0, len(v.Items))}
		for _, x := range v.Items {
			y, err := settled(x, depth+1)
			if err != nil {
				return nil, err
			}
			if _, gone := y.(omitted); !gone {
				out.Items = append(out.Items, y)
			}
		}
		return out, nil
	case value.Tuple:
		out := make(value.Tuple, 0, len(v))
		for _, x := range v {
			y, err := settled(x, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, y)
		}
		return out, nil
	case *value.Dict:
		out := value.NewDict()
		for _, it := range v.Items() {
			y, err := settled(it.Value, depth+1)
			if err != nil {
				return nil, err
			}
			if _, gone := y.(omitted); !gone {
				out.Set(it.Key, y)
			}
		}
		return out, nil
	case *value.View:
		return settled(&value.List{Items: v.Items}, depth+1)
	case value.Mapping:
		out := value.NewDict()
		for _, k := range v.Keys() {
			x, ok, err := v.Lookup(k)
			if err != nil || !ok {
				continue
			}
			if _, undefined := x.(*value.Undefined); undefined {
				continue
			}
			if y, err := settled(x, depth+1); err == nil {
				out.Set(k, y)
			}
		}
		return out, nil
	}
	return v, nil
}

// omitted is the value of the variable omit.
type omitted struct{}

// Attr tells templates that omit has no attributes.
func (omitted) Attr(string) (value.Value, bool, error) { return nil, false, nil }

// Repr is what omit prints as when it is used as text.
func (omitted) Repr() string { return "<< omit >>" }

// text templates v into text.
func (s *scope) text(l *lit) (string, error) {
	if l == nil || l.v == nil {
		return "", nil
	}
	v := l.v
	if l.tmpl {
		var err error
		if v, err = s.template(l.v); err != nil {
			return "", err
		}
	}
	if _, gone := v.(omitted); gone || v == nil {
		return "", nil
	}
	return value.Str(v), nil
}

// flag reads an inherited boolean keyword; ok tells whether it is set at all.
func (s *scope) flag(c *common, k string) (b, ok bool, err error) {
	l := c.attrs[k]
	if l == nil || l.v == nil {
		return false, false, nil
	}
	v := l.v
	if l.tmpl {
		if v, err = s.template(l.v); err != nil {
			return false, true, fmt.Errorf("The field '%s' has an invalid value: %w", k, err)
		}
		if _, gone := v.(omitted); gone {
			return false, false, nil
		}
	}
	b, fine := source.Bool(v)
	if !fine {
		return false, true, fmt.Errorf("The field '%s' has an invalid value (%s), and could not be converted to bool", k, value.Str(v))
	}
	return b, true, nil
}

func (s *scope) number(l *lit, def float64) (float64, error) {
	if l == nil || l.v == nil {
		return def, nil
	}
	v := l.v
	if l.tmpl {
		var err error
		if v, err = s.template(l.v); err != nil {
			return 0, err
		}
		if _, gone := v.(omitted); gone {
			return def, nil
		}
	}
	f, ok := source.Float(v)
	if !ok {
		return 0, fmt.Errorf("%s is not a number", value.Repr(v))
	}
	return f, nil
}

// test evaluates one condition.
func (s *scope) test(c *cond) (bool, error) {
	if c.err != nil {
		return false, c.err
	}
	var v value.Value
	var err error
	switch {
	case c.expr != nil:
		v, err = c.expr2(s).Eval(s.ctx, s)
	case c.src != "":
		if v, err = s.r.env.Value(s.ctx, c.src, s, inline); err == nil {
			if src, ok := value.StrOf(v); ok && src != c.src {
				v, err = s.evalText(src)
			}
		}
	default:
		v = c.v
	}
	if err != nil {
		return false, err
	}
	return s.condition(v, c)
}

// expr2 is the condition's expression in the run's own environment.
func (c *cond) expr2(s *scope) *jinja.Expr {
	x, err := s.r.env.Expr(c.src)
	if err != nil {
		return c.expr
	}
	return x
}

func (s *scope) evalText(src string) (value.Value, error) {
	if strings.TrimSpace(src) == "" {
		return true, nil
	}
	x, err := s.r.env.Expr(src)
	if err != nil {
		return nil, err
	}
	return x.Eval(s.ctx, s)
}

func (s *scope) condition(v value.Value, c *cond) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case *value.Undefined:
		return false, v.Use()
	case nil:
		if c.src == "" {
			return true, nil
		}
	}
	b, err := value.Truth(v)
	if err != nil {
		return false, err
	}
	if s.r.o.BrokenConditionals {
		return b, nil
	}
	word := "False"
	if b {
		word = "True"
	}
	return false, &brokenConditional{fmt.Sprintf("Conditional result (%s) was derived from value of type '%s' at '%s'. Conditionals must have a boolean result.", word, value.TypeName(v), c.at)}
}

// brokenConditional is a condition whose result is not boolean.
type brokenConditional struct{ msg string }

func (e *brokenConditional) Error() string { return e.msg }

// when evaluates conditions in order; it returns the first that is false.
func (s *scope) when(conds []*cond) (*cond, error) {
	for _, c := range conds {
		ok, err := s.test(c)
		if err != nil {
			return c, err
		}
		if !ok {
			return c, nil
		}
	}
	return nil, nil
}

// reason is an error as a task's message tells it.
func reason(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		if e.Place != nil && e.Place.File != "" {
			return e.Error()
		}
		return e.Message
	}
	return err.Error()
}
