package param

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"drover/api"
)

// Type is the type of a parameter, by Ansible's names.
type Type string

// The types of parameters.
const (
	Str   Type = "str"
	Bool  Type = "bool"
	Int   Type = "int"
	Float Type = "float"
	List  Type = "list"
	Dict  Type = "dict"
	Path  Type = "path" // ~ and $VAR are expanded on the host
	Raw   Type = "raw"  // as it comes
	Bytes Type = "bytes"
)

// Param is one parameter of a module.
type Param struct {
	Name     string
	Aliases  []string
	Type     Type // Str if empty
	Elements Type // of a List's elements; Str if empty
	Default  any
	Choices  []string
	Required bool
	NoLog    bool    // its value is a secret
	Options  []Param // of a Dict, or of a List's Dict elements
}

// RequiredIf asks for further parameters when Param has the value Equals: all
// of Needs, or one of them when Any is set.
type RequiredIf struct {
	Param  string
	Equals any
	Needs  []string
	Any    bool
}

// Spec is all that is known of a module's parameters: the table and the rules
// between them.
type Spec struct {
	Name string
	// FreeForm names the parameter that takes the free text of `module: text`
	// (the argument _raw_params); FreeFormArgs names the parameters that may
	// stand inside that text as key=value.
	FreeForm     string
	FreeFormArgs []string
	Params       []Param
	AnyArgs      bool // parameters that are not in the table are taken

	MutuallyExclusive [][]string
	RequiredOneOf     [][]string
	RequiredTogether  [][]string
	RequiredIf        []RequiredIf
	RequiredBy        map[string][]string
}

// Param finds a parameter by name or alias.
func (m *Spec) Param(name string) *Param {
	for i := range m.Params {
		if p := &m.Params[i]; p.Name == name || slices.Contains(p.Aliases, name) {
			return p
		}
	}
	return nil
}

// RawParams is the argument that carries the free text of a task.
const RawParams = "_raw_params"

// IsTemplate reports whether a value still holds a template.
func IsTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{") || strings.Contains(v, "{%")
	case []any:
		return slices.ContainsFunc(v, IsTemplate)
	case map[string]any:
		for _, x := range v {
			if IsTemplate(x) {
				return true
			}
		}
	}
	return false
}

// Check tells what is wrong with a task's arguments: unknown and missing
// parameters, wrong types and values. A value that still holds a template is
// taken as right.
func (m *Spec) Check(args map[string]any) []*api.Error {
	var errs []*api.Error
	add := func(field, remedy, format string, a ...any) {
		errs = append(errs, &api.Error{Code: api.CodeInvalid, Field: field, Message: fmt.Sprintf(format, a...), Remedy: remedy})
	}
	given := map[string]any{} // by canonical name
	names := make([]string, 0, len(args))
	for n := range args {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		v := args[n]
		if n == RawParams {
			if m.FreeForm != "" || m.AnyArgs {
				if v != nil && v != "" {
					given[cmp.Or(m.FreeForm, RawParams)] = v
				}
				continue
			}
			if s, ok := v.(string); ok && strings.TrimSpace(s) == "" {
				continue
			}
			add("", fmt.Sprintf("give the parameters of %s as key: value", m.Name), "this task '%s' has extra params, which is only allowed in modules that take free text: %v", m.Name, v)
			continue
		}
		if strings.HasPrefix(n, "_ansible_") {
			continue
		}
		p := m.Param(n)
		if p == nil {
			if !m.AnyArgs {
				remedy := ""
				if g := Nearest(n, m.paramNames()); g != "" {
					remedy = fmt.Sprintf("did you mean %q?", g)
				}
				add(n, remedy, "Unsupported parameters for (%s) module: %s. Supported parameters include: %s.", m.Name, n, m.supported())
			}
			continue
		}
		if v == nil {
			continue
		}
		given[p.Name] = v
		if IsTemplate(v) {
			continue
		}
		if _, err := Convert(p, v); err != nil {
			e := *err
			if e.Field == "" {
				e.Field = n
			}
			errs = append(errs, &e)
		}
	}
	var missing []string
	for _, p := range m.Params {
		if _, ok := given[p.Name]; p.Required && !ok {
			missing = append(missing, p.Name)
		}
	}
	if len(missing) > 0 {
		add(missing[0], "", "missing required arguments: %s", strings.Join(missing, ", "))
	}
	m.checkRules(given, add)
	return errs
}

func (m *Spec) checkRules(given map[string]any, add func(field, remedy, format string, a ...any)) {
	count := func(names []string) (n int, first string) {
		for _, x := range names {
			if _, ok := given[x]; ok {
				if n++; first == "" {
					first = x
				}
			}
		}
		return n, first
	}
	for _, g := range m.MutuallyExclusive {
		if n, first := count(g); n > 1 {
			add(first, "", "parameters are mutually exclusive: %s", strings.Join(g, "|"))
		}
	}
	for _, g := range m.RequiredOneOf {
		if n, _ := count(g); n == 0 {
			add("", "", "one of the following is required: %s", strings.Join(g, ", "))
		}
	}
	for _, g := range m.RequiredTogether {
		if n, first := count(g); n > 0 && n < len(g) {
			add(first, "", "parameters are required together: %s", strings.Join(g, ", "))
		}
	}
	by := make([]string, 0, len(m.RequiredBy))
	for k := range m.RequiredBy {
		by = append(by, k)
	}
	sort.Strings(by)
	for _, k := range by {
		if _, ok := given[k]; !ok {
			continue
		}
		for _, n := range m.RequiredBy[k] {
			if _, ok := given[n]; !ok {
				add(k, "", "missing parameter(s) required by '%s': %s", k, n)
			}
		}
	}
	for _, r := range m.RequiredIf {
		v, ok := given[r.Param]
		p := m.Param(r.Param)
		if !ok && p != nil {
			v = p.Default
		}
		if v == nil || IsTemplate(v) || p == nil {
			continue
		}
		cv, err := Convert(p, v)
		if err != nil || fmt.Sprint(cv) != fmt.Sprint(r.Equals) {
			continue
		}
		var missing []string
		for _, n := range r.Needs {
			if _, ok := given[n]; !ok {
				missing = append(missing, n)
			}
		}
		word := "all"
		if r.Any {
			word = "any"
			if len(missing) < len(r.Needs) {
				continue
			}
		}
		if len(missing) > 0 {
			add(r.Param, "", "%s is %v but %s of the following are missing: %s", r.Param, r.Equals, word, strings.Join(missing, ", "))
		}
	}
}

func (m *Spec) paramNames() []string {
	var out []string
	for _, p := range m.Params {
		out = append(append(out, p.Name), p.Aliases...)
	}
	return out
}

func (m *Spec) supported() string {
	var out []string
	for _, p := range m.Params {
		s := p.Name
		if len(p.Aliases) > 0 {
			s += " (" + strings.Join(p.Aliases, ", ") + ")"
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}
