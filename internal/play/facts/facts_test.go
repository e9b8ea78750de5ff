package facts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"drover/internal/play/facts"
)

// root lays an archive out as a host's files.
func root(t *testing.T, name string) (dir string, extra map[string]string) {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dir, extra = t.TempDir(), map[string]string{}
	for _, f := range a.Files {
		if !strings.Contains(f.Name, "/") {
			extra[f.Name] = string(f.Data)
			continue
		}
		write(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	for line := range strings.Lines(extra["links"]) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(from)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, extra
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func host(dir string) *facts.Host {
	return &facts.Host{Root: dir, Env: map[string]string{"HOME": "/root"},
		Now: func() time.Time { return time.Date(2026, 3, 1, 10, 4, 5, 7000, time.FixedZone("CET", 3600)) },
		Addresses: func() ([]facts.Address, facts.Routes) {
			a := func(p, label string) facts.Address {
				return facts.Address{Interface: "eth0", Prefix: netip.MustParsePrefix(p), Label: label, Broadcast: "192.0.2.255", Scope: "global"}
			}
			return []facts.Address{a("192.0.2.10/24", "eth0"), a("192.0.2.11/24", "eth0:1"), a("2001:db8::10/64", ""), a("127.0.0.1/8", "")},
				facts.Routes{V4: facts.Route{Interface: "eth0", Gateway: "192.0.2.1", Source: "192.0.2.10"}}
		}}
}

func gather(t *testing.T, dir string, o facts.Options) (map[string]any, []string) {
	t.Helper()
	got, warnings, err := facts.Gather(t.Context(), host(dir), o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got) // as it travels
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got, warnings
}

func TestDebian(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the archive is of another machine")
	}
	dir, extra := root(t, "debian12.txtar")
	got, warnings := gather(t, dir, facts.Options{})
	for line := range strings.Lines(extra["want"]) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	vda := got["devices"].(map[string]any)["vda"].(map[string]any)
	part := vda["partitions"].(map[string]any)["vda1"].(map[string]any)
	if vda["size"] != "1.00 GB" || vda["scheduler_mode"] != "mq-deadline" || part["uuid"] != "1111-aaaa" || part["size"] != "512.00 MB" {
		t.Errorf("vda: %v", vda)
	}
	if _, ok := got["bonding_masters"]; ok {
		t.Error("a file among the interfaces was taken for one")
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "broken.fact") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestDistributions(t *testing.T) {
	a, err := txtar.ParseFile("testdata/others.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(a.Files); i += 2 {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "etc/os-release"), string(a.Files[i].Data))
		g, _ := gather(t, dir, facts.Options{})
		got := fmt.Sprintf("%v | %v | %v | %v | %v", g["distribution"], g["os_family"], g["distribution_version"], g["distribution_major_version"], g["distribution_release"])
		if want := strings.TrimSpace(string(a.Files[i+1].Data)); got != want {
			t.Errorf("%s: got %s, want %s", a.Files[i].Name, got, want)
		}
	}
}

func TestSubsets(t *testing.T) {
	dir, _ := root(t, "debian12.txtar")
	for _, c := range []struct {
		subset    string
		has, lack string
	}{
		{"all", "distribution memtotal_mb interfaces virtualization_type", ""},
		{"min", "distribution hostname pkg_mgr", "memtotal_mb interfaces virtualization_type"},
		{"!all", "distribution", "memtotal_mb interfaces"},
		{"!all,!min", "gather_subset", "distribution hostname memtotal_mb"},
		{"!all,!min,network", "interfaces default_ipv4", "distribution memtotal_mb"},
		{"network", "interfaces distribution", "memtotal_mb"},
		{"!hardware", "interfaces distribution virtualization_type", "memtotal_mb mounts"},
		{"distribution_version,!all,!min", "distribution os_family", "hostname"},
		{"!min", "interfaces", "pkg_mgr"},
		{"facter", "distribution", "interfaces"},
	} {
		got, _ := gather(t, dir, facts.Options{Subset: strings.Split(c.subset, ",")})
		for _, n := range strings.Fields(c.has) {
			if _, ok := got[n]; !ok {
				t.Errorf("%s lacks %s", c.subset, n)
			}
		}
		for _, n := range strings.Fields(c.lack) {
			if _, ok := got[n]; ok {
				t.Errorf("%s has %s", c.subset, n)
			}
		}
	}
	if _, _, err := facts.Gather(t.Context(), host(dir), facts.Options{Subset: []string{"hardwear"}}); err == nil || !strings.Contains(err.Error(), "hardwear") {
		t.Errorf("a wrong subset: %v", err)
	}
}

func TestFilter(t *testing.T) {
	dir, _ := root(t, "debian12.txtar")
	for pattern, want := range map[string]string{"ansible_mem*": "memory_mb", "memtotal_mb": "memtotal_mb", "*_mb": "swapfree_mb"} {
		got, _ := gather(t, dir, facts.Options{Filter: []string{pattern}})
		if _, ok := got[want]; !ok || got["distribution"] != nil {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}

func TestLocalProgram(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "facts/run.fact"), "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(dir, "facts/run.fact"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := host(dir)
	h.Exec = func(_ context.Context, argv ...string) ([]byte, error) {
		return fmt.Appendf(nil, "{\"ran\": %q}", argv[0]), nil
	}
	got, _, err := facts.Gather(t.Context(), h, facts.Options{FactPath: "/facts"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{"run": map[string]any{"ran": "/facts/run.fact"}}, got["local"]); d != "" {
		t.Error(d)
	}
}

// A host where hardly anything can be read still has facts.
func TestEmptyHost(t *testing.T) {
	got, _ := gather(t, t.TempDir(), facts.Options{})
	if got["system"] != "Linux" || got["distribution_version"] != "NA" || got["virtualization_type"] != "NA" {
		t.Errorf("%v", got)
	}
}

// The machine that runs the test has facts too, and they do not take long.
func BenchmarkGather(b *testing.B) {
	for b.Loop() {
		if _, _, err := facts.Gather(b.Context(), nil, facts.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzLocalFact(f *testing.F) {
	f.Add("[a]\nb = c\n d\n")
	f.Add(`{"a": 1}`)
	f.Add("[x]\n=\n[x]\n:y")
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "facts"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "facts/x.fact"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := facts.Gather(t.Context(), &facts.Host{Root: dir}, facts.Options{Subset: []string{"!all", "!min", "local"}, FactPath: "/facts"}); err != nil {
			t.Fatal(err)
		}
	})
}
