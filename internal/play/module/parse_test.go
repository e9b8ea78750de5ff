package module

import (
	"slices"
	"strings"
	"testing"

	"drover/internal/play/machine"
	"drover/internal/play/param"
)

func TestParseMode(t *testing.T) {
	for _, x := range []struct {
		mode any
		cur  uint32
		dir  bool
		want uint32
		bad  bool
	}{
		{"0644", 0, false, 0o644, false}, {"644", 0, false, 0o644, false}, {int64(0o644), 0, false, 0o644, false},
		{float64(420), 0, false, 0o644, false}, {"01777", 0, true, 0o1777, false}, {"0o755", 0, false, 0o755, false},
		{"u=rw,g=r,o=", 0o777, false, 0o640, false}, {"u=rwX,go=rX", 0o600, true, 0o755, false},
		{"u=rwX,go=rX", 0o600, false, 0o644, false}, {"u=rwX,go=rX", 0o700, false, 0o755, false},
		{"a+x", 0o644, false, 0o755, false}, {"+x", 0o644, false, 0o755, false}, {"+w", 0o444, false, 0o644, false},
		{"go-rwx", 0o777, false, 0o700, false}, {"u+s,g+s", 0o755, false, 0o6755, false}, {"+t", 0o755, true, 0o1755, false},
		{"o=u", 0o750, false, 0o757, false}, {"g=u-w", 0o700, false, 0o750, false}, {"u=", 0o4755, false, 0o055, false},
		{"9", 0, false, 0, true}, {"999", 0, false, 0, true}, {"u=q", 0, false, 0, true}, {"", 0, false, 0, true},
		{"z+x", 0, false, 0, true}, {"17777", 0, false, 0, true}, {int64(-1), 0, false, 0, true}, {true, 0, false, 0, true},
	} {
		got, err := machine.ParseMode(x.mode, x.cur, x.dir, 0o022)
		if (err != nil) != x.bad || err == nil && got != x.want {
			t.Errorf("parseMode(%v, %o, dir=%v) = %o, %v; want %o, bad=%v", x.mode, x.cur, x.dir, got, err, x.want, x.bad)
		}
	}
}

func FuzzMode(f *testing.F) {
	for _, s := range []string{"0644", "u=rwX,g=rX,o=", "a+x", "g=u-w+s", "+t", "9", "u=q", ",", "="} {
		f.Add(s, uint32(0o755), true)
	}
	f.Fuzz(func(t *testing.T, s string, cur uint32, dir bool) {
		m, err := machine.ParseMode(s, cur, dir, 0o022)
		if err != nil {
			return
		}
		if m > 0o7777 {
			t.Fatalf("%q gives %o", s, m)
		}
		again, err := machine.ParseMode(machine.ModeString(m), 0, dir, 0)
		if err != nil || again != m {
			t.Fatalf("%q: %o does not read back: %o %v", s, m, again, err)
		}
	})
}

func TestSplitFreeForm(t *testing.T) {
	command, _ := Lookup("command")
	file, _ := Lookup("file")
	for _, x := range []struct {
		m    *Module
		text string
		want map[string]any
	}{
		{command, `echo hi creates=/x chdir="/a b"`, map[string]any{"_raw_params": "echo hi", "creates": "/x", "chdir": "/a b"}},
		{command, `make  CC=gcc "a=b c"`, map[string]any{"_raw_params": `make  CC=gcc "a=b c"`}},
		{command, `echo {{ a + 'creates=x' }}`, map[string]any{"_raw_params": `echo {{ a + 'creates=x' }}`}},
		{file, `path=/x mode=0644 state={{ s | default("touch me") }}`, map[string]any{"path": "/x", "mode": "0644", "state": `{{ s | default("touch me") }}`}},
		{file, `path=/x stray`, map[string]any{"path": "/x", "_raw_params": "stray"}},
		{command, "", map[string]any{}},
	} {
		got := x.m.SplitFreeForm(x.text)
		if len(got) != len(x.want) {
			t.Errorf("%q: %v, want %v", x.text, got, x.want)
		}
		for k, v := range x.want {
			if got[k] != v {
				t.Errorf("%q: %s is %q, want %q", x.text, k, got[k], v)
			}
		}
	}
}

