package filter

import (
	"errors"

	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

func (s *set) serialFilters() map[string]jinja.Filter {
	return map[string]jinja.Filter{
		"to_json": toJSON(value.JSONOptions{Indent: -1}), "to_nice_json": toJSON(value.JSONOptions{Indent: 4, SortKeys: true}),
		"to_yaml":      toYAML(yaml.DumpOptions{AllowUnicode: true, SortKeys: true}),
		"to_nice_yaml": toYAML(yaml.DumpOptions{AllowUnicode: true, SortKeys: true, Indent: 4, FlowStyle: yaml.BlockStyle}),
		"from_json":    fFromJSON, "from_yaml": fFromYAML, "from_yaml_all": fFromYAMLAll,
	}
}

func toJSON(o value.JSONOptions) jinja.Filter {
	return func(c *jinja.Call) (value.Value, error) {
		o := o
		a := c.Rest()
		if err := a.Check(0); err != nil && len(a.Pos) > 0 {
			return nil, err
		}
		for _, e := range c.Kwargs.Items() {
			switch value.Str(e.Key) {
			case "indent":
				if e.Value == nil {
					o.Indent = -1
					continue
				}
				n, ok := value.AsInt(e.Value)
				if !ok {
					return nil, filterError("indent must be a number")
				}
				o.Indent, o.IndentGiven = int(min(max(n, 0), 100)), true
			case "sort_keys":
				o.SortKeys = truthOf(e.Value)
			case "ensure_ascii":
				o.Unicode = !truthOf(e.Value)
			case "separators":
				l, ok := listItems(e.Value)
				if ok && len(l) == 2 {
					o.ItemSep, o.KeySep = value.Str(l[0]), value.Str(l[1])
				}
			case "skipkeys":
				o.SkipKeys = truthOf(e.Value)
			case "vault_to_text", "preprocess_unsafe", "default", "allow_nan", "check_circular", "cls":
			default:
				return nil, &value.Error{Kind: "TypeError", Msg: "unexpected keyword argument '" + value.Str(e.Key) + "'"}
			}
		}
		b, err := value.DumpJSON(c.In(), o)
		return string(b), err
	}
}

func toYAML(o yaml.DumpOptions) jinja.Filter {
	return func(c *jinja.Call) (value.Value, error) {
		o := o
		a := c.Rest()
		if len(a.Pos) > 0 {
			n, err := a.Int(0, "indent", int64(o.Indent))
			if err != nil {
				return nil, err
			}
			o.Indent = int(n)
		}
		for _, e := range c.Kwargs.Items() {
			n, isInt := value.AsInt(e.Value)
			switch value.Str(e.Key) {
			case "indent":
				if isInt {
					o.Indent = int(min(n, 1000))
				}
			case "width":
				if f, ok := value.AsFloat(e.Value); ok {
					o.Width = int(min(f, 1<<30))
				}
			case "sort_keys":
				o.SortKeys = truthOf(e.Value)
			case "allow_unicode":
				o.AllowUnicode = truthOf(e.Value)
			case "explicit_start":
				o.ExplicitStart = truthOf(e.Value)
			case "explicit_end":
				o.ExplicitEnd = truthOf(e.Value)
			case "default_flow_style":
				switch {
				case e.Value == nil:
					o.FlowStyle = yaml.DefaultFlow
				case truthOf(e.Value):
					o.FlowStyle = yaml.FlowOnly
				default:
					o.FlowStyle = yaml.BlockStyle
				}
			case "default_style":
				if s, ok := value.StrOf(e.Value); ok && s != "" {
					o.DefaultStyle = s[0]
				}
			case "canonical", "line_break", "encoding", "version", "tags", "dump_vault_tags":
			default:
				return nil, &value.Error{Kind: "TypeError", Msg: "unexpected keyword argument '" + value.Str(e.Key) + "'"}
			}
		}
		return yaml.Dump(c.In(), o)
	}
}

func fFromJSON(c *jinja.Call) (value.Value, error) {
	if err := c.Rest().Check(0, "profile"); err != nil {
		return nil, err
	}
	switch x := c.In().(type) {
	case string, value.Unsafe:
		s, _ := value.StrOf(x)
		return value.FromJSON([]byte(s))
	case []byte:
		return value.FromJSON(x)
	}
	return nil, &value.Error{Kind: "TypeError", Msg: "the JSON object must be str, bytes or bytearray, not " + value.TypeName(c.In())}
}

func parseYAML(c *jinja.Call) ([]*yaml.Node, error) {
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	docs, err := yaml.Parse("<from_yaml>", []byte(in))
	var e *api.Error
	if errors.As(err, &e) {
		return nil, filterError(e.Error())
	}
	return docs, err
}

func fFromYAML(c *jinja.Call) (value.Value, error) {
	if _, ok := value.StrOf(c.In()); !ok {
		if _, ok := c.In().([]byte); !ok {
			return c.In(), nil
		}
	}
	docs, err := parseYAML(c)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	if len(docs) > 1 {
		return nil, filterError("expected a single document in the stream but found another document")
	}
	return plainText(docs[0].Value()), nil
}

func fFromYAMLAll(c *jinja.Call) (value.Value, error) {
	if _, ok := value.StrOf(c.In()); !ok {
		return c.In(), nil
	}
	docs, err := parseYAML(c)
	if err != nil {
		return nil, err
	}
	out := &value.List{Items: []value.Value{}}
	for _, d := range docs {
		out.Items = append(out.Items, plainText(d.Value()))
	}
	return out, nil
}

func plainText(v value.Value) value.Value {
	if s, ok := v.(value.Unsafe); ok {
		return string(s)
	}
	return v
}
