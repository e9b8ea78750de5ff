package yaml

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/api"
	"drover/internal/play/value"
)

func one(t *testing.T, src string) *Node {
	t.Helper()
	docs, err := Parse("f.yml", []byte(src))
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	if len(docs) != 1 {
		t.Fatalf("%q: %d documents", src, len(docs))
	}
	return docs[0]
}

func TestScalarsAreYAML11(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for src, want := range map[string]value.Value{
		"yes": true, "Off": false, "y": "y", "~": nil, "null": nil, "Null": nil, "nULL": "nULL",
		"012": int64(10), "0o12": "0o12", "08": "08", "1_000": int64(1000), "0x1F": int64(31), "0b101": int64(5), "190:20:30": int64(685230),
		"1e3": "1e3", "1.0e+3": 1000.0, "1.e+3": 1000.0, ".5": 0.5, "-3.25": -3.25, "1.": 1.0, "+.5": "+.5",
		"'yes'": "yes", `"12"`: "12", "!!str 12": "12", "!!int '12'": int64(12), "2001-01-01": value.Time{T: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), DateOnly: true, Naive: true},
		"123456789012345678901234567890": huge, "1.2.3": "1.2.3", "=": "=", "!!binary aGk=": []byte("hi"),
	} {
		got := one(t, "k: "+src).Get("k").Value()
		if !value.Equal(got, want) || value.TypeName(got) != value.TypeName(want) {
			t.Errorf("%s: %v (%s), want %v (%s)", src, got, value.TypeName(got), want, value.TypeName(want))
		}
	}
}

func TestMergesAndOrder(t *testing.T) {
	n := one(t, "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nall:\n  w: 0\n  <<: [*b, *m]\n  x: 9\n")
	if got, want := value.Repr(n.Get("all").Value()), "{'y': 2, 'z': 4, 'x': 9, 'w': 0}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDuplicatesAreReportedAndTheLastCounts(t *testing.T) {
	n := one(t, "a: 1\nb: 2\na: 3\n")
	if got := value.Repr(n.Value()); got != "{'a': 3, 'b': 2}" {
		t.Errorf("got %s", got)
	}
	want := []Duplicate{{Key: "a", Pos: api.Place{File: "f.yml", Line: 3, Column: 1}, First: api.Place{File: "f.yml", Line: 1, Column: 1}}}
	if diff := cmp.Diff(want, n.AllDuplicates()); diff != "" {
		t.Error(diff)
	}
}

func TestTags(t *testing.T) {
	n := one(t, "a: !vault |\n  $ANSIBLE_VAULT;1.1\n  616263\nb: !unsafe '{{ x }}'\nc: !unsafe ['{{ y }}']\n")
	if a := n.Get("a"); a.Tag != "!vault" || !strings.HasPrefix(a.Scalar.(string), "$ANSIBLE_VAULT") {
		t.Errorf("vault: %+v", a)
	}
	if _, ok := n.Get("b").Value().(value.Unsafe); !ok {
		t.Errorf("b is %T", n.Get("b").Value())
	}
	if _, ok := n.Get("c").Value().(*value.List).Items[0].(value.Unsafe); !ok {
		t.Error("items under !unsafe are safe")
	}
}

func TestPositions(t *testing.T) {
	n := one(t, "- name: x\n  copy:\n    dest: /etc/x\n")
	got := n.Items[0].Get("copy").Pairs[0].Key.Pos
	if got != (api.Place{File: "f.yml", Line: 3, Column: 5}) {
		t.Errorf("dest is at %v", got)
	}
}

func TestErrorsNamePlaceAndRemedy(t *testing.T) {
	for _, c := range []struct{ src, place, remedy string }{
		{"a: b: c\n", "f.yml:1:5", "quotes"},
		{"a: {{ x }}\n", "", "template"},
		{"a:\n  - x\n b: 1\n", "f.yml:3", "indentation"},
		{"a: 'x\n", "f.yml:", "not closed"},
		{"a:\n\t- x\n", "f.yml:2", "spaces"},
		{"a: @x\n", "f.yml:1:4", "quotes"},
		{"a: &x [*x]\n", "f.yml:1", "circle"},
		{"? [a, b]\n: 1\n", "f.yml:1:3", "key"},
		{"a: !!int x\n", "f.yml:1:4", "whole number"},
	} {
		_, err := Parse("f.yml", []byte(c.src))
		var e *api.Error
		if !errors.As(err, &e) || e.Place == nil {
			t.Errorf("%q: %v, want an error with a place", c.src, err)
			continue
		}
		if !strings.HasPrefix(e.Place.String(), c.place) || !strings.Contains(e.Remedy, c.remedy) {
			t.Errorf("%q: %v; want it at %s with a remedy about %s", c.src, e, c.place, c.remedy)
		}
	}
}

func TestAliasesCannotFillTheMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		p := string(rune('0' + i - 1))
		b.WriteString("a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.TrimSuffix(strings.Repeat("*a"+p+", ", 10), ", ") + "]\n")
	}
	if _, err := Parse("f.yml", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Errorf("got %v", err)
	}
}

func TestDocuments(t *testing.T) {
	for src, want := range map[string]int{"": 0, "---\n": 1, "a: 1\n---\nb: 2\n": 2, "# only a comment\n": 0} {
		docs, err := Parse("f.yml", []byte(src))
		if err != nil || len(docs) != want {
			t.Errorf("%q: %d documents, %v; want %d", src, len(docs), err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "- [x, {y: z}]", "a: &x 1\nb: *x", "<<: {a: 1}", "!!int 3", "k: !vault |\n  x", "? a\n: b", "\t", "a: \"\\x41\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		docs, err := Parse("f", src)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		for _, d := range docs {
			d.Value()
		}
	})
}
