package runlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"drover/api"
)

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// killed is a copy of a log's folder as a killed server leaves it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func command(id string, hosts ...string) Begin {
	return Begin{ID: id, Kind: api.RunCommand, Title: "uptime", Actor: "ada", Hosts: "web", Command: "uptime", Start: api.RunStart{ID: id, Hosts: hosts}}
}

func say(host, text string) api.RunOutput { return api.RunOutput{Host: host, Data: []byte(text)} }

func begin(t testing.TB, l *Log, b Begin) *Run {
	t.Helper()
	r, err := l.Begin(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settled waits until all that was given is in the file.
func settled(t testing.TB, r *Run) {
	t.Helper()
	for {
		r.mu.Lock()
		all, changed := r.size == r.length, r.changed
		r.mu.Unlock()
		if all {
			return
		}
		<-changed
	}
}

func detail(t testing.TB, l *Log, id string) api.RunDetail {
	t.Helper()
	d, err := l.Detail(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func output(t testing.TB, l *Log, id, host string) Output {
	t.Helper()
	o, err := l.Output(t.Context(), id, host, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ids(t testing.TB, l *Log, f Filter) (out []string) {
	t.Helper()
	items, _, err := l.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range items {
		out = append(out, r.ID)
	}
	return out
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestACommandIsKept(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	b := command("run-1", "web-1", "web-2", "web-3")
	b.Start.Away = []string{"web-9"}
	r := begin(t, l, b)
	if d := detail(t, l, "run-1"); d.State != api.RunRunning || d.Count != 4 || d.Away != 1 || d.Command != "uptime" || len(d.Results) != 4 {
		t.Errorf("at the beginning: %+v", d)
	}
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("web-1", "one\n"), {Host: "web-1", Stderr: true, Data: []byte("oh\n")}, say("web-2", "two\n")}})
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("web-1", "three\n")}, Done: []api.RunDone{{Host: "web-1"}, {Host: "web-2", Exit: 3}, {Host: "web-3", Exit: -1, Error: "gone"}}})
	r.End("", "", &api.RunEnd{OK: 1, Failed: 1, Lost: 2})
	check := func(l *Log) {
		t.Helper()
		d := detail(t, l, "run-1")
		if d.State != api.RunPartial || d.OK != 1 || d.Failed != 1 || d.Lost != 1 || d.Away != 1 || d.Took <= 0 || d.End.IsZero() || d.Actor != "ada" {
			t.Errorf("record %+v", d.RunRecord)
		}
		var states []string
		for _, h := range d.Results {
			states = append(states, fmt.Sprintf("%s:%s:%d:%s:%d", h.Host, h.State, h.Exit, h.Error, h.Bytes))
		}
		same(t, states, "web-1:ok:0::13", "web-2:failed:3::4", "web-3:lost:-1:gone:0", "web-9:away:-1::0")
		if o := output(t, l, "run-1", "web-1"); string(o.Data) != "one\noh\nthree\n" || o.Total != 13 || o.Truncated {
			t.Errorf("output %+v", o)
		}
		if o, err := l.Output(t.Context(), "run-1", "web-1", 2, 6); err != nil || string(o.Data) != "e\noh\nt" || o.Total != 13 {
			t.Errorf("part %q of %d, %v", o.Data, o.Total, err)
		}
		if _, err := l.Output(t.Context(), "run-1", "db-1", 0, 10); api.CodeOf(err) != api.CodeNotFound {
			t.Errorf("output of a host that is none of it: %v", err)
		}
	}
	check(l)
	if _, err := l.Begin(command("run-1")); api.CodeOf(err) != api.CodeExists {
		t.Errorf("the same ID again: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir, Options{}))
}

// follow reads a run's events until its end.
func follow(t testing.TB, l *Log, id string, after int64) (text string, last int64, end bool) {
	t.Helper()
	f, err := l.Follow(id, after)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b strings.Builder
	for {
		it, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return b.String(), last, end
		}
		if err != nil {
			t.Fatal(err)
		}
		last = it.ID
		if it.Event == "end" {
			end = true
			continue
		}
		e, ok := it.Data.(api.RunEvent)
		if !ok {
			fmt.Fprintf(&b, "%s:%s ", it.Event, it.Data)
			continue
		}
		if e.Start != nil {
			fmt.Fprintf(&b, "start:%d ", len(e.Start.Hosts))
		}
		for _, o := range e.Output {
			fmt.Fprintf(&b, "%s:%s ", o.Host, o.Data)
		}
		for _, d := range e.Done {
			fmt.Fprintf(&b, "%s=%d ", d.Host, d.Exit)
		}
		end = end || e.End != nil
	}
}

func TestARunIsFollowedFromItsBeginning(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	r := begin(t, l, command("run-1", "a", "b"))
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("a", "1")}})
	got := make(chan string, 1)
	go func() { text, _, _ := follow(t, l, "run-1", 0); got <- text }()
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("b", "2")}, Done: []api.RunDone{{Host: "a"}}})
	r.Event(&api.RunEvent{Done: []api.RunDone{{Host: "b", Exit: 1}}})
	r.End("", "", &api.RunEnd{OK: 1, Failed: 1})
	const want = "start:2 a:1 b:2 a=0 b=1 "
	if text := <-got; text != want {
		t.Errorf("live: %q", text)
	}
	text, last, end := follow(t, l, "run-1", 0)
	if text != want || !end {
		t.Errorf("later: %q, end %v", text, end)
	}
	if text, _, end := follow(t, l, "run-1", last); text != "" || !end {
		t.Errorf("behind the end: %q, end %v: a reader that comes back must learn that it is over", text, end)
	}
	f, err := l.Follow("run-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text, _, _ := follow(t, l, "run-1", first.ID); text != strings.TrimPrefix(want, "start:2 ") {
		t.Errorf("resumed: %q", text)
	}
}

