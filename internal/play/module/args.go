package module

import (
	"os"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/param"
)

// The parameter table's words, so that a module's file reads plainly.
type (
	Param      = param.Param
	Type       = param.Type
	RequiredIf = param.RequiredIf
)

// The types of parameters.
const (
	Str   = param.Str
	Bool  = param.Bool
	Int   = param.Int
	Float = param.Float
	List  = param.List
	Dict  = param.Dict
	Path  = param.Path
	Raw   = param.Raw
	Bytes = param.Bytes
)

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
	own := param.Spec{Params: m.Params}
	for _, p := range fileParams {
		if own.Param(p.Name) == nil {
			out = append(out, p)
		}
	}
	return out
}

// spec is the table with its rules.
func (m *Module) spec() *param.Spec {
	return &param.Spec{Name: m.Name, Params: m.AllParams(), FreeForm: m.FreeForm, FreeFormArgs: m.FreeFormArgs, AnyArgs: m.AnyArgs,
		MutuallyExclusive: m.MutuallyExclusive, RequiredOneOf: m.RequiredOneOf, RequiredTogether: m.RequiredTogether,
		RequiredIf: m.RequiredIf, RequiredBy: m.RequiredBy}
}

// Param finds a parameter by name or alias; common adds the file attributes.
func (m *Module) Param(name string, common bool) *Param {
	if !common {
		return (&param.Spec{Params: m.Params}).Param(name)
	}
	return m.spec().Param(name)
}

// CheckArgs tells what is wrong with a task's arguments: unknown and missing
// parameters, wrong types and values. A value that still holds a template is
// taken as right.
func (m *Module) CheckArgs(args map[string]any) []*api.Error { return m.spec().Check(args) }

// SplitFreeForm turns `module: text` into arguments: for a module that takes free
// text the key=value words it knows and the rest as _raw_params, for any
// other all key=value words, and what is none as _raw_params.
func (m *Module) SplitFreeForm(text string) map[string]any { return m.spec().SplitFreeForm(text) }

// bind fills the converted arguments and the defaults. CheckArgs passed before.
func (c *Call) bind() *api.Error {
	spec := c.module.spec()
	c.args, c.given = map[string]any{}, map[string]bool{}
	for n, v := range c.Args {
		if n == param.RawParams && c.module.FreeForm != "" {
			n = c.module.FreeForm
			if s, ok := v.(string); ok && s == "" {
				continue
			}
		}
		p := spec.Param(n)
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
		cv, err := param.Convert(p, v)
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
	for _, p := range spec.Params {
		if !c.given[p.Name] && p.Default != nil {
			cv, err := param.Convert(&p, p.Default)
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
		return param.ToText(v)
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
		out[i] = param.ToText(v)
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
