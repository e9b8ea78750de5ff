package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/link"
)

// fakeServer is the consumer of a hub: it acknowledges reports, if told so,
// and keeps what hosts say.
type fakeServer struct {
	hub *link.Hub

	mu       sync.Mutex
	cond     *sync.Cond
	silent   bool // reports are not acknowledged
	hellos   []api.Hello
	acks     []api.Ack
	reports  []api.Report
	facts    []api.Facts
	done     map[string]api.JobDone
	output   map[string]string // ID → stdout
	errput   map[string]string
	pipes    map[string]*link.Pipe
	blobs    map[string][]byte
	refuse   error // of blobs
	left     int
	sent     int // reports, repeated ones too
	offer    *api.AgentOffer
	renewals int
	seen     map[string]api.Seen
	sign     func(csr []byte, host string) ([]byte, error)
	roots    []byte
}

func newFakeServer(t testing.TB) *fakeServer {
	s := &fakeServer{done: map[string]api.JobDone{}, output: map[string]string{}, errput: map[string]string{}, blobs: map[string][]byte{}, pipes: map[string]*link.Pipe{}, seen: map[string]api.Seen{}}
	s.cond = sync.NewCond(&s.mu)
	s.hub = link.NewHub(link.HubConfig{Consumer: s, Authorizer: s, Blobs: s, Renewer: s, ServerVersion: "1", Offer: func(string, *api.Hello) *api.AgentOffer {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.offer
	}})
	t.Cleanup(s.hub.Close)
	return s
}

func (s *fakeServer) change(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	s.cond.Broadcast()
}

// until waits for ok, which is looked at under the lock after each message.
// After an hour it panics: in a bubble of synctest, an idle agent lets hours
// pass for ever.
func (s *fakeServer) until(ok func() bool) {
	late := false
	defer time.AfterFunc(time.Hour, func() { s.change(func() { late = true }) }).Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if late {
			panic("what was waited for has not come in an hour")
		}
		s.cond.Wait()
	}
}

func (s *fakeServer) Joined(_ string, h *api.Hello) {
	s.change(func() { s.hellos = append(s.hellos, *h) })
}
func (s *fakeServer) Left(string, []*api.ToAgent) { s.change(func() { s.left++ }) }

func (s *fakeServer) Message(host string, m *api.ToServer) {
	s.change(func() {
		switch {
		case m.Ack != nil:
			s.acks = append(s.acks, *m.Ack)
		case m.Report != nil:
			// As the real one: what it has already it acknowledges and forgets.
			if !slices.ContainsFunc(s.reports, func(r api.Report) bool { return r.ID == m.Report.ID }) {
				s.reports = append(s.reports, *m.Report)
			}
			s.sent++
			if !s.silent {
				_ = s.hub.Send(host, &api.ToAgent{ReportAck: &api.ReportAck{ID: m.Report.ID}})
			}
		case m.Seen != nil:
			s.seen[m.Seen.ID] = *m.Seen
		case m.Facts != nil:
			s.facts = append(s.facts, *m.Facts)
		case m.Done != nil:
			s.done[m.Done.ID] = *m.Done
		case m.Output != nil && m.Output.Stderr:
			s.errput[m.Output.ID] += string(m.Output.Data)
		case m.Output != nil:
			s.output[m.Output.ID] += string(m.Output.Data)
		case m.Session != nil:
			if p := s.pipes[m.Session.ID]; p != nil {
				p.Deliver(m.Session)
			}
		}
	})
}

func (s *fakeServer) MayFetch(context.Context, string, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse
}

type blobFile struct{ *bytes.Reader }

func (blobFile) Close() error { return nil }

func (s *fakeServer) Open(sha string) (io.ReadSeekCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[sha]
	if !ok {
		return nil, 0, api.Errorf(api.CodeNotFound, "no blob %s", sha)
	}
	return blobFile{bytes.NewReader(b)}, int64(len(b)), nil
}

func (s *fakeServer) Renew(_ context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	s.change(func() { s.renewals++ })
	if s.sign == nil {
		return nil, api.Errorf(api.CodeUnavailable, "no authority")
	}
	cert, err := s.sign(r.CSR, host)
	return &api.RenewResponse{Certificate: cert, CA: s.roots}, err
}

func (s *fakeServer) addBlob(data []byte) string {
	sha := hash(data)
	s.change(func() { s.blobs[sha] = data })
	return sha
}