func TestLargeOutputIsCutAndSaidSo(t *testing.T) {
	const five = 5_000_000
	l := open(t, t.TempDir(), Options{RunOutput: 12_000_000})
	r := begin(t, l, command("run-1", "whole", "more", "late"))
	chunk := strings.Repeat("0123456789abcde\n", 2000)
	for _, h := range []struct {
		name string
		n    int
	}{{"whole", five}, {"more", 3 * five}, {"late", five}} {
		for n := 0; n < h.n; n += len(chunk) {
			r.Event(&api.RunEvent{Output: []api.RunOutput{say(h.name, chunk[:min(len(chunk), h.n-n)])}})
		}
		r.Event(&api.RunEvent{Done: []api.RunDone{{Host: h.name}}})
	}
	r.mu.Lock()
	waiting := len(r.buf)
	r.mu.Unlock()
	if waiting > maxWaiting+outputUnit {
		t.Errorf("%d bytes wait in memory", waiting)
	}
	r.End("", "", &api.RunEnd{OK: 3})
	if o := output(t, l, "run-1", "whole"); len(o.Data) != five || o.Truncated || string(o.Data[five-16:]) != "0123456789abcde\n" {
		t.Errorf("five million bytes: %d, truncated %v", len(o.Data), o.Truncated)
	}
	if o := output(t, l, "run-1", "more"); o.Total != defaultHostOutput || !o.Truncated {
		t.Errorf("more: %d, truncated %v", o.Total, o.Truncated)
	}
	if o := output(t, l, "run-1", "late"); o.Total != 12_000_000-five-defaultHostOutput || !o.Truncated {
		t.Errorf("at the run's limit: %d, truncated %v", o.Total, o.Truncated)
	}
	for _, h := range detail(t, l, "run-1").Results {
		if h.State != api.RunOK || h.Bytes < five {
			t.Errorf("%+v", h)
		}
	}
}

