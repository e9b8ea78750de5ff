package value

import (
	"bytes"
	"math"
	"math/big"
	"strings"
)

// TypeName is the name of v's class in Python: str, int, NoneType, dict …
func TypeName(v Value) string {
	switch x := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string, Unsafe:
		return "str"
	case []byte:
		return "bytes"
	case Tuple:
		return "tuple"
	case *List:
		return "list"
	case *Dict:
		return "dict"
	case *View:
		return x.Kind
	case Range:
		return "range"
	case Time:
		if x.DateOnly {
			return "date"
		}
		return "datetime"
	case Delta:
		return "timedelta"
	case *Undefined:
		return "Undefined"
	case Func:
		return "function"
	case Typer:
		return x.TypeName()
	case Mapping:
		return "dict"
	case Callable:
		return "function"
	}
	return "object"
}

// Truth is Python's bool(); only something undefined has none.
func Truth(v Value) (bool, error) {
	switch x := v.(type) {
	case nil:
		return false, nil
	case bool:
		return x, nil
	case int64:
		return x != 0, nil
	case *big.Int:
		return x.Sign() != 0, nil
	case float64:
		return x != 0, nil
	case string:
		return x != "", nil
	case Unsafe:
		return x != "", nil
	case []byte:
		return len(x) > 0, nil
	case Tuple:
		return len(x) > 0, nil
	case *List:
		return len(x.Items) > 0, nil
	case *Dict:
		return x.Len() > 0, nil
	case *View:
		return len(x.Items) > 0, nil
	case Range:
		return x.Len() > 0, nil
	case Delta:
		return x != 0, nil
	case *Undefined:
		if x.Soft {
			return false, nil
		}
		return false, x.Use()
	case Mapping:
		return len(x.Keys()) > 0, nil
	}
	return true, nil
}

// Equal is Python's ==.
func Equal(a, b Value) bool { return equal(a, b, 0) }

func equal(a, b Value, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := StrOf(b)
		return ok && s == x
	case Unsafe:
		s, ok := StrOf(b)
		return ok && s == string(x)
	case bool, int64, float64, *big.Int:
		n, ok := number(a)
		if !ok {
			return false
		}
		m, ok := number(b)
		return ok && !n.nan() && !m.nan() && n.cmp(m) == 0
	case []byte:
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	case Tuple:
		y, ok := b.(Tuple)
		return ok && equalItems(x, y, depth)
	case *List:
		y, ok := b.(*List)
		return ok && (x == y || equalItems(x.Items, y.Items, depth))
	case *View:
		y, ok := b.(*View)
		return ok && (x == y || x.Kind != "dict_values" && equalItems(x.Items, y.Items, depth))
	case Range:
		y, ok := b.(Range)
		return ok && (x == y || x.Len() == y.Len() && (x.Len() == 0 || x.Start == y.Start && (x.Len() == 1 || x.Step == y.Step)))
	case *Dict:
		if m, ok := b.(Mapping); ok {
			return equalMapping(m, x, depth)
		}
		y, ok := b.(*Dict)
		return ok && (x == y || equalDict(x, y, depth))
	case Time:
		y, ok := b.(Time)
		return ok && x.DateOnly == y.DateOnly && x.T.Equal(y.T)
	case Delta:
		y, ok := b.(Delta)
		return ok && x == y
	case Mapping:
		if y, ok := b.(*Dict); ok {
			return equalMapping(x, y, depth)
		}
	case Func:
		return false
	}
	return comparable2(a) && comparable2(b) && a == b
}

// comparable2 tells whether == on v cannot panic.
func comparable2(v Value) bool {
	switch v.(type) {
	case []byte, Tuple, Func:
		return false
	}
	return true
}

func equalMapping(m Mapping, d *Dict, depth int) bool {
	keys := m.Keys()
	if len(keys) != d.Len() {
		return false
	}
	for _, k := range keys {
		v, ok, err := m.Lookup(k)
		w, ok2 := d.Get(k)
		if err != nil || !ok || !ok2 || !equal(v, w, depth+1) {
			return false
		}
	}
	return true
}

func equalItems(x, y []Value, depth int) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !equal(x[i], y[i], depth+1) {
			return false
		}
	}
	return true
}

func equalDict(x, y *Dict, depth int) bool {
	if x.Len() != y.Len() {
		return false
	}
	for i := range x.items {
		v, ok := y.Get(x.items[i].key)
		if !ok || !equal(x.value(i), v, depth+1) {
			return false
		}
	}
	return true
}

// Compare orders a and b as Python's < does; values without an order are an error.
func Compare(a, b Value) (int, error) { return compare("<", a, b, 0) }

