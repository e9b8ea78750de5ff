package jinja_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func placeOf(t *testing.T, err error) string {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Place == nil {
		t.Fatalf("the error %v has no place", err)
	}
	return fmt.Sprintf("%d:%d", e.Place.Line, e.Place.Column)
}

func TestErrorsHavePlaces(t *testing.T) {
	env := jinja.New()
	for _, c := range []struct{ src, at, msg string }{
		{"a\n{{ 1 + }}", "2:8", "end of print statement"},
		{"{% if x %}\n\n{% for y in z %}", "3:4", "the block 'for' is not closed"},
		{"é {{ 'x }}", "1:6", "not closed"},
		{"x\r\ny {{ ) }}", "2:6", "unexpected ')'"},
		{"{% nosuch %}", "1:4", "unknown tag 'nosuch'"},
		{"{{ x }}\n{{ nope.a }}", "2:9", "'nope' is undefined"},
		{"{{ 1 }}\n  {{ 1 / 0 }}", "2:8", "division by zero"},
		{"{{ 'a' | nofilter }}", "1:10", "No filter named 'nofilter'"},
		{"{{ 'a' | uper }}", "1:10", "Did you mean 'upper'"},
		{"{{ 1 is nothing }}", "1:9", "No test named 'nothing'"},
		{"{{ x.y }}", "1:6", "object of type 'int' has no attribute 'y'"},
		{"{% set a, b = [1] %}", "1:8", "not enough values"},
		{"{# open", "1:1", "end of comment"},
		{"{{ [1, }} ", "1:8", "unexpected '}', expected ']'"},
	} {
		tm, err := env.Template(c.src, jinja.Options{})
		if err == nil {
			_, err = tm.Render(context.Background(), jinja.Vars{"x": int64(1)})
		}
		if err == nil {
			t.Errorf("%q: no error", c.src)
			continue
		}
		if at := placeOf(t, err); at != c.at || !strings.Contains(err.Error(), c.msg) {
			t.Errorf("%q: %s: %v; want %s: %s", c.src, at, err, c.at, c.msg)
		}
	}
}

func TestPlaceOfSourceIsAdded(t *testing.T) {
	env := jinja.New()
	_, err := env.Template("{{ 1 + }}", jinja.Options{Place: api.Place{File: "site.yml", Line: 7, Column: 10}})
	if err == nil || !strings.HasPrefix(err.Error(), "site.yml:7:17: ") {
		t.Errorf("got %v, want it at site.yml:7:17", err)
	}
}

func TestEvaluationIsBounded(t *testing.T) {
	env := jinja.New()
	env.Loader = func(string) (string, error) { return "{% include 'self' %}", nil }
	env.Limits = jinja.Limits{Steps: 100_000, Output: 1 << 20}
	for _, src := range []string{
		"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"{% include 'self' %}",
		"{% extends 'self' %}{% block a %}{{ self.a() }}{% endblock %}",
		"{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
		"{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}",
		"{{ 'x' * 1000000000000 }}",
		"{{ [1] * 1000000000000 }}",
		"{{ 10 ** 10 ** 10 }}",
		"{{ 'x' | center(10 ** 12) }}",
		"{{ '%999999999d' % 1 }}",
		"{{ '{:999999999}'.format(1) }}",
		"{{ range(10 ** 12) | list }}",
		"{% set x = [1] %}{% do x.append(x) %}{% set y = x == [x] %}{{ x | string | length > 10 ** 9 or 1 / 0 }}",
		"{% set l = ['xxxxxxxxxx'] %}{% for i in range(60) %}{% set _ = l.append(l[-1] * 2) %}{% endfor %}",
		strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000),
		"{{ " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + " }}",
		"{{ " + strings.Repeat("-", 100_000) + "1 }}",
		"{{ " + strings.Repeat("not ", 100_000) + "1 }}",
		"{{ 1" + strings.Repeat(" + 1", 100_000) + " }}",
		"{{ x" + strings.Repeat(".a", 100_000) + " }}",
		"{{ x" + strings.Repeat(" | d", 100_000) + " }}",
		strings.Repeat("{% if 1 %}", 100_000),
	} {
		start := time.Now()
		tm, err := env.Template(src, jinja.Options{})
		if err == nil {
			_, err = tm.Render(context.Background(), nil)
		}
		if err == nil && strings.Contains(src, "{%") {
			t.Errorf("%.60q: no error", src)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%.60q took %v", src, d)
		}
	}
}

