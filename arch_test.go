package drover

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// The laws of the house. Each is a table with its reason; an exception stands
// in a list here, where a reviewer sees it, and the lists may only shrink.

const module = "drover"

// rooms are what Drover does. A room never imports a room: they meet in the
// store, in api types, or in a small interface that the consumer declares.
var rooms = []string{"internal/fleet", "internal/play", "internal/access", "internal/observe"}

// hostSide runs as root on every host, so it stays small and knows nothing of
// the server: nothing in serverSide, not even through another package.
var hostSide = []string{"cmd/drover-agent", "internal/agent", "internal/link", "internal/play/engine", "internal/play/inventory",
	"internal/play/source", "internal/play/jinja", "internal/play/filter", "internal/play/facts", "internal/play/machine",
	"internal/play/module", "internal/play/playhost", "internal/play/playpull", "internal/observe/observehost"}

var serverSide = []string{"internal/store", "internal/store/etcd", "internal/access", "internal/change", "internal/server", "internal/domain",
	"internal/runlog", "internal/fleet", "internal/play", "internal/console", "internal/all", "internal/cli", "internal/observe", "internal/observe/metricstore"}

// onlyFor lists packages that few may import, with the reason.
var onlyFor = []struct {
	pkg, why string
	by       []string
}{
	{"internal/all", "only the programs and the fleet in a process join all rooms", []string{"cmd/drover", "internal/cli", "internal/fleettest"}},
	{"internal/store/etcd", "etcd is heavy: what is tested without it must not link it", []string{"cmd/drover", "internal/cli", "internal/all"}},
	{"internal/fleettest", "it is for tests", nil},
}

var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "shared", "base", "misc"}

const (
	maxFileLines    = 800
	maxPackageLines = 10_000
	maxMethods      = 7
	maxDepth        = 2 // under internal/
)

type pkg struct {
	dir     string
	name    string
	files   map[string]*ast.File // without tests
	tests   map[string]*ast.File
	lines   int
	imports []string // of ours, without tests, relative to the module
}

