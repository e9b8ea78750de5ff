package value

import (
	"encoding/binary"
	"math"
	"math/big"
)

// Dict is Python's dict: in insertion order, and keys are the same when they
// are equal in Python (1, 1.0 and True are one key). The zero Dict is empty
// and ready; a nil *Dict reads as empty.
type Dict struct {
	items   []entry
	index   map[any]int // normalised key → position; built above smallDict entries
	resolve func(Value) Value
}

type entry struct {
	key, val Value
	done     bool // val went through resolve
}

// Item is one key and its value.
type Item struct{ Key, Value Value }

const smallDict = 8

// NewDict makes an empty dictionary.
func NewDict() *Dict { return &Dict{} }

// DictOf makes a dictionary from keys and values in turn.
func DictOf(kv ...Value) *Dict {
	d := &Dict{items: make([]entry, 0, len(kv)/2)}
	for i := 0; i+1 < len(kv); i += 2 {
		d.Set(kv[i], kv[i+1])
	}
	return d
}

// Lazy returns a copy of d whose values go through resolve once, each when it
// is first read. A value that cannot be resolved becomes an *Undefined with
// its error. d itself is not changed and must not change any more.
func (d *Dict) Lazy(resolve func(Value) Value) *Dict {
	c := d.shallow()
	c.resolve = resolve
	for i := range c.items {
		c.items[i].done = false
	}
	return c
}

func (d *Dict) shallow() *Dict {
	if d == nil {
		return &Dict{}
	}
	c := &Dict{items: make([]entry, len(d.items)), resolve: d.resolve}
	copy(c.items, d.items)
	return c
}

// Copy returns a shallow copy, as dict.copy() does.
func (d *Dict) Copy() *Dict { return d.shallow() }

// Len is the number of keys.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.items)
}

func (d *Dict) value(i int) Value {
	e := &d.items[i]
	if d.resolve != nil && !e.done {
		e.done = true
		e.val = d.resolve(e.val)
	}
	return e.val
}

// find returns the position of key, or -1.
func (d *Dict) find(key Value) int {
	if d == nil {
		return -1
	}
	if s, ok := key.(string); ok && d.index == nil && len(d.items) <= smallDict {
		for i := range d.items {
			switch k := d.items[i].key.(type) {
			case string:
				if k == s {
					return i
				}
			case Unsafe:
				if string(k) == s {
					return i
				}
			}
		}
		return -1
	}
	k := hashKey(key)
	if d.index == nil {
		if len(d.items) <= smallDict {
			for i := range d.items {
				if hashKey(d.items[i].key) == k {
					return i
				}
			}
			return -1
		}
		d.reindex()
	}
	if i, ok := d.index[k]; ok {
		return i
	}
	return -1
}

func (d *Dict) reindex() {
	d.index = make(map[any]int, 2*len(d.items))
	for i := range d.items {
		d.index[hashKey(d.items[i].key)] = i
	}
}

// Get returns the value of key.
func (d *Dict) Get(key Value) (Value, bool) {
	i := d.find(key)
	if i < 0 {
		return nil, false
	}
	return d.value(i), true
}

// GetString returns the value of a string key.
func (d *Dict) GetString(key string) (Value, bool) { return d.Get(key) }

// Has reports whether key is there; it resolves nothing.
func (d *Dict) Has(key Value) bool { return d.find(key) >= 0 }

// Set adds key or replaces its value; a key that is there keeps its place.
func (d *Dict) Set(key, val Value) {
	if i := d.find(key); i >= 0 {
		d.items[i].val, d.items[i].done = val, true
		return
	}
	d.items = append(d.items, entry{key, val, true})
	if d.index != nil {
		d.index[hashKey(key)] = len(d.items) - 1
	} else if len(d.items) > smallDict {
		d.reindex()
	}
}

// Delete removes key and reports whether it was there.
func (d *Dict) Delete(key Value) bool {
	i := d.find(key)
	if i < 0 {
		return false
	}
	last := i == len(d.items)-1
	if d.index != nil && last {
		delete(d.index, hashKey(key))
	}
	d.items = append(d.items[:i], d.items[i+1:]...)
	if d.index != nil && !last {
		d.index = nil
		if len(d.items) > smallDict {
			d.reindex()
		}
	}
	return true
}

