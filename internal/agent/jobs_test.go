package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/link"
)

func (s *fakeServer) job(t *testing.T, j *api.Job) api.JobDone {
	t.Helper()
	s.change(func() { delete(s.done, j.ID) })
	if j.Deadline.IsZero() {
		j.Deadline = time.Now().Add(time.Minute)
	}
	s.send(t, &api.ToAgent{Job: j})
	s.until(func() bool { _, ok := s.done[j.ID]; return ok })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done[j.ID]
}

func TestJobs(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	for _, c := range []struct {
		name, command string
		env           map[string]string
		user          string
		exit          int
		out, err      string
		problem       string
	}{
		{name: "output", command: "echo out; echo err >&2", out: "out\n", err: "err\n"},
		{name: "exit status", command: "exit 7", exit: 7},
		{name: "signal", command: "kill -9 $$", exit: 137},
		{name: "environment", command: `echo "$GREETING"; pwd | head -c 1`, env: map[string]string{"GREETING": "hello"}, out: "hello\n/"},
		{name: "no standard input", command: "cat", out: ""},
		{name: "unknown user", command: "true", user: "no-such-user-here", exit: -1, problem: "cannot run as user no-such-user-here"},
		{name: "large output", command: "head -c 300000 /dev/zero | tr '\\0' x", out: strings.Repeat("x", 300000)},
		{name: "unknown command", command: "no-such-command-here 2>/dev/null", exit: 127},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := "job " + c.name
			d := s.job(t, &api.Job{ID: id, Command: c.command, Env: c.env, User: c.user})
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.Exit != c.exit || !strings.Contains(d.Error, c.problem) || c.problem == "" && d.Error != "" {
				t.Errorf("done is %+v", d)
			}
			if s.output[id] != c.out || s.errput[id] != c.err {
				t.Errorf("output is %.100q and %.100q", s.output[id], s.errput[id])
			}
		})
	}
}

func TestJobAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root becomes others")
	}
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	d := s.job(t, &api.Job{ID: "1", Command: "id -un; id -gn; echo $USER", User: "nobody"})
	if d.Exit != 0 || s.output["1"] != "nobody\nnogroup\nnobody\n" {
		t.Errorf("done is %+v, output %q", d, s.output["1"])
	}
}

func TestJobRunsOnce(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	mark := filepath.Join(t.TempDir(), "mark")
	j := &api.Job{ID: "once", Command: "echo run >> " + mark + "; exit 3"}
	h := begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	for range 3 {
		if d := s.job(t, j); d.Exit != 3 {
			t.Errorf("done is %+v", d)
		}
	}
	h.stop()
	begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 2 })
	if d := s.job(t, j); d.Exit != 3 {
		t.Errorf("after a restart done is %+v", d)
	}
	if b, _ := os.ReadFile(mark); string(b) != "run\n" {
		t.Errorf("it ran %q", b)
	}
}

// TestDeadlineEndsTheWholeGroup also covers children that ignore the polite signal.
func TestDeadlineEndsTheWholeGroup(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	for name, end := range map[string]func(id string){"deadline": func(string) {}, "cancel": func(id string) {
		s.until(func() bool { return strings.Contains(s.output[id], "\n") })
		s.send(t, &api.ToAgent{Cancel: &api.Cancel{ID: id}})
	}} {
		t.Run(name, func(t *testing.T) {
			deadline := time.Now().Add(time.Minute)
			if name == "deadline" {
				deadline = time.Now().Add(300 * time.Millisecond)
			}
			s.send(t, &api.ToAgent{Job: &api.Job{ID: name, Deadline: deadline,
				Command: `trap '' TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 1000; done' & wait; while :; do sleep 1000; done`}})
			end(name)
			s.until(func() bool { _, ok := s.done[name]; return ok })
			if d := s.done[name]; d.Exit != 137 || d.Error == "" {
				t.Errorf("done is %+v", d)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(s.output[name]))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, 0); err == nil {
				// Killed, it may wait to be reaped.
				stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if !strings.Contains(string(stat), ") Z ") && len(stat) > 0 {
					t.Errorf("the job's child lives: %s", stat)
				}
			}
		})
	}
	if d := s.job(t, &api.Job{ID: "late", Command: "true", Deadline: time.Now().Add(-time.Second)}); d.Exit != -1 || !strings.Contains(d.Error, "longer than its timeout") {
		t.Errorf("a late job is %+v", d)
	}
}

