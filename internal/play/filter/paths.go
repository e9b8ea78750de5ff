package filter

import (
	"path"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) pathFilters() map[string]jinja.Filter {
	on := func(f func(string) value.Value) jinja.Filter {
		return func(c *jinja.Call) (value.Value, error) {
			if err := c.Rest().Check(0); err != nil {
				return nil, err
			}
			in, err := input(c)
			if err != nil {
				return nil, err
			}
			return f(in), nil
		}
	}
	return map[string]jinja.Filter{
		"basename":   on(func(p string) value.Value { return p[strings.LastIndexByte(p, '/')+1:] }),
		"dirname":    on(func(p string) value.Value { return dirname(p) }),
		"normpath":   on(func(p string) value.Value { return normpath(p) }),
		"realpath":   on(func(p string) value.Value { return s.realpath(p) }),
		"splitext":   on(func(p string) value.Value { a, b := splitext(p); return value.Tuple{a, b} }),
		"expanduser": on(func(p string) value.Value { return s.expandUser(p) }),
		"expandvars": on(func(p string) value.Value { return s.expandVars(p) }),
		"relpath":    s.relpath, "path_join": fPathJoin, "commonpath": fCommonPath, "fileglob": s.fileglobFilter,
		"win_basename": on(func(p string) value.Value { return p[strings.LastIndexAny(p, `/\`)+1:] }),
		"win_dirname":  on(func(p string) value.Value { return winDirname(p) }),
		"win_splitdrive": on(func(p string) value.Value {
			if len(p) >= 2 && p[1] == ':' {
				return value.Tuple{p[:2], p[2:]}
			}
			return value.Tuple{"", p}
		}),
	}
}

func dirname(p string) string {
	i := strings.LastIndexByte(p, '/') + 1
	head := p[:i]
	if t := strings.TrimRight(head, "/"); t != "" {
		return t
	}
	return head
}

func winDirname(p string) string {
	i := strings.LastIndexAny(p, `/\`) + 1
	head := p[:i]
	if t := strings.TrimRight(head, `/\`); t != "" && !strings.HasSuffix(t, ":") {
		return t
	}
	return head
}

func normpath(p string) string {
	if p == "" {
		return "."
	}
	n := path.Clean(p)
	if strings.HasPrefix(p, "//") && !strings.HasPrefix(p, "///") {
		return "/" + n
	}
	return n
}

func splitext(p string) (string, string) {
	base := p[strings.LastIndexByte(p, '/')+1:]
	i := strings.LastIndexByte(base, '.')
	if i <= 0 || strings.Trim(base[:i], ".") == "" {
		return p, ""
	}
	cut := len(p) - len(base) + i
	return p[:cut], p[cut:]
}

// absolute stands relative paths on the root: what a template is evaluated
// for has no working directory of its own.
func absolute(p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Clean("/" + p)
}

// realpath follows symbolic links as far as the path exists.
func (s *set) realpath(p string) string {
	p = absolute(p)
	done := "/"
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for n := 0; len(parts) > 0; n++ {
		part := parts[0]
		parts = parts[1:]
		next := path.Join(done, part)
		target, ok := s.readlink(next)
		if !ok || n > 255 {
			done = next
			continue
		}
		if strings.HasPrefix(target, "/") {
			done = "/"
		}
		parts = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), parts...)
	}
	return done
}

func (s *set) expandUser(p string) string {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p
	}
	home, ok := s.o.Getenv("HOME")
	if !ok {
		return p
	}
	return strings.TrimRight(home, "/") + p[1:]
}

func (s *set) expandVars(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != '$' || i+1 >= len(p) {
			b.WriteByte(p[i])
			continue
		}
		j := i + 1
		name := ""
		if p[j] == '{' {
			end := strings.IndexByte(p[j:], '}')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name = p[j+1 : j+end]
			j += end + 1
		} else {
			for j < len(p) && (p[j] == '_' || p[j] >= 'a' && p[j] <= 'z' || p[j] >= 'A' && p[j] <= 'Z' || p[j] >= '0' && p[j] <= '9') {
				j++
			}
			name = p[i+1 : j]
		}
		if v, ok := s.o.Getenv(name); ok && name != "" {
			b.WriteString(v)
		} else {
			b.WriteString(p[i:j])
		}
		i = j - 1
	}
	return b.String()
}

func (s *set) relpath(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "start"); err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	start, err := a.String(0, "start", "/")
	if err != nil {
		return nil, err
	}
	from := strings.Split(strings.Trim(absolute(start), "/"), "/")
	to := strings.Split(strings.Trim(absolute(in), "/"), "/")
	if from[0] == "" {
		from = nil
	}
	if to[0] == "" {
		to = nil
	}
	n := 0
	for n < len(from) && n < len(to) && from[n] == to[n] {
		n++
	}
	var out []string
	for range from[n:] {
		out = append(out, "..")
	}
	out = append(out, to[n:]...)
	if len(out) == 0 {
		return ".", nil
	}
	return strings.Join(out, "/"), nil
}

func fPathJoin(c *jinja.Call) (value.Value, error) {
	var parts []value.Value
	if _, ok := value.StrOf(c.In()); ok {
		parts = c.Args
	} else if l, ok := listItems(c.In()); ok {
		parts = l
	} else {
		return nil, filterError("|path_join expects string or sequence, got " + value.TypeName(c.In()) + " instead.")
	}
	out := ""
	for i, v := range parts {
		p, ok := value.StrOf(v)
		if !ok {
			return nil, &value.Error{Kind: "TypeError", Msg: "join() argument must be str, bytes, or os.PathLike object, not '" + value.TypeName(v) + "'"}
		}
		switch {
		case i == 0 || strings.HasPrefix(p, "/"):
			out = p
		case out == "" || strings.HasSuffix(out, "/"):
			out += p
		default:
			out += "/" + p
		}
	}
	return out, nil
}

func fCommonPath(c *jinja.Call) (value.Value, error) {
	items, ok := listItems(c.In())
	if !ok || len(items) == 0 {
		return nil, filterError("|commonpath expects sequence, got " + value.TypeName(c.In()) + " instead.")
	}
	var common []string
	abs := false
	for i, v := range items {
		p := value.Str(v)
		parts := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
		if i == 0 {
			common, abs = parts, strings.HasPrefix(p, "/")
			continue
		}
		if abs != strings.HasPrefix(p, "/") {
			return nil, &value.Error{Kind: "ValueError", Msg: "Can't mix absolute and relative paths"}
		}
		n := 0
		for n < len(common) && n < len(parts) && common[n] == parts[n] {
			n++
		}
		common = common[:n]
	}
	out := strings.Join(common, "/")
	if abs {
		out = "/" + out
	}
	return out, nil
}
