package filter

import (
	"encoding/base64"
	"strings"

	"github.com/dlclark/regexp2"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) textFilters() map[string]jinja.Filter {
	return map[string]jinja.Filter{
		"regex_replace": s.regexReplace, "regex_search": s.regexSearch, "regex_findall": s.regexFindall, "regex_escape": regexEscape,
		"split": fSplit, "quote": fQuote, "b64encode": fB64Encode, "b64decode": fB64Decode, "comment": fComment,
		"urldecode": fURLDecode, "urlsplit": fURLSplit,
	}
}

// input is the text that a filter on text is applied to.
func input(c *jinja.Call) (string, error) {
	if b, ok := c.In().([]byte); ok {
		return string(b), nil
	}
	return c.Text()
}

func (s *set) regexFor(a *value.Args, i int, name string, icase, multi int) (*pattern, error) {
	src, err := a.String(i, name, "")
	if err != nil {
		return nil, err
	}
	ic, err := a.Bool(icase, "ignorecase", false)
	if err != nil {
		return nil, err
	}
	ml, err := a.Bool(multi, "multiline", false)
	if err != nil {
		return nil, err
	}
	return s.re.compile(src, ic, ml)
}

func (s *set) regexReplace(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	p, err := s.regexFor(a, 0, "pattern", 2, 3)
	if err != nil {
		return nil, err
	}
	repl, err := a.String(1, "replacement", "")
	if err != nil {
		return nil, err
	}
	count, err := a.Int(4, "count", 0)
	if err != nil {
		return nil, err
	}
	want, err := a.Int(5, "mandatory_count", 0)
	if err != nil {
		return nil, err
	}
	out, n, err := p.replace(in, repl, int(count))
	if err != nil {
		return nil, err
	}
	if want > 0 && int(want) != n {
		return nil, filterError("'" + value.Str(a.Or(0, "pattern", "")) + "' should match " + value.Str(want) + " times, but matches " + value.Str(int64(n)) + " times in '" + in + "'")
	}
	return out, nil
}

