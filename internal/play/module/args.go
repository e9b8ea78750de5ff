package module

import (
	"cmp"
	"fmt"
	"os"
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

// fileParams are the parameters of every module with FileArgs.
var fileParams = []Param{
	{Name: "mode", Type: Raw}, {Name: "owner"}, {Name: "group"},
	{Name: "seuser"}, {Name: "serole"}, {Name: "selevel"}, {Name: "setype"},
	{Name: "attributes", Aliases: []string{"attr"}}, {Name: "unsafe_writes", Type: Bool, Default: false},
}

// AllParams is the whole table, with the file attributes if the module takes them.
func (m *Module) AllParams() []Param {
	if !m.FileArgs {
		return m.Params
	}
	out := slices.Clone(m.Params)
	for _, p := range fileParams {
		if m.Param(p.Name, false) == nil {
			out = append(out, p)
		}
	}
	return out
}

// Param finds a parameter by name or alias; common adds the file attributes.
func (m *Module) Param(name string, common bool) *Param {
	for i := range m.Params {
		if p := &m.Params[i]; p.Name == name || slices.Contains(p.Aliases, name) {
			return p
		}
	}
	if common && m.FileArgs {
		for i := range fileParams {
			if p := &fileParams[i]; p.Name == name || slices.Contains(p.Aliases, name) {
				return p
			}
		}
	}
	return nil
}

// rawParams is the argument that carries the free text of a task.
const rawParams = "_raw_params"

func isTemplate(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "{{") || strings.Contains(v, "{%")
	case []any:
		return slices.ContainsFunc(v, isTemplate)
	case map[string]any:
		for _, x := range v {
			if isTemplate(x) {
				return true
			}
		}
	}
	return false
}

// CheckArgs tells what is wrong with a task's arguments: unknown and missing
// parameters, wrong types and values. A value that still holds a template is
// taken as right.
func (m *Module) CheckArgs(args map[string]any) []*api.Error {
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
		if n == rawParams {
			if m.FreeForm != "" || m.AnyArgs {
				if v != nil && v != "" {
					given[cmp.Or(m.FreeForm, rawParams)] = v
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
		p := m.Param(n, true)
		if p == nil {
			if !m.AnyArgs {
				remedy := ""
				if g := nearest(n, m.paramNames()); g != "" {
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
		if isTemplate(v) {
			continue
		}
		if _, err := convert(p, v); err != nil {
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

func (m *Module) checkRules(given map[string]any, add func(field, remedy, format string, a ...any)) {
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
		p := m.Param(r.Param, true)
		if !ok && p != nil {
			v = p.Default
		}
		if v == nil || isTemplate(v) || p == nil {
			continue
		}
		cv, err := convert(p, v)
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

func (m *Module) paramNames() []string {
	var out []string
	for _, p := range m.AllParams() {
		out = append(append(out, p.Name), p.Aliases...)
	}
	return out
}

func (m *Module) supported() string {
	var out []string
	for _, p := range m.AllParams() {
		s := p.Name
		if len(p.Aliases) > 0 {
			s += " (" + strings.Join(p.Aliases, ", ") + ")"
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// bind fills the converted arguments and the defaults. CheckArgs passed before.
func (c *Call) bind() *api.Error {
	c.args, c.given = map[string]any{}, map[string]bool{}
	for n, v := range c.Args {
		if n == rawParams && c.module.FreeForm != "" {
			n = c.module.FreeForm
			if s, ok := v.(string); ok && s == "" {
				continue
			}
		}
		p := c.module.Param(n, true)
		if p == nil {
			if c.module.AnyArgs && v != nil {
				c.args[n], c.given[n] = v, true
			}
			continue
		}
		if v == nil {
			continue
		}
		if n != p.Name && c.given[p.Name] { // the name itself wins over an alias
			if _, ok := c.Args[p.Name]; ok {
				continue
			}
		}
		cv, err := convert(p, v)
		if err != nil {
			return err
		}
		if p.Type == Path {
			cv = c.expandPath(cv.(string))
		} else if p.Type == List && p.Elements == Path {
			l := cv.([]any)
			for i := range l {
				l[i] = c.expandPath(l[i].(string))
			}
		}
		c.args[p.Name], c.given[p.Name] = cv, true
	}
	for _, p := range c.module.AllParams() {
		if !c.given[p.Name] && p.Default != nil {
			cv, err := convert(&p, p.Default)
			if err != nil {
				return err
			}
			c.args[p.Name] = cv
		}
	}
	return nil
}

// expandPath does ~, ~user and $VAR as a shell on the host would.
func (c *Call) expandPath(s string) string {
	if strings.Contains(s, "$") {
		s = os.Expand(s, func(k string) string {
			if v, ok := c.getenv(k); ok {
				return v
			}
			return "$" + k
		})
	}
	if !strings.HasPrefix(s, "~") {
		return s
	}
	user, rest, _ := strings.Cut(s[1:], "/")
	home := ""
	if user == "" {
		home, _ = c.getenv("HOME")
	} else if a, ok := c.Host.UserByName(user); ok {
		home = a.Home
	}
	if home == "" {
		return s
	}
	if rest == "" {
		return home
	}
	return strings.TrimSuffix(home, "/") + "/" + rest
}

func (c *Call) getenv(k string) (string, bool) {
	if v, ok := c.Env[k]; ok {
		return v, true
	}
	return c.Host.Getenv(k)
}

// Has reports whether the task gives the parameter (and not as null).
func (c *Call) Has(name string) bool { return c.given[name] }

// Raw is the converted value, the default, or nil.
func (c *Call) Raw(name string) any { return c.args[name] }

// Str is a string parameter; empty if it is neither given nor has a default.
func (c *Call) Str(name string) string {
	if v, ok := c.args[name]; ok {
		return toString(v)
	}
	return ""
}

// Bool is a boolean parameter.
func (c *Call) Bool(name string) bool {
	b, _ := c.args[name].(bool)
	return b
}

// Int is an integer parameter.
func (c *Call) Int(name string) int64 {
	n, _ := c.args[name].(int64)
	return n
}

// Float is a float parameter.
func (c *Call) Float(name string) float64 {
	n, _ := c.args[name].(float64)
	return n
}

// List is a list parameter's elements as strings.
func (c *Call) List(name string) []string {
	l, _ := c.args[name].([]any)
	out := make([]string, len(l))
	for i, v := range l {
		out[i] = toString(v)
	}
	return out
}

// Items is a list parameter as it is.
func (c *Call) Items(name string) []any {
	l, _ := c.args[name].([]any)
	return l
}

// Dict is a dictionary parameter.
func (c *Call) Dict(name string) map[string]any {
	d, _ := c.args[name].(map[string]any)
	return d
}

// AllArgs are all converted arguments by their canonical names.
func (c *Call) AllArgs() map[string]any { return c.args }

// nearest is the candidate that name was probably meant to be, or "".
func nearest(name string, candidates []string) string {
	best, dist := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < dist {
			best, dist = c, d
		}
	}
	if dist >= len(name) {
		return ""
	}
	return best
}

// distance counts the edits from a to b; a swap of neighbours is one.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var d [65][65]int
	for i := 0; i <= len(a); i++ {
		for j := 0; j <= len(b); j++ {
			switch {
			case i == 0:
				d[i][j] = j
			case j == 0:
				d[i][j] = i
			default:
				cost := 1
				if a[i-1] == b[j-1] {
					cost = 0
				}
				d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d[i][j] = min(d[i][j], d[i-2][j-2]+1)
				}
			}
		}
	}
	return d[len(a)][len(b)]
}
