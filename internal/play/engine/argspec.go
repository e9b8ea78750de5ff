package engine

import (
	"drover/internal/play/source"
	"fmt"
	"slices"
	"strings"

	"drover/internal/play/value"
)

// validateArgs checks variables against an argument specification.
func (r *run) validateArgs(s *scope, o *outcome, args *value.Dict) error {
	raw, _ := args.GetString("argument_spec")
	spec, ok := raw.(*value.Dict)
	if !ok {
		return fmt.Errorf("Action failed: Incorrect type for argument_spec, expected dict and got %s", value.TypeName(raw))
	}
	given := value.NewDict()
	if v, ok := args.GetString("provided_arguments"); ok {
		if d, ok := v.(*value.Dict); ok {
			given.Update(d)
		}
	}
	for _, k := range spec.Keys() {
		n := value.Str(k)
		if given.Has(n) {
			continue
		}
		v, found, err := s.Var(n)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if v, err = settled(v, 0); err != nil {
			return fmt.Errorf("Error while resolving value for '%s': %w", n, err)
		}
		if _, gone := v.(omitted); !gone {
			given.Set(n, v)
		}
	}
	c := &specCheck{}
	c.dict(spec, given, nil)
	c.finish()
	name := ""
	if o.t.role != nil {
		name = o.t.role.name
	}
	o.res = value.DictOf("changed", false)
	if len(c.errs) > 0 {
		o.res = failure("Validation of arguments failed:\n%s", strings.Join(c.errs, "\n"))
		o.res.Set("argument_errors", names(c.errs))
		o.res.Set("argument_spec_data", spec)
		o.res.Set("validate_args_context", value.DictOf("argument_spec_name", entryOf(o.t), "name", name, "path", pathOf(o.t), "type", "role"))
		return nil
	}
	o.res.Set("msg", "The arg spec validation passed")
	o.res.Set("validate_args_context", value.DictOf("argument_spec_name", entryOf(o.t), "name", name, "path", pathOf(o.t), "type", "role"))
	return nil
}

func entryOf(t *Task) value.Value {
	if t.role == nil {
		return nil
	}
	return t.role.entry
}

func pathOf(t *Task) value.Value {
	if t.role == nil {
		return nil
	}
	return t.role.def.path
}

// specCheck collects what is wrong, in the order in which Ansible tells it:
// what cannot be read first, unknown options last.
type specCheck struct {
	errs, first, unknown []string
	supported            []string // where the first unknown option stands
}

func (c *specCheck) finish() {
	c.errs = append(c.first, c.errs...)
	if len(c.unknown) > 0 {
		slices.Sort(c.unknown)
		c.errs = append(c.errs, fmt.Sprintf("%s. Supported parameters include: %s.", strings.Join(c.unknown, ", "), strings.Join(c.supported, ", ")))
	}
}

func (c *specCheck) add(path []string, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	if len(path) > 0 {
		msg += " found in " + strings.Join(path, " -> ")
	}
	c.errs = append(c.errs, msg)
}

func specOf(spec *value.Dict, k string) value.Value {
	v, _ := spec.GetString(k)
	return v
}

func (c *specCheck) dict(spec, given *value.Dict, path []string) {
	type found struct {
		name string
		opt  *value.Dict
		v    value.Value
	}
	var missing []string
	var there []found
	for _, it := range spec.Items() {
		name := value.Str(it.Key)
		opt, ok := it.Value.(*value.Dict)
		if !ok {
			continue
		}
		v, has := given.GetString(name)
		for _, a := range splitTagsOf(specOf(opt, "aliases")) {
			if has {
				break
			}
			v, has = given.GetString(a)
		}
		if !has || v == nil {
			if need, _ := source.Bool(specOf(opt, "required")); need {
				missing = append(missing, name)
			}
			continue
		}
		there = append(there, found{name, opt, v})
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		c.add(path, "missing required arguments: %s", strings.Join(missing, ", "))
	}
	for _, f := range there {
		c.value(f.name, f.opt, f.v, path)
	}
}

func splitTagsOf(v value.Value) []string {
	if v == nil {
		return nil
	}
	return splitTags(v)
}

