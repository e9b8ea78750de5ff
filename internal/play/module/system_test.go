package module

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func hostWith(t testing.TB, file, text string) *Host {
	t.Helper()
	h := &Host{Root: t.TempDir()}
	name := filepath.Join(h.Root, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return h
}

// dpkg's list is read again when it changed, and only then.
func TestPackagesAreReadOnce(t *testing.T) {
	h := hostWith(t, dpkgStatus, "Package: a\nStatus: install ok installed\nVersion: 1\n")
	file := h.Path(dpkgStatus)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	first, err := packagesOn(h)
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := packagesOn(h); second != first {
		t.Error("an unchanged list was read again")
	}
	if err := os.WriteFile(file, []byte("Package: a\nStatus: install ok installed\nVersion: 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The same size within the same second: a cached one would still say 1.
	for range 2 {
		if db, _ := packagesOn(h); db.find("a").Version != "2" {
			t.Error("a changed list was not read again")
		}
	}
}

func TestPackageSpecs(t *testing.T) {
	for _, c := range []struct {
		spec, installed string
		want            bool
	}{
		{"a", "1", true}, {"a=1", "1", true}, {"a=1", "1.0", false}, {"a=1.*", "1.0-2", true}, {"a=2*", "1", false},
		{"a>=1.10", "1.9", false}, {"a>=1.9", "1.10", true}, {"a>=1.0~rc1", "1.0", true}, {"a>=1:0.5", "9", false},
	} {
		if got := parseSpec(c.spec).satisfied(c.installed); got != c.want {
			t.Errorf("%s by %s: %v", c.spec, c.installed, got)
		}
	}
	if p := parseSpec(" libc6:i386 = 2.36 "); p.name != "libc6:i386" || p.version != "2.36" || p.arg() != "libc6:i386=2.36" {
		t.Errorf("%+v", p)
	}
}

// What systemd tells over D-Bus is worded as its program words it.
func TestShowValues(t *testing.T) {
	for _, c := range []struct {
		key  string
		v    any
		want string
	}{
		{"Description", "a b", "a b"}, {"CanStart", true, "yes"}, {"MainPID", uint32(29), "29"}, {"UMask", uint32(0o22), "0022"},
		{"After", []string{"a.target", "b.slice"}, "a.target b.slice"}, {"RestartUSec", uint64(100000), "100ms"},
		{"TimeoutStartUSec", uint64(90e6), "1min 30s"}, {"JobTimeoutUSec", uint64(1<<64 - 1), "infinity"}, {"CPUWeight", uint64(1<<64 - 1), "[not set]"},
		{"LimitNOFILE", uint64(1<<64 - 1), "infinity"}, {"ActiveExitTimestamp", uint64(0), ""}, {"UID", uint32(1<<32 - 1), "[not set]"}, {"Nice", int32(-5), "-5"},
		{"ExecStart", [][]any{{"/bin/x", []string{"/bin/x", "-y"}, true, uint64(0), uint64(0), uint64(0), uint64(0), uint32(7), int32(0), int32(0)}},
			"{ path=/bin/x ; argv[]=/bin/x -y ; ignore_errors=yes ; start_time=[n/a] ; stop_time=[n/a] ; pid=7 ; code=(null) ; status=0/0 }"},
	} {
		if got, ok := showValue(c.key, c.v); !ok || got != c.want {
			t.Errorf("%s: %q, want %q", c.key, got, c.want)
		}
	}
}

func TestParseShow(t *testing.T) {
	got := parseShow("Id=a.service\nEnvironment=A=1 B=2\nExecStart={ path=/bin/sh ; argv[]=/bin/sh -c one\ntwo ; pid=0 }\nEmpty=\n")
	want := map[string]string{"Id": "a.service", "Environment": "A=1 B=2", "ExecStart": "{ path=/bin/sh ; argv[]=/bin/sh -c one\ntwo ; pid=0 }", "Empty": ""}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzDpkgStatus(f *testing.F) {
	f.Add("Package: a\nStatus: install ok installed\nVersion: 1:2-3\nProvides: b (= 1), c\nDescription: x\n y\n\nPackage: d\n")
	f.Add("Package: 0:\n")
	f.Add("\n\n\n:\nPackage:\n\nStatus: a b c")
	f.Fuzz(func(t *testing.T, text string) {
		db := parseDpkg([]byte(text))
		for name, list := range db.byName {
			if name == "" || strings.ContainsRune(name, '\n') || len(list) == 0 {
				t.Fatalf("%q: %v", name, list)
			}
			if db.find(name) == nil {
				t.Fatalf("%q is there and is not found", name)
			}
		}
		db.snapshot()
		db.match("*")
	})
}

func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root:x:0:a,b\n", "root:*:1:0:99999:7:::\n")
	f.Add("a:b:c", "a:b:-1:,", ":::")
	h := &Host{Root: f.TempDir()}
	if err := os.Mkdir(filepath.Join(h.Root, "etc"), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, passwd, group, shadow string) {
		for name, text := range map[string]string{"passwd": passwd, "group": group, "shadow": shadow} {
			if err := os.WriteFile(filepath.Join(h.Root, "etc", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range h.Accounts() {
			got, ok := accountOn(h, a.Name)
			if !ok {
				t.Fatalf("%q is there and is not found", a.Name)
			}
			got.record()
			got.shadowInt(7)
			if slices.Contains(got.secondary, "\n") {
				t.Fatal("a group with a line end")
			}
		}
		h.Groups()
	})
}

func FuzzShow(f *testing.F) {
	f.Add("A=b\nExecStart={ x\n }\nC=d")
	f.Fuzz(func(_ *testing.T, text string) { parseShow(text) })
}

func FuzzProcAddr(f *testing.F) {
	f.Add("0100007F:1F90")
	f.Add("00000000000000000000000001000000:0016")
	f.Fuzz(func(_ *testing.T, s string) { procAddr(s) })
}

func FuzzAptSimulation(f *testing.F) {
	f.Add("Inst a [1] (2 Debian:12 [amd64]) []\nRemv b [1]\nPurg c [1]\nInst\n", "The following\n 1 upgraded, 2 newly installed\n")
	f.Fuzz(func(_ *testing.T, sim, said string) {
		a := &aptTask{Call: &Call{Host: &Host{}}, r: &Result{}}
		a.simulated(sim)
		prepared(said)
		errorLines(said)
	})
}
