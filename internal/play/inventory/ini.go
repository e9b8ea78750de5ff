package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"drover/api"
	"drover/internal/play/source"
	"drover/internal/play/value"
)

// maxRange bounds how many hosts one line may stand for.
const maxRange = 100_000

// ini reads an INI inventory.
func (inv *Inventory) ini(name string, src []byte) error {
	group, kind := inv.group("ungrouped"), "hosts"
	pendingVars := map[string]api.Place{} // groups that only have vars so far
	declared := map[string]bool{"all": true, "ungrouped": true}
	line := 0
	fail := func(col int, remedy, format string, args ...any) error {
		return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: name, Line: line, Column: col}, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	for raw := range strings.Lines(string(src)) {
		line++
		text := strings.TrimSpace(raw)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		if text[0] == '[' {
			if m := sectionLine.FindStringSubmatch(text); m != nil {
				gname := m[1]
				kind = "hosts"
				if m[2] != "" {
					kind = m[2]
				}
				if kind != "hosts" && kind != "children" && kind != "vars" {
					return fail(strings.Index(raw, kind)+1, source.DidYouMean(kind, []string{"hosts", "children", "vars"}), "Section [%s:%s] has unknown type: %s", gname, kind, kind)
				}
				if kind == "vars" && !declared[gname] {
					if inv.groups[gname] == nil {
						pendingVars[gname] = api.Place{File: name, Line: line, Column: 1}
					}
				} else {
					declared[gname] = true
					delete(pendingVars, gname)
				}
				group = inv.group(gname)
				continue
			}
			if kind != "hosts" || strings.HasSuffix(text, "]") && !strings.ContainsAny(text, ":") {
				return fail(1, "write [name], [name:vars] or [name:children]", "Invalid section entry: '%s'", text)
			}
		}
		switch kind {
		case "vars":
			k, v, ok := strings.Cut(text, "=")
			if !ok {
				return fail(1, "write name=value", "Expected key=value, got: %s", text)
			}
			group.setVar(strings.TrimSpace(k), literal(strings.TrimSpace(v)))
		case "children":
			child, _, _ := strings.Cut(text, "#")
			child = strings.TrimSpace(child)
			if strings.ContainsAny(child, " \t=") {
				return fail(1, "write one group's name a line", "Expected group name, got: %s", child)
			}
			c := inv.group(child)
			declared[child] = true
			delete(pendingVars, child)
			if err := group.addChild(c); err != nil {
				return fail(1, "", "%v", err)
			}
		default:
			if err := inv.iniHost(group, text, fail); err != nil {
				return err
			}
		}
	}
	for g, at := range pendingVars {
		return &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf("Section [%s:vars] not valid for undefined group: %s", g, g), Remedy: source.DidYouMean(g, keysOf(declared))}
	}
	return nil
}

func keysOf[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

var sectionLine = regexp.MustCompile(`^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$`)

// iniHost reads a line "pattern k=v k=v # comment".
func (inv *Inventory) iniHost(g *Group, text string, fail func(int, string, string, ...any) error) error {
	words, err := shellWords(text)
	if err != nil {
		return fail(1, "close the quote", "Error parsing host definition '%s': %v", text, err)
	}
	if len(words) == 0 {
		return nil
	}
	names, port, err := expandHost(words[0])
	if err != nil {
		return fail(1, "", "%v", err)
	}
	vars := value.NewDict()
	for _, w := range words[1:] {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return fail(strings.Index(text, w)+1, "write name=value", "Expected key=value host variable assignment, got: %s", w)
		}
		vars.Set(k, literal(v))
	}
	for _, n := range names {
		h := inv.AddHost(n)
		g.AddHost(h)
		inv.addPort(h, port)
		h.Vars.Update(vars)
	}
	return nil
}

// shellWords splits as a POSIX shell does, with comments.
func shellWords(s string) ([]string, error) {
	var out []string
	var cur strings.Builder
	in, print := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case print == '\'':
			if c == '\'' {
				print = 0
			} else {
				cur.WriteByte(c)
			}
		case print == '"':
			if c == '"' {
				print = 0
			} else if c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
				i++
				cur.WriteByte(s[i])
			} else {
				cur.WriteByte(c)
			}
		case c == '\'' || c == '"':
			print, in = c, true
		case c == '\\' && i+1 < len(s):
			i++
			in = true
			cur.WriteByte(s[i])
		case c == '#':
			i = len(s)
		case c == ' ' || c == '\t':
			if in {
				out = append(out, cur.String())
				cur.Reset()
				in = false
			}
		default:
			in = true
			cur.WriteByte(c)
		}
	}
	if print != 0 {
		return nil, fmt.Errorf("No closing quotation")
	}
	if in {
		out = append(out, cur.String())
	}
	return out, nil
}