func FuzzFreeForm(f *testing.F) {
	for _, s := range []string{`echo hi creates=/x`, `a="b c" 'd e' {{ x y }} \ z`, `{% if`, `"`, `'\`, "chdir=", "= =="} {
		f.Add(s)
	}
	names := []string{"creates", "chdir"}
	f.Fuzz(func(t *testing.T, s string) {
		rest, args := param.FreeForm(s, names)
		if len(args) == 0 && rest != strings.TrimSpace(strings.TrimLeft(s, " \t\r\n")) && strings.TrimSpace(s) == s {
			if strings.TrimRight(s, " \t\r\n") != rest {
				t.Fatalf("%q without arguments became %q", s, rest)
			}
		}
		for k := range args {
			if !slices.Contains(names, k) {
				t.Fatalf("%q gives %q", s, k)
			}
		}
	})
}

func TestSplitShell(t *testing.T) {
	for s, want := range map[string][]string{
		`a b`: {"a", "b"}, `a "b c" 'd "e'`: {"a", "b c", `d "e`}, `a\ b "c\"d"`: {"a b", `c"d`}, `''`: {""}, `a"b"c`: {"abc"},
		`"a\nb"`: {`a\nb`}, ` # x`: {"#", "x"},
	} {
		got, err := param.SplitWords(s)
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("param.SplitWords(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{`"a`, `'`, `a\`} {
		if _, err := param.SplitWords(s); err == nil {
			t.Errorf("param.SplitWords(%q) is no error", s)
		}
	}
}

func FuzzSplitShell(f *testing.F) {
	for _, s := range []string{`a "b c" 'd'`, `\ `, `"\"`, `''`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := param.SplitWords(s)
		if err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = param.Quote(w)
		}
		again, err := param.SplitWords(strings.Join(quoted, " "))
		if err != nil || strings.Join(again, "\x00") != strings.Join(words, "\x00") || len(again) != len(words) {
			t.Fatalf("%q: %q read back as %q, %v", s, words, again, err)
		}
	})
}

func FuzzSysctl(f *testing.F) {
	f.Add("a.b=1\n# c\na/b = 2", "a.b", "3")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		value = strings.TrimSpace(value)
		if name == "" || strings.TrimSpace(name) != name || value == "" || strings.ContainsAny(name, "=\n\r#;-") || strings.ContainsAny(value, "\n\r") {
			return
		}
		one, _ := editSysctl(text, name, value, true)
		if two, was := editSysctl(one, name, value, true); two != one || sysctlNorm(was) != sysctlNorm(value) {
			t.Fatalf("set twice: %q and %q (was %q)", one, two, was)
		}
		none, _ := editSysctl(one, name, "", false)
		if again, was := editSysctl(none, name, "", false); again != none || was != "" {
			t.Fatalf("removed twice: %q and %q", none, again)
		}
	})
}

func TestConvert(t *testing.T) {
	m := &Module{Name: "m", Params: []Param{
		{Name: "s"}, {Name: "b", Type: Bool}, {Name: "i", Type: Int}, {Name: "l", Type: List}, {Name: "d", Type: Dict},
		{Name: "n", Type: List, Elements: Int}, {Name: "o", Type: Dict, Options: []Param{{Name: "x", Type: Int, Required: true}}},
	}}
	for _, x := range []struct {
		name string
		v    any
		bad  string
	}{
		{"s", 1.5, ""}, {"s", []any{"a"}, ""}, {"b", "yes", ""}, {"b", 1.0, ""}, {"b", "maybe", "not a valid boolean"},
		{"i", "12", ""}, {"i", 3.0, ""}, {"i", "x", "unable to convert to int"}, {"l", "a,b", ""}, {"l", 5.0, ""},
		{"l", map[string]any{}, "unable to convert to list"}, {"d", `{"a": 1}`, ""}, {"d", "a=1 b=2", ""}, {"d", "a", "unable to convert to dict"},
		{"n", []any{"1", 2.0}, ""}, {"n", []any{"x"}, "Elements value for option 'n'"}, {"o", map[string]any{"x": "1"}, ""},
		{"o", map[string]any{}, "missing required arguments: x found in o"}, {"i", "{{ later }}", ""},
	} {
		errs := m.CheckArgs(map[string]any{x.name: x.v})
		switch {
		case x.bad == "" && len(errs) > 0:
			t.Errorf("%s=%v: %v", x.name, x.v, errs[0])
		case x.bad != "" && (len(errs) == 0 || !strings.Contains(errs[0].Error(), x.bad)):
			t.Errorf("%s=%v: %v, want %q", x.name, x.v, errs, x.bad)
		}
	}
}
