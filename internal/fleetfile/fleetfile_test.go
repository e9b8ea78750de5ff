package fleetfile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"drover/api"
	"drover/internal/fleetfile"
)

func TestWrongFilesNameThePlaceAndTheRemedy(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"name: web\nplaybok: site.yml\n", `fleet.yml:2:1: there is no setting "playbok" (field playbok); did you mean "playbook"?`},
		{"zzz: 1\n", `fleet.yml:1:1: there is no setting "zzz" (field zzz); the settings are name, inventory, playbook`},
		{"name: [a]\n", `fleet.yml:1:7: name is not text (field name)`},
		{"name: 5\n", `fleet.yml:1:7: name is not text (field name)`},
		{"- a\n", `fleet.yml:1:1: it is not a mapping`},
		{"name: a\nname: b\n", `fleet.yml:2:1: `},
		{"playbook: ../../etc/x.yml\n", `fleet.yml:1:11: "../../etc/x.yml" leads out of the repository`},
		{"inventory: [inv, /etc]\n", `fleet.yml:1:18: "/etc" leads out of the repository`},
		{"name: \"x\n", `fleet.yml:`},
		{strings.Repeat("#", 70<<10), `fleet.yml: it is larger than 64 KB`},
	} {
		_, err := fleetfile.Parse([]byte(c.src))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.40q: error %v, want %s", c.src, err, c.want)
		}
		var e *api.Error
		if !errors.As(err, &e) || e.Remedy == "" {
			t.Errorf("%.40q: the error says no remedy: %v", c.src, err)
		}
	}
}

func TestDefaultsFindWhatIsThere(t *testing.T) {
	tree := fstest.MapFS{"playbooks/site.yml": {}, "inventory/hosts.yml": {}}
	f, err := fleetfile.Load(tree)
	if err != nil || f.Playbook != "playbooks/site.yml" || len(f.Inventory) != 1 || f.Inventory[0] != "inventory" {
		t.Fatalf("got %+v, %v", f, err)
	}
	tree["fleet.yml"] = &fstest.MapFile{Data: []byte("name: shop\nplaybook: ./web.yml\n")}
	if _, err = fleetfile.Load(tree); err == nil || !strings.Contains(err.Error(), `fleet.yml:2:11: there is no playbook "web.yml"`) {
		t.Fatalf("a missing playbook: %v", err)
	}
	tree["web.yml"] = &fstest.MapFile{}
	if f, err = fleetfile.Load(tree); err != nil || f.Name != "shop" || f.Playbook != "web.yml" {
		t.Fatalf("got %+v, %v", f, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: a\ninventory: [inventory, more/hosts.ini]\nplaybook: site.yml\n"))
	f.Add([]byte("a: &x [*x]\n? b\n: c"))
	f.Fuzz(func(t *testing.T, src []byte) {
		file, err := fleetfile.Parse(src)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Place == nil || e.Remedy == "" {
				t.Fatalf("an error without place or remedy: %v", err)
			}
			return
		}
		if file.Playbook != "" && (strings.HasPrefix(file.Playbook, "/") || strings.HasPrefix(file.Playbook, "..")) {
			t.Fatalf("playbook %q leads out", file.Playbook)
		}
	})
}
