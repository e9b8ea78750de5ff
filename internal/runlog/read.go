package runlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"drover/api"
)

// Filter picks runs; the zero value picks all.
type Filter struct {
	Kinds                      []string // any of them
	Host, Actor, State, Commit string

	Before string // older than the run of this ID
	Limit  int    // 100 if 0
}

func (f Filter) match(r *api.RunRecord) bool {
	return (len(f.Kinds) == 0 || slices.Contains(f.Kinds, r.Kind)) && (f.Actor == "" || r.Actor == f.Actor) && (f.State == "" || r.State == f.State) &&
		(f.Commit == "" || r.Commit == f.Commit)
}

// selects reports whether a run is picked, with its hosts.
func (l *Log) selects(f Filter, e *entry, r *api.RunRecord) bool {
	return f.match(r) && (f.Host == "" || l.about(e, r, f.Host))
}

// List gives the runs that match, the newest first, and with a next page the
// ID to ask it by.
func (l *Log) List(ctx context.Context, f Filter) (items []api.RunRecord, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	l.mu.RLock()
	asked, applies := l.asked.entries, l.applies.entries
	var before *entry
	if f.Before != "" {
		before = l.byID[f.Before]
	}
	l.mu.RUnlock()
	if f.Before != "" {
		if before == nil {
			return nil, "", &api.Error{Code: api.CodeInvalid, Field: "before", Message: fmt.Sprintf("there is no run %q", cut(f.Before, 100)), Remedy: "begin again without it: what it named is too old to be kept"}
		}
		asked, applies = older(asked, before.seq), older(applies, before.seq)
	}
	if len(f.Kinds) > 0 && !slices.Contains(f.Kinds, api.RunApply) {
		applies = nil
	}
	if len(f.Kinds) == 1 && f.Kinds[0] == api.RunApply {
		asked = nil
	}
	for n := 0; len(asked)+len(applies) > 0; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		from := &asked
		if len(asked) == 0 || len(applies) > 0 && applies[len(applies)-1].seq > asked[len(asked)-1].seq {
			from = &applies
		}
		e := (*from)[len(*from)-1]
		*from = (*from)[:len(*from)-1]
		r := e.rec.Load()
		if !l.selects(f, e, r) {
			continue
		}
		if len(items) == limit {
			return items, items[limit-1].ID, nil
		}
		items = append(items, *r)
	}
	return items, "", nil
}

func older(list []*entry, seq int64) []*entry {
	i, _ := slices.BinarySearchFunc(list, seq, func(e *entry, seq int64) int {
		if e.seq < seq {
			return -1
		}
		return 1
	})
	return list[:i]
}

// Applies gives the newest apply of each host at a commit: who is there, and
// who failed. A host that has not reported it yet has none.
func (l *Log) Applies(_ context.Context, commit string) ([]api.RunRecord, error) {
	l.mu.RLock()
	applies := l.applies.entries
	l.mu.RUnlock()
	seen := map[string]bool{}
	var out []api.RunRecord
	for _, e := range slices.Backward(applies) {
		if r := e.rec.Load(); r.Commit == commit && !seen[r.Host] {
			seen[r.Host] = true
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(a, b api.RunRecord) int { return strings.Compare(a.Host, b.Host) })
	return out, nil
}

// Changes gives what became of the runs that match and changed since a version,
// each once, and the version to go on from. With 0, or when that is too long
// ago, it gives none and says so: List tells how things are. changed closes
// when there is more.
func (l *Log) Changes(since int64, f Filter) (items []api.RunRecord, next int64, again bool, changed <-chan struct{}) {
	l.mu.RLock()
	feed, changed := l.feed, l.changed
	l.mu.RUnlock()
	if len(feed) == 0 {
		return nil, 0, since != 0, changed
	}
	next = feed[len(feed)-1].version
	if since < feed[0].version-1 || since > next {
		return nil, next, true, changed
	}
	for _, c := range feed[since-(feed[0].version-1):] {
		if c.e.version.Load() != c.version {
			continue // it comes again
		}
		if r := c.e.rec.Load(); l.selects(f, c.e, r) {
			items = append(items, *r)
		}
	}
	return items, next, false, changed
}

// Get gives one run's record.
func (l *Log) Get(_ context.Context, id string) (api.RunRecord, error) {
	e := l.find(id)
	if e == nil {
		return api.RunRecord{}, missing(id)
	}
	return e.now(), nil
}

// now is a run's record. Whoever follows a run hears of its end before it is
// in the table; the run itself knows.
func (e *entry) now() api.RunRecord {
	if r := e.run.Load(); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ended {
			return r.rec
		}
	}
	return *e.rec.Load()
}

