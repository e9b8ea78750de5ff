package value

import (
	"math/big"
	"unicode/utf8"
)

// Len is Python's len().
func Len(v Value) (int, error) {
	switch x := v.(type) {
	case string:
		return utf8.RuneCountInString(x), nil
	case Unsafe:
		return utf8.RuneCountInString(string(x)), nil
	case []byte:
		return len(x), nil
	case *List:
		return len(x.Items), nil
	case Tuple:
		return len(x), nil
	case *Dict:
		return x.Len(), nil
	case *View:
		return len(x.Items), nil
	case Range:
		return int(x.Len()), nil
	case *Undefined:
		if x.Soft {
			return 0, nil
		}
		return 0, x.Use()
	case Mapping:
		return len(x.Keys()), nil
	case interface{ Len() int }:
		return x.Len(), nil
	}
	return 0, &Error{Kind: "TypeError", Msg: "object of type '" + TypeName(v) + "' has no len()"}
}

// Iter lists what a loop over v goes through: the items of a list, the keys
// of a dictionary, the characters of a string. The slice may be v's own: do
// not change it.
func Iter(v Value) ([]Value, error) {
	switch x := v.(type) {
	case *List:
		return x.Items, nil
	case Tuple:
		return x, nil
	case *Dict:
		return x.Keys(), nil
	case *View:
		return x.Items, nil
	case string:
		return chars(x), nil
	case Unsafe:
		return chars(string(x)), nil
	case []byte:
		out := make([]Value, len(x))
		for i, c := range x {
			out[i] = int64(c)
		}
		return out, nil
	case Range:
		n := x.Len()
		if n > MaxItems {
			return nil, tooLarge("list")
		}
		out := make([]Value, n)
		for i := range out {
			out[i] = x.Start + int64(i)*x.Step
		}
		return out, nil
	case *Undefined:
		if x.Soft {
			return nil, nil
		}
		return nil, x.Use()
	case Mapping:
		return x.Keys(), nil
	case interface{ Iter() ([]Value, error) }:
		return x.Iter()
	}
	return nil, &Error{Kind: "TypeError", Msg: "'" + TypeName(v) + "' object is not iterable"}
}

func chars(s string) []Value {
	out := make([]Value, 0, len(s))
	for i := 0; i < len(s); {
		n := 1
		if s[i] >= utf8.RuneSelf {
			_, n = utf8.DecodeRuneInString(s[i:])
		}
		out = append(out, s[i:i+n])
		i += n
	}
	return out
}

func mappingItems(m Mapping) ([]Item, error) {
	keys := m.Keys()
	items := make([]Item, 0, len(keys))
	for _, k := range keys {
		v, ok, err := m.Lookup(k)
		if err != nil {
			return nil, err
		}
		if ok {
			items = append(items, Item{k, v})
		}
	}
	return items, nil
}

// AsDict returns v as a dictionary, a computed one with all its values made.
func AsDict(v Value) (*Dict, bool, error) {
	switch x := v.(type) {
	case *Dict:
		return x, true, nil
	case Mapping:
		items, err := mappingItems(x)
		if err != nil {
			return nil, true, err
		}
		d := &Dict{items: make([]entry, 0, len(items))}
		for _, e := range items {
			d.Set(e.Key, e.Value)
		}
		return d, true, nil
	}
	return nil, false, nil
}

// AsInt returns an integer that fits an int64; True and False are integers.
func AsInt(v Value) (int64, bool) {
	n, ok := number(v)
	if !ok || n.kind != 'i' {
		return 0, false
	}
	return n.i, true
}

// AsFloat returns any number as a float.
func AsFloat(v Value) (float64, bool) {
	n, ok := number(v)
	if !ok {
		return 0, false
	}
	return n.float(), true
}

// Item returns v[key]. It reports false where Python raises KeyError or
// IndexError; other errors are errors.
func GetItem(v, key Value) (Value, bool, error) {
	switch x := v.(type) {
	case *Dict:
		r, ok := x.Get(key)
		return r, ok, nil
	case Mapping:
		return x.Lookup(key)
	case *List:
		return itemOf(x.Items, v, key)
	case Tuple:
		return itemOf(x, v, key)
	case *View:
		return itemOf(x.Items, v, key)
	case Range:
		i, ok := AsInt(key)
		if !ok {
			return nil, false, nil
		}
		if i < 0 {
			i += x.Len()
		}
		if i < 0 || i >= x.Len() {
			return nil, false, nil
		}
		return x.Start + i*x.Step, true, nil
	case string:
		return charAt(x, key)
	case Unsafe:
		return charAt(string(x), key)
	case []byte:
		i, ok := AsInt(key)
		if ok && i < 0 {
			i += int64(len(x))
		}
		if !ok || i < 0 || i >= int64(len(x)) {
			return nil, false, nil
		}
		return int64(x[i]), true, nil
	case *Undefined:
		return nil, false, x.Use()
	case interface {
		Item(key Value) (Value, bool, error)
	}:
		return x.Item(key)
	}
	return nil, false, nil
}

