// Package jinja compares our engine with real Jinja2: golden.py writes what
// Jinja2 makes of cases.txt and of a table of operators; the test runs the same
// templates through the engine.
package jinja

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

type row struct {
	In      string   `json:"in"`
	Options []string `json:"options"`
	Out     *string  `json:"out"`
	Error   string   `json:"error"`
	Line    int      `json:"line"`
}

// known are differences that are meant, by template.
var known = map[string]string{
	"{% raw %}":                      "an unclosed raw block at the very end is an error here too",
	"{{ ['a'] | sum(start='') }}":    "text can be summed",
	"{{ {1: 2, none: 3} | tojson }}": "keys without an order are sorted by their text",
}

func TestAgainstJinja2(t *testing.T) {
	raw, err := os.ReadFile("data.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := value.FromJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	templates, _ := all.(*value.Dict).GetString("templates")
	golden, err := os.ReadFile("golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	env := jinja.New()
	env.Loader = func(name string) (string, error) {
		s, ok := templates.(*value.Dict).GetString(name)
		if !ok {
			return "", fs.ErrNotExist
		}
		return s.(string), nil
	}
	sc := bufio.NewScanner(bytes.NewReader(golden))
	sc.Buffer(nil, 1<<20)
	n := 0
	seen := map[string]bool{}
	for sc.Scan() {
		var r row
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		n++
		seen[r.In] = true
		if _, ok := known[r.In]; ok {
			continue
		}
		fresh, _ := value.FromJSON(raw)
		vars, _ := fresh.(*value.Dict).GetString("vars")
		scope := jinja.Vars{}
		for _, e := range vars.(*value.Dict).Items() {
			scope[e.Key.(string)] = e.Value
		}
		o := jinja.Options{TrimBlocks: slices.Contains(r.Options, "trim"), LstripBlocks: slices.Contains(r.Options, "lstrip"),
			KeepTrailingNewline: slices.Contains(r.Options, "keep")}
		tm, err := env.Template(r.In, o)
		var got string
		if err == nil {
			got, err = tm.Render(context.Background(), scope)
		}
		switch {
		case r.Out == nil && err == nil:
			t.Errorf("%q: got %q, want an error (%s)", r.In, got, r.Error)
		case r.Out != nil && err != nil:
			t.Errorf("%q: %v, want %q", r.In, err, *r.Out)
		case r.Out != nil && got != *r.Out:
			t.Errorf("%q:\n got %q\nwant %q", r.In, got, *r.Out)
		case err != nil:
			var e *api.Error
			if !errors.As(err, &e) || e.Place == nil || e.Place.Line == 0 || e.Place.Column == 0 {
				t.Errorf("%q: the error %v has no place", r.In, err)
			}
		}
	}
	for in := range known {
		if !seen[in] {
			t.Errorf("the known difference %q is no case", in)
		}
	}
	if n < 1500 {
		t.Errorf("only %d cases", n)
	}
}
