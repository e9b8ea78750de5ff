package value

import (
	"math"
	"math/big"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// Repr is Python's repr(). Text beyond MaxString is cut off.
func Repr(v Value) string {
	b, _ := appendRepr(nil, v, 0)
	return string(b)
}

// Str is Python's str(). Text beyond MaxString is cut off; AppendStr reports it.
func Str(v Value) string {
	switch s := v.(type) {
	case string:
		return s
	case Unsafe:
		return string(s)
	case int64:
		return strconv.FormatInt(s, 10)
	}
	b, _ := AppendStr(nil, v)
	return string(b)
}

// AppendStr appends str(v) to b. It fails for something undefined, and when
// the text gets larger than MaxString.
func AppendStr(b []byte, v Value) ([]byte, error) {
	switch x := v.(type) {
	case string:
		return append(b, x...), nil
	case Unsafe:
		return append(b, x...), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case *Undefined:
		if x.Soft {
			return b, nil
		}
		return b, x.Use()
	case Time:
		return append(b, x.str()...), nil
	case Delta:
		return append(b, x.str()...), nil
	case error:
		return append(b, x.Error()...), nil
	case interface{ String() string }:
		if _, big := v.(*big.Int); !big {
			return append(b, x.String()...), nil
		}
	}
	return appendRepr(b, v, 0)
}

func appendRepr(b []byte, v Value, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return append(b, "..."...), nil
	}
	if len(b) > MaxString {
		return b, tooLarge("text")
	}
	switch x := v.(type) {
	case nil:
		return append(b, "None"...), nil
	case bool:
		if x {
			return append(b, "True"...), nil
		}
		return append(b, "False"...), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case *big.Int:
		return x.Append(b, 10), nil
	case float64:
		return appendFloat(b, x), nil
	case string:
		return appendQuoted(b, x), nil
	case Unsafe:
		return appendQuoted(b, string(x)), nil
	case []byte:
		return appendBytes(b, x), nil
	case *Undefined:
		return b, x.Use()
	case Tuple:
		b = append(b, '(')
		b, err := appendItems(b, x, depth)
		if len(x) == 1 {
			b = append(b, ',')
		}
		return append(b, ')'), err
	case *List:
		b, err := appendItems(append(b, '['), x.Items, depth)
		return append(b, ']'), err
	case *View:
		b = append(append(b, x.Kind...), "(["...)
		b, err := appendItems(b, x.Items, depth)
		return append(b, "])"...), err
	case Range:
		b = append(b, "range("...)
		b = strconv.AppendInt(b, x.Start, 10)
		b = strconv.AppendInt(append(b, ", "...), x.Stop, 10)
		if x.Step != 1 {
			b = strconv.AppendInt(append(b, ", "...), x.Step, 10)
		}
		return append(b, ')'), nil
	case *Dict:
		return appendDict(b, x.Items(), depth)
	case Time:
		return append(b, x.Repr()...), nil
	case Delta:
		return append(b, x.Repr()...), nil
	case Mapping:
		items, err := mappingItems(x)
		if err != nil {
			return b, err
		}
		return appendDict(b, items, depth)
	case Reprer:
		return append(b, x.Repr()...), nil
	case interface{ String() string }:
		return append(b, x.String()...), nil
	}
	return append(append(append(b, '<'), TypeName(v)...), '>'), nil
}

func appendItems(b []byte, items []Value, depth int) ([]byte, error) {
	var err error
	for i, e := range items {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = appendRepr(b, e, depth+1); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendDict(b []byte, items []Item, depth int) ([]byte, error) {
	var err error
	b = append(b, '{')
	for i, e := range items {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = appendRepr(b, e.Key, depth+1); err != nil {
			return b, err
		}
		b = append(b, ": "...)
		if b, err = appendRepr(b, e.Value, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendFloat writes the shortest text that reads back as f, with a point or
// an exponent, as Python does.
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "nan"...)
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case f == math.Trunc(f) && math.Abs(f) < 1e16:
		b = strconv.AppendFloat(b, f, 'f', -1, 64)
		return append(b, ".0"...)
	}
	if a := math.Abs(f); a >= 1e16 || a < 1e-4 {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendQuoted writes a string literal as Python's repr does: in single
// quotes, unless only single quotes are in it.
func appendQuoted(b []byte, s string) []byte {
	quote := byte('\'')
	single, double := false, false
	for i := range len(s) {
		single = single || s[i] == '\''
		double = double || s[i] == '"'
	}
	if single && !double {
		quote = '"'
	}
	b = append(b, quote)
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == quote || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, `\n`...)
			case c == '\r':
				b = append(b, `\r`...)
			case c == '\t':
				b = append(b, `\t`...)
			case c < 0x20 || c == 0x7f:
				b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\udc`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		case printable(r):
			b = append(b, s[i:i+n]...)
		case r < 0x100:
			b = append(b, '\\', 'x', hexDigits[r>>4], hexDigits[r&15])
		case r < 0x10000:
			b = appendU(b, r)
		default:
			b = append(b, `\U`...)
			for shift := 28; shift >= 0; shift -= 4 {
				b = append(b, hexDigits[r>>shift&15])
			}
		}
		i += n
	}
	return append(b, quote)
}

// printable is str.isprintable() for one character.
func printable(r rune) bool {
	if r == ' ' {
		return true
	}
	return unicode.IsGraphic(r) && !unicode.Is(unicode.Z, r)
}

func appendBytes(b, s []byte) []byte {
	quote := byte('\'')
	single, double := false, false
	for _, c := range s {
		single = single || c == '\''
		double = double || c == '"'
	}
	if single && !double {
		quote = '"'
	}
	b = append(b, 'b', quote)
	for _, c := range s {
		switch {
		case c == quote || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20 || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, quote)
}
