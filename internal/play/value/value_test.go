package value_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drover/internal/play/value"
)

func TestDictKeepsOrderAndPythonsKeys(t *testing.T) {
	d := value.NewDict()
	for i := range 20 {
		d.Set(int64(19-i), int64(i))
	}
	d.Set(3.0, "float")
	d.Set(true, "true") // the same key as 1
	d.Delete(int64(10))
	d.Set(value.Tuple{int64(1), "a"}, "tuple")
	d.Set(value.Tuple{1.0, "a"}, "again")
	d.Set(value.Unsafe("k"), 1)
	d.Set("k", int64(2))
	if v, _ := d.Get(int64(3)); v != "float" {
		t.Errorf("3 is %v", v)
	}
	if v, _ := d.Get(1.0); v != "true" {
		t.Errorf("1 is %v", v)
	}
	if v, _ := d.Get(value.Tuple{true, "a"}); v != "again" {
		t.Errorf("the tuple is %v", v)
	}
	if d.Len() != 21 || d.Has(int64(10)) || d.Keys()[0] != int64(19) || value.Str(d.Keys()[20]) != "k" {
		t.Errorf("keys are %v", d.Keys())
	}
	big1, _ := new(big.Int).SetString("100000000000000000000", 10)
	d.Set(big1, "big")
	if v, _ := d.Get(1e20); v != "big" {
		t.Errorf("1e20 is %v", v)
	}
	var none *value.Dict
	if _, ok := none.Get("x"); ok || none.Len() != 0 || len(none.Items()) != 0 {
		t.Error("a nil dictionary is not empty")
	}
}

func TestLazyResolvesOnceAndLeavesTheOriginal(t *testing.T) {
	d := value.DictOf("a", "1", "b", "2")
	calls := 0
	l := d.Lazy(func(v value.Value) value.Value { calls++; return value.Str(v) + "!" })
	for range 3 {
		if v, _ := l.GetString("a"); v != "1!" {
			t.Fatalf("a is %v", v)
		}
	}
	if calls != 1 {
		t.Errorf("resolved %d times", calls)
	}
	l.Set("b", "set")
	if v, _ := l.GetString("b"); v != "set" || value.Repr(d) != "{'a': '1', 'b': '2'}" {
		t.Errorf("b is %v, the original %s", v, value.Repr(d))
	}
}

func TestGoAndJSON(t *testing.T) {
	in := map[string]any{"b": []any{1, uint64(math.MaxUint64), json.Number("1.50"), json.Number("12345678901234567890"), nil, true},
		"a": map[string]string{"z": "1", "y": "2"}, "c": float32(0.5), "d": []string{"x"}}
	v := value.FromGo(in)
	const want = "{'a': {'y': '2', 'z': '1'}, 'b': [1, 18446744073709551615, 1.5, 12345678901234567890, None, True], 'c': 0.5, 'd': ['x']}"
	if got := value.Repr(v); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	back := map[string]any{"a": map[string]any{"y": "2", "z": "1"}, "c": 0.5, "d": []any{"x"},
		"b": []any{int64(1), json.Number("18446744073709551615"), 1.5, json.Number("12345678901234567890"), nil, true}}
	if diff := cmp.Diff(back, value.ToGo(v)); diff != "" {
		t.Error(diff)
	}
	const text = `{"z":1,"a":[1.0,12345678901234567890,"é\n",null,{"k":{}}],"m":1e+30}`
	j, err := value.FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := value.ToJSON(j)
	if err != nil || string(out) != text {
		t.Errorf("got %s, %v\nwant %s", out, err, text)
	}
	for src, want := range map[string]string{"{\"a\": }": "line 1 column", "[1\n,": "line 2", "1 2": "more after", "": "too early"} {
		if _, err := value.FromJSON([]byte(src)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", src, err, want)
		}
	}
}

func TestUndefinedIsAnErrorWhereverItIsUsed(t *testing.T) {
	u := &value.Undefined{Name: "x"}
	check := func(what string, err error) {
		t.Helper()
		var ue *value.UndefinedError
		if !errors.As(err, &ue) || err.Error() != "'x' is undefined" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := value.Truth(u)
	check("truth", err)
	_, err = value.Add(int64(1), u)
	check("add", err)
	_, err = value.Compare(u, int64(1))
	check("compare", err)
	_, err = value.CompareOp("==", u, int64(1))
	check("equal", err)
	_, err = value.Contains(value.NewList(), u)
	check("contains", err)
	_, err = value.Iter(u)
	check("iter", err)
	_, err = value.AppendStr(nil, value.NewList(u))
	check("text", err)
	_, err = value.ToJSON(value.DictOf("a", u))
	check("json", err)
}

func TestSelfContainingValuesEnd(t *testing.T) {
	l := value.NewList()
	l.Items = append(l.Items, l)
	d := value.DictOf("l", l)
	if len(value.Repr(d)) > 10_000 {
		t.Error("the text is long")
	}
	if _, err := value.ToJSON(d); err == nil {
		t.Error("JSON of a value that contains itself")
	}
	value.ToGo(d)
	value.Equal(l, value.NewList(value.NewList(l)))
	if _, err := value.Compare(l, value.NewList(l)); err != nil && !strings.Contains(err.Error(), "recursion") {
		t.Error(err)
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct{ text, format, want string }{
		{"2020-02-29 23:59:58", "%Y-%m-%d %H:%M:%S", "datetime.datetime(2020, 2, 29, 23, 59, 58)"},
		{"Jan  5 2021", "%b %d %Y", "datetime.datetime(2021, 1, 5, 0, 0)"},
		{"05/06/99 1:02 PM", "%d/%m/%y %I:%M %p", "datetime.datetime(1999, 6, 5, 13, 2)"},
		{"2020-01-01T00:00:00.25+0200", "%Y-%m-%dT%H:%M:%S.%f%z", "datetime.datetime(2020, 1, 1, 0, 0, 0, 250000, tzinfo=datetime.timezone(datetime.timedelta(seconds=7200)))"},
	} {
		v, err := value.Strptime(c.text, c.format)
		if err != nil || v.Repr() != c.want {
			t.Errorf("%s: %s, %v; want %s", c.text, v.Repr(), err, c.want)
		}
	}
	for _, bad := range [][2]string{{"2021-02-29", "%Y-%m-%d"}, {"x", "%Y"}, {"2020 ", "%Y"}, {"25", "%H"}, {"1", "%Q"}} {
		if v, err := value.Strptime(bad[0], bad[1]); err == nil {
			t.Errorf("%v: %v", bad, v.Repr())
		}
	}
	if got := value.Delta(-1).Repr(); got != "datetime.timedelta(days=-1, seconds=86399, microseconds=999999)" {
		t.Error(got)
	}
}

func FuzzFormat(f *testing.F) {
	for _, s := range []string{"{:>10,.2f} {0!r} {a[b].c}", "%(a)s %-5.2d %*x", "{:{}}", "{:=+08,}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := []value.Value{int64(-1234567), 2.5, "text", value.DictOf("a", int64(1))}
		for _, a := range args {
			_, _ = value.Mod(s, a)
			if len(s) < 20 {
				_, _ = value.Format(a, s)
			}
		}
		_, _, _ = value.CallMethod(s, "format", args, value.DictOf("a", value.DictOf("b", "c")))
	})
}
