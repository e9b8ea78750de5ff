package filter

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2"

	"drover/internal/play/value"
)

// regexTimeout bounds one match: a pattern may need exponential time.
const regexTimeout = 2 * time.Second

// pattern is a compiled regular expression with Python's numbering of groups.
type pattern struct {
	re    *regexp2.Regexp
	n     int // groups
	names map[string]int
}

// regexCache keeps compiled patterns.
type regexCache struct {
	mu sync.Mutex
	m  map[string]*pattern
}

func newRegexCache() *regexCache { return &regexCache{m: map[string]*pattern{}} }

func (rc *regexCache) compile(src string, ignoreCase, multiline bool) (*pattern, error) {
	key := src
	var o regexp2.RegexOptions
	if ignoreCase {
		o |= regexp2.IgnoreCase
		key += "\x00i"
	}
	if multiline {
		o |= regexp2.Multiline
		key += "\x00m"
	}
	rc.mu.Lock()
	p := rc.m[key]
	rc.mu.Unlock()
	if p != nil {
		return p, nil
	}
	text, names, n := translate(src)
	re, err := regexp2.Compile(text, o)
	if err != nil {
		return nil, &value.Error{Kind: "re.error", Msg: "Invalid regular expression (" + src + "): " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
	}
	re.MatchTimeout = regexTimeout
	p = &pattern{re: re, n: n, names: names}
	rc.mu.Lock()
	if len(rc.m) > 2000 {
		rc.m = map[string]*pattern{}
	}
	rc.m[key] = p
	rc.mu.Unlock()
	return p, nil
}

// translate writes a pattern of Python's re as regexp2 reads it. Named groups
// become plain ones, so that they are numbered in the order of the pattern.
func translate(src string) (text string, names map[string]int, groups int) {
	var b strings.Builder
	names = map[string]int{}
	inClass := false
	for i := 0; i < len(src); i++ {
		c := src[i]
		rest := src[i:]
		switch {
		case c == '\\' && i+1 < len(src):
			i++
			switch d := src[i]; {
			case d == 'Z' && !inClass:
				b.WriteString(`\z`)
			case d >= '1' && d <= '9' && !inClass:
				j := i + 1
				if j < len(src) && src[j] >= '0' && src[j] <= '9' {
					j++
				}
				b.WriteString(`(?:\` + src[i:j] + `)`)
				i = j - 1
			default:
				b.WriteByte('\\')
				b.WriteByte(d)
			}
		case inClass:
			switch {
			case c == '[':
				b.WriteString(`\[`)
			default:
				b.WriteByte(c)
				inClass = c != ']'
			}
		case c == '[':
			inClass = true
			b.WriteByte(c)
			if i+1 < len(src) && src[i+1] == '^' {
				i++
				b.WriteByte('^')
			}
			if i+1 < len(src) && src[i+1] == ']' {
				i++
				b.WriteString(`\]`)
			}
		case strings.HasPrefix(rest, "(?P<"):
			end := strings.IndexByte(rest, '>')
			if end < 0 {
				b.WriteByte(c)
				continue
			}
			groups++
			names[rest[4:end]] = groups
			b.WriteByte('(')
			i += end
		case strings.HasPrefix(rest, "(?P="):
			end := strings.IndexByte(rest, ')')
			if end < 0 {
				b.WriteByte(c)
				continue
			}
			b.WriteString(`(?:\` + strconv.Itoa(names[rest[4:end]]) + `)`)
			i += end
		case strings.HasPrefix(rest, "(?("):
			end := strings.IndexByte(rest, ')')
			if end < 0 {
				b.WriteByte(c)
				continue
			}
			name := rest[3:end]
			if n, ok := names[name]; ok {
				name = strconv.Itoa(n)
			}
			b.WriteString("(?(" + name + ")")
			i += end
		case strings.HasPrefix(rest, "(?"):
			// Flags that regexp2 does not have change nothing here.
			end := strings.IndexAny(rest, ":)")
			if end > 2 && strings.Trim(rest[2:end], "aiLmsux-") == "" {
				b.WriteString("(?" + strings.NewReplacer("a", "", "L", "", "u", "").Replace(rest[2:end]))
				b.WriteByte(rest[end])
				i += end
				continue
			}
			b.WriteByte(c)
		case c == '(':
			groups++
			b.WriteByte(c)
		case strings.HasPrefix(rest, "{,"):
			b.WriteString("{0,")
			i++
		default:
			b.WriteByte(c)
		}
	}
	return strings.ReplaceAll(b.String(), "(?)", ""), names, groups
}

func (p *pattern) err(err error) error {
	if err != nil && strings.Contains(err.Error(), "timeout") {
		return &value.Error{Kind: "re.error", Msg: "the regular expression takes too long on this text"}
	}
	return err
}

// group is the text of a group, and whether it took part in the match.
func group(m *regexp2.Match, n int) (string, bool) {
	g := m.GroupByNumber(n)
	if g == nil || len(g.Captures) == 0 {
		return "", false
	}
	return g.String(), true
}

// expand fills in a replacement of Python's: \1, \g<1>, \g<name>, \n …
func (p *pattern) expand(b *strings.Builder, m *regexp2.Match, repl string) error {
	put := func(n int) error {
		if n > p.n {
			return &value.Error{Kind: "re.error", Msg: "invalid group reference " + strconv.Itoa(n)}
		}
		s, _ := group(m, n)
		b.WriteString(s)
		return nil
	}
	for i := 0; i < len(repl); i++ {
		if repl[i] != '\\' || i+1 == len(repl) {
			b.WriteByte(repl[i])
			continue
		}
		i++
		switch c := repl[i]; {
		case c == 'g' && i+1 < len(repl) && repl[i+1] == '<':
			end := strings.IndexByte(repl[i:], '>')
			if end < 0 {
				return &value.Error{Kind: "re.error", Msg: "missing >, unterminated name"}
			}
			n, err := p.number(repl[i+2 : i+end])
			if err != nil {
				return err
			}
			if err := put(n); err != nil {
				return err
			}
			i += end
		case c == '0':
			j := i + 1
			for j < len(repl) && j < i+3 && repl[j] >= '0' && repl[j] <= '7' {
				j++
			}
			n, _ := strconv.ParseUint(repl[i:j], 8, 32)
			b.WriteRune(rune(n))
			i = j - 1
		case c >= '1' && c <= '9':
			j := i + 1
			if j < len(repl) && repl[j] >= '0' && repl[j] <= '9' {
				j++
			}
			n, _ := strconv.Atoi(repl[i:j])
			if err := put(n); err != nil {
				return err
			}
			i = j - 1
		default:
			if k := strings.IndexByte(`abfnrtv\`, c); k >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v\\"[k])
			} else if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				return &value.Error{Kind: "re.error", Msg: "bad escape \\" + string(c)}
			} else {
				b.WriteByte('\\')
				b.WriteByte(c)
			}
		}
	}
	return nil
}

// number is a group by number or name.
func (p *pattern) number(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	if n, ok := p.names[name]; ok {
		return n, nil
	}
	return 0, &value.Error{Kind: "IndexError", Msg: "unknown group name '" + name + "'"}
}

var errStop = errors.New("stop")

// each calls f for every match, at most count of them unless count is 0.
func (p *pattern) each(s string, count int, f func(m *regexp2.Match) error) (int, error) {
	n := 0
	m, err := p.re.FindStringMatch(s)
	for err == nil && m != nil {
		if err = f(m); err != nil {
			if err == errStop {
				return n, nil
			}
			return n, err
		}
		if n++; n == count || n > value.MaxItems {
			return n, nil
		}
		m, err = p.re.FindNextMatch(m)
	}
	return n, p.err(err)
}

// replace is re.sub.
func (p *pattern) replace(s, repl string, count int) (string, int, error) {
	var b strings.Builder
	var rs []rune // match positions count runes
	at := 0
	n, err := p.each(s, count, func(m *regexp2.Match) error {
		if rs == nil {
			rs = []rune(s)
		}
		b.WriteString(string(rs[at:m.Index]))
		at = m.Index + m.Length
		if b.Len() > value.MaxString {
			return &value.Error{Kind: "OverflowError", Msg: "the text would be larger than this engine allows"}
		}
		return p.expand(&b, m, repl)
	})
	if err != nil || n == 0 {
		return s, n, err
	}
	b.WriteString(string(rs[at:]))
	return b.String(), n, nil
}
