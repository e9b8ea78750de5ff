package jinja

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"unicode"

	"drover/internal/play/value"
)

// is makes a test of a function on one value.
func is(f func(v value.Value) bool) Test {
	return func(c *Call) (bool, error) {
		return f(c.In()), c.Rest().Check(0)
	}
}

func compareTest(op string) Test {
	return func(c *Call) (bool, error) {
		a := c.Rest()
		if err := a.Check(1, "other"); err != nil {
			return false, err
		}
		return value.CompareOp(op, c.In(), a.Or(0, "other", nil))
	}
}

func tIn(c *Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "seq"); err != nil {
		return false, err
	}
	return value.Contains(a.Or(0, "seq", nil), c.In())
}

func modTest(want func(r value.Value) bool, by int64) Test {
	return func(c *Call) (bool, error) {
		if err := c.Rest().Check(0); err != nil {
			return false, err
		}
		if _, isStr := value.StrOf(c.In()); isStr {
			return false, &value.Error{Kind: "TypeError", Msg: "not all arguments converted during string formatting"}
		}
		r, err := value.Mod(c.In(), by)
		return err == nil && want(r), err
	}
}

func tDivisibleBy(c *Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "num"); err != nil {
		return false, err
	}
	r, err := value.Mod(c.In(), a.Or(0, "num", nil))
	return err == nil && value.Equal(r, int64(0)), err
}

// isCased tests text as Python's islower and isupper do.
func isCased(method string) Test {
	return is(func(v value.Value) bool {
		r, _, err := value.CallMethod(value.Str(v), method, nil, nil)
		b, _ := r.(bool)
		return err == nil && b
	})
}

func tSameAs(c *Call) (bool, error) {
	a := c.Rest()
	if err := a.Check(1, "other"); err != nil {
		return false, err
	}
	x, y := c.In(), a.Or(0, "other", nil)
	switch x.(type) {
	case nil:
		return y == nil, nil
	case bool, int64, string, float64:
		return value.TypeName(x) == value.TypeName(y) && value.Equal(x, y), nil
	case *value.List, *value.Dict, *value.Undefined, *Namespace, *Macro:
		return x == y, nil
	}
	return value.TypeName(x) == value.TypeName(y) && value.Equal(x, y), nil
}

func isInt(v value.Value) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

func isMapping(v value.Value) bool {
	switch v.(type) {
	case *value.Dict, value.Mapping:
		return true
	}
	return false
}

// isSequence is Jinja's: what has a length and items.
func isSequence(v value.Value) bool {
	switch v.(type) {
	case string, value.Unsafe, *value.List, value.Tuple, *value.Dict, value.Mapping, value.Range, []byte, *Group:
		return true
	}
	return false
}

func isIterable(v value.Value) bool {
	switch v.(type) {
	case *value.View, *loopVar:
		return true
	}
	return isSequence(v)
}

func builtinTests() map[string]Test {
	eq, ne, lt, le, gt, ge := compareTest("=="), compareTest("!="), compareTest("<"), compareTest("<="), compareTest(">"), compareTest(">=")
	t := map[string]Test{
		"boolean":  is(func(v value.Value) bool { _, ok := v.(bool); return ok }),
		"callable": is(value.IsCallable),
		"defined":  is(func(v value.Value) bool { _, u := v.(*value.Undefined); return !u }),
		"undefined": is(func(v value.Value) bool {
			_, u := v.(*value.Undefined)
			return u
		}),
		"divisibleby": tDivisibleBy,
		"eq":          eq, "==": eq, "equalto": eq, "ne": ne, "!=": ne, "lt": lt, "<": lt, "lessthan": lt, "le": le, "<=": le,
		"gt": gt, ">": gt, "greaterthan": gt, "ge": ge, ">=": ge,
		"escaped": is(func(value.Value) bool { return false }),
		"even":    modTest(func(r value.Value) bool { return value.Equal(r, int64(0)) }, 2),
		"odd":     modTest(func(r value.Value) bool { return value.Equal(r, int64(1)) }, 2),
		"false":   is(func(v value.Value) bool { return v == false }),
		"true":    is(func(v value.Value) bool { return v == true }),
		"float":   is(func(v value.Value) bool { _, ok := v.(float64); return ok }),
		"integer": is(isInt),
		"number": is(func(v value.Value) bool {
			_, ok := value.AsFloat(v)
			return ok
		}),
		"in": tIn, "iterable": is(isIterable), "mapping": is(isMapping), "sequence": is(isSequence),
		"lower": isCased("islower"), "upper": isCased("isupper"),
		"none": is(func(v value.Value) bool { return v == nil }), "sameas": tSameAs,
		"string": is(func(v value.Value) bool { _, ok := value.StrOf(v); return ok }),
	}
	t["filter"] = func(c *Call) (bool, error) { n, ok := value.StrOf(c.In()); return ok && c.Env.HasFilter(n), nil }
	t["test"] = func(c *Call) (bool, error) { n, ok := value.StrOf(c.In()); return ok && c.Env.HasTest(n), nil }
	return t
}

// maxRange is what Jinja's sandbox allows.
const maxRange = 100_000

