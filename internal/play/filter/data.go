package filter

import (
	"slices"
	"strings"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) dataFilters() map[string]jinja.Filter {
	return map[string]jinja.Filter{
		"combine": fCombine, "dict2items": fDict2Items, "items2dict": fItems2Dict, "flatten": fFlatten, "subelements": fSubelements,
		"zip": fZip(false), "zip_longest": fZip(true), "product": fProduct, "permutations": fPermutations, "combinations": fCombinations,
		"union": setFilter(union), "intersect": setFilter(intersect), "difference": setFilter(difference),
		"symmetric_difference": setFilter(func(a, b []value.Value) ([]value.Value, error) {
			x, err := difference(a, b)
			if err != nil {
				return nil, err
			}
			y, err := difference(b, a)
			return append(x, y...), err
		}),
		"extract": fExtract, "rekey_on_member": fRekey, "mandatory": fMandatory, "bool": fBool, "ternary": fTernary,
		"type_debug": func(c *jinja.Call) (value.Value, error) {
			if _, ok := c.In().(*value.Undefined); ok {
				return "UndefinedMarker", nil
			}
			return value.TypeName(c.In()), nil
		},
	}
}

func fMandatory(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "msg"); err != nil {
		return nil, err
	}
	u, ok := c.In().(*value.Undefined)
	if !ok {
		return c.In(), nil
	}
	if m := a.Or(0, "msg", nil); m != nil {
		return nil, filterError(value.Str(m))
	}
	name := ""
	if u.Name != "" {
		name = "'" + u.Name + "' "
	}
	return nil, filterError("Mandatory variable " + name + "not defined.")
}

func fBool(c *jinja.Call) (value.Value, error) {
	if s, ok := value.StrOf(c.In()); ok {
		// Fewer words than for a module's parameter: "y" and "t" are not among them.
		switch strings.ToLower(s) {
		case "yes", "on", "1", "true":
			return true, c.Rest().Check(0)
		}
		return false, c.Rest().Check(0)
	}
	return truthOf(c.In()), c.Rest().Check(0)
}

func fTernary(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(2, "true_val", "false_val", "none_val"); err != nil {
		return nil, err
	}
	if n, ok := a.Get(2, "none_val"); ok && c.In() == nil && n != nil {
		return n, nil
	}
	ok, err := value.Truth(c.In())
	if err != nil {
		return nil, err
	}
	if ok {
		return a.Or(0, "true_val", nil), nil
	}
	return a.Or(1, "false_val", nil), nil
}

