package fleet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/fleet"
)

func TestARevisionShowsWhatItChanged(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	long := strings.Repeat("a line of a playbook that is not short\n", 20)
	first := w.commit("First", "inventory", "web-1 web\n", "site.yml", long, "old name.yml", strings.Repeat("x: 1\n", 30), "gone", "bye\n", "tool", "#!/bin/sh\n", "kind", "a file\n")
	w.pushed()
	// One push of two commits: the hosts see both at once.
	w.commit("Half", "site.yml", long+"one more\n")
	if err := os.Rename(filepath.Join(w.clone, "old name.yml"), filepath.Join(w.clone, "näw \"name\".yml")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "kind"} {
		if err := os.Remove(filepath.Join(w.clone, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("site.yml", filepath.Join(w.clone, "kind")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(w.clone, "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	second := w.commit("Second", "new.yml", "diff --git a/x b/x\n@@ -1 +1 @@\n", "logo.png", "\x89PNG\x00\x01", "empty", "",
		"zz-huge.txt", strings.Repeat("0123456789\n", 40_000), "zz-line.txt", strings.Repeat("x", 300_000), "zz-very-huge", strings.Repeat("0123456789\n", 200_000))
	w.pushed()

	var d api.RevisionDiff
	if err := w.call(w.token, "GET", "/v1/revisions/"+second+"/diff", nil, &d); err != nil {
		t.Fatal(err)
	}
	if d.Base != first || !d.Truncated {
		t.Errorf("compared with %s, truncated %v", d.Base, d.Truncated)
	}
	got := map[string]api.FileDiff{}
	for _, f := range d.Files {
		got[f.Path] = f
		if len(f.Patch) > 200<<10 || f.Patch != "" && !strings.HasSuffix(f.Patch, "\n") {
			t.Errorf("the patch of %s has %d bytes", f.Path, len(f.Patch))
		}
	}
	for path, want := range map[string]api.FileDiff{
		"site.yml":            {Status: api.FileChanged, Added: 1},
		"näw \"name\".yml":    {Status: api.FileRenamed, From: "old name.yml"},
		"gone":                {Status: api.FileRemoved, Removed: 1},
		"new.yml":             {Status: api.FileAdded, Added: 2},
		"logo.png":            {Status: api.FileAdded, Binary: true},
		"empty":               {Status: api.FileAdded},
		"tool":                {Status: api.FileChanged, Mode: "100644 100755"},
		"kind":                {Status: api.FileChanged, Mode: "100644 120000", Added: 1, Removed: 1},
		"zz-huge.txt":         {Status: api.FileAdded, Added: 40_000, Cut: true},
		"zz-line.txt":         {Status: api.FileAdded, Added: 1, Cut: true},
		"zz-very-huge":        {Status: api.FileAdded, Binary: true}, // git is not asked for lines of what is over a megabyte
		"this one is not hre": {},
	} {
		f := got[path]
		f.Patch = ""
		if want.Status != "" {
			want.Path = path
		}
		if f != want {
			t.Errorf("%s is %+v, want %+v", path, f, want)
		}
	}
	if len(d.Files) != 11 {
		t.Errorf("%d files: %+v", len(d.Files), d.Files)
	}
	for path, want := range map[string]string{
		"site.yml": "@@ -18,3 +18,4 @@", "new.yml": "@@ -0,0 +1,2 @@\n+diff --git a/x b/x\n+@@ -1 +1 @@\n", "gone": "@@ -1 +0,0 @@\n-bye\n", "tool": "", "empty": "", "logo.png": "",
		"kind": "@@ -1 +0,0 @@\n-a file\n@@ -0,0 +1 @@\n+site.yml\n\\ No newline at end of file\n", "zz-huge.txt": "@@ -0,0 +1,40000 @@\n+0123456789\n",
	} {
		if p := got[path].Patch; !strings.HasPrefix(p, want) || want == "" && p != "" {
			t.Errorf("the patch of %s is %.100q, want %q", path, p, want)
		}
	}
	// The first is compared with nothing; any other can be asked for.
	d = api.RevisionDiff{}
	if err := w.call(w.token, "GET", "/v1/revisions/"+first+"/diff", nil, &d); err != nil || d.Base != "" || len(d.Files) != 6 || d.Truncated {
		t.Errorf("the first: base %q, %d files, %v", d.Base, len(d.Files), err)
	}
	if err := w.call(w.token, "GET", "/v1/revisions/"+second[:8]+"/diff?base="+second, nil, &d); err != nil || d.Base != second || len(d.Files) != 0 {
		t.Errorf("with itself: %+v, %v", d, err)
	}
	for _, base := range []string{"--output=x", "nowhere", "HEAD^{/x}"} {
		if err := w.call(w.token, "GET", "/v1/revisions/"+second+"/diff?base="+base, nil, nil); err == nil {
			t.Errorf("compared with %q", base)
		}
	}
	if err := w.call(w.token, "GET", "/v1/revisions/main/diff", nil, nil); err != nil {
		t.Errorf("by its branch: %v", err)
	}
}

// So many small files that all patches are over the limit: the list is whole.
func TestAHugeDiffIsBounded(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.commit("First", "inventory", "")
	w.pushed()
	var files []string
	for i := range 1200 {
		files = append(files, fmt.Sprintf("f-%04d", i), strings.Repeat(fmt.Sprintf("line %d of it\n", i), 200))
	}
	second := w.commit("Much", files...)
	w.pushed()
	var d api.RevisionDiff
	if err := w.call(w.token, "GET", "/v1/revisions/"+second+"/diff", nil, &d); err != nil || len(d.Files) != 1000 || !d.Truncated {
		t.Fatalf("%d files, truncated %v, %v", len(d.Files), d.Truncated, err)
	}
	size, cut := 0, 0
	for _, f := range d.Files {
		size += len(f.Patch)
		if f.Cut {
			cut++
		}
		if f.Added != 200 || f.Patch == "" && !f.Cut {
			t.Fatalf("%+v", f)
		}
	}
	if size > 2<<20+300<<10 || size < 1<<20 || cut == 0 {
		t.Errorf("%d bytes of patches, %d cut", size, cut)
	}
}

func TestThePlanOfAPushIsKept(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	a := w.connect("web-1", api.AssignmentSpec{})
	a.check = func(*api.Converge) *api.Report {
		return &api.Report{Changed: true, Sections: map[string]api.Result{"play": {Changed: true, Changes: 1, Tasks: []api.TaskResult{
			{Name: "Write motd", Module: "copy", Status: "changed", Diff: []api.Diff{{Before: "old\n", After: "new\n"}}}}}}}
	}
	commit := w.commit("Greet", "inventory", "web-1 web\ndb-1 db\n", "site.yml", "x\n")
	w.pushed("Write motd")
	check := func() {
		t.Helper()
		var p api.Plan
		if err := w.call(w.token, "GET", "/v1/revisions/"+commit+"/plan", nil, &p); err != nil || p.Commit != commit || len(p.Groups) != 1 ||
			p.Groups[0].Tasks[0].Name != "Write motd" || p.Groups[0].Tasks[0].Diff[0].After != "new\n" || len(p.NotEnrolled) != 1 {
			t.Errorf("%+v, %v", p, err)
		}
	}
	check()
	w.restart()
	check()
	if err := os.RemoveAll(filepath.Join(w.dir, "fleet", "plans")); err != nil {
		t.Fatal(err)
	}
	if err := w.call(w.token, "GET", "/v1/revisions/"+commit+"/plan", nil, nil); err == nil || err.Code != api.CodeNotFound || !strings.Contains(err.Remedy, "drover plan --revision") {
		t.Errorf("a plan that was not kept: %v", err)
	}
	// What was refused has none.
	bad := w.commit("Bad", "site.yml", "BAD\n")
	if _, err := w.push(w.token, "main:refs/heads/main"); err == nil {
		t.Fatal("it was accepted")
	}
	if err := w.call(w.token, "GET", "/v1/revisions/"+bad+"/plan", nil, nil); err == nil || err.Code != api.CodeNotFound {
		t.Errorf("of a refused push: %v", err)
	}
}

func TestWhatBecameOfARevisionOnItsHosts(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("away", "bad", "odd", "paused", "web-1")
	w.connect("web-1", api.AssignmentSpec{})
	bad := w.connect("bad", api.AssignmentSpec{})
	if err := w.call(w.token, "PATCH", "/v1/hosts/paused", map[string]any{"spec": map[string]any{"paused": true}}, nil); err != nil {
		t.Fatal(err)
	}
	commit := w.commit("Greet", "inventory", "web-1 web\nbad web\naway web\npaused web\n", "site.yml", "x\n")
	w.pushed()
	w.until("both are there", func() bool {
		return w.host("web-1").Status.State == api.StateConverged && w.host("bad").Status.State == api.StateConverged
	})
	id := bad.report(&api.Report{Reason: "timer", Failed: true, Message: "no space", Sections: map[string]api.Result{"play": {Failed: true, Failures: 2}}})
	w.until("one fails", func() bool { return bad.acked(id) })
	read := func(name string) (states map[string]string, h api.RevisionHosts) {
		t.Helper()
		if err := w.call(w.token, "GET", "/v1/revisions/"+name+"/hosts", nil, &h); err != nil {
			t.Fatal(err)
		}
		states = map[string]string{}
		for _, i := range h.Items {
			states[i.Host] = i.State
		}
		return states, h
	}
	var got map[string]string
	var h api.RevisionHosts
	w.until("the applies are recorded", func() bool {
		got, h = read(commit)
		return got["web-1"] == api.PartChanged && h.Items[len(h.Items)-1].Run != ""
	})
	want := map[string]string{"web-1": api.PartChanged, "bad": api.PartFailed, "away": api.PartAway, "paused": api.PartWaiting}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(h.Waves) != 1 || len(h.Waves[0].Hosts) != 4 {
		t.Errorf("got %v, want %v; waves %+v", got, want, h.Waves)
	}
	for _, i := range h.Items {
		if i.Host == "web-1" && (i.Changed != 1 || i.At.IsZero()) || i.Host == "bad" && (i.Failed != 2 || i.Run == "") {
			t.Errorf("%+v", i)
		}
	}
	// What came later does not change what became of this one.
	next := w.commit("Greet again", "site.yml", "y\n")
	w.pushed()
	w.until("the next one is there", func() bool { got, _ := read(next); return got["web-1"] == api.PartChanged })
	if got, _ := read(commit); got["web-1"] != api.PartChanged || got["away"] != "" {
		t.Errorf("the one before: %v", got)
	}
	if err := w.call(w.token, "GET", "/v1/revisions/nothing/hosts", nil, nil); err == nil || err.Code != api.CodeNotFound {
		t.Errorf("of no revision: %v", err)
	}
}
