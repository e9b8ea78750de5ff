package value

import (
	"math"
	"math/big"
	"math/bits"
	"strings"
)

func typeError(op string, a, b Value) error {
	if err := defined(a, b); err != nil {
		return err
	}
	return &Error{Kind: "TypeError", Msg: "unsupported operand type(s) for " + op + ": '" + TypeName(a) + "' and '" + TypeName(b) + "'"}
}

func zeroDivision(msg string) error { return &Error{Kind: "ZeroDivisionError", Msg: msg} }

// Add is a + b.
func Add(a, b Value) (Value, error) {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			if s := x + y; (s > x) == (y > 0) {
				return s, nil
			}
			return Int(new(big.Int).Add(big.NewInt(x), big.NewInt(y))), nil
		}
	}
	if s, ok := StrOf(a); ok {
		t, ok := StrOf(b)
		if !ok {
			if err := defined(b); err != nil {
				return nil, err
			}
			return nil, &Error{Kind: "TypeError", Msg: "can only concatenate str (not \"" + TypeName(b) + "\") to str"}
		}
		if len(s)+len(t) > MaxString {
			return nil, tooLarge("string")
		}
		return s + t, nil
	}
	if n, ok := number(a); ok {
		m, ok := number(b)
		if !ok {
			return nil, typeError("+", a, b)
		}
		if n.kind == 'f' || m.kind == 'f' {
			return n.float() + m.float(), nil
		}
		return Int(new(big.Int).Add(n.big(), m.big())), nil
	}
	switch x := a.(type) {
	case *List:
		if y, ok := b.(*List); ok {
			items, err := concat(x.Items, y.Items)
			return &List{Items: items}, err
		}
		if err := defined(b); err != nil {
			return nil, err
		}
		return nil, &Error{Kind: "TypeError", Msg: "can only concatenate list (not \"" + TypeName(b) + "\") to list"}
	case Tuple:
		if y, ok := b.(Tuple); ok {
			items, err := concat(x, y)
			return Tuple(items), err
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return append(append([]byte(nil), x...), y...), nil
		}
	case Time:
		if y, ok := b.(Delta); ok {
			return x.add(y), nil
		}
	case Delta:
		switch y := b.(type) {
		case Delta:
			return x + y, nil
		case Time:
			return y.add(x), nil
		}
	}
	return nil, typeError("+", a, b)
}

func concat(x, y []Value) ([]Value, error) {
	if len(x)+len(y) > MaxItems {
		return nil, tooLarge("list")
	}
	out := make([]Value, 0, len(x)+len(y))
	return append(append(out, x...), y...), nil
}

// Sub is a - b.
func Sub(a, b Value) (Value, error) {
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			if s := x - y; (s < x) == (y > 0) {
				return s, nil
			}
			return Int(new(big.Int).Sub(big.NewInt(x), big.NewInt(y))), nil
		}
	}
	if n, ok := number(a); ok {
		if m, ok := number(b); ok {
			if n.kind == 'f' || m.kind == 'f' {
				return n.float() - m.float(), nil
			}
			return Int(new(big.Int).Sub(n.big(), m.big())), nil
		}
	}
	switch x := a.(type) {
	case Time:
		switch y := b.(type) {
		case Delta:
			return x.add(-y), nil
		case Time:
			if x.DateOnly == y.DateOnly {
				return Delta(x.T.Sub(y.T).Microseconds()), nil
			}
		}
	case Delta:
		if y, ok := b.(Delta); ok {
			return x - y, nil
		}
	}
	return nil, typeError("-", a, b)
}

// Mul is a * b.
func Mul(a, b Value) (Value, error) {
	n, aNum := number(a)
	m, bNum := number(b)
	if aNum && bNum {
		if n.kind == 'f' || m.kind == 'f' {
			return n.float() * m.float(), nil
		}
		if n.kind == 'i' && m.kind == 'i' {
			hi, lo := bits.Mul64(abs64(n.i), abs64(m.i))
			if hi == 0 && lo < 1<<63 {
				return n.i * m.i, nil
			}
		}
		if n.big().BitLen()+m.big().BitLen() > MaxBits {
			return nil, tooLarge("number")
		}
		return Int(new(big.Int).Mul(n.big(), m.big())), nil
	}
	if aNum {
		a, b = b, a
	} else if bNum {
		n = m
	} else {
		return nil, typeError("*", a, b)
	}
	if n.kind == 'f' {
		if d, ok := a.(Delta); ok {
			return Delta(math.RoundToEven(float64(d) * n.f)), nil
		}
		return nil, &Error{Kind: "TypeError", Msg: "can't multiply sequence by non-int of type 'float'"}
	}
	times := MaxItems + 1
	if n.kind == 'i' && n.i <= MaxString {
		times = int(max(n.i, 0))
	} else if n.kind == 'b' && n.b.Sign() < 0 {
		times = 0
	}
	if s, ok := StrOf(a); ok {
		if len(s) > 0 && times > MaxString/len(s) {
			return nil, tooLarge("string")
		}
		return strings.Repeat(s, times), nil
	}
	repeat := func(items []Value) ([]Value, error) {
		if len(items) > 0 && times > MaxItems/len(items) {
			return nil, tooLarge("list")
		}
		if len(items) == 0 {
			return []Value{}, nil
		}
		out := make([]Value, 0, len(items)*times)
		for range times {
			out = append(out, items...)
		}
		return out, nil
	}
	switch x := a.(type) {
	case *List:
		items, err := repeat(x.Items)
		return &List{Items: items}, err
	case Tuple:
		items, err := repeat(x)
		return Tuple(items), err
	case Delta:
		return x * Delta(n.i), nil
	}
	return nil, typeError("*", a, b)
}

