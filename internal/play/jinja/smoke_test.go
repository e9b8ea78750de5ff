package jinja

import ("testing";"context";"drover/internal/play/value")

func TestSmoke(t *testing.T) {
	e := New()
	for _, c := range []string{
		"{{ 1 + 2 * 3 }} {% for x in [1,2,3] if x > 1 %}{{ loop.index }}:{{ x }}{% if not loop.last %}, {% endif %}{% else %}none{% endfor %}",
		"{% macro m(a, b=2) %}<{{ a }}{{ b }}{{ caller() if caller }}>{% endmacro %}{{ m(1) }}{% call m(3) %}c{% endcall %}",
		"{% set ns = namespace(x=1) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
		"{{ {'a': [1, (2,), 'x\\'y']}.items() | list }} {{ 'a-b'.split('-') }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2**100 }}",
		"{{ d | map('upper') | list }} {{ [1,2,3] | sum }} {{ 'x' is string and 1 is not string }}",
	} {
		tm, err := e.Template(c, Options{})
		if err != nil { t.Error(c, err); continue }
		s, err := tm.Render(context.Background(), Vars{"d": value.NewList("a","b")})
		t.Log(s, err)
	}
}
