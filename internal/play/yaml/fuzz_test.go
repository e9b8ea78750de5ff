package yaml

import (
	"errors"
	"testing"

	"drover/api"
	"drover/internal/play/value"
)

// FuzzRoundTrip: whatever is read can be written, and reads back as the same.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{"a: [1, {b: c}]\n", "- &x 1\n- *x\n- !vault |\n  abc\n", "a: {<<: {b: 1}, c: 0x1f}\n", "'q': \"e\\n\\/\"\n", "? |\n  k\n: >-\n  v\n",
		"--- 1\n--- 2001-01-01\n", "a: 12:30:45\nb: 1.5e+3\nc: !!binary aGk=\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		docs, err := Parse("f.yml", src)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Place == nil || e.Place.Line == 0 {
				t.Fatalf("the error %v has no place", err)
			}
			return
		}
		for _, d := range docs {
			d.AllDuplicates()
			v := d.Value()
			for _, o := range []DumpOptions{{AllowUnicode: true}, {FlowStyle: BlockStyle, Indent: 4, SortKeys: true}, {FlowStyle: FlowOnly}} {
				text, err := Dump(v, o)
				if err != nil {
					t.Fatalf("cannot write what was read: %v", err)
				}
				again, err := Parse("g.yml", []byte(text))
				if err != nil {
					t.Fatalf("cannot read what was written: %v\n%s", err, text)
				}
				if len(again) != 1 {
					t.Fatalf("%d documents in %q", len(again), text)
				}
				if got, want := value.Repr(again[0].Value()), value.Repr(v); got != want && !o.SortKeys {
					t.Fatalf("wrote %q\n got %s\nwant %s", text, got, want)
				}
			}
		}
	})
}