func TestContextEndsEvaluation(t *testing.T) {
	env := jinja.New()
	tm, err := env.Template("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", jinja.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := tm.Render(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestUses(t *testing.T) {
	tm, err := jinja.New().Template(`{% set own = a | default(1) %}{{ own + b.c | upper }}{% if c is defined and d is match('x') %}{{ c }}{% endif %}
{{ lookup('env', 'HOME') }}{{ l | map('int') | select('odd') }}{% for i in e %}{{ i }}{{ loop.index }}{% endfor %}`, jinja.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u := tm.Uses()
	show := func(uses []jinja.Use) string {
		var out []string
		for _, x := range uses {
			s := x.Name
			if x.Guarded {
				s += "?"
			}
			if x.Called {
				s += "()"
			}
			out = append(out, s)
		}
		return strings.Join(out, " ")
	}
	got := []string{show(u.Filters), show(u.Tests), show(u.Lookups), show(u.Names)}
	want := []string{"default upper map int select", "defined match odd", "env", "a? b c? d c? lookup() l e"}
	// The order of mentions within one expression is not promised.
	if diff := cmp.Diff(want[1:], []string{got[1], got[2], got[3]}); diff != "" {
		t.Error(diff)
	}
	for _, f := range strings.Fields(want[0]) {
		if !strings.Contains(got[0], f) {
			t.Errorf("filter %s is missing in %s", f, got[0])
		}
	}
	if p := u.Lookups[0].Place; p.Line != 2 || p.Column != 11 {
		t.Errorf("the lookup is at %v, want 2:11", p)
	}
}

func TestHasTemplate(t *testing.T) {
	for s, want := range map[string]bool{"": false, "x": false, "{": false, "a {b}": false, "{{": true, "a{%": true, "{#": true, "{a{{": true} {
		if got := jinja.HasTemplate(s); got != want {
			t.Errorf("HasTemplate(%q) = %v", s, got)
		}
	}
}

func TestNativeTypes(t *testing.T) {
	env := jinja.New()
	env.NoneIsEmpty = true
	for src, want := range map[string]string{
		"{{ 1 }}": "1", "{{ [1, 2] }}": "[1, 2]", "{{ 1 }}{{ 2 }}": "'12'", " {{ 1 }}": "' 1'", "x": "'x'", "": "None",
		"{% if true %}{{ {'a': 1} }}{% endif %}": "{'a': 1}", "{{ none }}": "None", "a{{ none }}": "'a'", "{{ range(3) }}": "[0, 1, 2]",
		"{% if false %}{% endif %}": "None", "{{ [range(2)] }}": "[[0, 1]]",
	} {
		tm, err := env.Template(src, jinja.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := tm.Eval(context.Background(), nil)
		if err != nil || value.Repr(v) != want {
			t.Errorf("%q: %s, %v; want %s", src, value.Repr(v), err, want)
		}
	}
}

func TestLazyReadsOnlyWhatIsAsked(t *testing.T) {
	env := jinja.New()
	raw := value.DictOf("good", "{{ n + 1 }}", "bad", "{{ nope }}", "list", value.NewList("{{ n }}", value.DictOf("x", "{{ nope }}")), "self", "{{ cfg.good }}")
	vars := jinja.Vars{"n": int64(1)}
	v, err := env.Lazy(context.Background(), raw, vars, jinja.Options{})
	if err != nil {
		t.Fatal(err)
	}
	vars["cfg"] = v
	for src, want := range map[string]string{
		"cfg.good": "2", "cfg.list[0]": "1", "cfg.bad | default('d')": "'d'", "cfg.self * 2": "4", "cfg.list[1].x is defined": "False",
	} {
		x, err := env.Expr(src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Eval(context.Background(), vars)
		if err != nil || value.Repr(got) != want {
			t.Errorf("%s: %v, %v; want %s", src, got, err, want)
		}
	}
	x, _ := env.Expr("cfg.bad == 1")
	if _, err := x.Eval(context.Background(), vars); err == nil || !strings.Contains(err.Error(), "'nope' is undefined") {
		t.Errorf("got %v, want 'nope' is undefined", err)
	}
}

func TestValueTemplatesAtAnyDepth(t *testing.T) {
	env := jinja.New()
	raw := value.DictOf("a", value.NewList("{{ n }}", value.Unsafe("{{ n }}")), "{{ 'k' }}", "x{{ n }}")
	got, err := env.Value(context.Background(), raw, jinja.Vars{"n": int64(7)}, jinja.Options{})
	if err != nil || value.Repr(got) != "{'a': [7, '{{ n }}'], 'k': 'x7'}" {
		t.Errorf("got %s, %v", value.Repr(got), err)
	}
}

func TestOneTemplateManyGoroutines(t *testing.T) {
	env := jinja.New()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				tm, err := env.Template("{% macro m(x) %}{{ x * 2 }}{% endmacro %}{% for y in l %}{{ m(y) }},{% endfor %}{{ n }}", jinja.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				out, err := tm.Render(context.Background(), jinja.Vars{"n": int64(i), "l": value.NewList(int64(1), int64(2))})
				if want := fmt.Sprintf("2,4,%d", i); err != nil || out != want {
					t.Errorf("%q, %v; want %q", out, err, want)
				}
			}
		}()
	}
	wg.Wait()
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{{ a.b[1:2]|default('x', true) ~ 'y' }}", "{% for x in a recursive %}{{ loop(x) }}{% else %}{% endfor %}",
		"{% macro m(a, b=1) %}{{ caller() }}{% endmacro %}{% call(x) m() %}{% endcall %}", "{%- raw -%}{{{% endraw %}{# c #}",
		"{% extends 'a' %}{% block b scoped %}{{ super() }}{% endblock %}", "{{ '%s %(x)d {:>5}' % 1 }}{{ -7 // 2 ** 3 is not odd }}",
		"{% set ns = namespace() %}{% set ns.x, y = 1, [2] %}{% filter upper|trim %}{% endfilter %}", "{% import 'x' as y with context %}{% from 'x' import a as b %}"} {
		f.Add(s, true)
	}
	env := jinja.New()
	env.Limits = jinja.Limits{Steps: 5000, Depth: 50, Output: 1 << 16}
	env.Loader = func(name string) (string, error) { return "{% block b %}" + name + "{% endblock %}", nil }
	f.Fuzz(func(t *testing.T, src string, trim bool) {
		tm, err := env.Template(src, jinja.Options{TrimBlocks: trim, LstripBlocks: trim})
		if err != nil {
			placeOf(t, err)
			return
		}
		tm.Uses()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		vars := jinja.Vars{"a": value.NewList(int64(1), value.DictOf("b", "x")), "x": "text", "n": int64(3)}
		if _, err := tm.Render(ctx, vars); err != nil {
			if ctx.Err() != nil {
				t.Fatalf("it took too long: %v", err)
			}
			placeOf(t, err)
		}
		_, _ = tm.Eval(ctx, vars)
	})
}

func BenchmarkRender(b *testing.B) {
	env := jinja.New()
	src := "{% for h in hosts %}server {{ h.name }}:{{ h.port | default(80) }} {% if h.up and loop.index > 1 %}up{% endif %}\n{% endfor %}"
	var hosts value.List
	for i := range 100 {
		hosts.Items = append(hosts.Items, value.DictOf("name", fmt.Sprint("h", i), "port", int64(8000+i), "up", i%2 == 0))
	}
	vars := jinja.Vars{"hosts": &hosts}
	b.ReportAllocs()
	for b.Loop() {
		tm, err := env.Template(src, jinja.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tm.Render(context.Background(), vars); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	env := jinja.New()
	vars := jinja.Vars{"x": "Debian", "n": int64(3)}
	b.ReportAllocs()
	for b.Loop() {
		x, err := env.Expr("x == 'Debian' and n is defined and n | int > 2")
		if err != nil {
			b.Fatal(err)
		}
		if ok, err := x.Test(context.Background(), vars); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
