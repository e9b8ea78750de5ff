package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/play/machine"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata, one for each module, drive every module through its
// public door on a fake root, $WORK/root. Their commands:
//
//	task MODULE key=value…   the whole contract: check changes nothing, apply does what
//	                         check said, the second check and apply find nothing to do,
//	                         and a kill between any two steps leaves old or new
//	run, check, again        one run; a failed one is `! run`
//	tree PATH…               what is there: mode and owner, and the content by cat or cmp
//
// A value is JSON where it looks so, else text in which \n is a line break and a
// leading @ reads a file of the script. source=FILE and sources=FOLDER send
// content along with the task. The result is on stdout, as Ansible would register it.
func TestConformance(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			srv := httptest.NewServer(webSite())
			env.Defer(srv.Close)
			env.Setenv("WEB", srv.URL)
			return os.MkdirAll(filepath.Join(env.WorkDir, "root"), 0o755)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"task":  cmdTask,
			"run":   func(ts *testscript.TestScript, neg bool, args []string) { cmdRun(ts, neg, args, false) },
			"check": func(ts *testscript.TestScript, neg bool, args []string) { cmdRun(ts, neg, args, true) },
			"tree":  cmdTree,
			"age":   cmdAge,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "user:root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
	})
}

// webSite is what get_url and uri talk to.
func webSite() http.Handler {
	mux := http.NewServeMux()
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	file := func(path, name, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, name, old, strings.NewReader(body))
		})
	}
	file("/f.txt", "f.txt", "data\n")
	file("/new.txt", "new.txt", "new data\n")
	file("/SUMS", "SUMS", "6667b2d1aab6a00caa5aee5af8ad9f1465e567abf1c209d15727d57b3e8f6e5f  f.txt\n")
	file("/json", "x.json", `{"a": [1, 2]}`)
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s %s:%s", r.Method, r.Header.Get("X-Test"), user, password)
	})
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		fmt.Fprintf(w, "%s|%s|%s", r.Method, r.Header.Get("Content-Type"), b.String())
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/f.txt", http.StatusFound) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "cut")
	})
	return mux
}

// request reads `MODULE key=value…`.
func request(ts *testscript.TestScript, args []string) Request {
	if len(args) == 0 {
		ts.Fatalf("no module")
	}
	req := Request{Module: args[0], Args: map[string]any{}, Diff: true}
	for _, a := range args[1:] {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("%q is not key=value", a)
		}
		switch k {
		case "source":
			s := source(ts, v)
			req.Source = &s
		case "sources":
			req.Sources = sources(ts, v)
		case "environ":
			name, val, _ := strings.Cut(v, "=")
			req.Env = map[string]string{name: val}
		default:
			req.Args[k] = argValue(ts, v)
		}
	}
	return req
}

func argValue(ts *testscript.TestScript, s string) any {
	if strings.HasPrefix(s, "@") {
		return ts.ReadFile(s[1:])
	}
	var v any
	if s != "" && (strings.ContainsRune(`[{"`, rune(s[0])) || s == "true" || s == "false" || s == "null") {
		if err := json.Unmarshal([]byte(s), &v); err == nil {
			return v
		}
	}
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(s)
}

func source(ts *testscript.TestScript, name string) Source {
	file := ts.MkAbs(name)
	b, err := os.ReadFile(file)
	ts.Check(err)
	fi, err := os.Stat(file)
	ts.Check(err)
	return Source{Name: file, Size: int64(len(b)), Content: b, Inline: true, Mode: uint32(fi.Mode().Perm())}
}

func sources(ts *testscript.TestScript, dir string) []Source {
	out := []Source{}
	base := ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == base {
			return err
		}
		rel, _ := filepath.Rel(base, p)
		if d.IsDir() {
			out = append(out, Source{Name: rel, Dir: true})
			return nil
		}
		s := source(ts, p)
		s.Name = rel
		out = append(out, s)
		return nil
	}))
	return out
}