func itemOf(items []Value, v, key Value) (Value, bool, error) {
	i, ok := AsInt(key)
	if !ok {
		return nil, false, nil
	}
	if i < 0 {
		i += int64(len(items))
	}
	if i < 0 || i >= int64(len(items)) {
		return nil, false, nil
	}
	return items[i], true, nil
}

func charAt(s string, key Value) (Value, bool, error) {
	i, ok := AsInt(key)
	if !ok {
		return nil, false, nil
	}
	if ascii(s) {
		if i < 0 {
			i += int64(len(s))
		}
		if i < 0 || i >= int64(len(s)) {
			return nil, false, nil
		}
		return s[i : i+1], true, nil
	}
	r := []rune(s)
	if i < 0 {
		i += int64(len(r))
	}
	if i < 0 || i >= int64(len(r)) {
		return nil, false, nil
	}
	return string(r[i]), true, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Slice is v[start:stop:step]; nil stands for what is left out.
func Slice(v, start, stop, step Value) (Value, error) {
	st := int64(1)
	if step != nil {
		s, err := sliceIndex(step)
		if err != nil {
			return nil, err
		}
		if s == 0 {
			return nil, &Error{Kind: "ValueError", Msg: "slice step cannot be zero"}
		}
		st = s
	}
	bounds := func(n int64) (int64, int64, error) {
		lo, hi := int64(0), n
		if st < 0 {
			lo, hi = n-1, -1
		}
		clamp := func(v Value, d int64) (int64, error) {
			if v == nil {
				return d, nil
			}
			i, err := sliceIndex(v)
			if err != nil {
				return 0, err
			}
			if i < 0 {
				i += n
				if i < 0 {
					if st < 0 {
						return -1, nil
					}
					return 0, nil
				}
			}
			if i >= n {
				if st < 0 {
					return n - 1, nil
				}
				return n, nil
			}
			return i, nil
		}
		a, err := clamp(start, lo)
		if err != nil {
			return 0, 0, err
		}
		b, err := clamp(stop, hi)
		return a, b, err
	}
	items := func(all []Value) ([]Value, error) {
		a, b, err := bounds(int64(len(all)))
		if err != nil {
			return nil, err
		}
		out := []Value{}
		if st > 0 {
			for i := a; i < b; i += min(st, int64(len(all))+1) {
				out = append(out, all[i])
			}
		} else {
			for i := a; i > b; i += max(st, -int64(len(all))-1) {
				out = append(out, all[i])
			}
		}
		return out, nil
	}
	switch x := v.(type) {
	case *List:
		out, err := items(x.Items)
		return &List{Items: out}, err
	case Tuple:
		out, err := items(x)
		return Tuple(out), err
	case string, Unsafe:
		s, _ := StrOf(x)
		if ascii(s) && st == 1 {
			a, b, err := bounds(int64(len(s)))
			if err != nil || a >= b {
				return "", err
			}
			return s[a:b], nil
		}
		out, err := items(chars(s))
		if err != nil {
			return nil, err
		}
		var b []byte
		for _, c := range out {
			b = append(b, c.(string)...)
		}
		return string(b), nil
	case []byte:
		all, _ := Iter(x)
		out, err := items(all)
		b := make([]byte, len(out))
		for i, c := range out {
			b[i] = byte(c.(int64))
		}
		return b, err
	case Range:
		a, b, err := bounds(x.Len())
		return Range{x.Start + a*x.Step, x.Start + b*x.Step, x.Step * st}, err
	case *View:
		all, err := Iter(x)
		if err != nil {
			return nil, err
		}
		out, err := items(all)
		return &List{Items: out}, err
	case *Undefined:
		return nil, x.Use()
	}
	return nil, &Error{Kind: "TypeError", Msg: "'" + TypeName(v) + "' object is not subscriptable"}
}

func sliceIndex(v Value) (int64, error) {
	if i, ok := AsInt(v); ok {
		return i, nil
	}
	if b, ok := v.(*big.Int); ok {
		if b.Sign() < 0 {
			return -1 << 62, nil
		}
		return 1 << 62, nil
	}
	if err := defined(v); err != nil {
		return 0, err
	}
	return 0, &Error{Kind: "TypeError", Msg: "slice indices must be integers or None or have an __index__ method"}
}
