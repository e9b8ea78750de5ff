package jinja

import (
	"math/rand/v2"
	"slices"
	"strings"

	"drover/internal/play/value"
)

func argError(msg string) error {
	return &value.Error{Kind: "FilterArgumentError", Msg: msg}
}

func fLength(c *Call) (value.Value, error) {
	n, err := value.Len(c.In())
	return int64(n), err
}

func fList(c *Call) (value.Value, error) {
	items, err := c.List()
	return &value.List{Items: slices.Clone(items)}, err
}

func fFirst(c *Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return &value.Undefined{Hint: "No first item, sequence was empty."}, nil
	}
	return items[0], nil
}

func fLast(c *Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return &value.Undefined{Hint: "No last item, sequence was empty."}, nil
	}
	return items[len(items)-1], nil
}

func fRandom(c *Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return &value.Undefined{Hint: "No random item, sequence was empty."}, nil
	}
	return items[rand.IntN(len(items))], nil
}

func fJoin(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "d", "attribute"); err != nil {
		return nil, err
	}
	sepV := a.Or(0, "d", "")
	sep := value.Str(sepV)
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	attr, hasAttr := a.Get(1, "attribute")
	var b []byte
	for i, e := range items {
		if i > 0 {
			b = append(b, sep...)
		}
		if hasAttr && attr != nil {
			if e, err = c.Attr(e, attr); err != nil {
				return nil, err
			}
		}
		if b, err = value.AppendStr(b, e); err != nil {
			return nil, err
		}
		if len(b) > value.MaxString {
			return nil, tooLong()
		}
	}
	return string(b), nil
}

func fReverse(c *Call) (value.Value, error) {
	if s, ok := value.StrOf(c.In()); ok {
		r := []rune(s)
		slices.Reverse(r)
		return string(r), nil
	}
	items, err := c.List()
	if err != nil {
		return nil, argError("argument must be iterable")
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	return &value.List{Items: items}, nil
}

// sortKey is the key by which sort, unique, min, max and groupby compare.
func (c *Call) sortKey(attr value.Value, caseSensitive bool, def value.Value, hasDef bool) func(value.Value) (value.Value, error) {
	var parts []value.Value
	if attr != nil {
		if s, ok := value.StrOf(attr); ok {
			for p := range strings.SplitSeq(s, ",") {
				parts = append(parts, p)
			}
		} else {
			parts = []value.Value{attr}
		}
	}
	post := func(v value.Value) value.Value {
		if s, ok := value.StrOf(v); ok && !caseSensitive {
			return value.Lower(s)
		}
		return v
	}
	one := func(v, p value.Value) (value.Value, error) {
		v, err := c.Attr(v, p)
		if err != nil {
			return nil, err
		}
		if _, undef := v.(*value.Undefined); undef && hasDef {
			v = def
		}
		return post(v), nil
	}
	return func(v value.Value) (value.Value, error) {
		switch len(parts) {
		case 0:
			return post(v), nil
		case 1:
			return one(v, parts[0])
		}
		key := make([]value.Value, len(parts))
		for i, p := range parts {
			k, err := one(v, p)
			if err != nil {
				return nil, err
			}
			key[i] = k
		}
		return &value.List{Items: key}, nil
	}
}

func fSort(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "reverse", "case_sensitive", "attribute"); err != nil {
		return nil, err
	}
	reverse, err := a.Bool(0, "reverse", false)
	if err != nil {
		return nil, err
	}
	cs, err := a.Bool(1, "case_sensitive", false)
	if err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	if err := value.Sort(items, c.sortKey(a.Or(2, "attribute", nil), cs, nil, false), reverse); err != nil {
		return nil, err
	}
	return &value.List{Items: items}, nil
}

func fUnique(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "case_sensitive", "attribute"); err != nil {
		return nil, err
	}
	cs, err := a.Bool(0, "case_sensitive", false)
	if err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	key := c.sortKey(a.Or(1, "attribute", nil), cs, nil, false)
	return Unique(items, key)
}

// Unique keeps the first of items that have an equal key.
func Unique(items []value.Value, key func(value.Value) (value.Value, error)) (value.Value, error) {
	seen := value.NewDict()
	var unhashable []value.Value
	out := []value.Value{}
next:
	for _, e := range items {
		k := e
		if key != nil {
			var err error
			if k, err = key(e); err != nil {
				return nil, err
			}
		}
		if u, ok := k.(*value.Undefined); ok {
			return nil, u.Use()
		}
		if value.Hashable(k) {
			if seen.Has(k) {
				continue
			}
			seen.Set(k, true)
		} else {
			for _, o := range unhashable {
				if value.Equal(o, k) {
					continue next
				}
			}
			unhashable = append(unhashable, k)
		}
		out = append(out, e)
	}
	return &value.List{Items: out}, nil
}

