package runlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

// Begin says what begins.
type Begin struct {
	ID, Kind, Title, Actor string
	Hosts                  string // the pattern
	Check                  bool
	Command, User          string // of a command, in full
	Start                  api.RunStart
	// Cancel ends it for somebody, once it has begun.
	Cancel func(by string)
}

// Seen is the result of one task of a play on one host.
type Seen struct{ Host, Status, Message string }

// Run is one run that goes on. A run that cannot be written goes on without:
// its record says so. A nil Run keeps nothing.
type Run struct {
	l      *Log
	e      *entry
	file   *os.File
	cancel func(by string)
	began  time.Time
	start  startFrame

	mu      sync.Mutex
	t       tally
	rec     api.RunRecord
	buf     []byte        // frames that wait to be written
	size    int64         // bytes on disk
	length  int64         // and of all frames, also those that wait
	room    chan struct{} // closed when buf was taken
	changed chan struct{} // closed when there is more on disk, or the end
	why     error         // it cannot be written any more
	left    bool          // events were left out
	ended   bool
	whole   bool   // and all of it is written
	message string // why it did not come to its end by itself
	shown   time.Time
}

// What frames hold.
type (
	startFrame struct {
		Record  api.RunRecord `json:"record"`
		Command string        `json:"command,omitempty"`
		User    string        `json:"user,omitempty"`
		Start   *api.RunStart `json:"start,omitempty"` // not of a play
	}
	doneFrame struct {
		api.RunDone
		Took time.Duration `json:"took,omitempty"`
	}
	endFrame struct {
		State   string       `json:"state"`
		Message string       `json:"message,omitempty"`
		End     *api.RunEnd  `json:"end,omitempty"`
		Play    *api.PlayEnd `json:"play,omitempty"`
	}
)

const (
	maxWaiting = 8 << 20 // bytes that wait to be written; whoever has more waits
	outputUnit = 1 << 20 // bytes of output in a frame, about
)

