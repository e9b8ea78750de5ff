package value

import (
	"context"
	"slices"
)

// Sort orders items stably as list.sort does, by key(item) when key is given.
func Sort(items []Value, key func(Value) (Value, error), reverse bool) error {
	keys := items
	if key != nil {
		keys = make([]Value, len(items))
		for i, e := range items {
			k, err := key(e)
			if err != nil {
				return err
			}
			keys[i] = k
		}
	}
	for _, k := range keys {
		if err := defined(k); err != nil {
			return err
		}
	}
	type pair struct{ k, v Value }
	pairs := make([]pair, len(items))
	for i := range items {
		pairs[i] = pair{keys[i], items[i]}
	}
	var failed error
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if failed != nil {
			return 0
		}
		c, err := Compare(a.k, b.k)
		if err != nil {
			failed = err
		}
		if c == 2 {
			c = 0
		}
		if reverse {
			return -c
		}
		return c
	})
	if failed != nil {
		return failed
	}
	for i, p := range pairs {
		items[i] = p.v
	}
	return nil
}

func listMethod(name string) builtin {
	switch name {
	case "append":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			if err := a.Check(1, "object"); err != nil {
				return nil, err
			}
			if len(l.Items) >= MaxItems {
				return nil, tooLarge("list")
			}
			l.Items = append(l.Items, a.Pos[0])
			return nil, nil
		}
	case "extend":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			if err := a.Check(1, "iterable"); err != nil {
				return nil, err
			}
			items, err := Iter(a.Pos[0])
			if err != nil {
				return nil, err
			}
			if len(l.Items)+len(items) > MaxItems {
				return nil, tooLarge("list")
			}
			l.Items = append(l.Items, items...)
			return nil, nil
		}
	case "insert":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			if err := a.Check(2, "index", "object"); err != nil {
				return nil, err
			}
			i, err := a.Int(0, "index", 0)
			if err != nil {
				return nil, err
			}
			n := int64(len(l.Items))
			if i < 0 {
				i = max(i+n, 0)
			}
			l.Items = slices.Insert(slices.Clip(l.Items), int(min(i, n)), a.Pos[1])
			return nil, nil
		}
	case "pop":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			i, err := a.Int(0, "index", -1)
			if err != nil {
				return nil, err
			}
			n := int64(len(l.Items))
			if n == 0 {
				return nil, &Error{Kind: "IndexError", Msg: "pop from empty list"}
			}
			if i < 0 {
				i += n
			}
			if i < 0 || i >= n {
				return nil, &Error{Kind: "IndexError", Msg: "pop index out of range"}
			}
			v := l.Items[i]
			l.Items = append(slices.Clone(l.Items[:i]), l.Items[i+1:]...)
			return v, nil
		}
	case "remove":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			if err := a.Check(1, "value"); err != nil {
				return nil, err
			}
			for i, e := range l.Items {
				if Equal(e, a.Pos[0]) {
					l.Items = append(slices.Clone(l.Items[:i]), l.Items[i+1:]...)
					return nil, nil
				}
			}
			return nil, valueError("list.remove(x): x not in list")
		}
	case "clear":
		return func(r Value, a *Args) (Value, error) {
			r.(*List).Items = []Value{}
			return nil, a.Check(0)
		}
	case "copy":
		return func(r Value, a *Args) (Value, error) {
			return &List{Items: slices.Clone(r.(*List).Items)}, a.Check(0)
		}
	case "reverse":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			l.Items = slices.Clone(l.Items)
			slices.Reverse(l.Items)
			return nil, a.Check(0)
		}
	case "sort":
		return func(r Value, a *Args) (Value, error) {
			l := r.(*List)
			if len(a.Pos) > 0 {
				return nil, &Error{Kind: "TypeError", Msg: "sort() takes no positional arguments"}
			}
			reverse, err := a.Bool(-1, "reverse", false)
			if err != nil {
				return nil, err
			}
			var key func(Value) (Value, error)
			if k, ok := a.Kw.Get("key"); ok && k != nil {
				key = func(v Value) (Value, error) { return Call(context.Background(), k, []Value{v}, nil) }
			}
			l.Items = slices.Clone(l.Items)
			return nil, Sort(l.Items, key, reverse)
		}
	}
	return tupleMethod(name)
}

// tupleMethod has what every sequence has.
func tupleMethod(name string) builtin {
	switch name {
	case "count":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "value"); err != nil {
				return nil, err
			}
			items, err := Iter(r)
			n := int64(0)
			for _, e := range items {
				if Equal(e, a.Pos[0]) {
					n++
				}
			}
			return n, err
		}
	case "index":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "value", "start", "stop"); err != nil {
				return nil, err
			}
			items, err := Iter(r)
			if err != nil {
				return nil, err
			}
			n := int64(len(items))
			start, err := a.Int(1, "", 0)
			if err != nil {
				return nil, err
			}
			stop, err := a.Int(2, "", n)
			if err != nil {
				return nil, err
			}
			if start < 0 {
				start = max(start+n, 0)
			}
			if stop < 0 {
				stop += n
			}
			for i := start; i < min(stop, n); i++ {
				if Equal(items[i], a.Pos[0]) {
					return i, nil
				}
			}
			if _, ok := r.(Tuple); ok {
				return nil, valueError("tuple.index(x): x not in tuple")
			}
			return nil, valueError(Repr(a.Pos[0]) + " is not in list")
		}
	}
	return nil
}

func dictItems(d *Dict) *View {
	v := &View{Kind: "dict_items", Items: make([]Value, d.Len())}
	for i := range v.Items {
		v.Items[i] = Tuple{d.items[i].key, d.value(i)}
	}
	return v
}