func missing(id string) error {
	return api.Errorf(api.CodeNotFound, "there is no run %q", cut(id, 100)).WithRemedy("it may be too old to be kept: see drover runs")
}

// Cancel ends a run that goes on.
func (l *Log) Cancel(_ context.Context, id, by string) (api.RunRecord, error) {
	e := l.find(id)
	if e == nil {
		return api.RunRecord{}, missing(id)
	}
	rec := e.now()
	r := e.run.Load()
	if rec.State != api.RunRunning || r == nil {
		return rec, api.Errorf(api.CodeConflict, "run %s has ended already: it is %s", id, rec.State).WithRemedy("see drover runs %s", id)
	}
	if r.cancel != nil {
		r.cancel(by)
	}
	return rec, nil
}

// source is a run's file, opened to be read.
type source struct {
	*os.File
	e    *entry
	run  *Run // nil: it has ended, and all is there
	size int64
}

func (l *Log) open(id string) (*source, error) {
	e := l.find(id)
	if e == nil {
		return nil, missing(id)
	}
	if e.rec.Load().Kind == api.RunApply {
		return nil, api.Errorf(api.CodeInvalid, "run %s is an apply: there is its report only", id).WithRemedy("GET /v1/runs/%s/report", id)
	}
	s := &source{e: e, run: e.run.Load()}
	f, err := os.Open(l.fileOf(e.seq))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(api.CodeNotFound, "what run %s said is not kept any more", id)
	}
	if err != nil {
		return nil, err
	}
	s.File = f
	if s.run != nil {
		s.run.mu.Lock()
		s.size = s.run.size
		s.run.mu.Unlock()
		return s, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.size = info.Size()
	return s, nil
}

// Detail gives one run with its hosts.
func (l *Log) Detail(_ context.Context, id string) (api.RunDetail, error) {
	e := l.find(id)
	if e == nil {
		return api.RunDetail{}, missing(id)
	}
	d := api.RunDetail{RunRecord: *e.rec.Load()}
	if d.Kind == api.RunApply {
		r, err := l.applyReport(e)
		if err != nil {
			return d, err
		}
		h := host{RunResult: api.RunResult{Host: d.Host, State: api.RunOK, Took: d.Took}}
		h.report(r)
		d.Message, d.Results = r.Message, []api.RunResult{h.RunResult}
		return d, nil
	}
	s, err := l.open(id)
	if err != nil {
		return d, err
	}
	defer s.Close()
	if typ, payload, _, err := readFrame(s, 0, s.size); err == nil && typ == frameStart {
		var start startFrame
		if json.Unmarshal(payload, &start) == nil {
			d.Command, d.User = start.Command, start.User
		}
	}
	if s.run != nil {
		s.run.mu.Lock()
		d.Results = s.run.t.results()
		d.RunRecord = s.run.rec
		d.Message = s.run.message
		s.run.t.count(&d.RunRecord)
		s.run.mu.Unlock()
		return d, nil
	}
	l.mu.RLock()
	tail := e.tail
	l.mu.RUnlock()
	end, results, err := l.lastOf(s, tail)
	if err != nil {
		return d, err
	}
	d.Message, d.Results = end.Message, results
	return d, nil
}

// lastOf gives how a run ended: the two frames behind all others. Where they
// are not to be found it counts again.
func (l *Log) lastOf(s *source, tail int64) (endFrame, []api.RunResult, error) {
	var end endFrame
	var results []api.RunResult
	if tail > 0 {
		if typ, payload, next, err := readFrame(s, tail, s.size); err == nil && typ == frameEnd && json.Unmarshal(payload, &end) == nil {
			if typ, payload, _, err := readFrame(s, next, s.size); err == nil && typ == frameResults {
				if raw, err := l.codec.unpack(payload); err == nil && json.Unmarshal(raw, &results) == nil && results != nil {
					return end, results, nil
				}
			}
		}
	}
	t, _, end, _, err := l.recount(s)
	if err != nil {
		return end, nil, err
	}
	return end, t.results(), nil
}