func (s *fakeServer) send(t testing.TB, m *api.ToAgent) {
	t.Helper()
	if err := s.hub.SendWait(context.Background(), "web-1", m); err != nil {
		t.Fatal(err)
	}
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// assignment of commit with one section for the executor "test".
func assignment(commit, body string, blobs ...string) *api.AssignmentSpec {
	return &api.AssignmentSpec{Commit: commit, Hash: hash([]byte(body)), Sections: []api.Section{{Room: "test", Hash: hash([]byte(body)), Body: []byte(body), Blobs: blobs}}}
}

// executor makes the host what the body says: here, a word.
type executor struct {
	mu      sync.Mutex
	is      string
	applied []string // bodies of each apply
	checked []string
	fail    func(body string, n int) error
	running int
	overlap bool
	hold    chan struct{} // if set, apply waits for a value
	began   chan string
}

func (e *executor) CheckApply(ctx context.Context, s api.Section, apply bool) (api.Result, error) {
	e.mu.Lock()
	e.running++
	e.overlap = e.overlap || e.running > 1
	hold, began := e.hold, e.began
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running--
		e.mu.Unlock()
	}()
	if began != nil {
		began <- string(s.Body)
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return api.Result{}, context.Cause(ctx)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	res := api.Result{OK: 1, Changed: e.is != string(s.Body)}
	if !apply {
		e.checked = append(e.checked, string(s.Body))
		return res, nil
	}
	e.applied = append(e.applied, string(s.Body))
	if e.fail != nil {
		if err := e.fail(string(s.Body), len(e.applied)); err != nil {
			return res, err
		}
	}
	e.is = string(s.Body)
	return res, nil
}

func (e *executor) get() (is string, applied int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.is, len(e.applied)
}

// host is an agent under test.
type host struct {
	state *agent.State
	exec  *executor
	stop  func()
	ended chan error
}

// begin runs an agent on dir; edit changes its configuration.
func begin(t testing.TB, s *fakeServer, dir string, exec *executor, edit func(*agent.Config)) *host {
	t.Helper()
	state, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if state.Identity() == nil {
		if err := state.SetIdentity(&agent.Identity{Host: "web-1", Fleet: "f"}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := agent.Config{State: state, Dialer: link.Memory(s.hub, "web-1"), Executors: map[string]agent.Executor{"test": exec}, Version: "1", Hash: "h1"}
	if edit != nil {
		edit(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{state: state, exec: exec, ended: make(chan error, 1)}
	a := agent.New(cfg)
	go func() {
		err := a.Run(ctx)
		state.Close()
		h.ended <- err
	}()
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			<-h.ended
		})
	}
	t.Cleanup(h.stop)
	return h
}

func TestAssignmentIsAppliedAndReported(t *testing.T) {
	s := newFakeServer(t)
	e := &executor{}
	begin(t, s, t.TempDir(), e, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	blob := s.addBlob([]byte("content"))
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one", blob)})
	s.until(func() bool { return len(s.acks) == 1 && len(s.reports) == 1 })
	if a := s.acks[0]; a.Commit != "c1" {
		t.Errorf("ack is %+v", a)
	}
	if r := s.reports[0]; r.Host != "web-1" || r.Commit != "c1" || r.Reason != "new" || !r.Changed || r.Failed || r.ID == "" || r.Sections["test"].OK != 1 {
		t.Errorf("report is %+v", r)
	}
	if is, n := e.get(); is != "one" || n != 1 {
		t.Errorf("the host is %q after %d applies", is, n)
	}
}

func TestRestartGoesOnWithWhatIsOnDisk(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	blob := s.addBlob([]byte("content"))
	h := begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one", blob)})
	s.until(func() bool { return len(s.reports) == 1 })
	h.stop()

	// No server answers now, and the host is changed by somebody.
	gone := newFakeServer(t)
	gone.hub.Close()
	e := &executor{is: "other", began: make(chan string, 10)}
	h = begin(t, gone, dir, e, nil)
	<-e.began
	h.stop()
	if is, _ := e.get(); is != "one" {
		t.Errorf("the host is %q", is)
	}
	// What it did arrives when a server is back, once.
	begin(t, s, dir, &executor{is: "one"}, nil)
	s.until(func() bool { return len(s.reports) >= 3 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.reports[1]; r.Reason != "start" || !r.Changed {
		t.Errorf("the report from the time without a server is %+v", r)
	}
	if last := s.hellos[len(s.hellos)-1]; last.Commit != "c1" || last.Hash != hash([]byte("one")) {
		t.Errorf("hello says %+v", last)
	}
}

func TestNewestAssignmentWinsAndOneConvergeRunsAtATime(t *testing.T) {
	s := newFakeServer(t)
	e := &executor{hold: make(chan struct{}), began: make(chan string, 100)}
	begin(t, s, t.TempDir(), e, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c0", "v0")})
	<-e.began // and waits
	for i := 1; i <= 20; i++ {
		s.send(t, &api.ToAgent{Assign: assignment(fmt.Sprint("c", i), fmt.Sprint("v", i))})
	}
	s.until(func() bool { return len(s.acks) > 0 && s.acks[len(s.acks)-1].Commit == "c20" })
	close(e.hold)
	s.until(func() bool { return len(s.reports) > 0 && s.reports[len(s.reports)-1].Commit == "c20" })
	is, n := e.get()
	if is != "v20" || n != 2 || e.overlap {
		t.Errorf("the host is %q after %d applies, overlapping: %v", is, n, e.overlap)
	}
}

func TestCheckChangesNothingAndIsNotKept(t *testing.T) {
	s := newFakeServer(t)
	e := &executor{}
	h := begin(t, s, t.TempDir(), e, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
	s.until(func() bool { return len(s.reports) == 1 })
	blob := s.addBlob([]byte("what the plan needs"))
	s.send(t, &api.ToAgent{Converge: &api.Converge{ID: "p1", Check: true, Assignment: assignment("c2", "two", blob), Deadline: time.Now().Add(time.Minute)}})
	s.until(func() bool { _, ok := s.done["p1"]; return ok })
	d := s.done["p1"]
	if d.Exit != 0 || d.Report == nil || !d.Report.Changed || d.Report.Commit != "c2" {
		t.Errorf("the plan is %+v", d)
	}
	if is, _ := e.get(); is != "one" || h.state.Assignment().Commit != "c1" {
		t.Errorf("the check changed the host: %q", is)
	}
	s.send(t, &api.ToAgent{Converge: &api.Converge{ID: "a1", Deadline: time.Now().Add(time.Minute)}})
	s.until(func() bool { _, ok := s.done["a1"]; return ok })
	if d := s.done["a1"]; d.Report == nil || d.Report.Reason != "request" || d.Report.Changed {
		t.Errorf("the converge on request is %+v", d)
	}
}

func TestBadAssignmentsAreRefused(t *testing.T) {
	s := newFakeServer(t)
	e := &executor{}
	h := begin(t, s, t.TempDir(), e, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
	s.until(func() bool { return len(s.reports) == 1 })
	bad := assignment("c2", "two")
	bad.Sections[0].Body = []byte("tampered")
	s.send(t, &api.ToAgent{Assign: bad})
	s.until(func() bool { return len(s.reports) == 2 })
	if r := s.reports[1]; !r.Failed || r.Commit != "c2" {
		t.Errorf("report is %+v", r)
	}
	unknown := assignment("c3", "three")
	unknown.Sections[0].Room = "traffic"
	s.send(t, &api.ToAgent{Assign: unknown})
	s.until(func() bool { return len(s.reports) == 3 })
	if r := s.reports[2]; !r.Failed || r.Sections["traffic"].Message == "" {
		t.Errorf("report is %+v", r)
	}
	if is, _ := e.get(); is != "one" || h.state.Assignment().Commit != "c3" {
		t.Errorf("the host is %q", is)
	}
}

func TestPanicOfAnExecutorIsAFailedReport(t *testing.T) {
	s := newFakeServer(t)
	e := &executor{fail: func(body string, n int) error {
		if n == 1 {
			panic("oh")
		}
		return nil
	}}
	begin(t, s, t.TempDir(), e, func(c *agent.Config) { c.Retry = time.Millisecond })
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
	s.until(func() bool { return len(s.reports) >= 2 })
	if !s.reports[0].Failed || s.reports[len(s.reports)-1].Failed {
		t.Errorf("reports are %+v", s.reports)
	}
}

// TestReportsThatTheDiskDoesNotTake are sent all the same: a full disk is what
// people have to hear of.
func TestReportsThatTheDiskDoesNotTake(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	if err := os.Remove(filepath.Join(dir, "spool")); err != nil { // nobody can write there now, not even root
		t.Fatal(err)
	}
	for i, commit := range []string{"c1", "c2"} {
		s.send(t, &api.ToAgent{Assign: assignment(commit, commit)})
		s.until(func() bool { return len(s.reports) == i+1 && s.reports[i].Commit == commit })
	}
}