func compare(op string, a, b Value, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, &Error{Kind: "RecursionError", Msg: "maximum recursion depth exceeded in comparison"}
	}
	if s, ok := StrOf(a); ok {
		if t, ok := StrOf(b); ok {
			return strings.Compare(s, t), nil
		}
		return 0, unordered(op, a, b)
	}
	if x, ok := a.(int64); ok {
		if y, ok := b.(int64); ok {
			switch {
			case x < y:
				return -1, nil
			case x > y:
				return 1, nil
			}
			return 0, nil
		}
	}
	if n, ok := number(a); ok {
		if m, ok := number(b); ok {
			if n.nan() || m.nan() {
				return 2, nil
			}
			return n.cmp(m), nil
		}
		return 0, unordered(op, a, b)
	}
	switch x := a.(type) {
	case *List:
		if y, ok := b.(*List); ok {
			return compareItems(op, x.Items, y.Items, depth)
		}
	case Tuple:
		if y, ok := b.(Tuple); ok {
			return compareItems(op, x, y, depth)
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y), nil
		}
	case Time:
		if y, ok := b.(Time); ok && x.DateOnly == y.DateOnly {
			if x.Naive != y.Naive && !x.DateOnly {
				return 0, &Error{Kind: "TypeError", Msg: "can't compare offset-naive and offset-aware datetimes"}
			}
			return x.T.Compare(y.T), nil
		}
	case Delta:
		if y, ok := b.(Delta); ok {
			return int(min(max(x-y, -1), 1)), nil
		}
	}
	return 0, unordered(op, a, b)
}

func compareItems(op string, x, y []Value, depth int) (int, error) {
	for i := range min(len(x), len(y)) {
		if !equal(x[i], y[i], depth+1) {
			return compare(op, x[i], y[i], depth+1)
		}
	}
	return len(x) - len(y), nil
}

func unordered(op string, a, b Value) error {
	if err := defined(a, b); err != nil {
		return err
	}
	return &Error{Kind: "TypeError", Msg: "'" + op + "' not supported between instances of '" + TypeName(a) + "' and '" + TypeName(b) + "'"}
}

// defined returns the error of using the first undefined value among vs.
func defined(vs ...Value) error {
	for _, v := range vs {
		if u, ok := v.(*Undefined); ok {
			return u.Use()
		}
	}
	return nil
}

// CompareOp evaluates one of == != < <= > >=.
func CompareOp(op string, a, b Value) (bool, error) {
	switch op {
	case "==", "!=":
		if err := defined(a, b); err != nil {
			return false, err
		}
		return Equal(a, b) == (op == "=="), nil
	}
	c, err := compare(op, a, b, 0)
	if err != nil || c == 2 {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// num is a number of any of Python's types.
type num struct {
	kind byte // 'i' int64, 'b' big, 'f' float
	i    int64
	b    *big.Int
	f    float64
}

func number(v Value) (num, bool) {
	switch x := v.(type) {
	case int64:
		return num{kind: 'i', i: x}, true
	case float64:
		return num{kind: 'f', f: x}, true
	case bool:
		if x {
			return num{kind: 'i', i: 1}, true
		}
		return num{kind: 'i'}, true
	case *big.Int:
		return num{kind: 'b', b: x}, true
	}
	return num{}, false
}

// IsNumber reports whether v is an int or a float; a bool is not.
func IsNumber(v Value) bool {
	switch v.(type) {
	case int64, float64, *big.Int:
		return true
	}
	return false
}

func (n num) nan() bool { return n.kind == 'f' && math.IsNaN(n.f) }

func (n num) float() float64 {
	switch n.kind {
	case 'f':
		return n.f
	case 'i':
		return float64(n.i)
	}
	f, _ := new(big.Float).SetInt(n.b).Float64()
	return f
}

func (n num) big() *big.Int {
	if n.kind == 'b' {
		return n.b
	}
	return big.NewInt(n.i)
}

// cmp compares exactly, integers with floats too.
func (n num) cmp(m num) int {
	switch {
	case n.kind == 'i' && m.kind == 'i':
		switch {
		case n.i < m.i:
			return -1
		case n.i > m.i:
			return 1
		}
		return 0
	case n.kind == 'f' && m.kind == 'f':
		switch {
		case n.f < m.f:
			return -1
		case n.f > m.f:
			return 1
		}
		return 0
	case n.kind == 'f':
		return -m.cmp(n)
	case m.kind == 'f':
		if math.IsInf(m.f, 0) {
			if m.f > 0 {
				return -1
			}
			return 1
		}
		return new(big.Float).SetInt(n.big()).Cmp(big.NewFloat(m.f))
	}
	return n.big().Cmp(m.big())
}