func load(t *testing.T) map[string]*pkg {
	t.Helper()
	pkgs := map[string]*pkg{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		p := pkgs[dir]
		if p == nil {
			p = &pkg{dir: dir, files: map[string]*ast.File{}, tests: map[string]*ast.File{}}
			pkgs[dir] = p
		}
		if lines := bytes.Count(src, []byte("\n")); lines > maxFileLines {
			t.Errorf("%s has %d lines, the most is %d: split it by what its parts are for", file, lines, maxFileLines)
		}
		if strings.HasSuffix(file, "_test.go") {
			p.tests[file] = f
			return nil
		}
		p.files[file] = f
		p.name = f.Name.Name
		p.lines += bytes.Count(src, []byte("\n"))
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			if ours, ok := strings.CutPrefix(name, module+"/"); ok && !slices.Contains(p.imports, ours) {
				p.imports = append(p.imports, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// chain is how from comes to import one of targets, nil if it does not.
func chain(pkgs map[string]*pkg, from string, targets []string) []string {
	seen := map[string]bool{}
	var walk func(dir string) []string
	walk = func(dir string) []string {
		p := pkgs[dir]
		if p == nil || seen[dir] {
			return nil
		}
		seen[dir] = true
		for _, imp := range p.imports {
			if slices.Contains(targets, imp) {
				return []string{dir, imp}
			}
			if rest := walk(imp); rest != nil {
				return append([]string{dir}, rest...)
			}
		}
		return nil
	}
	return walk(from)
}

func TestImports(t *testing.T) {
	pkgs := load(t)
	if p := pkgs["api"]; len(p.imports) > 0 {
		t.Errorf("api imports %v: it is plain data over the standard library", p.imports)
	}
	for _, room := range rooms {
		others := slices.DeleteFunc(slices.Clone(rooms), func(r string) bool { return r == room })
		for dir, p := range pkgs {
			if dir != room && !strings.HasPrefix(dir, room+"/") {
				continue
			}
			for _, imp := range p.imports {
				if slices.Contains(others, imp) {
					t.Errorf("%s imports %s: a room never imports a room; let them meet in the store or in an interface of the consumer", dir, imp)
				}
			}
		}
	}
	for _, dir := range hostSide {
		if c := chain(pkgs, dir, serverSide); c != nil {
			t.Errorf("%s: what runs as root on hosts knows nothing of the server", strings.Join(c, " → "))
		}
	}
	for _, law := range onlyFor {
		for dir, p := range pkgs {
			if slices.Contains(p.imports, law.pkg) && !slices.Contains(law.by, dir) && !strings.HasPrefix(dir, law.pkg) {
				t.Errorf("%s imports %s: %s", dir, law.pkg, law.why)
			}
		}
	}
}

func TestShape(t *testing.T) {
	for dir, p := range load(t) {
		if len(p.files) == 0 {
			continue
		}
		if p.lines > maxPackageLines {
			t.Errorf("%s has %d lines, the most is %d: split it", dir, p.lines, maxPackageLines)
		}
		if slices.Contains(bannedNames, p.name) {
			t.Errorf("%s: a package called %s says nothing of what it holds", dir, p.name)
		}
		if rest, ok := strings.CutPrefix(dir, "internal/"); ok && strings.Count(rest, "/") >= maxDepth && !strings.HasPrefix(rest, "console/web") {
			t.Errorf("%s: depth under internal/ is %d", dir, maxDepth)
		}
		documented := false
		for file, f := range p.files {
			documented = documented || f.Doc != nil
			checkFile(t, dir, file, f)
		}
		if !documented {
			t.Errorf("%s has no package comment", dir)
		}
	}
	for _, room := range rooms {
		if _, err := os.Stat(path.Join(room, "doc.go")); err != nil {
			t.Errorf("%s has no doc.go with its nouns, flow and invariants", room)
		}
	}
}

func checkFile(t *testing.T, dir, file string, f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && strings.HasPrefix(dir, "internal/") {
			t.Errorf("%s: an init() hides what happens and when; call it from where it is needed", file)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if i, ok := spec.Type.(*ast.InterfaceType); ok {
			methods := 0
			for _, m := range i.Methods.List {
				if _, ok := m.Type.(*ast.FuncType); ok {
					methods += len(m.Names)
				}
			}
			if methods > maxMethods {
				t.Errorf("%s: interface %s has %d methods, the most is %d", file, spec.Name.Name, methods, maxMethods)
			}
		}
		return true
	})
}

// TestTestsDoNotSleep keeps tests from guessing how long something takes.
func TestTestsDoNotSleep(t *testing.T) {
	for _, p := range load(t) {
		for file, f := range p.tests {
			bubble := false // inside synctest time is not real and sleeping is exact
			for _, imp := range f.Imports {
				bubble = bubble || imp.Path.Value == `"testing/synctest"`
			}
			if bubble {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
						t.Errorf("%s: time.Sleep guesses; wait for the thing itself", file)
					}
				}
				return true
			})
		}
	}
}

var update = flag.Bool("update", false, "write deps.txt anew")

// TestDeps shows each module that a program links as a line of deps.txt, so
// that an addition is a diff that somebody reads.
func TestDeps(t *testing.T) {
	var out strings.Builder
	for _, program := range []string{"drover-agent", "drover"} {
		list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "./cmd/"+program).Output()
		if err != nil {
			t.Fatalf("cannot list what %s links: %v", program, err)
		}
		lines := strings.Fields(strings.ReplaceAll(string(list), " ", "@"))
		sort.Strings(lines)
		lines = slices.Compact(lines)
		fmt.Fprintf(&out, "# %s links %d modules\n%s\n\n", program, len(lines), strings.ReplaceAll(strings.Join(lines, "\n"), "@", " "))
	}
	got := strings.TrimSpace(out.String()) + "\n"
	if *update {
		if err := os.WriteFile("deps.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("deps.txt")
	if err != nil || got != string(want) {
		t.Errorf("deps.txt is not what the programs link: run `make deps`, read its diff, and say in the commit why a module came in")
	}
}