func dictMethod(name string) builtin {
	switch name {
	case "items":
		return func(r Value, a *Args) (Value, error) { return dictItems(r.(*Dict)), a.Check(0) }
	case "keys":
		return func(r Value, a *Args) (Value, error) {
			return &View{Kind: "dict_keys", Items: r.(*Dict).Keys()}, a.Check(0)
		}
	case "values":
		return func(r Value, a *Args) (Value, error) {
			return &View{Kind: "dict_values", Items: r.(*Dict).Values()}, a.Check(0)
		}
	case "get":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "", ""); err != nil {
				return nil, err
			}
			if !Hashable(a.Pos[0]) {
				return nil, &Error{Kind: "TypeError", Msg: "unhashable type: '" + TypeName(a.Pos[0]) + "'"}
			}
			if v, ok := r.(*Dict).Get(a.Pos[0]); ok {
				return v, nil
			}
			return a.Or(1, "", nil), nil
		}
	case "setdefault":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "", ""); err != nil {
				return nil, err
			}
			d := r.(*Dict)
			if v, ok := d.Get(a.Pos[0]); ok {
				return v, nil
			}
			v := a.Or(1, "", nil)
			return v, d.set(a.Pos[0], v)
		}
	case "__setitem__":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(2, "", ""); err != nil {
				return nil, err
			}
			return nil, r.(*Dict).set(a.Pos[0], a.Pos[1])
		}
	case "pop":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "", ""); err != nil {
				return nil, err
			}
			d := r.(*Dict)
			if v, ok := d.Get(a.Pos[0]); ok {
				d.Delete(a.Pos[0])
				return v, nil
			}
			if len(a.Pos) > 1 {
				return a.Pos[1], nil
			}
			return nil, &Error{Kind: "KeyError", Msg: Repr(a.Pos[0])}
		}
	case "popitem":
		return func(r Value, a *Args) (Value, error) {
			d := r.(*Dict)
			n := d.Len()
			if n == 0 {
				return nil, &Error{Kind: "KeyError", Msg: "'popitem(): dictionary is empty'"}
			}
			t := Tuple{d.items[n-1].key, d.value(n - 1)}
			d.Delete(t[0])
			return t, a.Check(0)
		}
	case "update":
		return func(r Value, a *Args) (Value, error) {
			d := r.(*Dict)
			if len(a.Pos) > 1 {
				return nil, &Error{Kind: "TypeError", Msg: "update expected at most 1 argument"}
			}
			if len(a.Pos) == 1 {
				if err := d.merge(a.Pos[0]); err != nil {
					return nil, err
				}
			}
			d.Update(a.Kw)
			return nil, nil
		}
	case "clear":
		return func(r Value, a *Args) (Value, error) { r.(*Dict).Clear(); return nil, a.Check(0) }
	case "copy":
		return func(r Value, a *Args) (Value, error) { return r.(*Dict).Copy(), a.Check(0) }
	case "fromkeys":
		return func(_ Value, a *Args) (Value, error) {
			if err := a.Check(1, "", ""); err != nil {
				return nil, err
			}
			keys, err := Iter(a.Pos[0])
			d := NewDict()
			for _, k := range keys {
				d.Set(k, a.Or(1, "", nil))
			}
			return d, err
		}
	}
	return nil
}

func (d *Dict) set(k, v Value) error {
	if !Hashable(k) {
		return &Error{Kind: "TypeError", Msg: "unhashable type: '" + TypeName(k) + "'"}
	}
	if d.Len() >= MaxItems {
		return tooLarge("dictionary")
	}
	d.Set(k, v)
	return nil
}

// merge is dict.update(v): a dictionary, or an iterable of pairs.
func (d *Dict) merge(v Value) error {
	o, ok, err := AsDict(v)
	if err != nil {
		return err
	}
	if ok {
		d.Update(o)
		return nil
	}
	items, err := Iter(v)
	if err != nil {
		return err
	}
	for i, e := range items {
		pair, err := Iter(e)
		if err != nil {
			return &Error{Kind: "TypeError", Msg: "cannot convert dictionary update sequence element #" + Str(int64(i)) + " to a sequence"}
		}
		if len(pair) != 2 {
			return valueError("dictionary update sequence element #" + Str(int64(i)) + " has length " + Str(int64(len(pair))) + "; 2 is required")
		}
		if err := d.set(pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// MakeDict is dict(v, **kw).
func MakeDict(v Value, kw *Dict) (*Dict, error) {
	d := NewDict()
	if v != nil {
		if err := d.merge(v); err != nil {
			return nil, err
		}
	}
	d.Update(kw)
	return d, nil
}

// mappingMethod gives a computed dictionary what reads of a real one.
func mappingMethod(name string) builtin {
	switch name {
	case "get":
		return func(r Value, a *Args) (Value, error) {
			if err := a.Check(1, "", ""); err != nil {
				return nil, err
			}
			v, ok, err := r.(Mapping).Lookup(a.Pos[0])
			if err != nil || ok {
				return v, err
			}
			return a.Or(1, "", nil), nil
		}
	case "keys":
		return func(r Value, a *Args) (Value, error) {
			return &View{Kind: "dict_keys", Items: r.(Mapping).Keys()}, a.Check(0)
		}
	case "items", "values", "copy":
		return func(r Value, a *Args) (Value, error) {
			d, _, err := AsDict(r)
			if err != nil {
				return nil, err
			}
			return dictMethod(name)(d, a)
		}
	}
	return nil
}
