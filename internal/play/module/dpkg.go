package module

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	debversion "github.com/knqyf263/go-deb-version"
)

// dpkgStatus is dpkg's list of what is on the host.
const dpkgStatus = "/var/lib/dpkg/status"

// debPackage is one package dpkg knows.
type debPackage struct {
	Name, Arch, Version, Section string
	Installed                    bool
	ConfigFiles                  bool // removed, but its configuration is still there
	Hold                         bool
	Broken                       bool // half-installed, unpacked …: dpkg was interrupted
	Provides                     []string
}

// dpkgDB is the status file as it was at one moment.
type dpkgDB struct {
	mtime    time.Time
	size     int64
	byName   map[string][]*debPackage // an architecture each
	provided map[string][]*debPackage // installed providers of a virtual name
}

// packagesOn reads dpkg's status file; an unchanged one is not read again.
func packagesOn(h *Host) (*dpkgDB, error) {
	st, err := h.Stat(dpkgStatus)
	if errors.Is(err, fs.ErrNotExist) {
		return &dpkgDB{}, nil
	}
	if err != nil {
		return nil, err
	}
	if v, ok := h.Memo.Load(dpkgStatus); ok {
		if db, ok := v.(*dpkgDB); ok && db.mtime.Equal(st.ModTime()) && db.size == st.Size() {
			return db, nil
		}
	}
	raw, err := h.ReadFile(dpkgStatus)
	if err != nil {
		return nil, err
	}
	db := parseDpkg(raw)
	// A file written twice within the clock's grain looks unchanged: what is
	// so fresh is not kept.
	if db.mtime, db.size = st.ModTime(), st.Size(); time.Since(db.mtime) > time.Second {
		h.Memo.Store(dpkgStatus, db)
	}
	return db, nil
}

// parseDpkg reads the paragraphs of a status file. What it cannot read it
// leaves out: dpkg itself will complain when it is asked to act.
func parseDpkg(raw []byte) *dpkgDB {
	db := &dpkgDB{byName: map[string][]*debPackage{}, provided: map[string][]*debPackage{}}
	for len(raw) > 0 {
		var para []byte
		if i := bytes.Index(raw, []byte("\n\n")); i >= 0 {
			para, raw = raw[:i], raw[i+2:]
		} else {
			para, raw = raw, nil
		}
		p := parseDebPackage(para)
		if p == nil {
			continue
		}
		db.byName[p.Name] = append(db.byName[p.Name], p)
		if p.Installed {
			for _, v := range p.Provides {
				db.provided[v] = append(db.provided[v], p)
			}
		}
	}
	return db
}

func parseDebPackage(para []byte) *debPackage {
	p := &debPackage{}
	for len(para) > 0 {
		line := para
		if i := bytes.IndexByte(para, '\n'); i >= 0 {
			line, para = para[:i], para[i+1:]
		} else {
			para = nil
		}
		if len(line) == 0 || line[0] == ' ' || line[0] == '\t' {
			continue // goes on with the field before; none of ours has more lines
		}
		i := bytes.IndexByte(line, ':')
		if i < 0 {
			continue
		}
		value := func() string { return string(bytes.TrimSpace(line[i+1:])) }
		switch string(line[:i]) {
		case "Package":
			p.Name = value()
		case "Version":
			p.Version = value()
		case "Architecture":
			p.Arch = value()
		case "Section":
			p.Section = value()
		case "Status":
			f := strings.Fields(value())
			if len(f) == 3 {
				p.Hold = f[0] == "hold"
				switch f[2] {
				case "installed", "triggers-awaited", "triggers-pending":
					p.Installed = true
				case "config-files":
					p.ConfigFiles = true
				case "not-installed":
				default:
					p.Broken = true
				}
			}
		case "Provides":
			for _, v := range strings.Split(value(), ",") {
				if f := strings.Fields(v); len(f) > 0 {
					p.Provides = append(p.Provides, f[0])
				}
			}
		}
	}
	if p.Name == "" || strings.ContainsAny(p.Name, ": \t") {
		return nil // a colon parts name and architecture
	}
	return p
}

// find gives the package of a name, of an architecture if one is named:
// "libc6:i386". An installed one goes before one that was removed.
func (db *dpkgDB) find(name string) *debPackage {
	name, arch, _ := strings.Cut(name, ":")
	var found *debPackage
	for _, p := range db.byName[name] {
		if arch != "" && arch != "any" && arch != "native" && p.Arch != arch && p.Arch != "all" {
			continue
		}
		if found == nil || (p.Installed && !found.Installed) {
			found = p
		}
	}
	return found
}

// match lists the names a shell pattern fits, sorted.
func (db *dpkgDB) match(pattern string) []string {
	pattern, arch, withArch := strings.Cut(pattern, ":")
	var out []string
	for name, list := range db.byName {
		if ok, _ := path.Match(pattern, name); !ok {
			continue
		}
		for _, p := range list {
			if withArch && p.Arch != arch {
				continue
			}
			if withArch {
				name += ":" + arch
			}
			out = append(out, name)
			break
		}
	}
	slices.Sort(out)
	return out
}

// snapshot is every installed package's version, to tell what a run changed.
func (db *dpkgDB) snapshot() map[string]string {
	out := map[string]string{}
	for name, list := range db.byName {
		for _, p := range list {
			if !p.Installed {
				continue
			}
			key := name
			if len(list) > 1 {
				key += ":" + p.Arch
			}
			out[key] = p.Version
		}
	}
	return out
}

// compareVersions orders two versions as dpkg does; one that is no version is
// older than any.
func compareVersions(a, b string) int {
	va, err1 := debversion.NewVersion(a)
	vb, err2 := debversion.NewVersion(b)
	switch {
	case err1 != nil && err2 != nil:
		return strings.Compare(a, b)
	case err1 != nil:
		return -1
	case err2 != nil:
		return 1
	}
	return va.Compare(vb)
}

// packageSpec is one entry of `name`: name, name=version, name>=version, name:arch.
type packageSpec struct {
	text, name, op, version string
}

func parseSpec(s string) packageSpec {
	s = strings.TrimSpace(s)
	for _, op := range []string{">=", "="} {
		if n, v, ok := strings.Cut(s, op); ok {
			return packageSpec{s, strings.TrimSpace(n), op, strings.TrimSpace(v)}
		}
	}
	return packageSpec{text: s, name: s}
}

// arg is the entry as apt-get wants it.
func (p packageSpec) arg() string {
	if p.op == "=" {
		return p.name + "=" + p.version
	}
	return p.name
}

// satisfied reports whether an installed version is what the entry asks for.
func (p packageSpec) satisfied(version string) bool {
	switch p.op {
	case ">=":
		return compareVersions(version, p.version) >= 0
	case "=":
		if strings.ContainsAny(p.version, "*?[") {
			ok, _ := path.Match(p.version, version)
			return ok
		}
		return version == p.version
	}
	return true
}

func hasGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// mtimeOf is a file's time of change, zero if it is not there.
func mtimeOf(h *Host, p string) time.Time {
	st, err := os.Stat(h.Path(p))
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
