// Package filter compares our filters, tests, lookups and native types with
// ansible-core 2.19: golden.py writes what it makes of cases.txt.
package filter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// known are differences that are meant, by template.
var known = map[string]string{
	"{{ [3, 1, 1, 2] | intersect([1, 2, 3]) }}":                   "Ansible's order is that of a set of Python's; ours is the input's",
	"{{ [3, 1] | union([2, 1]) }}":                                "Ansible's order is that of a set of Python's; ours is the input's",
	"{{ 'a' | path_join('b') }}":                                  "several arguments are joined too",
	"{{ query('sequence', 'start=0x0f00 count=4 format=%04x') }}": "documented, but 2.19 refuses it",
	"{{ query('flattened', [1, [2, [3]]]) }}":                     "of community.general, built in here",
}

func TestAgainstAnsible(t *testing.T) {
	raw, err := os.ReadFile("data.json")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	env := jinja.New()
	o := filter.Machine()
	o.Now = func() time.Time { return time.Unix(1700000000, 0).UTC() }
	o.Getenv = func(name string) (string, bool) {
		switch name {
		case "ORACLE_SET":
			return "from env", true
		case "HOME":
			return "/root", true
		}
		return "", false
	}
	filter.Install(env, o)
	sc := bufio.NewScanner(bytes.NewReader(golden))
	sc.Buffer(nil, 1<<20)
	n := 0
	seen := map[string]bool{}
	for sc.Scan() {
		var r struct {
			In    string
			Out   json.RawMessage
			Error string
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		n++
		seen[r.In] = true
		if _, ok := known[r.In]; ok {
			continue
		}
		vars, err := value.FromJSON(raw)
		if err != nil {
			t.Fatal(err)
		}
		scope := jinja.Vars{}
		for _, e := range vars.(*value.Dict).Items() {
			scope[e.Key.(string)] = e.Value
		}
		tm, err := env.Template(r.In, jinja.Options{RawStrings: true})
		var got value.Value
		if err == nil {
			got, err = tm.Eval(context.Background(), scope)
		}
		if r.Error != "" {
			if err == nil {
				t.Errorf("%s: got %s, want the error %s", r.In, value.Repr(got), r.Error)
			} else if strings.HasSuffix(r.Error, "is undefined") && !strings.Contains(err.Error(), r.Error) {
				t.Errorf("%s: got the error %v, want %s", r.In, err, r.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v, want %s", r.In, err, r.Out)
			continue
		}
		// Both through JSON with sorted keys: the callback's output is sorted.
		want, err := value.FromJSON(r.Out)
		if err != nil {
			t.Fatal(err)
		}
		o := value.JSONOptions{Indent: -1, SortKeys: true}
		a, err := value.DumpJSON(got, o)
		if err != nil {
			t.Errorf("%s: %v", r.In, err)
			continue
		}
		b, _ := value.DumpJSON(want, o)
		if !bytes.Equal(a, b) {
			t.Errorf("%s:\n got %s\nwant %s", r.In, a, b)
		}
	}
	if n < 400 {
		t.Errorf("only %d cases", n)
	}
	for in := range known {
		if !seen[in] {
			t.Errorf("the known difference %s is no case", in)
		}
	}
}