func TestARunUnderWayAtACrashIsLost(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	ended := begin(t, l, command("run-0", "a"))
	ended.Event(&api.RunEvent{Done: []api.RunDone{{Host: "a"}}})
	ended.End("", "", &api.RunEnd{OK: 1})
	r := begin(t, l, command("run-1", "a", "b"))
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("a", "half"), say("b", "all")}, Done: []api.RunDone{{Host: "b"}}})
	settled(t, r)
	p := begin(t, l, Begin{ID: "play-1", Kind: api.RunPlay, Title: "site.yml"})
	p.Play([]byte(`[{"Kind":"result","Host":"a","Result":{"name":"x","status":"changed"}}]`), []Seen{{Host: "a", Status: "changed"}})
	settled(t, p)

	for name, spoil := range map[string]func(left string){
		"killed": func(string) {},
		"torn": func(left string) {
			files, _ := filepath.Glob(filepath.Join(left, "files", "*.run"))
			tables, _ := filepath.Glob(filepath.Join(left, "*", "*.log"))
			for _, f := range append(files, tables...) {
				h, err := os.OpenFile(f, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = h.WriteString("D\x00\x00\x00\xff\x00\x00\x00half a frame")
				h.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := killed(t, dir)
			spoil(left)
			for range 2 { // the second time it is the same
				again := open(t, left, Options{})
				d := detail(t, again, "run-1")
				if d.State != api.RunLost || d.OK != 1 || d.Lost != 1 || !strings.Contains(d.Message, "server ended") || d.End.IsZero() {
					t.Errorf("%+v", d)
				}
				if o := output(t, again, "run-1", "a"); string(o.Data) != "half" {
					t.Errorf("output %q", o.Data)
				}
				if text, _, end := follow(t, again, "run-1", 0); text != "start:2 a:half b:all b=0 " || !end {
					t.Errorf("events %q, end %v", text, end)
				}
				if text, _, end := follow(t, again, "play-1", 0); !end || !strings.Contains(text, "changed") {
					t.Errorf("events of the play: %q, end %v", text, end)
				}
				if d := detail(t, again, "play-1"); d.State != api.RunLost || len(d.Results) != 1 || d.Results[0].Tasks.Changed != 1 {
					t.Errorf("%+v", d)
				}
				if d := detail(t, again, "run-0"); d.State != api.RunOK {
					t.Errorf("%+v", d)
				}
				r := begin(t, again, command("new-"+fmt.Sprint(again.next()), "a"))
				r.End("", "", &api.RunEnd{})
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func report(host, id, commit string, changed, failed bool) *api.Report {
	return &api.Report{ID: id, Host: host, Commit: commit, Hash: "h-" + commit, Reason: "new", Start: time.Now(), Duration: time.Second, Changed: changed, Failed: failed, Message: map[bool]string{true: "it broke"}[failed],
		Sections: map[string]api.Result{"play": {Changed: changed, Failed: failed, OK: 3, Changes: 1, Tasks: []api.TaskResult{{Name: "motd", Module: "copy", Status: "changed"}}}}}
}

func TestAppliesOfARevision(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	if err := l.Applied(t.Context(), report("a", "1", "c1", true, false), report("b", "2", "c1", true, true), report("a", "3", "c2", true, false)); err != nil {
		t.Fatal(err)
	}
	if err := l.Applied(t.Context(), report("b", "4", "c1", true, false), report("b", "2", "c1", true, true), report("a", "2", "c2", false, false)); err != nil {
		t.Fatal(err)
	}
	check := func(l *Log) {
		t.Helper()
		list, err := l.Applies(t.Context(), "c1")
		if err != nil || len(list) != 2 || list[0].Host != "a" || list[0].State != api.RunOK || list[1].Host != "b" || list[1].State != api.RunOK || list[1].Changed != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if n := len(ids(t, l, Filter{Kinds: []string{api.RunApply}})); n != 5 {
			t.Errorf("%d applies: a report counts once, and another host's ID is not its own", n)
		}
		failed := ids(t, l, Filter{Host: "b", State: api.RunFailed, Commit: "c1"})
		if len(failed) != 1 {
			t.Fatalf("failed: %v", failed)
		}
		d := detail(t, l, failed[0])
		if len(d.Results) != 1 || d.Results[0].Error != "it broke" || d.Results[0].Tasks.OK != 3 || d.Results[0].Report != "2" || d.Results[0].State != api.RunFailed {
			t.Errorf("%+v", d)
		}
		if r, err := l.Report(t.Context(), failed[0], "b"); err != nil || r.Sections["play"].Tasks[0].Name != "motd" {
			t.Errorf("report %+v, %v", r, err)
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir, Options{}))
}

func TestListsPagesAndFilters(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	for i := range 6 {
		b := command(fmt.Sprintf("run-%d", i), "a", "b")
		if i%2 == 1 {
			b.Start.Hosts, b.Actor = []string{"c"}, "bob"
		}
		r := begin(t, l, b)
		if i == 4 {
			r.Event(&api.RunEvent{Done: []api.RunDone{{Host: "a", Exit: 1}, {Host: "b", Exit: 1}}})
		}
		r.End("", "", &api.RunEnd{})
		if err := l.Applied(t.Context(), report("a", fmt.Sprint(i), "c", false, false)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(l *Log) {
		t.Helper()
		same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}}), "run-5", "run-4", "run-3", "run-2", "run-1", "run-0")
		same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}, Host: "c"}), "run-5", "run-3", "run-1")
		same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}, Host: "b", Before: "run-3"}), "run-2", "run-0")
		same(t, ids(t, l, Filter{Actor: "bob", Limit: 2}), "run-5", "run-3")
		same(t, ids(t, l, Filter{Host: "nobody"}))
		var all []string
		f := Filter{Limit: 5}
		for {
			items, next, err := l.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range items {
				all = append(all, r.ID)
			}
			if f.Before = next; next == "" {
				break
			}
		}
		if len(all) != 12 || all[1] != "run-5" || all[11] != "run-0" {
			t.Errorf("all pages: %v", all)
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, Options{})
	check(l)
	if _, _, err := l.List(t.Context(), Filter{Before: "nothing"}); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("an unknown page: %v", err)
	}
}