func fMinMax(sign int) Filter {
	return func(c *Call) (value.Value, error) {
		a := c.Rest()
		if err := a.Check(0, "case_sensitive", "attribute"); err != nil {
			return nil, err
		}
		cs, err := a.Bool(0, "case_sensitive", false)
		if err != nil {
			return nil, err
		}
		items, err := c.List()
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return &value.Undefined{Hint: "No aggregated item, sequence was empty."}, nil
		}
		key := c.sortKey(a.Or(1, "attribute", nil), cs, nil, false)
		best := items[0]
		bestKey, err := key(best)
		if err != nil {
			return nil, err
		}
		for _, e := range items[1:] {
			k, err := key(e)
			if err != nil {
				return nil, err
			}
			op := "<"
			if sign > 0 {
				op = ">"
			}
			better, err := value.CompareOp(op, k, bestKey)
			if err != nil {
				return nil, err
			}
			if better {
				best, bestKey = e, k
			}
		}
		return best, nil
	}
}

func fSum(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "attribute", "start"); err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	attr := a.Or(0, "attribute", nil)
	total := a.Or(1, "start", int64(0))
	for _, e := range items {
		if attr != nil {
			if e, err = c.Attr(e, attr); err != nil {
				return nil, err
			}
		}
		if l, ok := total.(*value.List); ok && len(l.Items) > value.MaxItems {
			return nil, tooLong()
		}
		if total, err = value.Add(total, e); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func fBatch(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "linecount", "fill_with"); err != nil {
		return nil, err
	}
	n, err := a.Int(0, "linecount", 0)
	if err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	out := []value.Value{}
	if n <= 0 {
		n = int64(max(len(items), 1))
	}
	for i := 0; i < len(items); i += int(n) {
		row := slices.Clone(items[i:min(i+int(n), len(items))])
		if fill := a.Or(1, "fill_with", nil); fill != nil && n <= value.MaxItems {
			for len(row) < int(n) {
				row = append(row, fill)
			}
		}
		out = append(out, &value.List{Items: row})
	}
	return &value.List{Items: out}, nil
}

func fSlice(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "slices", "fill_with"); err != nil {
		return nil, err
	}
	n, err := a.Int(0, "slices", 0)
	if err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	if n <= 0 {
		return nil, &value.Error{Kind: "ZeroDivisionError", Msg: "integer division or modulo by zero"}
	}
	if n > value.MaxItems {
		return nil, tooLong()
	}
	fill := a.Or(1, "fill_with", nil)
	per, extra := len(items)/int(n), len(items)%int(n)
	out := make([]value.Value, 0, n)
	at := 0
	for i := range int(n) {
		size := per
		if i < extra {
			size++
		}
		row := slices.Clone(items[at : at+size])
		at += size
		if fill != nil && i >= extra {
			row = append(row, fill)
		}
		out = append(out, &value.List{Items: row})
	}
	return &value.List{Items: out}, nil
}

func fMap(c *Call) (value.Value, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	out := make([]value.Value, len(items))
	args := c.Args[1:]
	if len(args) == 0 {
		attr, ok := c.Kwargs.Get("attribute")
		if !ok {
			return nil, argError("map requires a filter argument")
		}
		def, hasDef := c.Kwargs.Get("default")
		for _, k := range c.Kwargs.Keys() {
			if k != "attribute" && k != "default" {
				return nil, argError("Unexpected keyword argument " + value.Repr(k))
			}
		}
		for i, e := range items {
			v, err := c.Attr(e, attr)
			if err != nil {
				return nil, err
			}
			if _, undef := v.(*value.Undefined); undef && hasDef {
				v = def
			}
			out[i] = v
		}
		return &value.List{Items: out}, nil
	}
	name, ok := value.StrOf(args[0])
	if !ok {
		return nil, argError("the name of a filter must be a string")
	}
	for i, e := range items {
		call := append([]value.Value{e}, args[1:]...)
		if out[i], err = c.Filter(name, call, c.Kwargs); err != nil {
			return nil, err
		}
	}
	return &value.List{Items: out}, nil
}

func fSelect(want, byAttr bool) Filter {
	return func(c *Call) (value.Value, error) {
		items, err := c.List()
		if err != nil {
			return nil, err
		}
		args := c.Args[1:]
		var attr value.Value
		if byAttr {
			if len(args) == 0 {
				return nil, argError("Missing parameter for attribute name")
			}
			attr, args = args[0], args[1:]
		}
		out := []value.Value{}
		for _, e := range items {
			v := e
			if byAttr {
				if v, err = c.Attr(e, attr); err != nil {
					return nil, err
				}
			}
			var ok bool
			if len(args) == 0 {
				ok, err = value.Truth(v)
			} else {
				name, isStr := value.StrOf(args[0])
				if !isStr {
					return nil, argError("the name of a test must be a string")
				}
				ok, err = c.Test(name, append([]value.Value{v}, args[1:]...), c.Kwargs)
			}
			if err != nil {
				return nil, err
			}
			if ok == want {
				out = append(out, e)
			}
		}
		return &value.List{Items: out}, nil
	}
}