// Begin records that a run begins. An ID is used once.
func (l *Log) Begin(b Begin) (*Run, error) {
	if l == nil {
		return nil, nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.find(b.ID) != nil {
		return nil, api.Errorf(api.CodeExists, "there was a run %s already", b.ID).WithRemedy("give each run an id of its own, or none; see drover runs %s", b.ID)
	}
	now := l.now()
	r := &Run{l: l, e: &entry{seq: l.next()}, cancel: b.Cancel, began: now, room: make(chan struct{}), changed: make(chan struct{}),
		rec: api.RunRecord{ID: b.ID, Kind: b.Kind, Title: b.Title, Actor: b.Actor, Hosts: b.Hosts, Check: b.Check, Start: now, State: api.RunRunning}}
	r.t.start(&b.Start)
	r.t.count(&r.rec)
	r.start = startFrame{Record: r.rec, Command: b.Command, User: b.User}
	if b.Kind != api.RunPlay {
		r.start.Start = &b.Start
	}
	head, err := json.Marshal(r.start)
	if err != nil {
		return nil, err
	}
	if r.file, r.why = os.OpenFile(l.fileOf(r.e.seq), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); r.why == nil {
		first := appendFrame(nil, frameStart, head)
		if _, r.why = r.file.Write(first); r.why == nil {
			r.size = int64(len(first))
			r.length = r.size
		}
	}
	rec := r.rec
	if r.why == nil {
		r.why = l.store(r.e, &rec, 0, l.packNames(r.t.names()))
	}
	if r.why != nil {
		l.o.Log.Error("a run cannot be kept", "run", b.ID, "error", r.why)
	}
	r.e.run.Store(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked.entries = append(l.asked.entries, r.e)
	l.byID[b.ID], l.live[r] = r.e, true
	l.replace(r.e, &rec)
	l.tell()
	return r, nil
}

// add puts a frame behind those that wait. The caller holds mu.
func (r *Run) add(typ byte, payload []byte) {
	if r.why != nil || r.ended {
		return
	}
	if r.length+int64(len(payload)) > r.l.o.RunOutput*maxFile || len(payload) > maxFrame {
		r.left = true
		return
	}
	r.must(typ, payload)
}

// wait lets the writer catch up when much waits.
func (r *Run) wait() {
	for {
		r.mu.Lock()
		room, much := r.room, len(r.buf) > maxWaiting && r.why == nil
		r.mu.Unlock()
		r.l.nudge()
		if !much {
			return
		}
		select {
		case <-room:
		case <-r.l.done:
			return
		}
	}
}

// Event keeps a piece of a command's or converge's stream. Reports come by Report.
func (r *Run) Event(e *api.RunEvent) {
	if r == nil || len(e.Output)+len(e.Done) == 0 {
		return
	}
	now := r.l.now()
	r.mu.Lock()
	var b []byte
	flush := func() {
		if len(b) > 0 {
			r.add(frameOutput, r.l.codec.pack(b))
			b = b[:0]
		}
	}
	for _, o := range e.Output {
		keep := r.t.take(o.Host, int64(len(o.Data)), r.l.o.HostOutput, r.l.o.RunOutput)
		if keep == 0 {
			continue
		}
		b = appendPiece(b, piece{o.Host, o.Stderr, o.Data[:keep]})
		if len(b) > outputUnit {
			flush()
		}
	}
	flush()
	if len(e.Done) > 0 {
		list := make([]doneFrame, 0, len(e.Done))
		for _, d := range e.Done {
			f := doneFrame{RunDone: d, Took: max(now.Sub(r.began), 0)}
			r.t.done(&f)
			list = append(list, f)
		}
		if raw, err := json.Marshal(list); err == nil {
			r.add(frameDone, r.l.codec.pack(raw))
		}
	}
	r.mu.Unlock()
	r.wait()
}

// Report keeps a host's report with all its tasks.
func (r *Run) Report(rep *api.Report) {
	if r == nil || rep == nil {
		return
	}
	b, err := r.l.packReport(rep)
	if err != nil {
		return // it came as JSON
	}
	payload := append(appendName(nil, rep.Host), b...)
	r.mu.Lock()
	r.add(frameReport, payload)
	r.mu.Unlock()
	r.wait()
}

// Take counts output of a play's task, and says how many bytes of it are to be kept.
func (r *Run) Take(host string, n int64) int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.t.take(host, n, r.l.o.HostOutput, r.l.o.RunOutput)
}

// Play keeps events of a play: a list in JSON, and what is in it of hosts.
func (r *Run) Play(list []byte, seen []Seen) {
	if r == nil {
		return
	}
	b := r.l.codec.pack(list)
	r.mu.Lock()
	for _, s := range seen {
		r.t.saw(s)
	}
	if len(list) > maxPlain/2 {
		r.left = true
	} else {
		r.add(framePlay, b)
	}
	r.mu.Unlock()
	r.wait()
}

// End ends a run that came to its end; with state "" that is what its hosts
// say. It returns when what was kept can be read. Messages say why it did not
// come to its end by itself.
func (r *Run) End(state, message string, end *api.RunEnd) { r.finish(state, message, end, nil) }

// EndPlay ends a play.
func (r *Run) EndPlay(state, message string, end *api.PlayEnd) { r.finish(state, message, nil, end) }

func (r *Run) finish(state, message string, end *api.RunEnd, play *api.PlayEnd) {
	if r == nil {
		return
	}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return
	}
	now := r.l.now()
	r.rec.End, r.rec.Took = now, max(now.Sub(r.began), 1)
	if play != nil {
		r.t.recap(play, r.rec.Took)
	}
	why := message
	if why == "" {
		why = "it did not answer"
	}
	r.t.rest(why)
	r.t.count(&r.rec)
	switch {
	case state != "":
		r.rec.State = state
	case play != nil && play.Error != nil && r.rec.Failed+r.rec.Lost == 0:
		r.rec.State = api.RunFailed
	default:
		r.rec.State = outcome(&r.rec)
	}
	if play != nil && play.Error != nil && message == "" {
		message = play.Error.Error()
	}
	if r.left {
		message = joinWhy(message, "not all of it was kept: it was too much")
	}
	if r.why != nil {
		message = joinWhy(message, fmt.Sprintf("not all of it was kept: %v", r.why))
	}
	tail := r.length
	last := endFrame{State: r.rec.State, Message: message, End: end, Play: play}
	if end == nil && play == nil {
		last = lastEvent(&r.rec, message)
	}
	if raw, err := json.Marshal(last); err == nil {
		r.must(frameEnd, raw)
	}
	if raw, err := json.Marshal(r.t.results()); err == nil {
		r.must(frameResults, r.l.codec.pack(raw))
	}
	r.ended, r.message = true, message
	if r.why != nil {
		tail = 0
	}
	rec, names := r.rec, r.t.names()
	r.mu.Unlock()
	r.l.nudge()
	r.settle()
	r.l.writing.Lock()
	if err := r.l.store(r.e, &rec, tail, r.l.packNames(names)); err != nil {
		r.l.o.Log.Error("the end of a run cannot be kept", "run", rec.ID, "error", err)
	}
	r.l.writing.Unlock()
	r.l.mu.Lock()
	delete(r.l.live, r)
	r.l.over = append(r.l.over, r)
	r.l.replace(r.e, &rec)
	r.l.tell()
	r.l.mu.Unlock()
}

