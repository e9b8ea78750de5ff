package param

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"drover/api"
)

// Convert turns a value into the type of its parameter, as Ansible does: "yes"
// is a bool, "a,b" a list, 644 a string.
func Convert(p *Param, v any) (any, *api.Error) {
	bad := func(err string) *api.Error {
		if err != "" {
			err = ": " + err
		}
		return &api.Error{Code: api.CodeInvalid, Field: p.Name,
			Message: fmt.Sprintf("argument '%s' is of type %s and we were unable to convert to %s%s", p.Name, pyType(v), p.Type.name(), err)}
	}
	var out any
	switch p.Type {
	case "", Str, Path:
		switch v.(type) {
		case []any, map[string]any:
			if p.Type == Path {
				return nil, bad("a path is text")
			}
		}
		out = ToText(v)
	case Bool:
		b, ok := ToBool(v)
		if !ok {
			e := bad(fmt.Sprintf("The value '%s' is not a valid boolean. Valid booleans include: 0, 'on', 'f', 'false', 1, 'no', 'n', '1', '0', 't', 'y', 'off', 'yes', 'true'", ToText(v)))
			e.Remedy = "use true or false"
			return nil, e
		}
		out = b
	case Int:
		n, ok := ToInt(v)
		if !ok {
			return nil, bad(fmt.Sprintf("%q is not a whole number", ToText(v)))
		}
		out = n
	case Float:
		f, ok := ToFloat(v)
		if !ok {
			return nil, bad(fmt.Sprintf("%q is not a number", ToText(v)))
		}
		out = f
	case List:
		l, err := toList(p, v, bad)
		if err != nil {
			return nil, err
		}
		out = l
	case Dict:
		d, ok := toDict(v)
		if !ok {
			return nil, bad("dictionary requested, could not parse JSON or key=value")
		}
		if p.Options != nil {
			var err *api.Error
			if d, err = convertOptions(p, d); err != nil {
				return nil, err
			}
		}
		out = d
	default: // Raw, Bytes
		out = v
	}
	return out, p.checkChoice(out)
}

// name is the type as Ansible's messages tell it.
func (t Type) name() string {
	if t == "" {
		return "str"
	}
	return string(t)
}

func (p *Param) checkChoice(v any) *api.Error {
	if len(p.Choices) == 0 {
		return nil
	}
	values := []any{v}
	if l, ok := v.([]any); ok {
		values = l
	}
	for _, x := range values {
		s := ToText(x)
		if slices.Contains(p.Choices, s) {
			continue
		}
		e := &api.Error{Code: api.CodeInvalid, Field: p.Name, Message: fmt.Sprintf("value of %s must be one of: %s, got: %s", p.Name, strings.Join(p.Choices, ", "), s)}
		if g := Nearest(s, p.Choices); g != "" {
			e.Remedy = fmt.Sprintf("did you mean %q?", g)
		}
		return e
	}
	return nil
}

func toList(p *Param, v any, bad func(string) *api.Error) ([]any, *api.Error) {
	var in []any
	switch v := v.(type) {
	case []any:
		in = v
	case []string:
		for _, s := range v {
			in = append(in, s)
		}
	case string:
		if v == "" && p.Default == nil {
			in = []any{""}
		}
		if v != "" {
			for _, s := range strings.Split(v, ",") {
				in = append(in, s)
			}
		}
	case bool, map[string]any:
		if _, ok := v.(map[string]any); ok && p.Elements == Dict {
			in = []any{v}
			break
		}
		if p.Elements == Raw {
			in = []any{v}
			break
		}
		return nil, bad("a list is wanted")
	default:
		in = []any{ToText(v)}
	}
	el := *p
	el.Type, el.Choices = p.Elements, nil
	out := make([]any, len(in))
	for i, x := range in {
		if x == nil && (el.Type == "" || el.Type == Str) {
			x = ""
		}
		cv, err := Convert(&el, x)
		if err != nil {
			return nil, &api.Error{Code: api.CodeInvalid, Field: p.Name, Message: fmt.Sprintf("Elements value for option '%s' is of type %s and we were unable to convert to %s: %s", p.Name, pyType(x), el.Type.name(), err.Message)}
		}
		out[i] = cv
	}
	return out, nil
}

func convertOptions(p *Param, d map[string]any) (map[string]any, *api.Error) {
	sub := &Spec{Name: p.Name, Params: p.Options}
	if errs := sub.Check(d); len(errs) > 0 {
		e := *errs[0]
		e.Field = p.Name + "." + e.Field
		e.Message += " found in " + p.Name
		return nil, &e
	}
	out := map[string]any{}
	for i := range p.Options {
		o := &p.Options[i]
		v, ok := d[o.Name]
		for _, a := range o.Aliases {
			if !ok || v == nil {
				v, ok = d[a]
			}
		}
		if !ok || v == nil {
			v = o.Default
		}
		if v == nil {
			continue
		}
		cv, err := Convert(o, v)
		if err != nil {
			return nil, err
		}
		out[o.Name] = cv
	}
	return out, nil
}

// ToBool reads a boolean as Ansible does.
func ToBool(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "yes", "y", "on", "1", "true", "t":
			return true, true
		case "no", "n", "off", "0", "false", "f":
			return false, true
		}
		return false, false
	}
	if f, ok := ToFloat(v); ok && (f == 0 || f == 1) {
		return f == 1, true
	}
	return false, false
}

// ToInt reads a whole number, also one written as text.
func ToInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint32:
		return int64(v), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<62 {
			return int64(v), true
		}
		return 0, false
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// ToFloat reads a number, also one written as text.
func ToFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return f, err == nil
	}
	n, ok := ToInt(v)
	return float64(n), ok
}

// ToText writes a value as Ansible writes it where text is wanted.
func ToText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case int:
		return strconv.Itoa(v)
	case json.Number:
		return v.String()
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []byte:
		return string(v)
	case []any, map[string]any:
		return ToRepr(v)
	}
	return fmt.Sprint(v)
}

// ToRepr writes lists and dictionaries as Python does.
func ToRepr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		q := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			q = `"`
		}
		r := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`, q, `\`+q)
		return q + r.Replace(v) + q
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = ToRepr(x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		parts := make([]string, len(keys))
		for i, k := range keys {
			parts[i] = ToRepr(k) + ": " + ToRepr(v[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return ToText(v)
}

func pyType(v any) string {
	switch v := v.(type) {
	case nil:
		return "<class 'NoneType'>"
	case string:
		return "<class 'str'>"
	case bool:
		return "<class 'bool'>"
	case []any, []string:
		return "<class 'list'>"
	case map[string]any:
		return "<class 'dict'>"
	case float64:
		if v != math.Trunc(v) {
			return "<class 'float'>"
		}
	}
	return "<class 'int'>"
}

func toDict(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case string:
		s := strings.TrimSpace(v)
		if strings.HasPrefix(s, "{") {
			var d map[string]any
			dec := json.NewDecoder(strings.NewReader(s))
			dec.UseNumber()
			if err := dec.Decode(&d); err == nil {
				return d, true
			}
			return nil, false
		}
		if !strings.Contains(s, "=") {
			return nil, false
		}
		d := map[string]any{}
		for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
			k, x, ok := strings.Cut(f, "=")
			if !ok {
				return nil, false
			}
			d[k] = strings.Trim(x, `"'`)
		}
		return d, true
	}
	return nil, false
}