func builtinGlobals() map[string]value.Value {
	return map[string]value.Value{
		"range": stateFunc(gRange),
		"dict": stateFunc(func(_ *state, args []value.Value, kw *value.Dict) (value.Value, error) {
			if len(args) > 1 {
				return nil, &value.Error{Kind: "TypeError", Msg: "dict expected at most 1 argument, got " + value.Str(int64(len(args)))}
			}
			var v value.Value
			if len(args) == 1 {
				v = args[0]
			}
			return value.MakeDict(v, kw)
		}),
		"namespace": stateFunc(func(_ *state, args []value.Value, kw *value.Dict) (value.Value, error) {
			var v value.Value
			if len(args) > 0 {
				v = args[0]
			}
			d, err := value.MakeDict(v, kw)
			return &Namespace{d}, err
		}),
		"cycler": stateFunc(func(_ *state, args []value.Value, _ *value.Dict) (value.Value, error) {
			if len(args) == 0 {
				return nil, &value.Error{Kind: "RuntimeError", Msg: "at least one item has to be provided"}
			}
			return &cycler{items: args}, nil
		}),
		"joiner": stateFunc(func(_ *state, args []value.Value, kw *value.Dict) (value.Value, error) {
			a := &value.Args{Name: "joiner", Pos: args, Kw: kw}
			sep, err := a.String(0, "sep", ", ")
			first := true
			return stateFunc(func(*state, []value.Value, *value.Dict) (value.Value, error) {
				if first {
					first = false
					return "", nil
				}
				return sep, nil
			}), err
		}),
		"lipsum": stateFunc(gLipsum),
	}
}

func gRange(_ *state, args []value.Value, kw *value.Dict) (value.Value, error) {
	if u := firstUndefined(args, kw); u != nil {
		return u, nil
	}
	a := &value.Args{Name: "range", Pos: args, Kw: kw}
	if err := a.Check(1, "", "", ""); err != nil {
		return nil, err
	}
	var n [3]int64
	for i, v := range args {
		x, ok := value.AsInt(v)
		if !ok {
			return nil, &value.Error{Kind: "TypeError", Msg: "'" + value.TypeName(v) + "' object cannot be interpreted as an integer"}
		}
		n[i] = x
	}
	r := value.Range{Start: n[0], Stop: n[1], Step: 1}
	switch len(args) {
	case 1:
		r.Start, r.Stop = 0, n[0]
	case 3:
		if r.Step = n[2]; r.Step == 0 {
			return nil, &value.Error{Kind: "ValueError", Msg: "range() arg 3 must not be zero"}
		}
	}
	if r.Len() > maxRange || r.Start > r.Stop && r.Start-r.Stop < 0 || r.Stop > r.Start && r.Stop-r.Start < 0 {
		return nil, &value.Error{Kind: "OverflowError", Msg: "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)."}
	}
	return r, nil
}

// cycler goes through its items again and again.
type cycler struct {
	items []value.Value
	i     int
}

// TypeName is the class's name.
func (c *cycler) TypeName() string { return "Cycler" }

// Attr has next, reset and current.
func (c *cycler) Attr(name string) (value.Value, bool, error) {
	switch name {
	case "current":
		return c.items[c.i], true, nil
	case "next":
		return stateFunc(func(*state, []value.Value, *value.Dict) (value.Value, error) {
			v := c.items[c.i]
			c.i = (c.i + 1) % len(c.items)
			return v, nil
		}), true, nil
	case "reset":
		return stateFunc(func(*state, []value.Value, *value.Dict) (value.Value, error) {
			c.i = 0
			return nil, nil
		}), true, nil
	}
	return nil, false, nil
}

// gLipsum makes text that looks like text.
func gLipsum(_ *state, args []value.Value, kw *value.Dict) (value.Value, error) {
	a := &value.Args{Name: "lipsum", Pos: args, Kw: kw}
	if err := a.Check(0, "n", "html", "min", "max"); err != nil {
		return nil, err
	}
	n, err := a.Int(0, "n", 5)
	if err != nil {
		return nil, err
	}
	html, err := a.Bool(1, "html", true)
	if err != nil {
		return nil, err
	}
	lo, err := a.Int(2, "min", 20)
	if err != nil {
		return nil, err
	}
	hi, err := a.Int(3, "max", 100)
	if err != nil {
		return nil, err
	}
	if n > 1000 || hi > 10_000 || lo < 0 || hi <= lo {
		return nil, &value.Error{Kind: "ValueError", Msg: "lipsum makes at most 1000 paragraphs of at most 10000 words"}
	}
	words := strings.Fields("lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua")
	var out []string
	for range n {
		var p []string
		for range lo + rand.Int64N(hi-lo) {
			p = append(p, words[rand.IntN(len(words))])
		}
		s := []rune(strings.Join(p, " ") + ".")
		s[0] = unicode.ToUpper(s[0])
		if html {
			out = append(out, "<p>"+string(s)+"</p>")
		} else {
			out = append(out, string(s))
		}
	}
	return strings.Join(out, map[bool]string{true: "\n", false: "\n\n"}[html]), nil
}
