package inventory

import (
	"math/big"
	"strconv"
	"strings"

	"drover/internal/play/source"
	"drover/internal/play/value"
)

// literal reads a value of an INI inventory: a Python literal where it is
// one, text otherwise.
func literal(s string) value.Value {
	p := &literalParser{s: s}
	p.blank()
	v, ok := p.value(0)
	p.blank()
	if ok && p.i == len(p.s) {
		return v
	}
	return s
}

type literalParser struct {
	s string
	i int
}

func (p *literalParser) blank() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *literalParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *literalParser) value(depth int) (value.Value, bool) {
	if depth > 50 {
		return nil, false
	}
	switch c := p.peek(); {
	case c == '[' || c == '(' || c == '{':
		return p.collection(c, depth)
	case c == '\'' || c == '"':
		return p.text()
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return p.number()
	}
	for word, v := range map[string]value.Value{"True": true, "False": false, "None": nil} {
		if strings.HasPrefix(p.s[p.i:], word) {
			rest := p.s[p.i+len(word):]
			if rest == "" || !source.IsIdentifier("_"+rest[:1]) {
				p.i += len(word)
				return v, true
			}
		}
	}
	return nil, false
}

func (p *literalParser) collection(open byte, depth int) (value.Value, bool) {
	closer := map[byte]byte{'[': ']', '(': ')', '{': '}'}[open]
	p.i++
	var items []value.Value
	dict := value.NewDict()
	comma := false
	isDict := open == '{'
	for {
		p.blank()
		if p.peek() == closer {
			p.i++
			break
		}
		if len(items)+dict.Len() > 0 && !comma {
			return nil, false
		}
		v, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		p.blank()
		if isDict {
			if p.peek() != ':' || !value.Hashable(v) {
				return nil, false
			}
			p.i++
			p.blank()
			x, ok := p.value(depth + 1)
			if !ok {
				return nil, false
			}
			dict.Set(v, x)
			p.blank()
		} else {
			items = append(items, v)
		}
		if comma = p.peek() == ','; comma {
			p.i++
		}
	}
	switch {
	case isDict:
		return dict, true
	case open == '[':
		return value.NewList(items...), true
	case len(items) == 1 && !comma:
		return items[0], true
	}
	return value.Tuple(items), true
}

func (p *literalParser) text() (value.Value, bool) {
	quote := p.s[p.i]
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case quote:
			p.i++
			return b.String(), true
		case '\\':
			if p.i++; p.i >= len(p.s) {
				return nil, false
			}
			if e, ok := map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"", '0': "\x00"}[p.s[p.i]]; ok {
				b.WriteString(e)
			} else {
				b.WriteByte('\\')
				b.WriteByte(p.s[p.i])
			}
		case '\n':
			return nil, false
		default:
			b.WriteByte(c)
		}
	}
	return nil, false
}

func (p *literalParser) number() (value.Value, bool) {
	start := p.i
	for p.i < len(p.s) && (source.IsIdentifier("_"+p.s[p.i:p.i+1]) || strings.IndexByte("+-.", p.s[p.i]) >= 0) {
		p.i++
	}
	t := p.s[start:p.i]
	body := strings.TrimLeft(t, "+-")
	if len(t)-len(body) > 1 || body == "" {
		return nil, false
	}
	if len(body) > 1 && body[0] == '0' && body[1] >= '0' && body[1] <= '9' && !strings.ContainsAny(body, ".eE") {
		return nil, strings.Trim(body, "0") == ""
	}
	if b, ok := new(big.Int).SetString(t, 0); ok {
		return value.Int(b), true
	}
	if strings.ContainsAny(body, "xXpPiInN") {
		return nil, false
	}
	f, err := strconv.ParseFloat(t, 64)
	return f, err == nil
}