func TestOutputIsStreamed(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	fifo := filepath.Join(t.TempDir(), "go")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s.send(t, &api.ToAgent{Job: &api.Job{ID: "s", Command: "echo first; read x < " + fifo + "; echo second", Deadline: time.Now().Add(time.Minute)}})
	s.until(func() bool { return s.output["s"] == "first\n" }) // while it runs
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "go")
	f.Close()
	s.until(func() bool { _, ok := s.done["s"]; return ok && s.output["s"] == "first\nsecond\n" })
}

func TestTooManyJobs(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, func(c *agent.Config) { c.Jobs = 1 })
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Job: &api.Job{ID: "1", Command: "echo on; sleep 1000", Deadline: time.Now().Add(time.Minute)}})
	s.until(func() bool { return s.output["1"] != "" })
	if d := s.job(t, &api.Job{ID: "2", Command: "true"}); d.Exit != -1 || !strings.Contains(d.Error, "already") {
		t.Errorf("done is %+v", d)
	}
	s.send(t, &api.ToAgent{Cancel: &api.Cancel{ID: "1"}})
	s.until(func() bool { _, ok := s.done["1"]; return ok })
	// Refused is not run: the same ID may come again.
	if d := s.job(t, &api.Job{ID: "2", Command: "true"}); d.Exit != 0 {
		t.Errorf("done is %+v", d)
	}
}

// TestSession drives a stream of bytes through the line both ways.
func TestSession(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, func(c *agent.Config) {
		c.Session = func(_ context.Context, rw agent.Stream, j *api.Job) error {
			if j.User == "bad" {
				return errors.New("no session for bad")
			}
			r := bufio.NewReader(rw)
			for {
				line, err := r.ReadString('\n')
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if _, err := io.WriteString(rw, strings.ToUpper(line)); err != nil {
					return err
				}
			}
		}
	})
	s.until(func() bool { return len(s.hellos) == 1 })
	open := func(id, user string) *link.Pipe {
		p := link.NewPipe(t.Context(), id, func(ctx context.Context, f *api.Frame) error {
			return s.hub.SendWait(ctx, "web-1", &api.ToAgent{Session: f})
		})
		s.change(func() { s.pipes[id] = p })
		s.send(t, &api.ToAgent{Job: &api.Job{ID: id, Session: true, User: user, Deadline: time.Now().Add(time.Minute)}})
		return p
	}
	p := open("s1", "")
	r := bufio.NewReader(p)
	long := strings.Repeat("abcdefgh", 50000)
	go fmt.Fprintf(p, "hello\n%s\n", long)
	for _, want := range []string{"HELLO\n", strings.ToUpper(long) + "\n"} {
		if got, err := r.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
	if err := p.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadString('\n'); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	s.until(func() bool { d, ok := s.done["s1"]; return ok && d.Exit == 0 })

	open("s2", "bad")
	s.until(func() bool { return strings.Contains(s.done["s2"].Error, "no session for bad") })

	p = open("s3", "")
	go fmt.Fprintln(p, "there?")
	if got, err := bufio.NewReader(p).ReadString('\n'); err != nil || got != "THERE?\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	s.hub.Disconnect("web-1", api.Errorf(api.CodeUnavailable, "go"))
	s.until(func() bool { return len(s.hellos) == 2 })
	s.until(func() bool { return strings.Contains(s.done["s3"].Error, "line") }) // said after the reconnect
}
