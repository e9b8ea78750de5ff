package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/link"
	"drover/internal/pki"
)

// TestMain makes this program an agent too, so that tests can kill one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DROVER_TEST_AGENT"); dir != "" {
		if err := beAgent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fileExecutor makes the file "host" in the state folder's neighbour what the
// section says, slowly: first half of it, then all, so that a kill can come between.
type fileExecutor struct{ path string }

func (f fileExecutor) CheckApply(_ context.Context, s api.Section, apply bool) (api.Result, error) {
	old, err := os.ReadFile(f.path)
	if err != nil && !os.IsNotExist(err) {
		return api.Result{}, err
	}
	res := api.Result{OK: 1, Changed: !bytes.Equal(old, s.Body)}
	if !apply || !res.Changed {
		return res, nil
	}
	if err := os.WriteFile(f.path, s.Body[:len(s.Body)/2], 0o600); err != nil {
		return res, err
	}
	return res, os.WriteFile(f.path, s.Body, 0o600)
}

// beAgent is the program of the tests below: run, or guard.
func beAgent(dir string) error {
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		did, err := agent.Guard(dir, time.Now(), false)
		if did != "" {
			fmt.Fprintln(os.Stderr, did)
		}
		return err
	}
	state, err := agent.OpenState(dir)
	if err != nil {
		return err
	}
	self, err := agent.HashFile("/proc/self/exe")
	if err != nil {
		return err
	}
	var confirm time.Duration
	if v := os.Getenv("DROVER_TEST_CONFIRM"); v != "" {
		if confirm, err = time.ParseDuration(v); err != nil {
			return err
		}
	}
	ctx, restart := context.WithCancelCause(context.Background())
	a := agent.New(agent.Config{State: state, Executors: map[string]agent.Executor{"test": fileExecutor{filepath.Join(dir, "host")}},
		Version: "test", Hash: self, Confirm: confirm, Restart: func() { restart(agent.ErrRestart) },
		Backoff: link.Backoff{First: 5 * time.Millisecond, Most: 20 * time.Millisecond},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := a.Run(ctx); err != nil && !errors.Is(err, agent.ErrRestart) {
		return err
	}
	return nil
}

// serveTLS puts the fake server on the network, with an authority, and makes
// the identity of web-1.
func serveTLS(t *testing.T, s *fakeServer) (*agent.Identity, *pki.CA) {
	ca, err := pki.OpenCA(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.hub.Serve(ctx, l, link.ServerConfig{TLS: ca.LinkTLS("127.0.0.1"), Roots: ca.Bundle, Identify: pki.HostFromCert, Fleet: ca.Fleet()})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.sign, s.roots = ca.SignHost, ca.Bundle()
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.Request("web-1", key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignHost(csr, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	return &agent.Identity{Host: "web-1", Fleet: ca.Fleet(), Key: keyPEM, Certificate: cert, CA: ca.Bundle(), SigningKey: ca.SigningKey(), Link: []string{l.Addr().String()}}, ca
}

func setUp(t *testing.T, id *agent.Identity) string {
	dir := t.TempDir()
	state, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := state.SetIdentity(id); err != nil {
		t.Fatal(err)
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func program(dir, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "DROVER_TEST_AGENT="+dir)
	return cmd
}

// TestKill kills a real agent at random moments while assignments, blobs and
// jobs stream in, and holds it to what it acknowledged.
func TestKill(t *testing.T) {
	s := newFakeServer(t)
	id, _ := serveTLS(t, s)
	dir := setUp(t, id)
	marks := filepath.Join(t.TempDir(), "marks")
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	n := 0
	for round := range rounds {
		cmd := program(dir, "/proc/self/exe", "run")
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		want := round + 1
		s.until(func() bool { return len(s.hellos) >= want })
		s.mu.Lock()
		hello := s.hellos[len(s.hellos)-1]
		acked := ""
		if len(s.acks) > 0 {
			acked = s.acks[len(s.acks)-1].Commit
		}
		s.mu.Unlock()
		if acked != "" && number(hello.Commit) < number(acked) {
			t.Fatalf("round %d: the agent acknowledged %s and came back with %s\n%s", round, acked, hello.Commit, log.String())
		}
		// Work streams in until the kill, which comes at any moment.
		killed := make(chan struct{})
		kill := time.AfterFunc(rand.N(60*time.Millisecond), func() {
			_ = cmd.Process.Kill()
			close(killed)
		})
	stream:
		for {
			select {
			case <-killed:
				break stream
			default:
			}
			n++
			blob := s.addBlob(fmt.Appendf(nil, "blob %d %s", n, strings.Repeat("x", rand.N(200_000))))
			body := fmt.Sprintf("body %d %s", n, strings.Repeat("y", rand.N(20_000)))
			if s.hub.Send("web-1", &api.ToAgent{Assign: assignment(fmt.Sprint("c", n), body, blob)}) != nil {
				<-killed
				break
			}
			_ = s.hub.Send("web-1", &api.ToAgent{Job: &api.Job{ID: fmt.Sprint("j", n), Command: fmt.Sprintf("echo %d >> %s", n, marks), Deadline: time.Now().Add(time.Minute)}})
			acks := len(s.snapshotAcks())
			timeout := time.AfterFunc(5*time.Millisecond, func() { s.change(func() {}) })
			over := time.Now().Add(4 * time.Millisecond)
			s.until(func() bool { return len(s.acks) > acks || time.Now().After(over) })
			timeout.Stop()
		}
		kill.Stop()
		_ = cmd.Wait() // killed
		checkState(t, dir)
	}

	// At last it may come to rest.
	cmd := program(dir, "/proc/self/exe", "run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.until(func() bool { return len(s.hellos) >= rounds+1 })
	last := assignment("c999999", "the end")
	s.send(t, &api.ToAgent{Assign: last})
	s.until(func() bool { return len(s.reports) > 0 && s.reports[len(s.reports)-1].Commit == "c999999" })
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	if b, err := os.ReadFile(filepath.Join(dir, "host")); err != nil || string(b) != "the end" {
		t.Errorf("the host is %q, %v", b, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.reports); i++ {
		if s.reports[i].Start.Before(s.reports[i-1].Start) {
			t.Errorf("report %d is older than the one before", i)
		}
	}
	b, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	ran := strings.Fields(string(b))
	slices.Sort(ran)
	if once := slices.Compact(slices.Clone(ran)); len(once) != len(ran) {
		t.Errorf("%d jobs ran %d times", len(once), len(ran))
	}
	t.Logf("%d assignments, %d acknowledged, %d reports (%d sent), %d jobs ran, %d kills", n, len(s.acks), len(s.reports), s.sent, len(ran), rounds)
}

func number(commit string) (n int) {
	fmt.Sscanf(commit, "c%d", &n)
	return n
}

func (s *fakeServer) snapshotAcks() []api.Ack {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// checkState reads what a killed agent left, as the next one would.
func checkState(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"identity.json", "assignment.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) && name == "assignment.json" {
			return
		}
		if err != nil || !json.Valid(b) {
			t.Fatalf("%s is torn: %v %q", name, err, b)
		}
	}
	state, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	for _, sec := range state.Assignment().Sections {
		for _, b := range sec.Blobs {
			if !state.Blobs().Has(b) {
				t.Fatalf("blob %s of the assignment on disk is not here", b)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, "spool", e.Name()))
		if err != nil || !json.Valid(b) || strings.HasSuffix(e.Name(), ".damaged") {
			t.Fatalf("report %s is torn: %v", e.Name(), err)
		}
	}
}

// supervise does what systemd does with the unit: the guard by the good
// program, then the current one, for ever.
func supervise(ctx context.Context, t *testing.T, dir string, env ...string) (logs func() string, wait func()) {
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, step := range [][]string{{filepath.Join(dir, "bin", "previous"), "guard"}, {agent.Current(dir), "run"}} {
				cmd := program(dir, step[0], step[1])
				cmd.Env = append(cmd.Env, env...)
				cmd.Stderr = out
				if err := cmd.Start(); err != nil {
					fmt.Fprintln(out, "cannot start:", err)
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
				_ = cmd.Wait() // what it ended with does not matter
				stop()
			}
		}
	}()
	return func() string { b, _ := os.ReadFile(out.Name()); return string(b) }, func() { <-done; out.Close() }
}

// TestUpdate offers agents that are good, end at once, never connect, or are
// not signed.
func TestUpdate(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		binary  []byte
		confirm string
		forge   bool
		taken   bool // the host runs it at the end
		tried   bool
	}{
		{name: "good", binary: append(slices.Clone(self), "newer"...), taken: true, tried: true},
		{name: "ends at once", binary: []byte("#!/bin/sh\nexit 1\n"), tried: true},
		{name: "is no program", binary: []byte("rubbish"), tried: true},
		{name: "never connects", binary: []byte("#!/bin/sh\nsleep 1\n"), confirm: "500ms", tried: true},
		{name: "not signed", binary: []byte("#!/bin/sh\nexit 1\n"), forge: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFakeServer(t)
			id, ca := serveTLS(t, s)
			dir := setUp(t, id)
			old, err := agent.AddBinary(dir, "/proc/self/exe")
			if err != nil {
				t.Fatal(err)
			}
			sha := s.addBlob(c.binary)
			offer := &api.AgentOffer{Version: "2", SHA256: sha, Size: int64(len(c.binary)), Signature: ca.SignBinary("2", sha)}
			if c.forge {
				offer.Signature = ca.SignBinary("1", sha)
			}
			s.change(func() { s.offer = offer })
			ctx, stop := context.WithCancel(context.Background())
			logs, wait := supervise(ctx, t, dir, "DROVER_TEST_CONFIRM="+c.confirm)
			defer func() { stop(); wait() }()

			running := func() string { // under the lock
				if len(s.hellos) == 0 {
					return ""
				}
				return s.hellos[len(s.hellos)-1].AgentHash
			}
			switch {
			case c.taken:
				s.until(func() bool { return running() == sha })
			case c.tried:
				// It comes back as the old one, and does not take the offer again.
				s.until(func() bool { return len(s.hellos) >= 2 })
			default:
				s.until(func() bool { return len(s.hellos) >= 1 })
				s.hub.Disconnect("web-1", api.Errorf(api.CodeUnavailable, "again"))
				s.until(func() bool { return len(s.hellos) >= 2 })
			}
			// The host works after all of it.
			s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
			s.until(func() bool { return len(s.reports) == 1 })
			want := old
			if c.taken {
				want = sha
			}
			s.mu.Lock()
			got := running()
			s.mu.Unlock()
			if got != want {
				t.Errorf("the host runs %.12s, want %.12s\n%s", got, want, logs())
			}
			if target, err := os.Readlink(agent.Current(dir)); err != nil || !strings.HasSuffix(target, want[:16]) {
				t.Errorf("current is %s, %v", target, err)
			}
			if c.tried && !c.taken {
				s.hub.Disconnect("web-1", api.Errorf(api.CodeUnavailable, "again"))
				n := len(s.snapshotAcks())
				s.until(func() bool { return len(s.hellos) >= 3 })
				s.send(t, &api.ToAgent{Assign: assignment("c2", "two")})
				s.until(func() bool { return len(s.acks) > n && len(s.reports) == 2 })
				if l := logs(); strings.Count(l, "updating the agent") != 1 || !strings.Contains(l, "put back") {
					t.Errorf("the log is\n%s", l)
				}
			}
			if c.forge && !strings.Contains(logs(), "not signed") {
				t.Errorf("the log is\n%s", logs())
			}
		})
	}
}

// TestRenewal lets a host come back whose certificate has expired, and
// replaces one that is old over the open line.
func TestRenewal(t *testing.T) {
	for _, c := range []struct {
		name  string
		since time.Duration // that the certificate was made
	}{{"old", 20 * time.Hour}, {"expired", 60 * time.Hour}} {
		t.Run(c.name, func(t *testing.T) {
			s := newFakeServer(t)
			shift := 90 * 24 * time.Hour // the fleet is older than the host
			caDir := t.TempDir()
			ca, err := pki.OpenCA(caDir, pki.Options{Now: func() time.Time { return time.Now().Add(-shift) }})
			if err != nil {
				t.Fatal(err)
			}
			s.sign, s.roots = ca.SignHost, ca.Bundle()
			key, keyPEM, err := pki.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			csr, err := pki.Request("web-1", key)
			if err != nil {
				t.Fatal(err)
			}
			shift = c.since
			cert, err := ca.SignHost(csr, "web-1")
			if err != nil {
				t.Fatal(err)
			}
			shift = 0
			id := &agent.Identity{Host: "web-1", Fleet: ca.Fleet(), Key: keyPEM, Certificate: cert, CA: ca.Bundle(), SigningKey: ca.SigningKey()}
			dir := setUp(t, id)
			h := begin(t, s, dir, &executor{}, nil)
			s.until(func() bool { return len(s.hellos) == 1 && s.renewals >= 1 })
			// Once the line answers again, the reader has seen the renewal through.
			for bytes.Equal(h.state.Identity().Certificate, cert) {
				s.job(t, &api.Job{ID: fmt.Sprint(time.Now().UnixNano()), Command: "true"})
			}
			now := h.state.Identity()
			parsed, err := pki.ParseIdentity(now.Certificate, now.Key, now.CA)
			if err != nil || time.Until(parsed.NotAfter) < 20*time.Hour {
				t.Errorf("the new certificate ends %v, %v", parsed.NotAfter, err)
			}
			if len(s.hellos) != 1 {
				t.Errorf("the line was opened %d times", len(s.hellos))
			}
		})
	}
}