func fGroupBy(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "attribute", "default", "case_sensitive"); err != nil {
		return nil, err
	}
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	cs, err := a.Bool(2, "case_sensitive", false)
	if err != nil {
		return nil, err
	}
	attr, _ := a.Get(0, "attribute")
	def, hasDef := a.Get(1, "default")
	hasDef = hasDef && def != nil
	key := c.sortKey(attr, cs, def, hasDef)
	exact := c.sortKey(attr, true, def, hasDef)
	items = slices.Clone(items)
	if err := value.Sort(items, key, false); err != nil {
		return nil, err
	}
	out := []value.Value{}
	var last value.Value
	var group *value.List
	for i, e := range items {
		k, err := key(e)
		if err != nil {
			return nil, err
		}
		if i == 0 || !value.Equal(k, last) {
			group = &value.List{}
			shown, err := exact(e)
			if err != nil {
				return nil, err
			}
			out = append(out, &Group{Grouper: shown, Items: group})
			last = k
		}
		group.Items = append(group.Items, e)
	}
	return &value.List{Items: out}, nil
}

// Group is one group of groupby: a tuple whose parts have names too.
type Group struct {
	Grouper value.Value
	Items   *value.List
}

// Attr has the names of the parts.
func (g *Group) Attr(name string) (value.Value, bool, error) {
	switch name {
	case "grouper":
		return g.Grouper, true, nil
	case "list":
		return g.Items, true, nil
	}
	return nil, false, nil
}

// Iter lists the two parts.
func (g *Group) Iter() ([]value.Value, error) { return []value.Value{g.Grouper, g.Items}, nil }

// Item returns a part by number.
func (g *Group) Item(key value.Value) (value.Value, bool, error) {
	return value.GetItem(value.Tuple{g.Grouper, g.Items}, key)
}

// Len is 2.
func (g *Group) Len() int { return 2 }

// TypeName is that of a tuple.
func (g *Group) TypeName() string { return "tuple" }

// Repr prints a tuple.
func (g *Group) Repr() string { return value.Repr(value.Tuple{g.Grouper, g.Items}) }

func fDictSort(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "case_sensitive", "by", "reverse"); err != nil {
		return nil, err
	}
	cs, err := a.Bool(0, "case_sensitive", false)
	if err != nil {
		return nil, err
	}
	by, err := a.String(1, "by", "key")
	if err != nil {
		return nil, err
	}
	reverse, err := a.Bool(2, "reverse", false)
	if err != nil {
		return nil, err
	}
	pos := map[string]int{"key": 0, "value": 1}
	i, ok := pos[by]
	if !ok {
		return nil, argError(`You can only sort by either "key" or "value"`)
	}
	items, err := dictPairs(c.In())
	if err != nil {
		return nil, err
	}
	err = value.Sort(items, func(v value.Value) (value.Value, error) {
		k := v.(value.Tuple)[i]
		if s, ok := value.StrOf(k); ok && !cs {
			return value.Lower(s), nil
		}
		return k, nil
	}, reverse)
	return &value.List{Items: items}, err
}

func dictPairs(v value.Value) ([]value.Value, error) {
	d, ok, err := value.AsDict(v)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &value.Error{Kind: "AttributeError", Msg: "'" + value.TypeName(v) + "' object has no attribute 'items'"}
	}
	out := make([]value.Value, 0, d.Len())
	for _, e := range d.Items() {
		out = append(out, value.Tuple{e.Key, e.Value})
	}
	return out, nil
}

func fItems(c *Call) (value.Value, error) {
	if _, ok, _ := value.AsDict(c.In()); !ok {
		return nil, &value.Error{Kind: "TypeError", Msg: "Can only get item pairs from a mapping."}
	}
	items, err := dictPairs(c.In())
	return &value.List{Items: items}, err
}

func fDefault(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "default_value", "boolean"); err != nil {
		return nil, err
	}
	def := a.Or(0, "default_value", "")
	if _, undef := c.In().(*value.Undefined); undef {
		return def, nil
	}
	boolean, err := a.Bool(1, "boolean", false)
	if err != nil {
		return nil, err
	}
	if boolean {
		ok, err := value.Truth(c.In())
		if err != nil {
			return nil, err
		}
		if !ok {
			return def, nil
		}
	}
	return c.In(), nil
}

func fAttr(c *Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "name"); err != nil {
		return nil, err
	}
	name, err := a.String(0, "name", "")
	if err != nil {
		return nil, err
	}
	v, ok, err := value.Attr(c.In(), name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return &value.Undefined{Name: name, Hint: "'" + value.TypeName(c.In()) + " object' has no attribute " + value.Repr(name)}, nil
	}
	return v, nil
}