func TestChangesAreToldOnceEach(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	_, since, again, _ := l.Changes(0, Filter{})
	if again || since != 0 {
		t.Fatalf("of an empty log: %v, %v", since, again)
	}
	r := begin(t, l, command("run-1", "a"))
	r.Event(&api.RunEvent{Done: []api.RunDone{{Host: "a"}}})
	r.End("", "", &api.RunEnd{OK: 1})
	items, next, again, changed := l.Changes(since, Filter{})
	if again || len(items) != 1 || items[0].State != api.RunOK {
		t.Errorf("%+v, %v", items, again)
	}
	if items, _, _, _ := l.Changes(next, Filter{}); len(items) != 0 {
		t.Errorf("once more: %+v", items)
	}
	begin(t, l, command("run-2", "a"))
	<-changed
	if items, _, _, _ := l.Changes(next, Filter{Host: "a"}); len(items) != 1 || items[0].State != api.RunRunning {
		t.Errorf("%+v", items)
	}
	if items, _, _, _ := l.Changes(next, Filter{Host: "b"}); len(items) != 0 {
		t.Errorf("of another host: %+v", items)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	o := Options{MaxRuns: 3, MaxApplies: 10, SegmentBytes: 4 << 10, MaxAge: 24 * time.Hour, Now: func() time.Time { return now }}
	l := open(t, dir, o)
	for i := range 50 {
		r := begin(t, l, command(fmt.Sprintf("run-%d", i), "a"))
		r.End("", "", &api.RunEnd{})
		rep := report("a", fmt.Sprint(i), "c", true, false)
		rep.Start = now
		if err := l.Applied(t.Context(), rep); err != nil {
			t.Fatal(err)
		}
	}
	l.sync()
	l.tidy()
	same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}}), "run-49", "run-48", "run-47")
	if n := len(ids(t, l, Filter{Kinds: []string{api.RunApply}})); n < 1 || n > 30 {
		t.Errorf("%d applies", n)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "files", "*"))
	if len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, o)
	same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}}), "run-49", "run-48", "run-47")
	now = now.Add(25 * time.Hour)
	l.tidy()
	same(t, ids(t, l, Filter{Kinds: []string{api.RunCommand}}))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	// By size.
	l = open(t, t.TempDir(), Options{MaxBytes: 1 << 20})
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3 * 7919 >> 5)
	}
	for i := range 20 {
		r := begin(t, l, command(fmt.Sprintf("run-%d", i), "a"))
		for k := range noise {
			noise[k] += byte(k * (i + 1))
		}
		r.Event(&api.RunEvent{Output: []api.RunOutput{{Host: "a", Data: noise}}})
		r.End("", "", &api.RunEnd{})
	}
	l.sync()
	var total int64
	files, _ = filepath.Glob(filepath.Join(l.dir, "files", "*"))
	for _, f := range files {
		if i, err := os.Stat(f); err == nil {
			total += i.Size()
		}
	}
	if total > 1<<19 || len(files) == 0 {
		t.Errorf("%d files of %d bytes", len(files), total)
	}
}