var rangePart = regexp.MustCompile(`\[([0-9]+|[a-zA-Z]):([0-9]+|[a-zA-Z])(?::([0-9]+))?\]`)

// expandHost expands "web[01:20:2].example.com:22" into names and a port.
func expandHost(pattern string) ([]string, int, error) {
	name, port := SplitPort(pattern)
	if name == "" {
		return nil, 0, fmt.Errorf("Invalid host pattern '%s' supplied: it is empty", pattern)
	}
	names := []string{name}
	for {
		loc := rangePart.FindStringSubmatchIndex(names[0])
		if loc == nil {
			break
		}
		var next []string
		for _, n := range names {
			m := rangePart.FindStringSubmatch(n)
			at := rangePart.FindStringIndex(n)
			items, err := expandRange(m[1], m[2], m[3])
			if err != nil {
				return nil, 0, fmt.Errorf("host range %s: %w", m[0], err)
			}
			if len(next)+len(items) > maxRange {
				return nil, 0, fmt.Errorf("host range %s stands for more than %d hosts", pattern, maxRange)
			}
			for _, it := range items {
				next = append(next, n[:at[0]]+it+n[at[1]:])
			}
		}
		names = next
	}
	if strings.HasSuffix(names[0], ":") || strings.ContainsAny(names[0], "[]") && !strings.Contains(names[0], ":") {
		return nil, 0, fmt.Errorf("Invalid host pattern '%s' supplied, did you mean a range [a:b]?", pattern)
	}
	return names, port, nil
}

func expandRange(from, to, step string) ([]string, error) {
	by := 1
	if step != "" {
		by, _ = strconv.Atoi(step)
	}
	if by < 1 {
		return nil, fmt.Errorf("the step must be at least 1")
	}
	if from[0] < '0' || from[0] > '9' {
		if len(to) != 1 || to[0] < 'A' {
			return nil, fmt.Errorf("both ends must be letters")
		}
		if to[0] < from[0] {
			return nil, fmt.Errorf("the end is before the begin")
		}
		var out []string
		for c := int(from[0]); c <= int(to[0]); c += by {
			out = append(out, string(rune(c)))
		}
		return out, nil
	}
	a, err1 := strconv.Atoi(from)
	b, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("both ends must be numbers")
	}
	width := 0
	if from[0] == '0' && len(from) > 1 {
		if width = len(from); len(to) != width {
			return nil, fmt.Errorf("host range must specify equal-length begin and end formats")
		}
	}
	if b < a {
		return nil, fmt.Errorf("the end is before the begin")
	}
	if (b-a)/by > maxRange {
		return nil, fmt.Errorf("it stands for more than %d hosts", maxRange)
	}
	var out []string
	for i := a; i <= b; i += by {
		out = append(out, fmt.Sprintf("%0*d", width, i))
	}
	return out, nil
}

// SplitPort takes ":22" from the end of a name; IPv6 addresses need brackets for it.
func SplitPort(s string) (string, int) {
	if strings.HasPrefix(s, "[") {
		if end := strings.Index(s, "]"); end > 0 && strings.Count(s[:end], ":") > 1 && !rangePart.MatchString(s[:end+1]) {
			rest := s[end+1:]
			if rest == "" {
				return s[1:end], 0
			}
			if p, err := strconv.Atoi(strings.TrimPrefix(rest, ":")); err == nil && rest[0] == ':' {
				return s[1:end], p
			}
			return s, 0
		}
	}
	outside := rangePart.ReplaceAllString(s, "")
	if strings.Count(outside, ":") != 1 {
		return s, 0
	}
	i := strings.LastIndexByte(s, ':')
	if p, err := strconv.Atoi(s[i+1:]); err == nil && p > 0 && p < 65536 && !strings.HasSuffix(s, "]") {
		return s[:i], p
	}
	return s, 0
}
