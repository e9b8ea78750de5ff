package value

import (
	"context"
	"math"
	"math/big"
	"unicode"
)

// builtin is one method of a built-in type.
type builtin func(recv Value, a *Args) (Value, error)

// method makes a callable of f.
func method(f func(a *Args) (Value, error), name string) Func {
	return func(_ context.Context, args []Value, kw *Dict) (Value, error) {
		return f(&Args{Name: name, Pos: args, Kw: kw})
	}
}

// methodOf finds a method of v's type.
func methodOf(v Value, name string) builtin {
	switch v.(type) {
	case string, Unsafe:
		return strMethod(name)
	case *Dict:
		return dictMethod(name)
	case *List:
		return listMethod(name)
	case Tuple, Range, *View:
		return tupleMethod(name)
	case []byte:
		return bytesMethod(name)
	case int64, *big.Int, bool:
		if name == "bit_length" {
			return func(recv Value, a *Args) (Value, error) {
				n, _ := number(recv)
				return int64(n.big().BitLen()), a.Check(0)
			}
		}
	case float64:
		if name == "is_integer" {
			return func(recv Value, a *Args) (Value, error) {
				f := recv.(float64)
				return f == math.Trunc(f) && !math.IsInf(f, 0), a.Check(0)
			}
		}
	case Mapping:
		return mappingMethod(name)
	}
	return nil
}

// Attr is getattr(v, name) for what Python's types have, methods bound to v.
// It reports false where Python raises AttributeError.
func Attr(v Value, name string) (Value, bool, error) {
	if m := methodOf(v, name); m != nil {
		return Func(func(_ context.Context, args []Value, kw *Dict) (Value, error) {
			return m(v, &Args{Name: name, Pos: args, Kw: kw})
		}), true, nil
	}
	switch x := v.(type) {
	case Object:
		return x.Attr(name)
	case Time:
		r, ok := x.attr(name)
		return r, ok, nil
	case Delta:
		r, ok := x.attr(name)
		return r, ok, nil
	case Range:
		switch name {
		case "start":
			return x.Start, true, nil
		case "stop":
			return x.Stop, true, nil
		case "step":
			return x.Step, true, nil
		}
	case int64, *big.Int, bool:
		n, _ := number(x)
		switch name {
		case "real", "numerator":
			return Int(n.big()), true, nil
		case "imag":
			return int64(0), true, nil
		case "denominator":
			return int64(1), true, nil
		}
	case float64:
		switch name {
		case "real":
			return x, true, nil
		case "imag":
			return 0.0, true, nil
		}
	case *Undefined:
		return nil, false, x.Use()
	}
	return nil, false, nil
}

// CallMethod calls a method of a built-in type without binding it first. It
// reports false when there is no such method.
func CallMethod(v Value, name string, args []Value, kw *Dict) (Value, bool, error) {
	m := methodOf(v, name)
	if m == nil {
		return nil, false, nil
	}
	r, err := m(v, &Args{Name: name, Pos: args, Kw: kw})
	return r, true, err
}

// Call calls v.
func Call(ctx context.Context, v Value, args []Value, kw *Dict) (Value, error) {
	switch f := v.(type) {
	case Func:
		return f(ctx, args, kw)
	case Callable:
		return f.Call(ctx, args, kw)
	case *Undefined:
		return nil, f.Use()
	}
	return nil, &Error{Kind: "TypeError", Msg: "'" + TypeName(v) + "' object is not callable"}
}

// IsCallable reports whether v can be called.
func IsCallable(v Value) bool {
	switch v.(type) {
	case Func, Callable:
		return true
	}
	return false
}

// isSpace is str.isspace() for one character.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f
}

func valueError(msg string) error { return &Error{Kind: "ValueError", Msg: msg} }
