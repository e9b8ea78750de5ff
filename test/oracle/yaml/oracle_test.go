// Package yaml compares our reader and writer with PyYAML: golden.py writes
// what PyYAML reads in cases.txt and how it writes the values back.
package yaml

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"drover/api"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// known are differences that are meant, by document.
var known = map[string]string{
	"- !!set {a, b}\n": "a set is read as a mapping to nulls, which keeps its order",
	"!custom tagged\n": "tags of applications are kept for them",
	"k: =":             "PyYAML has no value for it; here it is text",
	"k: <<":            "PyYAML has no value for it; here it is text",
}

var styles = map[string]yaml.DumpOptions{
	"default": {AllowUnicode: true, SortKeys: true},
	"nice":    {AllowUnicode: true, SortKeys: true, FlowStyle: yaml.BlockStyle, Indent: 4},
	"ascii":   {FlowStyle: yaml.BlockStyle},
	"flow":    {AllowUnicode: true, SortKeys: true, FlowStyle: yaml.FlowOnly, Width: 40},
	"wide":    {AllowUnicode: true, SortKeys: true, FlowStyle: yaml.BlockStyle, Width: 1000, ExplicitStart: true},
}

func TestAgainstPyYAML(t *testing.T) {
	golden, err := os.ReadFile("golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(bytes.NewReader(golden))
	sc.Buffer(nil, 1<<20)
	n := 0
	seen := map[string]bool{}
	for sc.Scan() {
		var r struct {
			In    string
			Out   string
			Error string
			Dumps map[string]string
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		n++
		seen[r.In] = true
		if _, ok := known[r.In]; ok {
			continue
		}
		docs, err := yaml.Parse("f.yml", []byte(r.In))
		if err != nil {
			var e *api.Error
			if r.Error == "" {
				t.Errorf("%q: %v, want %s", r.In, err, r.Out)
			} else if !errors.As(err, &e) || e.Place == nil || e.Place.Line == 0 || e.Remedy == "" {
				t.Errorf("%q: the error %v has no place or remedy", r.In, err)
			}
			continue
		}
		all := value.NewList()
		for _, d := range docs {
			all.Items = append(all.Items, d.Value())
		}
		got := value.Repr(all)
		if r.Error != "" {
			t.Errorf("%q: got %s, want an error (%s)", r.In, got, r.Error)
			continue
		}
		if got != r.Out {
			t.Errorf("%q:\n got %s\nwant %s", r.In, got, r.Out)
			continue
		}
		for name, want := range r.Dumps {
			out, err := yaml.Dump(all.Items[0], styles[name])
			if err != nil {
				t.Errorf("%q as %s: %v", r.In, name, err)
			} else if out != want {
				t.Errorf("%q as %s:\n got %q\nwant %q", r.In, name, out, want)
			}
		}
	}
	if n < 190 {
		t.Errorf("only %d cases", n)
	}
	for in := range known {
		if !seen[in] {
			t.Errorf("the known difference %q is no case", in)
		}
	}
}