// recount reads a run's file as if it happened now.
func (l *Log) recount(s *source) (t tally, start startFrame, end endFrame, good int64, err error) {
	good, err = frames(s, 0, s.size, func(typ byte, payload []byte, _ int64) error {
		switch typ {
		case frameStart:
			if json.Unmarshal(payload, &start) == nil && start.Start != nil {
				t.start(start.Start)
			}
		case frameOutput:
			return l.pieces(payload, func(p piece) { t.take(p.host, int64(len(p.data)), l.o.HostOutput, l.o.RunOutput) })
		case frameDone:
			var list []doneFrame
			if l.unpackJSON(payload, &list) {
				for i := range list {
					t.done(&list[i])
				}
			}
		case framePlay:
			var list []playEvent
			if l.unpackJSON(payload, &list) {
				for i := range list {
					t.event(&list[i])
				}
			}
		case frameEnd:
			if json.Unmarshal(payload, &end) == nil && end.Play != nil {
				t.recap(end.Play, 0)
			}
		}
		return nil
	})
	return t, start, end, good, err
}

// pieces hands over what is in a frame of output. What is not whole ends it.
func (l *Log) pieces(payload []byte, fn func(piece)) error {
	raw, err := l.codec.unpack(payload)
	if err != nil {
		return nil //nolint:nilerr // a frame that somebody else wrote is left out
	}
	for len(raw) > 0 {
		p, rest, ok := nextPiece(raw)
		if !ok {
			return nil
		}
		fn(p)
		raw = rest
	}
	return nil
}

func (l *Log) unpackJSON(payload []byte, v any) bool {
	raw, err := l.codec.unpack(payload)
	return err == nil && json.Unmarshal(raw, v) == nil
}

// recover ends a run under which the server ended.
func (l *Log) recover(e *entry) error {
	rec := *e.rec.Load()
	f, err := os.OpenFile(l.fileOf(e.seq), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &source{File: f, e: e, size: e.size}
	t, _, end, good, err := l.recount(s)
	if err != nil {
		return err
	}
	const why = "the server ended while it ran"
	ended := end.State != ""
	if !ended {
		end = endFrame{State: api.RunLost, Message: why}
		t.rest(why)
	}
	// An end that is there, without its record: the server ended in between.
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t.count(&rec)
	rec.State = end.State
	rec.End = info.ModTime().UTC()
	if rec.End.Before(rec.Start) {
		rec.End = rec.Start
	}
	rec.Took = max(rec.End.Sub(rec.Start), 1)
	if !ended {
		end = lastEvent(&rec, why)
	}
	tail, b := good, []byte(nil)
	if ended {
		tail = 0
	} else {
		raw, err := json.Marshal(end)
		if err != nil {
			return err
		}
		b = appendFrame(b, frameEnd, raw)
		if raw, err = json.Marshal(t.results()); err != nil {
			return err
		}
		b = appendFrame(b, frameResults, l.codec.pack(raw))
	}
	if err := f.Truncate(good); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, good); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	l.asked.files += good + int64(len(b)) - e.size
	e.size = good + int64(len(b))
	if err := l.store(e, &rec, tail, l.packNames(t.names())); err != nil {
		return err
	}
	l.keepWords(&rec)
	e.rec.Store(&rec)
	return nil
}

// Output is a part of what one host printed.
type Output struct {
	Data      []byte
	Total     int64 // bytes that are kept
	Truncated bool  // and more were printed
}

// Output gives what a host printed in a command, both streams as they came.
func (l *Log) Output(ctx context.Context, id, name string, offset, limit int64) (Output, error) {
	var out Output
	s, err := l.open(id)
	if err != nil {
		return out, err
	}
	defer s.Close()
	res, err := l.resultOf(ctx, id, name)
	if err != nil {
		return out, err
	}
	_, err = frames(s, 0, s.size, func(typ byte, payload []byte, _ int64) error {
		if typ != frameOutput {
			return ctx.Err()
		}
		return l.pieces(payload, func(p piece) {
			if p.host != name {
				return
			}
			from, to := offset-out.Total, offset+limit-out.Total
			n := int64(len(p.data))
			out.Total += n
			if from = max(from, 0); from < n && to > from {
				out.Data = append(out.Data, p.data[from:min(to, n)]...)
			}
		})
	})
	out.Truncated = res.Truncated
	return out, err
}

func (l *Log) resultOf(ctx context.Context, id, name string) (*api.RunResult, error) {
	d, err := l.Detail(ctx, id)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(d.Results, func(r api.RunResult) bool { return r.Host == name })
	if i < 0 {
		return nil, api.Errorf(api.CodeNotFound, "run %s is not about a host %q", id, cut(name, 100)).WithRemedy("see drover runs %s", id)
	}
	return &d.Results[i], nil
}