func fCombine(c *jinja.Call) (value.Value, error) {
	recursive, err := c.Rest().Bool(-1, "recursive", false)
	if err != nil {
		return nil, err
	}
	merge := "replace"
	if m, ok := c.Kwargs.Get("list_merge"); ok {
		merge = value.Str(m)
	}
	for _, k := range c.Kwargs.Keys() {
		if k != "recursive" && k != "list_merge" {
			return nil, filterError("'recursive' and 'list_merge' are the only valid keyword arguments")
		}
	}
	if !slices.Contains([]string{"replace", "keep", "append", "prepend", "append_rp", "prepend_rp"}, merge) {
		return nil, filterError("merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', 'append_rp' or 'prepend_rp'")
	}
	var all []*value.Dict
	var add func(v value.Value, depth int) error
	add = func(v value.Value, depth int) error {
		d, ok, err := value.AsDict(v)
		if err != nil {
			return err
		}
		if ok {
			all = append(all, d)
			return nil
		}
		if l, isList := v.(*value.List); isList && depth < 50 {
			for _, e := range l.Items {
				if err := add(e, depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		if u, isU := v.(*value.Undefined); isU {
			return u.Use()
		}
		return filterError("failed to combine variables, expected dicts but got a '" + value.TypeName(v) + "'")
	}
	for _, v := range c.Args {
		if err := add(v, 0); err != nil {
			return nil, err
		}
	}
	out := value.NewDict()
	for i, d := range all {
		if i == 0 {
			out = d.Copy()
			continue
		}
		if out, err = mergeDicts(out, d, recursive, merge, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Merge is what hash_behaviour=merge does to two dictionaries.
func Merge(a, b *value.Dict) (*value.Dict, error) { return mergeDicts(a, b, true, "replace", 0) }

func mergeDicts(a, b *value.Dict, recursive bool, lists string, depth int) (*value.Dict, error) {
	if depth > value.MaxDepth {
		return nil, filterError("the dictionaries are nested too deeply")
	}
	out := a.Copy()
	for _, e := range b.Items() {
		old, ok := out.Get(e.Key)
		if !ok {
			out.Set(e.Key, e.Value)
			continue
		}
		if recursive {
			x, isX := old.(*value.Dict)
			y, isY := e.Value.(*value.Dict)
			if isX && isY {
				m, err := mergeDicts(x, y, recursive, lists, depth+1)
				if err != nil {
					return nil, err
				}
				out.Set(e.Key, m)
				continue
			}
		}
		x, isX := old.(*value.List)
		y, isY := e.Value.(*value.List)
		if isX && isY && lists != "replace" {
			out.Set(e.Key, &value.List{Items: mergeLists(x.Items, y.Items, lists)})
			continue
		}
		out.Set(e.Key, e.Value)
	}
	return out, nil
}

func mergeLists(x, y []value.Value, how string) []value.Value {
	without := func(a, b []value.Value) []value.Value {
		var out []value.Value
		for _, e := range a {
			if !contains(b, e) {
				out = append(out, e)
			}
		}
		return out
	}
	switch how {
	case "keep":
		return x
	case "append":
		return slices.Concat(x, y)
	case "prepend":
		return slices.Concat(y, x)
	case "append_rp":
		return slices.Concat(without(x, y), y)
	}
	return slices.Concat(y, without(x, y))
}

func contains(items []value.Value, v value.Value) bool {
	for _, e := range items {
		if value.Equal(e, v) {
			return true
		}
	}
	return false
}

func fDict2Items(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "key_name", "value_name"); err != nil {
		return nil, err
	}
	k, err := a.String(0, "key_name", "key")
	if err != nil {
		return nil, err
	}
	v, err := a.String(1, "value_name", "value")
	if err != nil {
		return nil, err
	}
	d, ok, err := value.AsDict(c.In())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, filterError("dict2items requires a dictionary, got <class '" + value.TypeName(c.In()) + "'> instead.")
	}
	out := &value.List{Items: make([]value.Value, 0, d.Len())}
	for _, e := range d.Items() {
		out.Items = append(out.Items, value.DictOf(k, e.Key, v, e.Value))
	}
	return out, nil
}

func fItems2Dict(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "key_name", "value_name"); err != nil {
		return nil, err
	}
	k, v := a.Or(0, "key_name", "key"), a.Or(1, "value_name", "value")
	var items []value.Value
	switch x := c.In().(type) {
	case *value.List:
		items = x.Items
	case value.Tuple:
		items = x
	default:
		return nil, filterError("items2dict requires a list, got <class '" + value.TypeName(x) + "'> instead.")
	}
	out := value.NewDict()
	for _, e := range items {
		d, ok, err := value.AsDict(e)
		if err != nil {
			return nil, err
		}
		key, hasKey := d.Get(k)
		val, hasVal := d.Get(v)
		if !ok || !hasKey || !hasVal {
			return nil, filterError("items2dict requires each dictionary in the list to contain the keys '" + value.Str(k) + "' and '" + value.Str(v) + "', got " + value.Repr(e) + " instead.")
		}
		if !value.Hashable(key) {
			return nil, filterError("unhashable type: '" + value.TypeName(key) + "'")
		}
		out.Set(key, val)
	}
	return out, nil
}

func fFlatten(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "levels", "skip_nulls"); err != nil {
		return nil, err
	}
	levels, err := a.Int(0, "levels", -1)
	if err != nil {
		return nil, err
	}
	skip, err := a.Bool(1, "skip_nulls", true)
	if err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	var walk func(items []value.Value, levels int64, depth int) error
	walk = func(items []value.Value, levels int64, depth int) error {
		if depth > value.MaxDepth || len(out) > value.MaxItems {
			return filterError("the list is too large or nested too deeply")
		}
		for _, e := range items {
			if skip && (e == nil || e == "None" || e == "null") {
				continue
			}
			inner, isList := listItems(e)
			if isList && levels != 0 {
				if err := walk(inner, levels-1, depth+1); err != nil {
					return err
				}
				continue
			}
			out = append(out, e)
		}
		return nil
	}
	err = walk(items, levels, 0)
	return &value.List{Items: out}, err
}

// listItems takes a list or a tuple apart.
func listItems(v value.Value) ([]value.Value, bool) {
	switch x := v.(type) {
	case *value.List:
		return x.Items, true
	case value.Tuple:
		return x, true
	case *value.View:
		return x.Items, true
	}
	return nil, false
}

func fSubelements(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "subelements", "skip_missing"); err != nil {
		return nil, err
	}
	skip, err := a.Bool(1, "skip_missing", false)
	if err != nil {
		return nil, err
	}
	items, err := elementsOf(c.In())
	if err != nil {
		return nil, err
	}
	out, err := subelements(items, a.Or(0, "subelements", nil), skip)
	return &value.List{Items: out}, err
}

func elementsOf(v value.Value) ([]value.Value, error) {
	if d, ok, err := value.AsDict(v); ok || err != nil {
		return d.Values(), err
	}
	if items, ok := listItems(v); ok {
		return items, nil
	}
	return nil, filterError("obj must be a list of dicts or a nested dict")
}

func subelements(items []value.Value, path value.Value, skip bool) ([]value.Value, error) {
	var keys []value.Value
	if s, ok := value.StrOf(path); ok {
		for _, p := range splitDots(s) {
			keys = append(keys, p)
		}
	} else if l, ok := listItems(path); ok {
		keys = l
	} else {
		return nil, filterError("subelements must be a list or a string")
	}
	out := []value.Value{}
	for _, e := range items {
		var v value.Value = e
		missing := false
		for _, k := range keys {
			d, ok, err := value.AsDict(v)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, filterError("the key " + value.Repr(k) + " should point to a dictionary, got '" + value.Repr(v) + "'")
			}
			if v, ok = d.Get(k); !ok {
				if skip {
					missing = true
					break
				}
				return nil, filterError("could not find " + value.Repr(k) + " key in iterated item " + value.Repr(e))
			}
		}
		if missing {
			continue
		}
		subs, ok := listItems(v)
		if !ok {
			if skip && v == nil {
				continue
			}
			return nil, filterError("the key " + value.Repr(keys[len(keys)-1]) + " should point to a list, got " + value.Repr(v))
		}
		for _, sub := range subs {
			out = append(out, value.Tuple{e, sub})
		}
	}
	return out, nil
}