func (c *specCheck) value(name string, opt *value.Dict, v value.Value, path []string) {
	typ := "str"
	if t, ok := value.StrOf(specOf(opt, "type")); ok {
		typ = t
	}
	got, err := coerce(typ, v)
	if err != "" {
		where := ""
		if len(path) > 0 {
			where = " found in '" + strings.Join(path, " -> ") + "'"
		}
		c.errs = append(c.errs, fmt.Sprintf("argument '%s' is of type %s%s and we were unable to convert to %s: %s", name, pyType(v), where, typ, err))
		return
	}
	if choices, ok := specOf(opt, "choices").(*value.List); ok {
		vals := []value.Value{got}
		if l, isList := got.(*value.List); isList {
			vals = l.Items
		}
		for _, x := range vals {
			if !slices.ContainsFunc(choices.Items, func(y value.Value) bool { return value.Equal(x, y) || value.Str(x) == value.Str(y) }) {
				var all []string
				for _, y := range choices.Items {
					all = append(all, value.Str(y))
				}
				if _, isList := got.(*value.List); isList {
					c.add(path, "value of %s must be one or more of: %s. Got no match for: %s", name, strings.Join(all, ", "), value.Str(x))
				} else {
					c.add(path, "value of %s must be one of: %s, got: %s", name, strings.Join(all, ", "), value.Str(x))
				}
				break
			}
		}
	}
	sub, hasSub := specOf(opt, "options").(*value.Dict)
	inner := append(slices.Clone(path), name)
	switch x := got.(type) {
	case *value.Dict:
		if hasSub {
			c.nested(sub, x, inner)
		}
	case *value.List:
		el, _ := value.StrOf(specOf(opt, "elements"))
		for _, it := range x.Items {
			if el != "" {
				if _, err := coerce(el, it); err != "" {
					if hasSub && el == "dict" {
						c.first = append(c.first, err)
					}
					c.errs = append(c.errs, fmt.Sprintf("Elements value for option '%s' is of type %s and we were unable to convert to %s: %s", name, pyType(it), el, err))
					continue
				}
			}
			if d, ok := it.(*value.Dict); ok && hasSub {
				c.nested(sub, d, inner)
			}
		}
	}
}

func (c *specCheck) nested(sub, d *value.Dict, path []string) {
	for _, k := range d.Keys() {
		n := value.Str(k)
		known := sub.Has(n)
		for _, it := range sub.Items() {
			if o, ok := it.Value.(*value.Dict); ok && slices.Contains(splitTagsOf(specOf(o, "aliases")), n) {
				known = true
			}
		}
		if !known {
			if len(c.unknown) == 0 {
				for _, k := range sub.Keys() {
					c.supported = append(c.supported, value.Str(k))
				}
				slices.Sort(c.supported)
			}
			c.unknown = append(c.unknown, strings.Join(append(slices.Clone(path), n), "."))
		}
	}
	c.dict(sub, d, path)
}

func pyType(v value.Value) string { return value.TypeName(v) }

// coerce converts v as a module's argument of that type would be; the text says why not.
func coerce(typ string, v value.Value) (value.Value, string) {
	s, isText := value.StrOf(v)
	switch typ {
	case "str", "path", "raw", "jsonarg", "json":
		return v, ""
	case "bool":
		if b, ok := source.Bool(v); ok {
			return b, ""
		}
		return nil, fmt.Sprintf("The value '%s' is not a valid boolean. Valid booleans include: 0, 1, 'on', 'off', 'yes', 'no', 'true', 'false', 't', 'f', 'y', 'n'", value.Str(v))
	case "int":
		switch f := v.(type) {
		case int64, bool:
			i, _ := source.Int(v)
			return i, ""
		case float64:
			if f == float64(int64(f)) {
				return int64(f), ""
			}
		}
		if i, ok := source.Int(v); isText && ok {
			return i, ""
		}
		return nil, fmt.Sprintf("\"%s\" cannot be converted to an int", value.Repr(v))
	case "float":
		if f, ok := source.Float(v); ok {
			return f, ""
		}
		return nil, fmt.Sprintf("'%s' cannot be converted to a float", pyType(v))
	case "list":
		switch x := v.(type) {
		case *value.List:
			return x, ""
		case value.Tuple:
			return value.NewList(x...), ""
		case int64, float64:
			return value.NewList(value.Str(x)), ""
		}
		if isText {
			return names(strings.Split(s, ",")), ""
		}
		return nil, fmt.Sprintf("'%s' cannot be converted to a list", pyType(v))
	case "dict":
		if d, ok := v.(*value.Dict); ok {
			return d, ""
		}
		if isText {
			if x, err := value.FromJSON([]byte(s)); err == nil {
				if d, ok := x.(*value.Dict); ok {
					return d, ""
				}
			}
			if toks, err := splitArgs(s); err == nil && len(toks) > 0 {
				d := value.NewDict()
				for _, t := range toks {
					k, val, ok := keyValue(strings.TrimSuffix(t.text, ","))
					if !ok {
						return nil, "dictionary requested, could not parse JSON or key=value"
					}
					d.Set(k, val)
				}
				return d, ""
			}
			return nil, "dictionary requested, could not parse JSON or key=value"
		}
		return nil, fmt.Sprintf("'%s' cannot be converted to a dict", pyType(v))
	}
	return v, ""
}
