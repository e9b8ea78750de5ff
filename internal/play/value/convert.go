package value

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// FromGo makes a value of Go's plain types, at any depth: maps with their
// keys sorted, slices, all numbers, json.Number. A Value stays as it is.
func FromGo(v any) Value {
	switch x := v.(type) {
	case nil, bool, int64, float64, string, Unsafe, []byte, *big.Int, Tuple, *List, *Dict, *View, Range, Time, Delta,
		*Undefined, Func:
		return v
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case uint64:
		return Int(new(big.Int).SetUint64(x))
	case uint:
		return Int(new(big.Int).SetUint64(uint64(x)))
	case float32:
		return float64(x)
	case json.Number:
		return fromNumber(string(x))
	case time.Time:
		return Time{T: x}
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		d := &Dict{items: make([]entry, 0, len(keys))}
		for _, k := range keys {
			d.Set(k, FromGo(x[k]))
		}
		return d
	case []any:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = FromGo(e)
		}
		return l
	case []string:
		l := &List{Items: make([]Value, len(x))}
		for i, e := range x {
			l.Items[i] = e
		}
		return l
	case map[string]string:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = e
		}
		return FromGo(m)
	case Callable, Mapping, Object:
		return v
	case func(args []Value) (Value, error):
		return v
	}
	return fromReflect(reflect.ValueOf(v))
}

// fromReflect takes the kinds that the switch above does not name.
func fromReflect(r reflect.Value) Value {
	switch r.Kind() {
	case reflect.Bool:
		return r.Bool()
	case reflect.String:
		return r.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Int(new(big.Int).SetUint64(r.Uint()))
	case reflect.Float32, reflect.Float64:
		return r.Float()
	case reflect.Slice, reflect.Array:
		l := &List{Items: make([]Value, r.Len())}
		for i := range l.Items {
			l.Items[i] = FromGo(r.Index(i).Interface())
		}
		return l
	case reflect.Map:
		keys := r.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			c, err := Compare(FromGo(a.Interface()), FromGo(b.Interface()))
			if err != nil {
				return 0
			}
			return c
		})
		d := NewDict()
		for _, k := range keys {
			d.Set(FromGo(k.Interface()), FromGo(r.MapIndex(k).Interface()))
		}
		return d
	case reflect.Pointer, reflect.Interface:
		if r.IsNil() {
			return nil
		}
		return FromGo(r.Elem().Interface())
	case reflect.Struct:
		if b, err := json.Marshal(r.Interface()); err == nil {
			if v, err := FromJSON(b); err == nil {
				return v
			}
		}
	}
	return fmt.Sprint(r.Interface())
}

// fromNumber reads a number of JSON: integers stay exact at any size.
func fromNumber(s string) Value {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	if len(s) < 10_000 {
		if b, ok := new(big.Int).SetString(s, 10); ok {
			return Int(b)
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && f == 0 {
		return s
	}
	return f
}

// ToGo makes what encoding/json takes: map[string]any, []any, string, bool,
// int64, float64, json.Number for big integers, nil. What JSON does not know
// becomes its text.
func ToGo(v Value) any { return toGo(v, 0) }

func toGo(v Value, depth int) any {
	if depth > MaxDepth {
		return "..."
	}
	switch x := v.(type) {
	case nil, bool, int64, float64, string:
		return x
	case Unsafe:
		return string(x)
	case []byte:
		return string(x)
	case *big.Int:
		return json.Number(x.String())
	case *Undefined:
		return nil
	case *Dict:
		m := make(map[string]any, x.Len())
		for i := range x.items {
			m[jsonKey(x.items[i].key)] = toGo(x.value(i), depth+1)
		}
		return m
	case Mapping:
		m := map[string]any{}
		for _, k := range x.Keys() {
			if e, ok, err := x.Lookup(k); err == nil && ok {
				m[jsonKey(k)] = toGo(e, depth+1)
			}
		}
		return m
	case *List:
		return toGoSlice(x.Items, depth)
	case Tuple:
		return toGoSlice(x, depth)
	case *View:
		return toGoSlice(x.Items, depth)
	case Range:
		items, err := Iter(x)
		if err != nil {
			return Str(x)
		}
		return toGoSlice(items, depth)
	case Time:
		return x.isoformat()
	}
	return Str(v)
}

func toGoSlice(items []Value, depth int) []any {
	out := make([]any, len(items))
	for i, e := range items {
		out[i] = toGo(e, depth+1)
	}
	return out
}

// jsonKey is a key as Python's json writes it.
func jsonKey(k Value) string {
	switch x := k.(type) {
	case string:
		return x
	case Unsafe:
		return string(x)
	case bool:
		if x {
			return "true"
		}
		return "false"
	case nil:
		return "null"
	}
	return Str(k)
}
