package lab

import (
	"os"
	"path/filepath"
	"testing"

	"drover/api"
)

func TestALabIsAFolderOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	// What a name that leads elsewhere would find.
	if err := os.WriteFile(filepath.Join(dir, "lab.json"), []byte(`{"subnet":"10.83.255.0/24","index":255}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"..", "../..", "a/b", "/etc", ".", ".hidden", "a b", "-x", "a\nb"} {
		l := &Lab{Dir: filepath.Join(dir, "x"), Cache: dir, Name: name}
		if err := l.Down(t.Context()); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("the name %q: Down says %v", name, err)
		}
		if _, err := l.Hosts(); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("the name %q: Hosts says %v", name, err)
		}
		if _, err := l.Up(t.Context(), Spec{}); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("the name %q: Up says %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "lab.json")); err != nil {
		t.Error(err)
	}
}

func TestTheLastLabLeavesWhatIsNotItsOwn(t *testing.T) {
	for name, other := range map[string]bool{"alone": false, "beside something": true} {
		t.Run(name, func(t *testing.T) {
			l := &Lab{Dir: filepath.Join(t.TempDir(), "labs")}
			if err := os.MkdirAll(filepath.Join(l.Dir, "labs"), 0o755); err != nil {
				t.Fatal(err)
			}
			files := []string{l.forwardingBefore()}
			if other {
				files = append(files, filepath.Join(l.Dir, "thesis.txt"))
			}
			for _, f := range files {
				if err := os.WriteFile(f, []byte("0\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.removeDir(); err != nil {
				t.Fatal(err)
			}
			left, err := filepath.Glob(filepath.Join(l.Dir, "*"))
			if err != nil || other && len(left) != 1 || !other && len(left) != 0 {
				t.Errorf("left: %q, %v", left, err)
			}
			if _, err := os.Stat(l.Dir); !other && err == nil {
				t.Error("the folder itself is left")
			}
		})
	}
}

func TestHostsOfTwoLabsAreNotMistaken(t *testing.T) {
	dir := t.TempDir()
	l := &Lab{Dir: dir, Name: "x"}
	if err := os.MkdirAll(l.home(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := l.save(&state{Hosts: []Host{{Name: "a-b"}}}); err != nil {
		t.Fatal(err)
	}
	if err := (&Lab{Dir: dir, Name: "x-a"}).checkFree("b"); api.CodeOf(err) != api.CodeExists {
		t.Errorf("got %v", err)
	}
	if err := (&Lab{Dir: dir, Name: "x-a"}).checkFree("c"); err != nil {
		t.Error(err)
	}
	if err := l.checkFree("a-b"); err != nil {
		t.Errorf("its own host: %v", err)
	}
}

func TestDownOfAHostThatIsNotThere(t *testing.T) {
	l := &Lab{Dir: t.TempDir()}
	if err := l.Down(t.Context(), "nope"); err == nil || api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("without a lab: %v", err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Errorf("no names, no lab: %v", err)
	}
	if err := os.MkdirAll(l.home(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.save(&state{Hosts: []Host{{Name: "one"}}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context(), "nope"); err == nil || api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("beside another host: %v", err)
	}
}
