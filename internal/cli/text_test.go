package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"drover/api"
)

func plainStyle(_ tone, s string) string { return s }

func TestTablesFitTheTerminal(t *testing.T) {
	tab := newTable("NAME", "STATE", "GROUPS", "MESSAGE")
	tab.row("a-name-that-is-never-cut", "converged", "one,two,three,four", "a long message that says a lot more than fits")
	tab.row("b", "failed", "-", "line\nbreak and \x1b[31mescape")
	for _, width := range []int{0, 200, 80, 60, 40, 10} {
		var out strings.Builder
		tab.write(&out, width, plainStyle)
		for line := range strings.Lines(out.String()) {
			n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))
			// The name itself needs 24.
			if width >= 40 && n > width {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
			if strings.HasSuffix(line, " \n") || strings.ContainsRune(line, '\x1b') {
				t.Errorf("width %d: %q", width, line)
			}
		}
		if !strings.Contains(out.String(), "a-name-that-is-never-cut") || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("width %d:\n%s", width, &out)
		}
		if width >= 40 && !strings.Contains(out.String(), "converged") {
			t.Errorf("width %d cuts the state:\n%s", width, &out)
		}
		if width == 0 && strings.Contains(out.String(), "…") {
			t.Error("cut without need")
		}
	}
}

func TestCellsReadAsPeopleWrite(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	o := object{"a": object{"b": "x", "t": "2024-05-01T11:57:00Z", "future": "2024-05-04T12:00:00Z", "n": 3.0, "f": 1.5, "yes": true, "list": []any{"p", "q"}, "none": []any{},
		"map": object{"k": "v", "c": 1.0}, "hash": strings.Repeat("0a", 20), "empty": ""}, "labels": object{"team.name": "ops"}}
	for path, want := range map[string]string{"a.b": "x", "a.t": "3m ago", "a.future": "in 3d", "a.n": "3", "a.f": "1.5", "a.yes": "yes", "a.list": "p,q", "a.none": "-",
		"a.map": "c=1,k=v", "a.hash": "0a0a0a0a0a", "a.empty": "-", "a.missing": "-", "a.b.c": "-", "labels.team.name": "ops"} {
		if got := cellText(at(o, path), path, now); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestDiffsShowWhatDiffers(t *testing.T) {
	before := "a\nb\nc\nd\ne\nf\ng\nh\ni\n"
	after := "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\n"
	want := "@ …\n b\n c\n d\n-e\n+E\n f\n g\n h\n i\n+j\n"
	if got := unified(before, after); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := unified("", "a\nb\n"); got != "+a\n+b\n" {
		t.Errorf("of nothing: %q", got)
	}
	if got := unified(before, before); strings.ContainsAny(got, "+-") {
		t.Errorf("of equals: %q", got)
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("a\nb\n", "b\nc\n")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 2000 {
			return
		}
		// The edits lead from one text to the other.
		var was, is []string
		for _, e := range shortest(lines(before), lines(after)) {
			if e.op != '+' {
				was = append(was, e.line)
			}
			if e.op != '-' {
				is = append(is, e.line)
			}
		}
		if strings.Join(was, "\n") != strings.Join(lines(before), "\n") || strings.Join(is, "\n") != strings.Join(lines(after), "\n") {
			t.Fatalf("%q to %q by %q and %q", before, after, was, is)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add("kind: host\nname: a\nspec: {address: x}\n---\nkind: host\nname: b\n")
	f.Add("- kind: host\n  name: a\n")
	f.Add("kind: [\n")
	f.Add("a: &x [*x]\n")
	f.Fuzz(func(t *testing.T, s string) {
		docs, err := readDocuments("f.yml", []byte(s))
		if err != nil {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, d := range docs {
			if d.kind == "" || d.name == "" || d.place.Line < 1 {
				t.Fatalf("%+v", d)
			}
			d.placeOf("spec.a[1].b")
		}
	})
}

func TestFieldsArePlaced(t *testing.T) {
	docs, err := readDocuments("f.yml", []byte("kind: host\nname: a\nlabels:\n  team.name: x\nspec:\n  list:\n    - one\n    - two: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "f.yml:1:1", "name": "f.yml:2:1", "labels.team.name": "f.yml:4:3", "spec.list[1]": "f.yml:8:7", "spec.list[1].two": "f.yml:8:7",
		"spec.missing": "f.yml:5:1", "spec.list[9]": "f.yml:6:3"} {
		if got := docs[0].placeOf(path).String(); got != want {
			t.Errorf("%q is at %s, want %s", path, got, want)
		}
	}
}

func TestSinceTakesTimesAndTimesAgo(t *testing.T) {
	now := time.Date(2024, 5, 4, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"": "", "2h": "2024-05-04T10:00:00Z", "3d": "2024-05-01T12:00:00Z", "2024-05-01T00:00:00Z": "2024-05-01T00:00:00Z"} {
		if got, err := sinceParam(in, now); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"-2h", "soon", "d", "2024"} {
		if _, err := sinceParam(in, now); exitCode(err) != ExitUsage {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestRevisionsAreNewestFirst(t *testing.T) {
	objs := []object{{"name": "a", "created": "2024-05-01T11:57:00.5Z"}, {"name": "b"}, {"name": "c", "created": "2024-05-01T11:57:01Z"}}
	newestFirst(objs)
	if nameOf(objs[0]) != "c" || nameOf(objs[1]) != "a" || nameOf(objs[2]) != "b" {
		t.Errorf("sorted %v", objs)
	}
}
