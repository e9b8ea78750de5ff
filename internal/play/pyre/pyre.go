// Package pyre matches regular expressions in Python's syntax, and fills its
// replacements, over bytes.
package pyre

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Regexp is a regular expression in Python's syntax over bytes. The usual ones
// run on Go's own engine, which takes linear time; those with look-around or
// back-references run on one that backtracks, with a time limit.
type Regexp struct {
	std *regexp.Regexp
	ext *regexp2.Regexp
}

// Compile compiles a pattern; multiline makes ^ and $ match at every line.
func Compile(pattern string, multiline, dotall bool) (*Regexp, error) {
	src := strings.ReplaceAll(pattern, `\Z`, `\z`)
	flags := ""
	if multiline {
		flags += "m"
	}
	if dotall {
		flags += "s"
	}
	prefix := ""
	if flags != "" {
		prefix = "(?" + flags + ")"
	}
	if re, err := regexp.Compile(prefix + src); err == nil {
		return &Regexp{std: re}, nil
	}
	src = strings.ReplaceAll(src, "(?P<", "(?<")
	for {
		i := strings.Index(src, "(?P=")
		if i < 0 {
			break
		}
		j := strings.IndexByte(src[i:], ')')
		if j < 0 {
			break
		}
		src = src[:i] + `\k<` + src[i+4:i+j] + ">" + src[i+j+1:]
	}
	opts := regexp2.None
	if multiline {
		opts |= regexp2.Multiline
	}
	if dotall {
		opts |= regexp2.Singleline
	}
	re, err := regexp2.Compile(latin(src), opts)
	if err != nil {
		return nil, fmt.Errorf("cannot read the regular expression %q: %v", pattern, err)
	}
	re.MatchTimeout = 20 * time.Second
	return &Regexp{ext: re}, nil
}

// latin makes one rune of each byte, so that positions in runes are positions
// in bytes and text that is not UTF-8 passes through.
func latin(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// Find is the first match: pairs of start and end for the whole and each group,
// -1 where a group took no part; nil if there is none.
func (p *Regexp) Find(s string) ([]int, error) {
	if p.std != nil {
		return p.std.FindStringSubmatchIndex(s), nil
	}
	m, err := p.ext.FindStringMatch(latin(s))
	if err != nil || m == nil {
		return nil, err
	}
	return p.extMatch(m), nil
}

func (p *Regexp) extMatch(m *regexp2.Match) []int {
	var out []int
	for _, g := range m.Groups() {
		if len(g.Captures) == 0 {
			out = append(out, -1, -1)
			continue
		}
		out = append(out, g.Index, g.Index+g.Length)
	}
	return out
}

// Match reports whether the pattern is found anywhere in s.
func (p *Regexp) Match(s string) (bool, error) {
	if p.std != nil {
		return p.std.MatchString(s), nil
	}
	return p.ext.MatchString(latin(s))
}

// FindAll are all matches that do not overlap.
func (p *Regexp) FindAll(s string) ([][]int, error) {
	if p.std != nil {
		return p.std.FindAllStringSubmatchIndex(s, -1), nil
	}
	var out [][]int
	m, err := p.ext.FindStringMatch(latin(s))
	for m != nil && err == nil {
		out = append(out, p.extMatch(m))
		m, err = p.ext.FindNextMatch(m)
	}
	return out, err
}

// Group is the number of a group by number or name, below 0 if there is none.
func (p *Regexp) Group(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	if p.std != nil {
		return p.std.SubexpIndex(name)
	}
	return p.ext.GroupNumberFromName(name)
}

// Expand writes a replacement in Python's syntax: \1, \g<1>, \g<name>, \n, \\.
func (p *Regexp) Expand(tmpl, s string, m []int) (string, error) {
	var b strings.Builder
	put := func(n int) error {
		if n < 0 || 2*n+1 >= len(m) {
			return fmt.Errorf("invalid group reference %d", n)
		}
		if m[2*n] >= 0 {
			b.WriteString(s[m[2*n]:m[2*n+1]])
		}
		return nil
	}
	for i := 0; i < len(tmpl); i++ {
		c := tmpl[i]
		if c != '\\' || i+1 == len(tmpl) {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = tmpl[i]; {
		case c == 'g' && i+1 < len(tmpl) && tmpl[i+1] == '<':
			end := strings.IndexByte(tmpl[i:], '>')
			if end < 0 {
				return "", fmt.Errorf("missing >, unterminated name in %q", tmpl)
			}
			name := tmpl[i+2 : i+end]
			i += end
			n := p.Group(name)
			if n < 0 {
				return "", fmt.Errorf("unknown group name %q", name)
			}
			if err := put(n); err != nil {
				return "", err
			}
		case c == '0' || c >= '1' && c <= '9' && i+2 < len(tmpl) && isOctal(tmpl[i:i+3]):
			n := i
			for n < len(tmpl) && n < i+3 && tmpl[n] >= '0' && tmpl[n] <= '7' {
				n++
			}
			v, err := strconv.ParseUint(tmpl[i:n], 8, 8)
			if err != nil {
				return "", fmt.Errorf("octal escape value \\%s outside of range 0-0o377", tmpl[i:n])
			}
			b.WriteByte(byte(v))
			i = n - 1
		case c >= '1' && c <= '9':
			n := int(c - '0')
			if i+1 < len(tmpl) && tmpl[i+1] >= '0' && tmpl[i+1] <= '9' {
				n = n*10 + int(tmpl[i+1]-'0')
				i++
			}
			if err := put(n); err != nil {
				return "", err
			}
		default:
			if j := strings.IndexByte(`abfnrtv\`, c); j >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v\\"[j])
				continue
			}
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				return "", fmt.Errorf("bad escape \\%c", c)
			}
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func isOctal(s string) bool { return strings.Trim(s, "01234567") == "" && s[0] <= '3' }

// ReplaceAll replaces every match and tells how many there were.
func (p *Regexp) ReplaceAll(s, tmpl string) (string, int, error) {
	all, err := p.FindAll(s)
	if err != nil {
		return "", 0, err
	}
	var b strings.Builder
	at := 0
	for _, m := range all {
		x, err := p.Expand(tmpl, s, m)
		if err != nil {
			return "", 0, err
		}
		b.WriteString(s[at:m[0]])
		b.WriteString(x)
		at = m[1]
	}
	b.WriteString(s[at:])
	return b.String(), len(all), nil
}
