package yaml

import (
	"fmt"
	"strings"
)

// runs calls f for each stretch of blanks, line breaks or other characters.
func runs(text string, f func(kind byte, s []rune, last bool)) {
	rs := []rune(text)
	kind := func(r rune) byte {
		switch {
		case r == ' ':
			return ' '
		case isBreak(r):
			return '\n'
		}
		return 'x'
	}
	for i := 0; i < len(rs); {
		j := i + 1
		for j < len(rs) && kind(rs[j]) == kind(rs[i]) {
			j++
		}
		f(kind(rs[i]), rs[i:j], j == len(rs))
		i = j
	}
}

func (e *emitter) breaks(s []rune) {
	for _, r := range s {
		e.b = append(e.b, string(r)...)
	}
	e.whitespace, e.indention, e.column = true, true, 0
}

func (e *emitter) plain(text string, split bool) {
	if text == "" {
		return
	}
	if !e.whitespace {
		e.write(" ")
	}
	e.whitespace, e.indention = false, false
	first := true
	runs(text, func(kind byte, s []rune, last bool) {
		switch kind {
		case ' ':
			if len(s) == 1 && split && e.column > e.width && !first && !last {
				e.writeIndent()
				e.whitespace, e.indention = false, false
			} else {
				e.write(string(s))
			}
		case '\n':
			if s[0] == '\n' {
				e.lineBreak()
			}
			e.breaks(s)
			e.writeIndent()
			e.whitespace, e.indention = false, false
		default:
			e.write(string(s))
		}
		first = false
	})
}

func (e *emitter) singleQuoted(text string, split bool) {
	e.indicator("'", true, false, false)
	first := true
	runs(text, func(kind byte, s []rune, last bool) {
		switch kind {
		case ' ':
			if len(s) == 1 && e.column > e.width && split && !first && !last {
				e.writeIndent()
			} else {
				e.write(string(s))
			}
		case '\n':
			if s[0] == '\n' {
				e.lineBreak()
			}
			e.breaks(s)
			e.writeIndent()
		default:
			e.write(strings.ReplaceAll(string(s), "'", "''"))
		}
		first = false
	})
	e.indicator("'", false, false, false)
}

const escapes = "\x00\x07\x08\x09\x0a\x0b\x0c\x0d\x1b\"\\\u0085\u00a0\u2028\u2029"
const escapeNames = "0abtnvfre\"\\N_LP"

func escapeRune(r rune) string {
	i := 0
	for _, x := range escapes {
		if x == r {
			return "\\" + escapeNames[i:i+1]
		}
		i++
	}
	switch {
	case r <= 0xff:
		return fmt.Sprintf("\\x%02X", r)
	case r <= 0xffff:
		return fmt.Sprintf("\\u%04X", r)
	}
	return fmt.Sprintf("\\U%08X", r)
}

// shown tells whether a character stands for itself between double quotes.
func (e *emitter) shown(r rune) bool {
	if r == '"' || r == '\\' || isBreak(r) || !printable(r) {
		return false
	}
	return r <= 0x7e || e.o.AllowUnicode
}

func (e *emitter) doubleQuoted(text string, split bool) {
	e.indicator(`"`, true, false, false)
	rs := []rune(text)
	spaces := false
	for i, r := range rs {
		switch {
		case !e.shown(r):
			e.write(escapeRune(r))
			spaces = false
		case r == ' ' && split && !spaces && e.column > e.width && i > 0 && i < len(rs)-1:
			e.writeIndent()
			if rs[i+1] == ' ' {
				e.write("\\")
			}
			spaces = true
		default:
			e.write(string(r))
			spaces = r == ' '
		}
	}
	e.indicator(`"`, false, false, false)
}

// hints are the indentation and chomping marks of a block scalar.
func (e *emitter) hints(text string) string {
	h := ""
	rs := []rune(text)
	if len(rs) == 0 {
		return h
	}
	if rs[0] == ' ' || isBreak(rs[0]) {
		h += fmt.Sprint(e.best)
	}
	n := len(rs)
	switch {
	case !isBreak(rs[n-1]):
		h += "-"
	case n == 1 || isBreak(rs[n-2]):
		h += "+"
	}
	return h
}

func (e *emitter) literal(text string) {
	h := e.hints(text)
	e.indicator("|"+h, true, false, false)
	if strings.HasSuffix(h, "+") {
		e.openEnded = true
	}
	e.lineBreak()
	breaks := true
	rest := []rune(text)
	for len(rest) > 0 {
		i := 0
		if breaks {
			for i < len(rest) && isBreak(rest[i]) {
				i++
			}
			e.breaks(rest[:i])
			if i < len(rest) {
				e.writeIndent()
			}
			if i == 0 {
				e.writeIndent()
			}
			breaks = false
		} else {
			for i < len(rest) && !isBreak(rest[i]) {
				i++
			}
			e.write(string(rest[:i]))
			if i == len(rest) {
				e.lineBreak()
			}
			breaks = true
		}
		rest = rest[i:]
	}
}

func (e *emitter) folded(text string) {
	h := e.hints(text)
	e.indicator(">"+h, true, false, false)
	if strings.HasSuffix(h, "+") {
		e.openEnded = true
	}
	e.lineBreak()
	leading := true
	runs(text, func(kind byte, s []rune, last bool) {
		switch kind {
		case '\n':
			if !leading && s[0] == '\n' && !last {
				e.lineBreak()
			}
			leading = false
			e.breaks(s)
			if !last {
				e.writeIndent()
			}
		case ' ':
			if len(s) == 1 && e.column > e.width && !last {
				e.writeIndent()
			} else {
				e.write(string(s))
			}
			leading = false
		default:
			if leading {
				e.writeIndent()
			}
			leading = false
			e.write(string(s))
			if last {
				e.lineBreak()
			}
		}
	})
}