// Clear removes all keys.
func (d *Dict) Clear() { d.items, d.index = nil, nil }

// Keys returns the keys in order.
func (d *Dict) Keys() []Value {
	if d == nil {
		return nil
	}
	keys := make([]Value, len(d.items))
	for i := range d.items {
		keys[i] = d.items[i].key
	}
	return keys
}

// Values returns the values in order.
func (d *Dict) Values() []Value {
	if d == nil {
		return nil
	}
	vals := make([]Value, len(d.items))
	for i := range d.items {
		vals[i] = d.value(i)
	}
	return vals
}

// Items returns the keys with their values in order.
func (d *Dict) Items() []Item {
	if d == nil {
		return nil
	}
	items := make([]Item, len(d.items))
	for i := range d.items {
		items[i] = Item{d.items[i].key, d.value(i)}
	}
	return items
}

// Update sets every key of o in d.
func (d *Dict) Update(o *Dict) {
	if o == nil {
		return
	}
	for i := range o.items {
		d.Set(o.items[i].key, o.value(i))
	}
}

type (
	bigKey   string
	bytesKey string
	tupleKey string
	ptrKey   struct{ p any }
)

// hashKey maps a key to a comparable Go value such that two keys are the same
// when Python says that they are equal. A key that Python cannot hash is
// itself only.
func hashKey(v Value) any {
	switch k := v.(type) {
	case string:
		return k
	case int64:
		return k
	case Unsafe:
		return string(k)
	case bool:
		if k {
			return int64(1)
		}
		return int64(0)
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<62 {
			return int64(k)
		}
		if k == math.Trunc(k) && !math.IsInf(k, 0) {
			b, _ := big.NewFloat(k).Int(nil)
			return bigKey(b.String())
		}
		return k
	case *big.Int:
		if k.IsInt64() {
			return k.Int64()
		}
		return bigKey(k.String())
	case []byte:
		return bytesKey(k)
	case Tuple:
		return tupleKey(appendKey(nil, k))
	case Time:
		return "\x00time" + k.Repr()
	case Delta:
		return tupleKey("delta" + k.Repr())
	case nil:
		return nil
	case *List, *Dict, *Undefined, *View:
		return ptrKey{k}
	}
	return tupleKey(TypeName(v) + Repr(v))
}

func appendKey(b []byte, t Tuple) []byte {
	for _, e := range t {
		switch k := hashKey(e).(type) {
		case string:
			b = binary.AppendUvarint(append(b, 's'), uint64(len(k)))
			b = append(b, k...)
		case int64:
			b = binary.AppendVarint(append(b, 'i'), k)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 'f'), math.Float64bits(k))
		case nil:
			b = append(b, 'n')
		case bigKey:
			b = append(append(append(b, 'b'), k...), 0)
		case bytesKey:
			b = binary.AppendUvarint(append(b, 'y'), uint64(len(k)))
			b = append(b, k...)
		case tupleKey:
			b = binary.AppendUvarint(append(b, 't'), uint64(len(k)))
			b = append(b, k...)
		default:
			r := Repr(e)
			b = binary.AppendUvarint(append(b, 'o'), uint64(len(r)))
			b = append(b, r...)
		}
	}
	return b
}

// Hashable reports whether v can be a key in Python.
func Hashable(v Value) bool {
	switch t := v.(type) {
	case *List, *Dict:
		return false
	case Tuple:
		for _, e := range t {
			if !Hashable(e) {
				return false
			}
		}
	}
	return true
}

// Each calls f for every entry and keeps what it returns; it stops at the
// first error.
func (d *Dict) Each(f func(key, val Value) (Value, error)) error {
	if d == nil {
		return nil
	}
	for i := range d.items {
		v, err := f(d.items[i].key, d.value(i))
		if err != nil {
			return err
		}
		d.items[i].val = v
	}
	return nil
}