// testHost is the host of a script. Programs in the script's folder bin go
// before the machine's; they find the host's files by $ROOT.
func testHost(ts *testscript.TestScript) *Host {
	root := filepath.Join(ts.Getenv("WORK"), "root")
	return &Host{Root: root, Dir: "/",
		Env: map[string]string{"HOME": "/home/me", "PATH": filepath.Join(ts.Getenv("WORK"), "bin") + ":" + os.Getenv("PATH"), "ROOT": root}}
}

func runOn(h *Host, req Request) *Result {
	return Run(context.Background(), &Call{Request: req, Host: h})
}

func printResult(ts *testscript.TestScript, r *Result) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	ts.Check(e.Encode(r.Map()))
	_, _ = ts.Stdout().Write(b.Bytes())
}

func cmdRun(ts *testscript.TestScript, neg bool, args []string, check bool) {
	req := request(ts, args)
	req.Check = check
	h := testHost(ts)
	before := snapshot(ts, h.Root)
	r := runOn(h, req)
	printResult(ts, r)
	if r.Failed != neg {
		ts.Fatalf("failed is %v: %s", r.Failed, r.Msg)
	}
	if check {
		unchanged(ts, "check", before, snapshot(ts, h.Root))
	}
}

// cmdTask proves the whole contract for one task.
func cmdTask(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use ! run")
	}
	req := request(ts, args)
	h := testHost(ts)
	before := snapshot(ts, h.Root)

	checkReq := req
	checkReq.Check = true
	would := runOn(h, checkReq)
	if would.Failed {
		ts.Fatalf("check failed: %s", would.Msg)
	}
	unchanged(ts, "check", before, snapshot(ts, h.Root))

	killed(ts, h, req, before)

	did := runOn(h, req)
	if did.Failed {
		ts.Fatalf("failed: %s", did.Msg)
	}
	after := snapshot(ts, h.Root)
	if did.Changed != would.Changed {
		ts.Fatalf("check said changed=%v, the run %v", would.Changed, did.Changed)
	}
	if same := cmp.Equal(before, after); same == did.Changed && did.Values["diff"] == nil && !strings.HasPrefix(req.Module, "command") {
		ts.Fatalf("changed is %v, but the tree is the same: %v", did.Changed, same)
	}
	if did.Changed && len(did.Changes) == 0 || !did.Changed && len(did.Changes) > 0 {
		ts.Fatalf("changed is %v with the records %v", did.Changed, did.Changes)
	}
	if d := cmp.Diff(changeNames(would), changeNames(did)); d != "" {
		ts.Fatalf("check told other changes than the run (-check +run):\n%s", d)
	}
	rightDiff(ts, h, would, did, before, after)

	for _, check := range []bool{true, false} {
		req := req
		req.Check = check
		r := runOn(h, req)
		if r.Failed || r.Changed || len(r.Diff) > 0 {
			ts.Fatalf("again (check=%v): changed=%v failed=%v %s diff=%v", check, r.Changed, r.Failed, r.Msg, r.Diff)
		}
		unchanged(ts, "a second run", after, snapshot(ts, h.Root))
	}
	printResult(ts, did)
}

func changeNames(r *Result) []string {
	var out []string
	for _, c := range r.Changes {
		out = append(out, c.Type+" "+c.ID+" "+c.Action)
	}
	slices.Sort(out)
	return out
}

// rightDiff checks that check and run show the same diff, and that the text of
// a file's diff is what the file held and holds.
func rightDiff(ts *testscript.TestScript, h *Host, would, did *Result, before, after map[string]string) {
	if did.Changed && len(did.Diff) == 0 {
		for _, c := range did.Changes {
			if c.Type != "command" {
				return // modules with many small files show none, as Ansible's
			}
		}
	}
	if len(would.Diff) == 0 || len(did.Diff) == 0 {
		return
	}
	w, d := would.Diff[0], did.Diff[0]
	if !strings.Contains(d.Before+d.After, `"path": `) && (w.Before != d.Before || w.After != d.After) {
		ts.Fatalf("check showed another diff than the run:\n%s", cmp.Diff(w, d))
	}
	for _, c := range did.Changes {
		if c.Type != "file" || d.Prepared != "" || strings.HasPrefix(d.After, "{\n    \"") {
			continue
		}
		real := h.Realpath(c.ID)
		if got := content(after[real]); got != d.After {
			ts.Fatalf("the diff ends in %q, the file holds %q", d.After, got)
		}
		if got := content(before[real]); got != d.Before && !strings.HasPrefix(before[real], "12") { // not a link

			ts.Fatalf("the diff starts with %q, the file held %q", d.Before, got)
		}
		break
	}
}

