package filter

import (
	"regexp"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

var sequenceForm = regexp.MustCompile(`^(?:(0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)-)?(0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?:/(0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*))?(?::(.+))?$`)

func lSequence(c *LookupCall) ([]value.Value, error) {
	out := []value.Value{}
	terms := c.Terms
	if len(terms) == 0 {
		terms = []value.Value{""}
	}
	for _, t := range terms {
		var start, stride value.Value = int64(1), nil
		var end, count value.Value
		format := "%d"
		set := func(k string, v value.Value) error {
			if k == "format" {
				format = value.Str(v)
				return nil
			}
			n, err := jinja.ToInt(v, 0)
			if err != nil {
				n, err = jinja.ToInt(v, 10)
			}
			if err != nil {
				return filterError("can't parse " + k + "=" + value.Str(v) + " as integer")
			}
			switch k {
			case "start":
				start = n
			case "end":
				end = n
			case "count":
				count = n
			case "stride":
				stride = n
			default:
				return filterError("unrecognized arguments to with_sequence: " + k)
			}
			return nil
		}
		if m := sequenceForm.FindStringSubmatch(value.Str(t)); m != nil {
			for i, k := range []string{"start", "end", "stride", "format"} {
				if m[i+1] != "" {
					if err := set(k, m[i+1]); err != nil {
						return nil, err
					}
				}
			}
		} else {
			for _, kv := range SplitArgs(value.Str(t)) {
				k, v, ok := strings.Cut(kv, "=")
				if !ok {
					return nil, filterError("unknown error parsing with_sequence arguments: '" + value.Str(t) + "'")
				}
				if err := set(k, Unquote(v)); err != nil {
					return nil, err
				}
			}
		}
		for _, e := range c.Kwargs.Items() {
			if err := set(value.Str(e.Key), e.Value); err != nil {
				return nil, err
			}
		}
		if end == nil && count == nil {
			return nil, filterError("must specify count or end in with_sequence")
		}
		if end != nil && count != nil {
			return nil, filterError("can't specify both count and end in with_sequence")
		}
		from, _ := value.AsInt(start)
		step := int64(1)
		if stride != nil {
			step, _ = value.AsInt(stride)
		}
		var to int64
		if count != nil {
			n, _ := value.AsInt(count)
			if n == 0 {
				continue
			}
			to = from + n*step - 1
			if step < 0 {
				to = from + n*step + 1
			}
		} else {
			to, _ = value.AsInt(end)
		}
		switch {
		case step == 0:
			continue
		case step > 0 && to < from && end != nil:
			return nil, filterError("to count backwards make stride negative")
		case step < 0 && to > from && end != nil:
			return nil, filterError("to count forward don't make stride negative")
		}
		limit := to + 1
		if step < 0 {
			limit = to - 1
		}
		r := value.Range{Start: from, Stop: limit, Step: step}
		items, err := value.Iter(r)
		if err != nil {
			return nil, err
		}
		for _, n := range items {
			v, err := value.Mod(format, n)
			if err != nil {
				return nil, filterError("problem formatting " + value.Str(n) + " with " + value.Repr(format))
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// SplitArgs cuts "a=1 b='x y'" at blanks outside of quotes and templates.
func SplitArgs(s string) []string {
	var out []string
	var cur strings.Builder
	quote := byte(0)
	depth := 0
	in := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && i+1 < len(s) {
				cur.WriteByte(c)
				i++
				c = s[i]
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "{%"):
			depth++
		case depth > 0 && (strings.HasPrefix(s[i:], "}}") || strings.HasPrefix(s[i:], "%}")):
			depth--
		case depth == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if in {
				out = append(out, cur.String())
				cur.Reset()
				in = false
			}
			continue
		}
		in = true
		cur.WriteByte(c)
	}
	if in {
		out = append(out, cur.String())
	}
	return out
}

// Unquote takes a pair of quotes off.
func Unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] && s[len(s)-2] != '\\' {
		return s[1 : len(s)-1]
	}
	return s
}
