package module

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"drover/internal/play/machine"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestOracle runs the same tasks through the machine's own ansible-playbook and
// through these modules, each in a folder of its own, and compares what is
// registered key by key and the trees that are left. It needs ansible-core, and
// DROVER_ORACLE=1 to ask for it. The tasks are in testdata/oracle, a line each:
// [check] MODULE JSON, with $D for the folder.
func TestOracle(t *testing.T) {
	if os.Getenv("DROVER_ORACLE") == "" {
		t.Skip("set DROVER_ORACLE=1 to compare with ansible-core")
	}
	files, err := filepath.Glob("testdata/oracle/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no tasks", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) { compareWithAnsible(t, f) })
	}
}

type oracleTask struct {
	line   string
	module string
	args   map[string]any
	check  bool
}

func compareWithAnsible(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	dirs := map[string]string{"theirs": filepath.Join(base, "aaaaaa"), "ours": filepath.Join(base, "oooooo"), "files": filepath.Join(base, "files")}
	for _, f := range ar.Files {
		for _, d := range dirs {
			p := filepath.Join(d, f.Name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	var tasks []oracleTask
	for line := range strings.Lines(string(ar.Comment)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		rest, check := strings.CutPrefix(line, "check ")
		mod, js, _ := strings.Cut(rest, " ")
		task := oracleTask{line: line, module: mod, check: check}
		if err := json.Unmarshal([]byte(js), &task.args); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		tasks = append(tasks, task)
	}
	theirs := runAnsible(t, base, dirs["theirs"], tasks)
	for i, task := range tasks {
		req := Request{Module: task.module, Args: inDir(task.args, dirs["ours"]).(map[string]any), Check: task.check}
		if src, ok := req.Args["src"].(string); ok && (task.module == "copy" || task.module == "template") && req.Args["remote_src"] == nil {
			req.Source, req.Sources = oracleSource(t, filepath.Join(dirs["files"], src))
		}
		ours := runOn(&Host{}, req).Map()
		if task.args["content"] != nil {
			delete(ours, "src") // a temporary file's name there
			delete(theirs[i], "src")
		}
		a, o := normal(theirs[i], dirs["theirs"]), normal(ours, dirs["ours"])
		if d := cmp.Diff(a, o); d != "" {
			t.Errorf("%s (-ansible +drover)\n%s", task.line, d)
		}
	}
	if d := cmp.Diff(treeOf(t, dirs["theirs"]), treeOf(t, dirs["ours"])); d != "" {
		t.Errorf("the trees differ (-ansible +drover)\n%s", d)
	}
}

func oracleSource(t *testing.T, path string) (*Source, []Source) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, nil
	}
	if !fi.IsDir() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return &Source{Name: path, Size: fi.Size(), Content: b, Inline: true, Mode: uint32(fi.Mode().Perm())}, nil
	}
	list := []Source{}
	_ = filepath.Walk(path, func(p string, fi os.FileInfo, err error) error {
		rel, _ := filepath.Rel(path, p)
		if err != nil || rel == "." {
			return err
		}
		if fi.IsDir() {
			list = append(list, Source{Name: rel, Dir: true})
			return nil
		}
		s, _ := oracleSource(t, p)
		s.Name = rel
		list = append(list, *s)
		return nil
	})
	return &Source{Name: path, Dir: true}, list
}

// inDir puts a folder's name in the place of $D.
func inDir(v any, dir string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "$D", dir)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = inDir(v[i], dir)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = inDir(x, dir)
		}
		return out
	}
	return v
}

func runAnsible(t *testing.T, base, dir string, tasks []oracleTask) []map[string]any {
	var list []any
	var names []string
	for i, task := range tasks {
		name := fmt.Sprintf("r%d", i)
		names = append(names, name)
		list = append(list, map[string]any{task.module: inDir(task.args, dir), "register": name, "ignore_errors": true, "check_mode": task.check})
	}
	out := filepath.Join(base, "results.json")
	list = append(list, map[string]any{"copy": map[string]any{"dest": out, "content": "{{ [" + strings.Join(names, ",") + "] | to_json }}"}})
	play, err := json.Marshal([]any{map[string]any{"hosts": "localhost", "connection": "local", "gather_facts": false, "tasks": list}})
	if err != nil {
		t.Fatal(err)
	}
	book := filepath.Join(base, "files", "play.yml")
	if err := os.WriteFile(book, play, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ansible-playbook", "-i", "localhost,", book)
	cmd.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0", "ANSIBLE_DEPRECATION_WARNINGS=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ansible-playbook: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var results []map[string]any
	if err := json.Unmarshal(b, &results); err != nil {
		t.Fatal(err)
	}
	return results
}

var volatileText = regexp.MustCompile(`\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~|ansible\.[a-z0-9_]{8}`)

// normal leaves away what differs from run to run and host to host.
func normal(m map[string]any, dir string) map[string]any {
	b, err := json.Marshal(m)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	b = bytes.ReplaceAll(b, []byte(dir), []byte("$D"))
	b = volatileText.ReplaceAll(b, []byte("~"))
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		return map[string]any{"error": err.Error()}
	}
	for _, k := range []string{"ansible_facts", "invocation", "diff", "warnings", "exception", "start", "end", "delta", "module_stderr", "module_stdout"} {
		delete(out, k)
	}
	if s, ok := out["src"].(string); ok && (strings.Contains(s, "/.ansible/tmp/") || strings.Contains(s, "/files/") || strings.Contains(s, "/ansible-local-") || out["checksum"] != nil) {
		out["src"] = "SRC"
	}
	if out["failed"] == false {
		delete(out, "failed")
	}
	clean(out)
	return out
}

func clean(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"atime", "ctime", "mtime", "inode", "version"} {
			delete(v, k)
		}
		for _, x := range v {
			clean(x)
		}
	case []any:
		sort.SliceStable(v, func(i, j int) bool { // files of find come in the folder's order
			a, ok := v[i].(map[string]any)
			b, ok2 := v[j].(map[string]any)
			return ok && ok2 && fmt.Sprint(a["path"]) < fmt.Sprint(b["path"])
		})
		for _, x := range v {
			clean(x)
		}
	}
}

func treeOf(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		e := fi.Mode().String()
		if st := machine.RawStat(fi); st != nil {
			e += fmt.Sprintf(" %d:%d", st.Uid, st.Gid)
		}
		switch {
		case fi.Mode()&os.ModeSymlink != 0:
			l, _ := os.Readlink(p)
			e += " -> " + l
		case fi.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			e += "\n" + string(b)
		}
		name := volatileText.ReplaceAllString(strings.TrimPrefix(p, dir), "~")
		out[name] = strings.ReplaceAll(e, dir, "$D")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
