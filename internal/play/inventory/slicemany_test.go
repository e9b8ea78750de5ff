package inventory_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"drover/internal/play/value"
)

// A slicer's slices are those that are cut one by one.
func TestSlicer(t *testing.T) {
	files := fstest.MapFS{
		"hosts.yml": {Data: []byte(`all:
  vars: {domain: example.org}
  hosts:
    lone: {}
    both: {port: 1}
  children:
    web:
      hosts:
        web-1: {port: 80}
        both:
      vars: {tier: front}
    db:
      children:
        pg:
          hosts: {pg-1: {}, web-1: {}}
          vars: {ansible_group_priority: 5, engine: pg}
    empty: {}
`)},
		"group_vars/web.yml":  {Data: []byte("title: Site\n")},
		"host_vars/web-1.yml": {Data: []byte("id: 1\n")},
	}
	inv, err := inventory.Load(inventory.Options{Files: source.Bundle(files), Sources: []string{"hosts.yml"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := inv.Slicer()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range inv.Hosts() {
		want, err := inv.Slice(h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Alone(h)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.WithoutOthers(), got); d != "" {
			t.Errorf("the slice of %s differs (-one by one +together):\n%s", h, d)
		}
	}
	if n := len(inv.Hosts()); n != 4 {
		t.Errorf("%d hosts, want 4", n)
	}
	if _, err := s.Alone("stranger"); err == nil {
		t.Error("a host that is not there has a slice")
	}
}

// TestClosedVaultsStayClosedInSlices: what could not be opened must not become
// an empty value on the way to a host.
func TestClosedVaultsStayClosedInSlices(t *testing.T) {
	inv := load(t, map[string]string{"hosts.yml": "all:\n  hosts:\n    a:\n      secret: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n"}, "hosts.yml")
	s, err := inv.Slice("a")
	if err != nil {
		t.Fatal(err)
	}
	back, err := inventory.LoadSlice(s, files(nil))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := back.Host("a").Vars.GetString("secret")
	if u, ok := v.(*value.Undefined); !ok || u.Err == nil || !strings.Contains(u.Hint, "vault") {
		t.Errorf("the vaulted variable is %#v", v)
	}
}