func TestARunIsCancelled(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	by := make(chan string, 1)
	b := command("run-1", "a")
	b.Cancel = func(who string) { by <- who }
	r := begin(t, l, b)
	if _, err := l.Cancel(t.Context(), "run-1", "ada"); err != nil || <-by != "ada" {
		t.Fatal(err)
	}
	r.End(api.RunCancelled, "cancelled by ada", &api.RunEnd{Lost: 1})
	if d := detail(t, l, "run-1"); d.State != api.RunCancelled || d.Results[0].Error != "cancelled by ada" || d.Message != "cancelled by ada" {
		t.Errorf("%+v", d)
	}
	if _, err := l.Cancel(t.Context(), "run-1", "ada"); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("again: %v", err)
	}
	if _, err := l.Cancel(t.Context(), "run-2", "ada"); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("another: %v", err)
	}
}

// TestWhoHeardTheEndFindsItEnded also before the end is in the table.
func TestWhoHeardTheEndFindsItEnded(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	b := command("run-1", "a")
	b.Cancel = func(string) { t.Error("it was cancelled after its end") }
	r := begin(t, l, b)
	l.writing.Lock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.End("", "", &api.RunEnd{Lost: 1})
	}()
	if _, _, end := follow(t, l, "run-1", 0); !end {
		t.Error("no end came")
	}
	rec, err := l.Get(t.Context(), "run-1")
	if err != nil || rec.State != api.RunFailed || rec.End.IsZero() {
		t.Errorf("%+v, %v", rec, err)
	}
	if _, err := l.Cancel(t.Context(), "run-1", "ada"); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("cancelled: %v", err)
	}
	l.writing.Unlock()
	<-ended
	if after, err := l.Get(t.Context(), "run-1"); err != nil || !reflect.DeepEqual(after, rec) {
		t.Errorf("%+v, %v, and before %+v", after, err, rec)
	}
}

func TestAServerThatStopsLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r := begin(t, l, command("run-1", "a"))
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("a", "x")}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("a", "y")}})
	r.End("", "", &api.RunEnd{})
	if d := detail(t, open(t, dir, Options{}), "run-1"); d.State != api.RunLost || d.Message != "the server stopped" {
		t.Errorf("%+v", d)
	}
}