func fZip(longest bool) jinja.Filter {
	return func(c *jinja.Call) (value.Value, error) {
		fill, _ := c.Kwargs.Get("fillvalue")
		var lists [][]value.Value
		n := -1
		for _, v := range c.Args {
			items, err := value.Iter(v)
			if err != nil {
				return nil, err
			}
			lists = append(lists, items)
			if n < 0 || longest && len(items) > n || !longest && len(items) < n {
				n = len(items)
			}
		}
		out := &value.List{Items: make([]value.Value, 0, max(n, 0))}
		for i := range max(n, 0) {
			row := make(value.Tuple, len(lists))
			for j, l := range lists {
				row[j] = fill
				if i < len(l) {
					row[j] = l[i]
				}
			}
			out.Items = append(out.Items, row)
		}
		return out, nil
	}
}

func cartesian(lists [][]value.Value) ([]value.Value, error) {
	total := 1
	for _, l := range lists {
		if total *= len(l); total > value.MaxItems {
			return nil, filterError("the product has too many elements")
		}
	}
	out := []value.Value{value.Tuple{}}
	for _, l := range lists {
		var next []value.Value
		for _, t := range out {
			for _, e := range l {
				next = append(next, append(slices.Clone(t.(value.Tuple)), e))
			}
		}
		out = next
	}
	return out, nil
}

func fProduct(c *jinja.Call) (value.Value, error) {
	var lists [][]value.Value
	repeat, err := c.Rest().Int(-1, "repeat", 1)
	if err != nil {
		return nil, err
	}
	for _, v := range c.Args {
		items, err := value.Iter(v)
		if err != nil {
			return nil, err
		}
		lists = append(lists, items)
	}
	all := [][]value.Value{}
	for range min(max(repeat, 0), 64) {
		all = append(all, lists...)
	}
	out, err := cartesian(all)
	return &value.List{Items: out}, err
}

func fPermutations(c *jinja.Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	n, err := c.Rest().Int(0, "n", int64(len(items)))
	if err != nil {
		return nil, err
	}
	return pick(items, int(n), true)
}

func fCombinations(c *jinja.Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	n, err := c.Rest().Int(0, "n", 0)
	if err != nil {
		return nil, err
	}
	return pick(items, int(n), false)
}

