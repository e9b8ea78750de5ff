package value

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Args are the arguments of one call, read by position and name.
type Args struct {
	Name string // of the function, for messages
	Pos  []Value
	Kw   *Dict
}

// Get returns an argument by position or name.
func (a *Args) Get(i int, name string) (Value, bool) {
	if i >= 0 && i < len(a.Pos) {
		return a.Pos[i], true
	}
	if a.Kw == nil || name == "" {
		return nil, false
	}
	return a.Kw.Get(name)
}

// Or returns an argument, or def when it is not given.
func (a *Args) Or(i int, name string, def Value) Value {
	if v, ok := a.Get(i, name); ok {
		return v
	}
	return def
}

// Check refuses more than the named arguments, and fewer than min.
func (a *Args) Check(min int, names ...string) error {
	if len(a.Pos) > len(names) {
		return &Error{Kind: "TypeError", Msg: fmt.Sprintf("%s() takes at most %d arguments (%d given)", a.Name, len(names), len(a.Pos))}
	}
	if a.Kw.Len() > 0 {
	next:
		for _, k := range a.Kw.Keys() {
			for i, n := range names {
				if k == n && n != "" {
					if i < len(a.Pos) {
						return &Error{Kind: "TypeError", Msg: fmt.Sprintf("%s() got multiple values for argument '%s'", a.Name, n)}
					}
					continue next
				}
			}
			return &Error{Kind: "TypeError", Msg: fmt.Sprintf("%s() got an unexpected keyword argument '%s'", a.Name, Str(k))}
		}
	}
	for i := len(a.Pos); i < min; i++ {
		if _, ok := a.Get(i, names[i]); !ok {
			return &Error{Kind: "TypeError", Msg: fmt.Sprintf("%s() missing 1 required positional argument: '%s'", a.Name, names[i])}
		}
	}
	return nil
}

// String returns a text argument.
func (a *Args) String(i int, name, def string) (string, error) {
	v, ok := a.Get(i, name)
	if !ok {
		return def, nil
	}
	s, ok := StrOf(v)
	if !ok {
		return "", a.wrong(name, "a string", v)
	}
	return s, nil
}

// Int returns an integer argument.
func (a *Args) Int(i int, name string, def int64) (int64, error) {
	v, ok := a.Get(i, name)
	if !ok || v == nil {
		return def, nil
	}
	n, ok := AsInt(v)
	if !ok {
		return 0, a.wrong(name, "an integer", v)
	}
	return n, nil
}

// Bool returns the truth of an argument.
func (a *Args) Bool(i int, name string, def bool) (bool, error) {
	v, ok := a.Get(i, name)
	if !ok {
		return def, nil
	}
	return Truth(v)
}

func (a *Args) wrong(name, want string, v Value) error {
	if err := defined(v); err != nil {
		return err
	}
	if name == "" {
		name = "argument"
	}
	return &Error{Kind: "TypeError", Msg: fmt.Sprintf("%s: %s must be %s, not %s", a.Name, name, want, TypeName(v))}
}

// ParseInt is Python's int(text, base).
func ParseInt(s string, base int) (Value, error) {
	orig := s
	fail := func() (Value, error) {
		return nil, &Error{Kind: "ValueError", Msg: fmt.Sprintf("invalid literal for int() with base %d: %s", base, Repr(orig))}
	}
	s = strings.TrimFunc(s, isSpace)
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	b := base
	if len(s) > 2 && s[0] == '0' {
		p := 0
		switch s[1] {
		case 'x', 'X':
			p = 16
		case 'o', 'O':
			p = 8
		case 'b', 'B':
			p = 2
		}
		if p != 0 && (base == p || base == 0) {
			b, s = p, strings.TrimPrefix(s[2:], "_")
		}
	}
	if b == 0 {
		b = 10
		if len(s) > 1 && s[0] == '0' && strings.Trim(s, "0_") != "" {
			return fail()
		}
	}
	if s == "" || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || b < 2 || b > 36 {
		return fail()
	}
	s = strings.ReplaceAll(s, "_", "")
	if s[0] == '-' || s[0] == '+' {
		return fail()
	}
	if i, err := strconv.ParseInt(s, b, 64); err == nil {
		if neg {
			i = -i
		}
		return i, nil
	}
	if len(s) > 4300 && b&(b-1) != 0 {
		return nil, &Error{Kind: "ValueError", Msg: "Exceeds the limit (4300 digits) for integer string conversion"}
	}
	n, ok := new(big.Int).SetString(s, b)
	if !ok || len(s) > MaxBits {
		return fail()
	}
	if neg {
		n.Neg(n)
	}
	return Int(n), nil
}

// ParseFloat is Python's float(text).
func ParseFloat(s string) (float64, error) {
	orig := s
	s = strings.TrimFunc(s, isSpace)
	l := strings.ToLower(s)
	bad := strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || strings.ContainsAny(l, "xp")
	if !bad {
		t := strings.TrimLeft(l, "+-")
		switch t {
		case "inf", "infinity", "nan":
		default:
			bad = t == "" || t[0] > '9' && t[0] != '.'
		}
	}
	if !bad {
		f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
		if err == nil || f != 0 && len(s) > 0 && strings.Contains(err.Error(), "range") {
			return f, nil
		}
	}
	return 0, &Error{Kind: "ValueError", Msg: "could not convert string to float: " + Repr(orig)}
}