func (s *set) regexSearch(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	p, err := s.regexFor(a, 0, "regex", -1, -1)
	if err != nil {
		return nil, err
	}
	var groups []int
	for _, g := range a.Pos[min(1, len(a.Pos)):] {
		name, _ := value.StrOf(g)
		switch {
		case strings.HasPrefix(name, `\g<`) && strings.HasSuffix(name, ">"):
			n, err := p.number(name[3 : len(name)-1])
			if err != nil {
				return nil, err
			}
			groups = append(groups, n)
		case strings.HasPrefix(name, `\`):
			n, err := p.number(name[1:])
			if err != nil {
				return nil, filterError("Unknown argument")
			}
			groups = append(groups, n)
		default:
			return nil, filterError("Unknown argument")
		}
	}
	m, err := p.re.FindStringMatch(in)
	if err != nil {
		return nil, p.err(err)
	}
	if m == nil {
		if len(groups) > 0 {
			return nil, nil
		}
		return nil, nil
	}
	if len(groups) == 0 {
		return m.String(), nil
	}
	out := &value.List{}
	for _, n := range groups {
		if n > p.n {
			return nil, &value.Error{Kind: "IndexError", Msg: "no such group"}
		}
		out.Items = append(out.Items, groupValue(m, n, nil))
	}
	return out, nil
}

func groupValue(m *regexp2.Match, n int, none value.Value) value.Value {
	if t, ok := group(m, n); ok {
		return t
	}
	return none
}

func (s *set) regexFindall(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "regex", "multiline", "ignorecase"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	p, err := s.regexFor(a, 0, "regex", 2, 1)
	if err != nil {
		return nil, err
	}
	out := &value.List{Items: []value.Value{}}
	_, err = p.each(in, 0, func(m *regexp2.Match) error {
		switch p.n {
		case 0:
			out.Items = append(out.Items, m.String())
		case 1:
			out.Items = append(out.Items, groupValue(m, 1, ""))
		default:
			t := make(value.Tuple, p.n)
			for i := range t {
				t[i] = groupValue(m, i+1, "")
			}
			out.Items = append(out.Items, t)
		}
		return nil
	})
	return out, err
}

func regexEscape(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "re_type"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	kind, err := a.String(0, "re_type", "python")
	if err != nil {
		return nil, err
	}
	special := "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"
	switch kind {
	case "python":
	case "posix_basic":
		special = `[].^$*\`
	default:
		return nil, filterError("Invalid regex type (" + kind + ")")
	}
	var b strings.Builder
	for _, r := range in {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

func fSplit(c *jinja.Call) (value.Value, error) {
	in, ok := value.StrOf(c.In())
	if !ok {
		return nil, &value.Error{Kind: "AttributeError", Msg: "'" + value.TypeName(c.In()) + "' object has no attribute 'split'"}
	}
	v, _, err := value.CallMethod(in, "split", c.Args[1:], c.Kwargs)
	return v, err
}

// Quote makes text one word of a shell's command line.
func Quote(s string) string {
	if s == "" {
		return "''"
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("@%_-+=:,./", c) >= 0) {
			return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
		}
	}
	return s
}

func fQuote(c *jinja.Call) (value.Value, error) {
	if c.In() == nil {
		return "''", nil
	}
	in, err := input(c)
	return Quote(in), err
}

func fB64Encode(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "encoding", "urlsafe"); err != nil {
		return nil, err
	}
	enc, err := a.String(0, "encoding", "utf-8")
	if err != nil {
		return nil, err
	}
	b, isBytes := c.In().([]byte)
	if !isBytes {
		in, err := c.Text()
		if err != nil {
			return nil, err
		}
		if b, err = value.Encode(in, enc); err != nil {
			return nil, err
		}
	}
	if safe, err := a.Bool(1, "urlsafe", false); err != nil || safe {
		return base64.URLEncoding.EncodeToString(b), err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

func fB64Decode(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "encoding", "urlsafe"); err != nil {
		return nil, err
	}
	enc, err := a.String(0, "encoding", "utf-8")
	if err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	// As Python's: what is not of the alphabet is skipped, padding is needed.
	safe, err := a.Bool(1, "urlsafe", false)
	if err != nil {
		return nil, err
	}
	if safe {
		in = strings.NewReplacer("-", "+", "_", "/").Replace(in)
	}
	in = strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/' || r == '=') {
			return r
		}
		return -1
	}, in)
	b, err := base64.StdEncoding.DecodeString(in)
	if err != nil {
		return nil, filterError("Incorrect padding")
	}
	s, err := value.Decode(b, enc)
	return s, err
}

var commentStyles = map[string]map[string]string{
	"plain":  {"decoration": "# "},
	"erlang": {"decoration": "% "},
	"c":      {"decoration": "// "},
	"cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
	"xml":    {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}

func fComment(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	style, err := a.String(0, "style", "plain")
	if err != nil {
		return nil, err
	}
	st, ok := commentStyles[style]
	if !ok {
		return nil, filterError("Invalid style '" + style + "'.")
	}
	opt := func(name, def string) string {
		if v, ok := c.Kwargs.Get(name); ok {
			return value.Str(v)
		}
		if v, ok := st[name]; ok {
			return v
		}
		return def
	}
	count := func(name string) int {
		if v, ok := c.Kwargs.Get(name); ok {
			if n, ok := value.AsInt(v); ok {
				return int(min(max(n, 0), 1000))
			}
		}
		return 1
	}
	nl := opt("newline", "\n")
	decoration := opt("decoration", "# ")
	trimmed := strings.TrimRight(decoration, " \t\n")
	line := func(name string) string {
		if v := opt(name, trimmed); v != "" {
			if _, given := c.Kwargs.Get(name); !given {
				return trimmed
			}
			return v
		}
		return ""
	}
	// An empty decoration is a line of its own blank.
	var b strings.Builder
	if v := opt("beginning", ""); v != "" {
		b.WriteString(v + nl)
	}
	if v := line("prefix"); v != "" {
		b.WriteString(strings.Repeat(v+nl, count("prefix_count")))
	}
	text := decoration + strings.ReplaceAll(in, nl, nl+decoration)
	text = strings.ReplaceAll(text, decoration+nl, trimmed+nl)
	if strings.HasSuffix(text, nl+decoration) {
		text = strings.TrimSuffix(text, decoration) + trimmed
	}
	b.WriteString(text)
	b.WriteString(strings.Repeat(nl+line("postfix"), count("postfix_count")))
	if v := opt("end", ""); v != "" {
		b.WriteString(nl + v)
	}
	return b.String(), nil
}