func content(entry string) string {
	_, c, _ := strings.Cut(entry, "\n")
	return c
}

// killed runs the task in a process of its own that ends at step 1, 2, 3 …, each
// time from the same start. Whatever the moment, every file must be what it was or what
// it will be, and the next run must bring the host there.
func killed(ts *testscript.TestScript, h *Host, req Request, before map[string]string) {
	keep := h.Root + ".keep"
	ts.Check(copyAll(h.Root, keep))
	restore := func() {
		ts.Check(os.RemoveAll(h.Root))
		ts.Check(copyAll(keep, h.Root))
	}
	defer func() {
		restore()
		ts.Check(os.RemoveAll(keep))
	}()
	first := runOn(h, req)
	if first.Failed || !first.Changed {
		return
	}
	want := snapshot(ts, h.Root)
	for step := 1; step < 100; step++ {
		restore()
		if !runKilled(ts, h, req, step) {
			return
		}
		for p, e := range snapshot(ts, h.Root) {
			if strings.Contains(p, ".drover-") || e == before[p] || e == want[p] || strings.HasPrefix(filepath.Base(p), "crontab") {
				continue
			}
			if strings.Contains(p, "~") {
				continue // the copy that backup makes carries process and time
			}
			ts.Fatalf("killed at step %d, %s is neither old nor new:\n%s", step, p, e)
		}
		if r := runOn(h, req); r.Failed {
			ts.Fatalf("killed at step %d, the next run failed: %s", step, r.Msg)
		}
		got := snapshot(ts, h.Root)
		for p, e := range want {
			if !strings.Contains(p, "~") && !strings.HasPrefix(filepath.Base(p), "crontab") && got[p] != e {
				ts.Fatalf("killed at step %d and run again, %s differs:\n%s", step, p, cmp.Diff(e, got[p]))
			}
		}
		for p := range got {
			if strings.Contains(p, ".drover-") {
				ts.Fatalf("killed at step %d and run again, %s is left", step, p)
			}
		}
	}
}

const killEnv = "DROVER_TEST_KILL_AT"

// killTask is what the process that dies is told.
type killTask struct {
	Root, Dir string
	Env       map[string]string
	Req       Request
}

func runKilled(ts *testscript.TestScript, h *Host, req Request, step int) (died bool) {
	b, err := json.Marshal(killTask{Root: h.Root, Dir: h.Dir, Env: h.Env, Req: req})
	ts.Check(err)
	self, err := os.Executable()
	ts.Check(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), killEnv+"="+strconv.Itoa(step))
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.CombinedOutput()
	var ee *exec.ExitError
	if errors.As(err, &ee) && ee.ExitCode() == 99 {
		return true
	}
	if err != nil {
		ts.Fatalf("the process that is to die: %v\n%s", err, out)
	}
	return false
}

func TestMain(m *testing.M) {
	if s := os.Getenv(killEnv); s != "" {
		os.Exit(dieAt(s))
	}
	os.Exit(m.Run())
}

func dieAt(s string) int {
	at, err := strconv.Atoi(s)
	if err != nil {
		return 1
	}
	var t killTask
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	n := 0
	h := &Host{Root: t.Root, Dir: t.Dir, Env: t.Env}
	h.Crash = func(string) {
		if n++; n == at {
			os.Exit(99)
		}
	}
	if r := runOn(h, t.Req); r.Failed {
		fmt.Fprintln(os.Stderr, r.Msg)
		return 1
	}
	return 0
}