// A hundred thousand runs are listed, filtered and paged at once.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	l := open(b, dir, Options{})
	for i := range 50 {
		reports := make([]*api.Report, 0, 2000)
		for k := range 2000 {
			reports = append(reports, report(fmt.Sprintf("host-%04d", k), fmt.Sprint(i, "-", k), fmt.Sprintf("commit-%d", i), true, k%100 == 0))
		}
		if err := l.Applied(context.Background(), reports...); err != nil {
			b.Fatal(err)
		}
	}
	for name, f := range map[string]Filter{"newest": {}, "one-host": {Host: "host-0007"}, "failed": {State: api.RunFailed}, "nothing": {Actor: "nobody"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := l.List(context.Background(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("applies", func(b *testing.B) {
		for b.Loop() {
			if list, _ := l.Applies(context.Background(), "commit-25"); len(list) != 2000 {
				b.Fatal(len(list))
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			l, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			_ = l.Close()
		}
	})
}

// A file of a run that somebody wrote, or a disk spoiled, does no harm.
func FuzzRunFile(f *testing.F) {
	dir := f.TempDir()
	l := open(f, dir, Options{})
	r := begin(f, l, command("run-1", "a"))
	r.Event(&api.RunEvent{Output: []api.RunOutput{say("a", "x")}, Done: []api.RunDone{{Host: "a"}}})
	r.Play([]byte(`[{"Kind":"result","Host":"a","Result":{"name":"x","status":"ok"}}]`), nil)
	r.Report(report("a", "1", "c", true, false))
	r.End("", "", &api.RunEnd{OK: 1})
	l.sync()
	raw, err := os.ReadFile(l.fileOf(r.e.seq))
	if err != nil {
		f.Fatal(err)
	}
	for _, payload := range []string{"", "{}", `{"start":null}`, `{"state":"ok","play":{}}`, `[{"Host":"a","host":"a","Kind":"result","Result":{}}]`, "\x01a", "\x01a\x00\x01x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		for _, typ := range []byte{frameStart, frameOutput, frameDone, framePlay, frameReport, frameEnd, frameResults} {
			f.Add(typ, []byte(payload), false)
			f.Add(typ, []byte(payload), true)
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, payload []byte, packed bool) {
		if packed {
			payload = l.codec.pack(payload)
		}
		spoiled := append(appendFrame(appendFrame(nil, frameStart, []byte("{}")), typ, payload), raw...)
		if err := os.WriteFile(l.fileOf(r.e.seq), spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if _, err := l.Detail(ctx, "run-1"); err != nil {
			t.Errorf("detail: %v", err)
		}
		_, _ = l.Output(ctx, "run-1", "a", 1, 100)
		_, _ = l.Report(ctx, "run-1", "a")
		fo, err := l.Follow("run-1", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer fo.Close()
		for {
			if _, err := fo.Next(ctx); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A table that somebody wrote, or a disk spoiled, opens, and takes new records.
func FuzzTable(f *testing.F) {
	dir := f.TempDir()
	l := open(f, dir, Options{})
	begin(f, l, command("run-1", "a")).End("", "", &api.RunEnd{})
	if err := l.Applied(f.Context(), report("a", "1", "c", true, false)); err != nil {
		f.Fatal(err)
	}
	_ = l.Close()
	for _, name := range []string{"asked", "applies"} {
		raw, err := os.ReadFile(filepath.Join(dir, name, segmentName(0)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(append(raw[:len(raw)-3:len(raw)-3], raw...))
	}
	f.Add([]byte("\x02\x00\x00\x00{}"))
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte(`F\x00\x00\x00{"seq":9223372036854775806,"id":"x","kind":"play","state":"running"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = append(appendFrame(nil, frameRecord, raw), raw...)
		dir := t.TempDir()
		for _, name := range []string{"asked", "applies"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, segmentName(0)), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l := open(t, dir, Options{})
		list, _, err := l.List(t.Context(), Filter{Limit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			_, _ = l.Detail(t.Context(), r.ID)
		}
		if err := l.Applied(t.Context(), report("new", "new", "c", true, false)); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir, Options{})
		if got := ids(t, again, Filter{Host: "new", Limit: 1 << 20}); len(got) == 0 {
			t.Error("a new apply is lost")
		}
	})
}