// settle returns when all of an ended run is in its file, as far as the disk lets it.
func (r *Run) settle() {
	for {
		r.mu.Lock()
		whole, changed := r.whole, r.changed
		r.mu.Unlock()
		if whole {
			return
		}
		select {
		case <-changed:
		case <-r.l.done:
			return
		}
	}
}

func joinWhy(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// must adds a frame whatever there is already: the end is never too much.
func (r *Run) must(typ byte, payload []byte) {
	if r.why == nil {
		r.buf = appendFrame(r.buf, typ, payload)
		r.length += headerSize + int64(len(payload))
	}
}

// write is the goroutine that writes; it ends when Close was called.
func (l *Log) write() {
	defer close(l.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	trimmed := time.Now()
	for {
		stopped := false
		select {
		case <-l.wake:
		case <-tick.C:
			l.sync()
			if time.Since(trimmed) > time.Hour {
				trimmed = time.Now()
				l.tidy()
			}
		case <-l.stop:
			stopped = true
		}
		l.flush()
		if stopped {
			l.sync()
			return
		}
	}
}

// tidy removes what is too old.
func (l *Log) tidy() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.trim(); err != nil {
		l.o.Log.Warn("cannot remove old runs", "error", err)
	}
}

// flush writes what waits of every run.
func (l *Log) flush() {
	l.mu.RLock()
	runs := make([]*Run, 0, len(l.live))
	for r := range l.live {
		runs = append(runs, r)
	}
	l.mu.RUnlock()
	for _, r := range runs {
		r.flush()
	}
}

// showEvery is how often a run that goes on shows its numbers.
const showEvery = 250 * time.Millisecond

func (r *Run) flush() {
	r.mu.Lock()
	buf, ended := r.buf, r.ended
	r.buf = nil
	close(r.room)
	r.room = make(chan struct{})
	file, why, off := r.file, r.why, r.size
	r.mu.Unlock()
	if len(buf) > 0 && why == nil {
		if _, err := file.WriteAt(buf, off); err != nil {
			why = errors.Join(err, file.Truncate(off))
			r.l.o.Log.Error("a run cannot be kept any more", "run", r.rec.ID, "error", err)
			buf = nil
		}
	}
	now := time.Now()
	var rec *api.RunRecord
	r.mu.Lock()
	r.why = why
	if why == nil {
		r.size += int64(len(buf))
	}
	r.whole = r.whole || ended
	if len(buf) > 0 || ended {
		close(r.changed)
		r.changed = make(chan struct{})
	}
	if len(buf) > 0 && !r.ended && now.Sub(r.shown) > showEvery {
		r.shown = now
		r.t.count(&r.rec)
		c := r.rec
		rec = &c
	}
	r.mu.Unlock()
	if rec != nil {
		r.l.show(r.e, rec)
	}
}

// sync brings to disk what was written, and lets go of runs that ended.
func (l *Log) sync() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	over := l.over
	l.over = nil
	l.mu.Unlock()
	for _, r := range over {
		r.release()
	}
	for _, c := range []*class{&l.asked, &l.applies} {
		if c.dirty {
			if err := c.table.sync(); err != nil {
				l.o.Log.Error("cannot sync the log of runs", "error", err)
			}
			c.dirty = false
		}
	}
	if len(over) > 0 {
		if err := l.trim(); err != nil {
			l.o.Log.Warn("cannot remove old runs", "error", err)
		}
	}
}

// release closes the file of a run that ended.
func (r *Run) release() {
	r.mu.Lock()
	file, size := r.file, r.size
	r.file = nil
	r.mu.Unlock()
	if file != nil {
		_ = unix.Fdatasync(int(file.Fd()))
		_ = file.Close()
	}
	r.l.mu.Lock()
	r.e.size = size
	r.l.asked.files += size
	r.l.mu.Unlock()
	r.e.run.Store(nil)
}
