package server

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"drover/api"
)

func TestAFullDiskIsCalledSo(t *testing.T) {
	l := layout{"/srv/drover"}
	start := l.explain("write to", &fs.PathError{Op: "write", Path: "/srv/drover/x", Err: unix.ENOSPC})
	if !strings.Contains(start.Error(), "df -h /srv/drover") {
		t.Error(start)
	}
	write := l.full(fmt.Errorf("cannot store: %w", unix.ENOSPC))
	if api.CodeOf(write) != api.CodeUnavailable || !strings.Contains(write.Error(), "disk is full") {
		t.Error(write)
	}
	other := errors.New("another")
	if l.full(other) != other { //nolint:errorlint // the very same
		t.Error("it changes what is not about a full disk")
	}
}

func FuzzSelector(f *testing.F) {
	for _, s := range []string{"", "a=b", "a!=b,c", "!d", "a==b", "a=b=c", " , "} {
		f.Add(s)
	}
	labels := map[string]string{"a": "b", "c": ""}
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := parseSelector(s)
		if err != nil {
			if api.CodeOf(err) != api.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		for _, r := range sel {
			if r.key == "" || strings.ContainsAny(r.key, ",=") {
				t.Fatalf("%q has the key %q", s, r.key)
			}
		}
		sel.matches(labels)
	})
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"spec":{"note":null,"role":"admin"}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		// RFC 7396: the same patch a second time changes nothing more.
		var p any
		if unmarshalNumbers(b, &p) != nil {
			return
		}
		once := merge(map[string]any{"spec": map[string]any{"note": "x"}}, p)
		first := fmt.Sprint(once)
		if second := fmt.Sprint(merge(once, p)); second != first {
			t.Fatalf("%s, then %s", first, second)
		}
	})
}
