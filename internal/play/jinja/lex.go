package jinja

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"drover/internal/play/value"
)

type tokenKind uint8

const (
	tEOF tokenKind = iota
	tData
	tVarBegin
	tVarEnd
	tBlockBegin
	tBlockEnd
	tName
	tInt
	tFloat
	tString
	tOp
)

type token struct {
	kind tokenKind
	pos  int // byte offset in the normalised source
	text string
	val  value.Value // of a literal
}

func (t token) describe() string {
	switch t.kind {
	case tEOF:
		return "end of template"
	case tData:
		return "template data"
	case tVarBegin:
		return "begin of print statement"
	case tVarEnd:
		return "end of print statement"
	case tBlockBegin:
		return "begin of statement block"
	case tBlockEnd:
		return "end of statement block"
	case tString:
		return "string " + value.Repr(t.val)
	}
	return "'" + t.text + "'"
}

// syntax is an error at an offset of the source.
type syntax struct {
	pos    int
	msg    string
	remedy string
}

func (e *syntax) Error() string { return e.msg }

type lexer struct {
	src  string
	o    *Options
	toks []token
	pos  int
	next [3]int // where the next opening delimiter of each kind stands, len(src) for nowhere; 0: not looked for
}

// newlines makes every line end a "\n".
func newlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// lexTemplate cuts a template into tokens.
func lexTemplate(src string, o *Options) (toks []token, err error) {
	if !o.KeepTrailingNewline {
		src = strings.TrimSuffix(src, "\n")
	}
	l := &lexer{src: src, o: o, toks: make([]token, 0, 16)}
	if err := l.data(); err != nil {
		return nil, err
	}
	return append(l.toks, token{kind: tEOF, pos: len(src)}), nil
}

// lexExpr cuts a bare expression into tokens.
func lexExpr(src string) ([]token, error) {
	l := &lexer{src: src, o: &Options{}}
	if err := l.expression("", 0); err != nil {
		return nil, err
	}
	return append(l.toks, token{kind: tEOF, pos: len(src)}), nil
}

func fail(pos int, msg string) error { return &syntax{pos: pos, msg: msg} }

// nextTag finds the first opening delimiter from pos on. Where several begin
// at one place the longest wins.
func (l *lexer) nextTag(from int) (at int, kind tokenKind, open string) {
	at = -1
	for i, d := range [3]string{l.o.CommentStart, l.o.BlockStart, l.o.VariableStart} {
		if l.next[i] < from || l.next[i] == 0 {
			l.next[i] = len(l.src)
			if j := strings.Index(l.src[from:], d); j >= 0 {
				l.next[i] = from + j
			}
		}
		n := l.next[i]
		if n < len(l.src) && (at < 0 || n < at || n == at && len(d) > len(open)) {
			at, kind, open = n, [3]tokenKind{tData, tBlockBegin, tVarBegin}[i], d
		}
	}
	return at, kind, open
}