// pick lists all ways to take n of items, in the order of itertools.
func pick(items []value.Value, n int, ordered bool) (value.Value, error) {
	out := &value.List{Items: []value.Value{}}
	used := make([]bool, len(items))
	cur := value.Tuple{}
	var walk func(from int) error
	walk = func(from int) error {
		if len(cur) == n {
			if len(out.Items) >= 1_000_000 {
				return filterError("there are too many combinations")
			}
			out.Items = append(out.Items, slices.Clone(cur))
			return nil
		}
		for i := from; i < len(items); i++ {
			if used[i] {
				continue
			}
			used[i] = true
			cur = append(cur, items[i])
			next := i + 1
			if ordered {
				next = 0
			}
			if err := walk(next); err != nil {
				return err
			}
			cur = cur[:len(cur)-1]
			used[i] = false
		}
		return nil
	}
	if n < 0 || n > len(items) {
		return out, nil
	}
	return out, walk(0)
}

func setFilter(f func(a, b []value.Value) ([]value.Value, error)) jinja.Filter {
	return func(c *jinja.Call) (value.Value, error) {
		args := c.Rest()
		if err := args.Check(1, "b"); err != nil {
			return nil, err
		}
		a, err := c.List()
		if err != nil {
			return nil, err
		}
		b, err := value.Iter(args.Or(0, "b", nil))
		if err != nil {
			return nil, err
		}
		out, err := f(a, b)
		return &value.List{Items: out}, err
	}
}

func uniqueItems(items []value.Value) ([]value.Value, error) {
	v, err := jinja.Unique(items, nil)
	if err != nil {
		return nil, err
	}
	return v.(*value.List).Items, nil
}

func union(a, b []value.Value) ([]value.Value, error) { return uniqueItems(slices.Concat(a, b)) }

// membership answers "is it in items" in constant time for what can be hashed.
func membership(items []value.Value) func(value.Value) bool {
	hashed := value.NewDict()
	var rest []value.Value
	for _, e := range items {
		if value.Hashable(e) {
			hashed.Set(e, true)
		} else {
			rest = append(rest, e)
		}
	}
	return func(v value.Value) bool {
		if value.Hashable(v) {
			return hashed.Has(v)
		}
		return contains(rest, v)
	}
}

func intersect(a, b []value.Value) ([]value.Value, error) {
	in := membership(b)
	kept := []value.Value{}
	for _, e := range a {
		if in(e) {
			kept = append(kept, e)
		}
	}
	return uniqueItems(kept)
}

func difference(a, b []value.Value) ([]value.Value, error) {
	in := membership(b)
	kept := []value.Value{}
	for _, e := range a {
		if !in(e) {
			kept = append(kept, e)
		}
	}
	return uniqueItems(kept)
}

func fExtract(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "container", "morekeys"); err != nil {
		return nil, err
	}
	keys := []value.Value{c.In()}
	if more := a.Or(1, "morekeys", nil); more != nil {
		if l, ok := listItems(more); ok {
			keys = append(keys, l...)
		} else {
			keys = append(keys, more)
		}
	}
	v := a.Or(0, "container", nil)
	for _, k := range keys {
		r, ok, err := value.GetItem(v, k)
		if err != nil {
			return nil, err
		}
		if !ok {
			return &value.Undefined{Name: value.Str(k), Hint: "object of type '" + value.TypeName(v) + "' has no attribute " + value.Repr(k)}, nil
		}
		v = r
	}
	return v, nil
}

func fRekey(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "key", "duplicates"); err != nil {
		return nil, err
	}
	dup, err := a.String(1, "duplicates", "error")
	if err != nil {
		return nil, err
	}
	if dup != "error" && dup != "overwrite" {
		return nil, filterError("duplicates parameter to rekey_on_member has unknown value: " + dup)
	}
	key := a.Or(0, "key", nil)
	items, err := elementsOf(c.In())
	if err != nil {
		return nil, filterError("Type is not a valid list, set, or dict")
	}
	out := value.NewDict()
	for _, e := range items {
		d, ok, err := value.AsDict(e)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, filterError("List item is not a valid dict")
		}
		k, ok := d.Get(key)
		if !ok {
			return nil, filterError("Key " + value.Str(key) + " was not found")
		}
		if dup == "error" && out.Has(k) {
			return nil, filterError("Key " + value.Str(k) + " is not unique, cannot correctly turn into dict")
		}
		out.Set(k, e)
	}
	return out, nil
}