// Report gives a host's report with all its tasks: of a converge or an apply.
func (l *Log) Report(ctx context.Context, id, name string) (*api.Report, error) {
	e := l.find(id)
	if e == nil {
		return nil, missing(id)
	}
	if r := e.rec.Load(); r.Kind == api.RunApply {
		if name != "" && name != r.Host {
			return nil, api.Errorf(api.CodeNotFound, "run %s is about %s, not about %q", id, r.Host, cut(name, 100))
		}
		return l.applyReport(e)
	}
	s, err := l.open(id)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var found *api.Report
	_, err = frames(s, 0, s.size, func(typ byte, payload []byte, _ int64) error {
		if typ != frameReport {
			return ctx.Err()
		}
		if of, rest, ok := nextBytes(payload); ok && string(of) == name {
			r := &api.Report{}
			if l.unpackJSON(rest, r) {
				found = r
			}
		}
		return nil
	})
	if err == nil && found == nil {
		err = api.Errorf(api.CodeNotFound, "run %s has no report of %q", id, cut(name, 100)).WithRemedy("see drover runs %s: it may not have answered", id)
	}
	return found, err
}

func (l *Log) applyReport(e *entry) (*api.Report, error) {
	l.mu.RLock()
	at := e.at
	l.mu.RUnlock()
	rest, err := at.rest()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(e.rec.Load().ID)
	}
	r := &api.Report{}
	if err == nil && !l.unpackJSON(rest, r) {
		err = errTorn
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the report of run %s: %w", e.rec.Load().ID, err)
	}
	return r, nil
}

// applyRecord is the record of a host's report.
func applyRecord(r *api.Report) *api.RunRecord {
	sum := sha256.Sum256([]byte(r.Host + "\n" + r.ID)) // an agent chose that ID, and may not choose another's
	rec := &api.RunRecord{ID: "apply-" + strings.ToUpper(hex.EncodeToString(sum[:13])), Kind: api.RunApply, Title: titleOf(r), Host: r.Host, Commit: cut(r.Commit, 100),
		Start: r.Start.UTC(), End: r.Start.Add(r.Duration).UTC(), Took: max(r.Duration, 1), State: api.RunOK, Count: 1, OK: 1}
	if r.Failed {
		rec.State, rec.OK, rec.Failed = api.RunFailed, 0, 1
	}
	if r.Changed {
		rec.Changed = 1
	}
	return rec
}

// titleOf says why a host converged.
func titleOf(r *api.Report) string {
	switch r.Reason {
	case "new":
		return "new revision " + cut(r.Commit, 10)
	case "timer":
		return "on its timer"
	case "start":
		return "when the agent started"
	case "request":
		return "asked to"
	}
	return "converge"
}

func (l *Log) packReport(r *api.Report) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("cannot keep a report: %w", err)
	}
	return l.codec.pack(b), nil
}

// playEvent is what is read of a play's events, as their JSON has them.
type playEvent struct {
	Kind, Host    string
	Result        *api.TaskResult
	Place         *api.Place
	Ignored, Loop bool
}

func (e *playEvent) seen() Seen {
	s := Seen{Host: e.Host, Status: e.Result.Status, Message: e.Result.Message}
	if e.Ignored {
		s.Status = "ignored"
	}
	return s
}

func (t *tally) event(e *playEvent) {
	if e.Kind == "result" && e.Result != nil && e.Host != "" {
		t.saw(e.seen())
	}
}

// Tasks gives what the tasks of a play came to on a host. A task with a loop
// is there once for each item.
func (l *Log) Tasks(ctx context.Context, id, name string) (api.TaskList, error) {
	out := api.TaskList{Items: []api.TaskResult{}}
	e := l.find(id)
	if e == nil {
		return out, missing(id)
	}
	if kind := e.rec.Load().Kind; kind != api.RunPlay {
		return out, api.Errorf(api.CodeInvalid, "run %s is no play, but of the kind %s", id, kind).WithRemedy("GET /v1/runs/%s/report?host=HOST has the tasks of a converge", id)
	}
	res, err := l.resultOf(ctx, id, name)
	if err != nil {
		return out, err
	}
	out.Truncated = res.Truncated
	s, err := l.open(id)
	if err != nil {
		return out, err
	}
	defer s.Close()
	quoted, err := json.Marshal(name)
	if err != nil {
		return out, err
	}
	items := 0 // of the running loop
	_, err = frames(s, 0, s.size, func(typ byte, payload []byte, _ int64) error {
		if typ != framePlay {
			return ctx.Err()
		}
		raw, err := l.codec.unpack(payload)
		if err != nil || !bytes.Contains(raw, quoted) {
			return nil //nolint:nilerr // a frame that somebody else wrote is left out
		}
		var list []playEvent
		if json.Unmarshal(raw, &list) != nil {
			return nil
		}
		for _, e := range list {
			if e.Host != name || e.Result == nil || e.Kind == "result" && e.Loop && items > 0 {
				if e.Host == name {
					items = 0
				}
				continue
			}
			switch e.Kind {
			case "item":
				items++
			case "result":
				items = 0
			default:
				continue
			}
			t := *e.Result
			t.Status = e.seen().Status
			if t.Place == nil {
				t.Place = e.Place
			}
			out.Items = append(out.Items, t)
		}
		return nil
	})
	return out, err
}