// data reads text until the end, and the tags in it.
func (l *lexer) data() error {
	trim := false // the tag before took all whitespace after it
	for l.pos < len(l.src) {
		at, kind, open := l.nextTag(l.pos)
		if at < 0 {
			l.text(l.pos, len(l.src), trim, 0, false)
			return nil
		}
		after := at + len(open)
		sign := byte(0)
		if after < len(l.src) && (l.src[after] == '-' || l.src[after] == '+') {
			sign = l.src[after]
			after++
		}
		l.text(l.pos, at, trim, sign, kind != tVarBegin)
		l.pos = after
		var err error
		switch kind {
		case tData:
			trim, err = l.comment(at)
		case tVarBegin:
			l.toks = append(l.toks, token{kind: tVarBegin, pos: at})
			trim, err = l.tag(l.o.VariableEnd, tVarEnd, at)
		default:
			if body, ok := l.rawTag(); ok {
				trim, err = l.raw(body, at)
				break
			}
			l.toks = append(l.toks, token{kind: tBlockBegin, pos: at})
			trim, err = l.tag(l.o.BlockEnd, tBlockEnd, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// text emits src[from:to], less what whitespace control takes.
func (l *lexer) text(from, to int, trimLeft bool, sign byte, block bool) {
	s := l.src[from:to]
	if trimLeft {
		t := strings.TrimLeftFunc(s, unicode.IsSpace)
		from += len(s) - len(t)
		s = t
	}
	switch {
	case sign == '-':
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	case sign == 0 && block && l.o.LstripBlocks:
		i := strings.LastIndexByte(s, '\n') + 1
		// What precedes on the line must be blank, and the line must begin here.
		if strings.TrimFunc(s[i:], unicode.IsSpace) == "" && (i > 0 || from == 0 || l.src[from-1] == '\n') {
			s = s[:i]
		}
	}
	if s != "" {
		l.toks = append(l.toks, token{kind: tData, pos: from, text: s})
	}
}

// closing reads a closing delimiter with its sign at l.pos.
func (l *lexer) closing(end string, block bool) (ok, trim bool) {
	s := l.src[l.pos:]
	switch {
	case strings.HasPrefix(s, "-"+end):
		l.pos += 1 + len(end)
		return true, true
	case block && strings.HasPrefix(s, "+"+end):
		l.pos += 1 + len(end)
		return true, false
	case strings.HasPrefix(s, end):
		l.pos += len(end)
		if block && l.o.TrimBlocks && l.pos < len(l.src) && l.src[l.pos] == '\n' {
			l.pos++
		}
		return true, false
	}
	return false, false
}

func (l *lexer) comment(at int) (bool, error) {
	end := l.o.CommentEnd
	i := strings.Index(l.src[l.pos:], end)
	if i < 0 {
		return false, &syntax{pos: at, msg: "Missing end of comment tag", remedy: "close it with " + end}
	}
	l.pos += i
	if i > 0 && (l.src[l.pos-1] == '-' || l.src[l.pos-1] == '+') {
		l.pos--
	}
	_, trim := l.closing(end, true)
	return trim, nil
}

// rawTag tells whether the tag at l.pos is "raw", and where its body begins.
func (l *lexer) rawTag() (bodyAt int, ok bool) {
	s := l.src[l.pos:]
	t := strings.TrimLeftFunc(s, unicode.IsSpace)
	if !strings.HasPrefix(t, "raw") {
		return 0, false
	}
	t = strings.TrimLeftFunc(t[3:], unicode.IsSpace)
	save := l.pos
	l.pos = len(l.src) - len(t)
	ok, trim := l.closing(l.o.BlockEnd, false) // its newline stays, whatever trim_blocks says
	bodyAt = l.pos
	l.pos = save
	if trim {
		bodyAt = -bodyAt - 1
	}
	return bodyAt, ok
}

func (l *lexer) raw(body, at int) (bool, error) {
	trimBody := body < 0
	if trimBody {
		body = -body - 1
	}
	from := body
	for {
		i := strings.Index(l.src[from:], l.o.BlockStart)
		if i < 0 {
			return false, &syntax{pos: at, msg: "Missing end of raw directive", remedy: "close it with " + l.o.BlockStart + " endraw " + l.o.BlockEnd}
		}
		start := from + i
		p := start + len(l.o.BlockStart)
		sign := byte(0)
		if p < len(l.src) && (l.src[p] == '-' || l.src[p] == '+') {
			sign = l.src[p]
			p++
		}
		t := strings.TrimLeftFunc(l.src[p:], unicode.IsSpace)
		if strings.HasPrefix(t, "endraw") {
			t = strings.TrimLeftFunc(t[len("endraw"):], unicode.IsSpace)
			l.pos = len(l.src) - len(t)
			if ok, trim := l.closing(l.o.BlockEnd, true); ok {
				l.text(body, start, trimBody, sign, true)
				return trim, nil
			}
		}
		from = start + len(l.o.BlockStart)
	}
}

// tag reads the tokens of one tag up to its end.
func (l *lexer) tag(end string, kind tokenKind, at int) (bool, error) {
	if err := l.expression(end, kind); err != nil {
		return false, err
	}
	if l.pos >= len(l.src) {
		return false, &syntax{pos: at, msg: "unexpected end of template: a tag is not closed", remedy: "close it with " + end}
	}
	pos := l.pos
	_, trim := l.closing(end, kind == tBlockEnd)
	l.toks = append(l.toks, token{kind: kind, pos: pos})
	return trim, nil
}

// expression reads tokens until end stands outside all brackets.
func (l *lexer) expression(end string, kind tokenKind) error {
	var open []token
	for l.pos < len(l.src) {
		s := l.src[l.pos:]
		c := s[0]
		if c == ' ' || c == '\n' || c == '\t' {
			l.pos++
			continue
		}
		if end != "" && len(open) == 0 && l.atEnd(s, end, kind) {
			return nil
		}
		start := l.pos
		switch {
		case c == '"' || c == '\'':
			if err := l.str(kind); err != nil {
				return err
			}
		case c >= '0' && c <= '9':
			if err := l.number(); err != nil {
				return err
			}
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf:
			n := 0
			for n < len(s) {
				r, w := utf8.DecodeRuneInString(s[n:])
				if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
					break
				}
				n += w
			}
			if n == 0 {
				r, w := utf8.DecodeRuneInString(s)
				if unicode.IsSpace(r) {
					l.pos += w
					continue
				}
				return fail(start, "unexpected char "+value.Repr(string(r)))
			}
			l.pos += n
			l.toks = append(l.toks, token{kind: tName, pos: start, text: s[:n]})
		default:
			op := operator(s)
			if op == "" {
				r, w := utf8.DecodeRuneInString(s)
				if unicode.IsSpace(r) {
					l.pos += w
					continue
				}
				return fail(start, "unexpected char "+value.Repr(string(r)))
			}
			t := token{kind: tOp, pos: start, text: op}
			switch op {
			case "(", "[", "{":
				open = append(open, t)
				if len(open) > maxNesting {
					return fail(start, "brackets are nested too deeply")
				}
			case ")", "]", "}":
				if len(open) == 0 {
					return fail(start, "unexpected '"+op+"'")
				}
				want := closingOf(open[len(open)-1].text)
				if op != want {
					return fail(start, "unexpected '"+op+"', expected '"+want+"'")
				}
				open = open[:len(open)-1]
			}
			l.pos += len(op)
			l.toks = append(l.toks, t)
		}
	}
	if len(open) > 0 {
		b := open[len(open)-1]
		return &syntax{pos: b.pos, msg: "'" + b.text + "' is never closed", remedy: "add the missing '" + closingOf(b.text) + "'"}
	}
	return nil
}

// atEnd reports whether s begins with a closing delimiter.
func (l *lexer) atEnd(s, end string, kind tokenKind) bool {
	if strings.HasPrefix(s, end) {
		return true
	}
	return (s[0] == '-' || s[0] == '+' && kind == tBlockEnd) && strings.HasPrefix(s[1:], end)
}

func closingOf(open string) string {
	switch open {
	case "(":
		return ")"
	case "[":
		return "]"
	}
	return "}"
}

func operator(s string) string {
	if len(s) >= 2 {
		switch s[:2] {
		case "//", "**", "==", "!=", ">=", "<=":
			return s[:2]
		}
	}
	if strings.IndexByte("+-/*%~[](){}><=.:|,;", s[0]) >= 0 {
		return s[:1]
	}
	return ""
}

func (l *lexer) str(kind tokenKind) error {
	quote := l.src[l.pos]
	start := l.pos
	i := start + 1
	escaped := false
	for ; ; i++ {
		if i >= len(l.src) {
			return &syntax{pos: start, msg: "unexpected char " + value.Repr(string(quote)) + ": the string is not closed",
				remedy: "close it with " + string(quote)}
		}
		if l.src[i] == '\\' {
			escaped = true
			i++
			continue
		}
		if l.src[i] == quote {
			break
		}
	}
	s := l.src[start+1 : i]
	if escaped && !(l.o.RawStrings && kind == tVarEnd) {
		var err error
		if s, err = unescape(s, start+1); err != nil {
			return err
		}
	}
	l.pos = i + 1
	l.toks = append(l.toks, token{kind: tString, pos: start, text: l.src[start:l.pos], val: s})
	return nil
}

// unescape resolves Python's escapes; an unknown one stays as it is.
func unescape(s string, at int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'a':
			b.WriteByte('\a')
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'v':
			b.WriteByte('\v')
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n, j := 0, i
			for j < len(s) && j < i+3 && s[j] >= '0' && s[j] <= '7' {
				n = n*8 + int(s[j]-'0')
				j++
			}
			b.WriteRune(rune(n))
			i = j - 1
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				return "", fail(at+i-1, "a \\"+string(c)+" escape is cut off")
			}
			v, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || v > unicode.MaxRune {
				return "", fail(at+i-1, "a \\"+string(c)+" escape is not a character")
			}
			b.WriteRune(rune(v))
			i += n
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func (l *lexer) number() error {
	s := l.src[l.pos:]
	start := l.pos
	isDigits := func(from int, set string) int {
		i := from
		for i < len(s) && (strings.IndexByte(set, s[i]) >= 0 || s[i] == '_' && i+1 < len(s) && strings.IndexByte(set, s[i+1]) >= 0 && i > from) {
			i++
		}
		return i
	}
	const dec = "0123456789"
	if len(s) > 2 && s[0] == '0' {
		set := ""
		switch s[1] {
		case 'b', 'B':
			set = "01"
		case 'o', 'O':
			set = "01234567"
		case 'x', 'X':
			set = "0123456789abcdefABCDEF"
		}
		if set != "" {
			from := 2
			if s[2] == '_' {
				from = 3
			}
			if n := isDigits(from, set); n > from {
				v, err := value.ParseInt(s[:n], 0)
				if err != nil {
					return fail(start, err.Error())
				}
				l.pos += n
				l.toks = append(l.toks, token{kind: tInt, pos: start, text: s[:n], val: v})
				return nil
			}
		}
	}
	n := isDigits(0, dec)
	afterDot := start > 0 && l.src[start-1] == '.'
	end := n
	if !afterDot {
		if end+1 < len(s) && s[end] == '.' && s[end+1] >= '0' && s[end+1] <= '9' {
			end = isDigits(end+1, dec)
		}
		if end+1 < len(s) && (s[end] == 'e' || s[end] == 'E') {
			e := end + 1
			if s[e] == '+' || s[e] == '-' {
				e++
			}
			if e < len(s) && s[e] >= '0' && s[e] <= '9' {
				end = isDigits(e, dec)
			}
		}
	}
	if end > n {
		f, err := value.ParseFloat(s[:end])
		if err != nil {
			return fail(start, err.Error())
		}
		l.pos += end
		l.toks = append(l.toks, token{kind: tFloat, pos: start, text: s[:end], val: f})
		return nil
	}
	// As Python: a number does not begin with 0 unless it is all zeros.
	if s[0] == '0' {
		z := isDigits(0, "0")
		n = z
	}
	v, err := value.ParseInt(s[:n], 10)
	if err != nil {
		return fail(start, err.Error())
	}
	l.pos += n
	l.toks = append(l.toks, token{kind: tInt, pos: start, text: s[:n], val: v})
	return nil
}
