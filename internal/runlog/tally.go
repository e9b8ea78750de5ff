package runlog

import (
	"slices"
	"strings"
	"time"

	"drover/api"
)

// tally is what is known of each host of a run. The same code counts while a
// run goes on and when its file is read again after a crash.
type tally struct {
	hosts map[string]*host
	kept  int64 // bytes of output of all hosts that are kept
}

type host struct {
	api.RunResult
	kept int64
}

func (t *tally) of(name string) *host {
	h := t.hosts[name]
	if h == nil {
		if t.hosts == nil {
			t.hosts = map[string]*host{}
		}
		h = &host{RunResult: api.RunResult{Host: name, State: api.RunRunning}}
		t.hosts[name] = h
	}
	return h
}

func (t *tally) start(s *api.RunStart) {
	for _, h := range s.Hosts {
		t.of(h)
	}
	for _, h := range s.Away {
		x := t.of(h)
		x.State, x.Exit = api.RunAway, -1
	}
}

// take counts output of a host and says how much of it is to be kept.
func (t *tally) take(name string, n, perHost, perRun int64) int64 {
	h := t.of(name)
	keep := max(min(n, perHost-h.kept, perRun-t.kept), 0)
	h.Bytes += n
	h.kept += keep
	t.kept += keep
	h.Truncated = h.Truncated || keep < n
	return keep
}

// done ends a host of a command or a converge.
func (t *tally) done(d *doneFrame) {
	h := t.of(d.Host)
	h.Exit, h.Error, h.Took = d.Exit, d.Error, d.Took
	switch {
	case d.Error != "" || d.Exit < 0:
		h.State = api.RunLost
	case d.Exit != 0:
		h.State = api.RunFailed
	default:
		h.State = api.RunOK
	}
	if r := d.Report; r != nil {
		h.report(r)
	}
}

// report is what a host's report says about it.
func (h *host) report(r *api.Report) {
	h.Report, h.Tasks = r.ID, countTasks(r)
	if h.State == api.RunOK && r.Changed {
		h.State = api.RunChanged
	}
	if r.Failed && h.Error == "" {
		h.State, h.Error = api.RunFailed, r.Message
	}
}

func countTasks(r *api.Report) *api.RunTasks {
	c := &api.RunTasks{}
	for _, s := range r.Sections {
		c.OK, c.Changed, c.Failed, c.Skipped = c.OK+s.OK, c.Changed+s.Changes, c.Failed+s.Failures, c.Skipped+s.Skipped
	}
	return c
}

// saw counts one task of a play.
func (t *tally) saw(s Seen) {
	h := t.of(s.Host)
	if h.Tasks == nil {
		h.Tasks = &api.RunTasks{}
	}
	switch s.Status {
	case "changed":
		h.Tasks.OK++
		h.Tasks.Changed++
	case "failed", "unreachable":
		h.Tasks.Failed++
		if h.Error == "" {
			h.Error = cut(s.Message, maxWhy)
		}
	case "skipped":
		h.Tasks.Skipped++
	default:
		h.Tasks.OK++
	}
	if s.Status == "unreachable" {
		h.Exit = -1
	}
}

// maxWhy bounds what is kept in a host's result of why it failed.
const maxWhy = 2000

// recap is what a play came to in the end.
func (t *tally) recap(end *api.PlayEnd, took time.Duration) {
	for name, m := range end.Recap {
		h := t.of(name)
		h.Tasks = &api.RunTasks{OK: m["ok"], Changed: m["changed"], Failed: m["failed"] + m["unreachable"], Skipped: m["skipped"]}
		h.Took = took
		h.Exit = 0
		switch {
		case m["unreachable"] > 0:
			h.State, h.Exit = api.RunLost, -1
		case m["failed"] > 0:
			h.State, h.Exit = api.RunFailed, 2
		case m["changed"] > 0:
			h.State, h.Error = api.RunChanged, "" // what failed was ignored or rescued
		default:
			h.State, h.Error = api.RunOK, ""
		}
	}
}

// rest ends every host that has not ended.
func (t *tally) rest(why string) {
	for _, h := range t.hosts {
		if h.State == api.RunRunning {
			h.State, h.Exit = api.RunLost, -1
			if h.Error == "" {
				h.Error = why
			}
		}
	}
}

// count puts the numbers into a record.
func (t *tally) count(r *api.RunRecord) {
	r.Count, r.OK, r.Failed, r.Lost, r.Away, r.Changed = len(t.hosts), 0, 0, 0, 0, 0
	for _, h := range t.hosts {
		switch h.State {
		case api.RunOK:
			r.OK++
		case api.RunChanged:
			r.OK++
			r.Changed++
		case api.RunFailed:
			r.Failed++
			if h.Tasks != nil && h.Tasks.Changed > 0 {
				r.Changed++
			}
		case api.RunLost:
			r.Lost++
		case api.RunAway:
			r.Away++
		}
	}
}

// outcome is the state of a run that came to its end by itself.
func outcome(r *api.RunRecord) string {
	switch {
	case r.Failed+r.Lost+r.Away == 0:
		return api.RunOK
	case r.OK == 0:
		return api.RunFailed
	}
	return api.RunPartial
}

// results are by name.
func (t *tally) results() []api.RunResult {
	out := make([]api.RunResult, 0, len(t.hosts))
	for _, h := range t.hosts {
		r := h.RunResult
		if r.Tasks != nil {
			c := *r.Tasks
			r.Tasks = &c
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b api.RunResult) int { return strings.Compare(a.Host, b.Host) })
	return out
}

func (t *tally) names() []string {
	out := make([]string, 0, len(t.hosts))
	for n := range t.hosts {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