// Item is one event of a run's stream.
type Item struct {
	ID    int64  // where to go on behind it
	Event string // "", "play" or "end"
	Data  any
}

// Follower reads a run from its beginning, and on while it goes on.
type Follower struct {
	l     *Log
	s     *source
	after int64
	ready []Item
	ended bool // its end was given
}

// Follow begins to read behind an Item's ID; 0 is the beginning.
func (l *Log) Follow(id string, after int64) (*Follower, error) {
	s, err := l.open(id)
	if err != nil {
		return nil, err
	}
	return &Follower{l: l, s: s, after: after}, nil
}

// Close lets go of the file.
func (f *Follower) Close() error { return f.s.Close() }

// Next gives the next event, waiting for it while the run goes on. io.EOF is
// the end of the run.
func (f *Follower) Next(ctx context.Context) (Item, error) {
	for {
		if len(f.ready) > 0 {
			it := f.ready[0]
			f.ready = f.ready[1:]
			return it, nil
		}
		if err := ctx.Err(); err != nil {
			return Item{}, err
		}
		var changed <-chan struct{}
		over := f.s.run == nil
		if r := f.s.run; r != nil {
			r.mu.Lock()
			f.s.size, changed, over = r.size, r.changed, r.whole
			r.mu.Unlock()
		}
		typ, payload, next, err := readFrame(f.s, f.after, f.s.size)
		switch {
		case err == nil:
			f.after = next
			f.take(typ, payload)
			continue
		case errors.Is(err, errTorn), over && errors.Is(err, io.EOF):
			rec := f.s.e.rec.Load()
			if f.ended || rec.State == api.RunRunning {
				return Item{}, io.EOF
			}
			// It could not be written, or the reader resumes behind it.
			f.give(lastEvent(rec, "its end is not kept"))
			continue
		case !errors.Is(err, io.EOF):
			return Item{}, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Item{}, ctx.Err()
		case <-f.l.done:
			return Item{}, io.EOF
		}
	}
}

// take turns a frame into events.
func (f *Follower) take(typ byte, payload []byte) {
	put := func(event string, data any) { f.ready = append(f.ready, Item{f.after, event, data}) }
	switch typ {
	case frameStart:
		var s startFrame
		if json.Unmarshal(payload, &s) == nil && s.Start != nil {
			put("", api.RunEvent{Start: s.Start})
		}
	case frameOutput:
		var e api.RunEvent
		_ = f.l.pieces(payload, func(p piece) {
			e.Output = append(e.Output, api.RunOutput{Host: p.host, Stderr: p.stderr, Data: p.data})
		})
		put("", e)
	case frameDone:
		var list []doneFrame
		if f.l.unpackJSON(payload, &list) {
			e := api.RunEvent{}
			for _, d := range list {
				e.Done = append(e.Done, d.RunDone)
			}
			put("", e)
		}
	case framePlay:
		if raw, err := f.l.codec.unpack(payload); err == nil && json.Valid(raw) {
			put("play", json.RawMessage(raw))
		}
	case frameEnd:
		var e endFrame
		if json.Unmarshal(payload, &e) != nil {
			return
		}
		f.give(e)
	}
}

func (f *Follower) give(e endFrame) {
	f.ended = true
	if e.Play != nil {
		f.ready = append(f.ready, Item{f.after, "end", e.Play})
		return
	}
	f.ready = append(f.ready, Item{f.after, "", api.RunEvent{End: e.End}})
}

// lastEvent is the end of a run's stream that nobody else wrote.
func lastEvent(rec *api.RunRecord, why string) endFrame {
	e := endFrame{State: rec.State, Message: why}
	if rec.Kind == api.RunPlay {
		e.Play = &api.PlayEnd{Recap: map[string]map[string]int{}, Exit: 1, Error: api.Errorf(api.CodeUnavailable, "the play is %s: %s", rec.State, why)}
	} else {
		e.End = &api.RunEnd{OK: rec.OK, Failed: rec.Failed, Lost: rec.Lost + rec.Away, Took: rec.Took}
	}
	return e
}