func abs64(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// Div is a / b.
func Div(a, b Value) (Value, error) {
	n, ok := number(a)
	m, ok2 := number(b)
	if !ok || !ok2 {
		if x, ok := a.(Delta); ok {
			if y, ok := b.(Delta); ok && y != 0 {
				return float64(x) / float64(y), nil
			}
			if ok2 && m.float() != 0 {
				return Delta(math.RoundToEven(float64(x) / m.float())), nil
			}
		}
		return nil, typeError("/", a, b)
	}
	if m.kind != 'f' && m.big().Sign() == 0 {
		if n.kind == 'f' {
			return nil, zeroDivision("float division by zero")
		}
		return nil, zeroDivision("division by zero")
	}
	if m.float() == 0 {
		return nil, zeroDivision("float division by zero")
	}
	if n.kind == 'b' || m.kind == 'b' {
		if n.kind != 'f' && m.kind != 'f' {
			f, _ := new(big.Rat).SetFrac(n.big(), m.big()).Float64()
			if math.IsInf(f, 0) {
				return nil, &Error{Kind: "OverflowError", Msg: "integer division result too large for a float"}
			}
			return f, nil
		}
	}
	return n.float() / m.float(), nil
}

// FloorDiv is a // b.
func FloorDiv(a, b Value) (Value, error) {
	n, ok := number(a)
	m, ok2 := number(b)
	if !ok || !ok2 {
		if x, ok := a.(Delta); ok && ok2 && m.kind == 'i' && m.i != 0 {
			return Delta(math.Floor(float64(x) / float64(m.i))), nil
		}
		return nil, typeError("//", a, b)
	}
	if n.kind == 'f' || m.kind == 'f' {
		x, y := n.float(), m.float()
		if y == 0 {
			return nil, zeroDivision("float floor division by zero")
		}
		q, _ := floatDivMod(x, y)
		return q, nil
	}
	if m.big().Sign() == 0 {
		return nil, zeroDivision("integer division or modulo by zero")
	}
	if n.kind == 'i' && m.kind == 'i' && !(n.i == math.MinInt64 && m.i == -1) {
		q := n.i / m.i
		if n.i%m.i != 0 && (n.i < 0) != (m.i < 0) {
			q--
		}
		return q, nil
	}
	q, _ := bigDivMod(n.big(), m.big())
	return Int(q), nil
}

// Mod is a % b; on a string it formats.
func Mod(a, b Value) (Value, error) {
	if s, ok := StrOf(a); ok {
		return percent(s, b)
	}
	n, ok := number(a)
	m, ok2 := number(b)
	if !ok || !ok2 {
		return nil, typeError("%", a, b)
	}
	if n.kind == 'f' || m.kind == 'f' {
		if m.float() == 0 {
			return nil, zeroDivision("float modulo")
		}
		_, r := floatDivMod(n.float(), m.float())
		return r, nil
	}
	if m.big().Sign() == 0 {
		return nil, zeroDivision("integer division or modulo by zero")
	}
	if n.kind == 'i' && m.kind == 'i' {
		if m.i == -1 {
			return int64(0), nil
		}
		r := n.i % m.i
		if r != 0 && (r < 0) != (m.i < 0) {
			r += m.i
		}
		return r, nil
	}
	_, r := bigDivMod(n.big(), m.big())
	return Int(r), nil
}

func bigDivMod(n, m *big.Int) (q, r *big.Int) {
	q, r = new(big.Int).QuoRem(n, m, new(big.Int))
	if r.Sign() != 0 && (r.Sign() < 0) != (m.Sign() < 0) {
		q.Sub(q, big.NewInt(1))
		r.Add(r, m)
	}
	return q, r
}

func floatDivMod(x, y float64) (q, r float64) {
	r = math.Mod(x, y)
	q = (x - r) / y
	if r != 0 {
		if (y < 0) != (r < 0) {
			r += y
			q--
		}
	} else {
		r = math.Copysign(0, y)
	}
	if q != 0 {
		f := math.Floor(q)
		if q-f > 0.5 {
			f++
		}
		return f, r
	}
	return math.Copysign(0, x/y), r
}

// Pow is a ** b.
func Pow(a, b Value) (Value, error) {
	n, ok := number(a)
	m, ok2 := number(b)
	if !ok || !ok2 {
		return nil, typeError("** or pow()", a, b)
	}
	if n.kind != 'f' && m.kind != 'f' && m.big().Sign() >= 0 {
		base := n.big()
		if m.kind == 'b' || int64(base.BitLen())*min(m.i, MaxBits) > MaxBits {
			if base.BitLen() > 1 {
				return nil, tooLarge("number")
			}
			// The base is -1, 0 or 1: only whether the exponent is even matters.
			e := int64(2)
			if m.big().Bit(0) == 1 {
				e = 1
			}
			return Int(new(big.Int).Exp(base, big.NewInt(e), nil)), nil
		}
		return Int(new(big.Int).Exp(base, big.NewInt(m.i), nil)), nil
	}
	x, y := n.float(), m.float()
	if x == 0 && y < 0 {
		return nil, zeroDivision("0.0 cannot be raised to a negative power")
	}
	if x < 0 && y != math.Trunc(y) {
		return nil, &Error{Kind: "ValueError", Msg: "a negative number to a fractional power is complex, which is not supported"}
	}
	r := math.Pow(x, y)
	if math.IsInf(r, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return nil, &Error{Kind: "OverflowError", Msg: "(34, 'Numerical result out of range')"}
	}
	return r, nil
}

// Neg is -a.
func Neg(a Value) (Value, error) {
	switch x := a.(type) {
	case Delta:
		return -x, nil
	case float64:
		return -x, nil
	}
	n, ok := number(a)
	if !ok {
		if err := defined(a); err != nil {
			return nil, err
		}
		return nil, &Error{Kind: "TypeError", Msg: "bad operand type for unary -: '" + TypeName(a) + "'"}
	}
	return Int(new(big.Int).Neg(n.big())), nil
}

// Pos is +a.
func Pos(a Value) (Value, error) {
	n, ok := number(a)
	if !ok {
		if err := defined(a); err != nil {
			return nil, err
		}
		return nil, &Error{Kind: "TypeError", Msg: "bad operand type for unary +: '" + TypeName(a) + "'"}
	}
	if n.kind == 'i' {
		return n.i, nil
	}
	return a, nil
}

// Contains is item in container.
func Contains(container, item Value) (bool, error) {
	if err := defined(container, item); err != nil {
		return false, err
	}
	switch c := container.(type) {
	case string, Unsafe:
		s, _ := StrOf(c)
		t, ok := StrOf(item)
		if !ok {
			return false, &Error{Kind: "TypeError", Msg: "'in <string>' requires string as left operand, not " + TypeName(item)}
		}
		return strings.Contains(s, t), nil
	case *Dict:
		if !Hashable(item) {
			return false, &Error{Kind: "TypeError", Msg: "unhashable type: '" + TypeName(item) + "'"}
		}
		return c.Has(item), nil
	case Mapping:
		_, ok, err := c.Lookup(item)
		return ok, err
	case *List:
		return containsItem(c.Items, item), nil
	case Tuple:
		return containsItem(c, item), nil
	case *View:
		return containsItem(c.Items, item), nil
	case []byte:
		switch t := item.(type) {
		case []byte:
			return strings.Contains(string(c), string(t)), nil
		case int64:
			return t >= 0 && t < 256 && strings.IndexByte(string(c), byte(t)) >= 0, nil
		}
	case Range:
		n, ok := number(item)
		if !ok || n.kind != 'i' {
			return false, nil
		}
		if c.Step > 0 {
			return n.i >= c.Start && n.i < c.Stop && (n.i-c.Start)%c.Step == 0, nil
		}
		return n.i <= c.Start && n.i > c.Stop && (c.Start-n.i)%-c.Step == 0, nil
	}
	return false, &Error{Kind: "TypeError", Msg: "argument of type '" + TypeName(container) + "' is not iterable"}
}

func containsItem(items []Value, item Value) bool {
	for _, e := range items {
		if Equal(e, item) {
			return true
		}
	}
	return false
}