// snapshot is everything below a root: mode, owner and content by path.
func snapshot(ts *testscript.TestScript, root string) map[string]string {
	out := map[string]string{}
	ts.Check(filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		st := machine.RawStat(fi)
		e := fmt.Sprintf("%o %d:%d\n", st.Mode, st.Uid, st.Gid)
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			t, _ := os.Readlink(p)
			e += t
		case fi.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			e += string(b)
		}
		out["/"+strings.TrimPrefix(strings.TrimPrefix(p, root), "/")] = e
		return nil
	}))
	return out
}

func unchanged(ts *testscript.TestScript, who string, before, after map[string]string) {
	if d := cmp.Diff(before, after); d != "" {
		ts.Fatalf("%s changed something:\n%s", who, d)
	}
}

func copyAll(from, to string) error {
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// cmdTree prints kind, mode and owner of paths below the fake root.
func cmdTree(ts *testscript.TestScript, neg bool, args []string) {
	h := testHost(ts)
	for _, p := range args {
		fi, err := h.Lstat(p)
		if neg {
			if err == nil {
				ts.Fatalf("%s is there", p)
			}
			continue
		}
		ts.Check(err)
		st := machine.RawStat(fi)
		line := fmt.Sprintf("%s %s %s", p, h.State(p), machine.ModeString(st.Mode))
		if fi.Mode()&fs.ModeSymlink != 0 {
			t, _ := os.Readlink(h.Path(p))
			line = fmt.Sprintf("%s -> %s", p, t)
		}
		if os.Geteuid() == 0 {
			line += fmt.Sprintf(" %d:%d", st.Uid, st.Gid)
		}
		fmt.Fprintln(ts.Stdout(), line)
	}
}

// cmdAge gives files a time: age DURATION PATH…
func cmdAge(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	at := time.Now().Add(-d)
	for _, p := range args[1:] {
		ts.Check(os.Chtimes(testHost(ts).Path(p), at, at))
	}
}

// Every module tells a wrong parameter by name and says what was probably meant.
func TestWrongParameter(t *testing.T) {
	for _, name := range Names() {
		m, _ := Lookup(name)
		if m.AnyArgs || len(m.Params) == 0 {
			continue
		}
		p := m.Params[len(m.Params)-1].Name
		wrong := p + "x"
		if m.Param(wrong, true) != nil {
			wrong = p + "zz"
		}
		errs := m.CheckArgs(map[string]any{wrong: "1"})
		i := slices.IndexFunc(errs, func(e *api.Error) bool {
			return strings.Contains(e.Error(), "Unsupported parameters for ("+name+") module: "+wrong)
		})
		if i < 0 {
			t.Errorf("%s takes the parameter %s", name, wrong)
			continue
		}
		if errs[i].Field != wrong || !strings.HasPrefix(errs[i].Remedy, "did you mean ") {
			t.Errorf("%s %s: field %q, remedy %q", name, wrong, errs[i].Field, errs[i].Remedy)
		}
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"copy": "copy", "ansible.builtin.copy": "copy", "ansible.legacy.copy": "copy", "ansible.posix.sysctl": "sysctl",
		"ansible.posix.copy": "", "no.such.copy": "", "nope": "",
	} {
		m, ok := Lookup(name)
		if ok != (want != "") || ok && m.Name != want {
			t.Errorf("Lookup(%q) = %v, %v", name, m, ok)
		}
	}
	r := runOn(&Host{Root: t.TempDir()}, Request{Module: "ansible.builtin.cpoy"})
	if !r.Failed || !strings.Contains(r.Msg, `did you mean "copy"?`) {
		t.Errorf("unknown module: %+v", r)
	}
}

// fetcher gives content for one hash, as the other end of a session would.
func fetcher(t *testing.T, sum string, content []byte) func(context.Context, string) (io.ReadCloser, error) {
	return func(_ context.Context, want string) (io.ReadCloser, error) {
		if want != sum {
			t.Errorf("fetched %s, want %s", want, sum)
		}
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}
