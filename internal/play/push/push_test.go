package push_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/play/push"
	"drover/internal/sshdial"
	"drover/internal/sshdial/sshtest"
)

// The test's own program is the agent that is brought to the host.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "play-session" {
		if err := playhost.Serve(context.Background(), stdio{}, &module.Host{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

// site is a server and what reaches it.
type site struct {
	*sshtest.Server
	o       push.Options
	to      engine.Target
	uploads atomic.Int32
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Server: sshtest.Start(t)}
	home, none := t.TempDir(), ""
	file, pub := sshtest.KeyFile(t, home, "key", "")
	s.Keys["deploy"] = pub
	s.o = push.Options{
		SSH:      sshdial.Options{Home: home, ConfigFiles: []string{}, KnownHosts: []string{filepath.Join(home, "known")}, AgentSocket: &none},
		Binaries: map[string]string{"amd64": os.Args[0], "arm64": os.Args[0]},
		Open: func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("sent along")), nil
		},
		Progress: func(string, string) { s.uploads.Add(1) },
	}
	s.to = engine.Target{Host: "web", Address: "127.0.0.1", Port: s.Addr.Port, User: "deploy", KeyFile: file, HostKeyChecking: true}
	return s
}

func (s *site) open(t *testing.T) (*push.Conn, error) {
	t.Helper()
	c := push.New(s.o)
	t.Cleanup(func() { c.Close() })
	conn, err := c.Open(t.Context(), s.to)
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func TestBringsTheAgentOnce(t *testing.T) {
	s := newSite(t)
	conn, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(s.Home, "f")
	r, err := conn.Run(t.Context(), &module.Request{Module: "copy", Args: map[string]any{"src": "f", "dest": dest},
		Source: &module.Source{Name: "f", Size: 10, SHA256: "b0c7ba2ff9f3c1ba4ba1d8c3d39b1b6e3e9a40dc50d1b53a6ed64a3ca9ea7f86"}})
	if err != nil || !r.Failed { // the hash is another's: the file must not be taken
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = conn.Run(t.Context(), &module.Request{Module: "copy", Args: map[string]any{"content": "x", "dest": dest}}); err != nil || r.Failed {
		t.Fatalf("%+v %v", r, err)
	}
	conn.Close()
	if n := s.uploads.Load(); n != 1 {
		t.Fatalf("%d uploads", n)
	}
	left, _ := filepath.Glob(filepath.Join(s.Home, ".cache/drover/*"))
	if len(left) != 1 {
		t.Fatalf("in the cache: %v", left)
	}

	before := s.Commands.Load()
	if conn, err = s.open(t); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if n := s.Commands.Load() - before; n != 1 || s.uploads.Load() != 1 {
		t.Fatalf("a host that has the agent took %d commands and %d uploads", n, s.uploads.Load()-1)
	}
}

func TestAnotherAgentIsAnotherFile(t *testing.T) {
	s := newSite(t)
	if _, err := s.open(t); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(newer, append(raw, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	s.o.Binaries = map[string]string{"amd64": newer, "arm64": newer}
	if _, err := s.open(t); err != nil {
		t.Fatal(err)
	}
	if n := s.uploads.Load(); n != 2 {
		t.Fatalf("%d uploads", n)
	}
}

// A folder whose programs may not be run, a program that is none, a host of
// another kind: each says what it is.
func TestWhatGoesWrong(t *testing.T) {
	bad := func(t *testing.T, s *site, words ...string) {
		t.Helper()
		_, err := s.open(t)
		var e *api.Error
		if !errors.As(err, &e) {
			t.Fatalf("got %v", err)
		}
		for _, w := range words {
			if !strings.Contains(e.Error(), w) {
				t.Errorf("%q does not say %q", e.Error(), w)
			}
		}
	}
	t.Run("no agent", func(t *testing.T) {
		s := newSite(t)
		s.o.Binaries = map[string]string{"amd64": "/nonexistent/agent", "arm64": "/nonexistent/agent"}
		bad(t, s, "/nonexistent/agent", "make build")
	})
	t.Run("another system", func(t *testing.T) {
		s := newSite(t)
		s.Refused = func(c string) (int, string, bool) {
			if strings.HasPrefix(c, "uname") {
				return 1, "SunOS sun4v\n", true
			}
			return 127, "sh: not found", true
		}
		bad(t, s, "web", "SunOS")
	})
	t.Run("cannot run", func(t *testing.T) {
		s := newSite(t)
		s.Refused = func(c string) (int, string, bool) {
			return 126, "sh: Permission denied", strings.Contains(c, "play-session")
		}
		bad(t, s, "Permission denied", "noexec")
	})
	t.Run("closed account", func(t *testing.T) {
		s := newSite(t)
		s.Refused = func(string) (int, string, bool) { return 1, "This account is currently not available.", true }
		bad(t, s, "not available")
		if s.uploads.Load() != 0 {
			t.Error("the agent was copied for nothing")
		}
	})
	t.Run("disk full", func(t *testing.T) {
		s := newSite(t)
		s.Refused = func(c string) (int, string, bool) {
			return 1, "gzip: stdout: No space left on device", strings.Contains(c, "mktemp")
		}
		bad(t, s, "No space left", "disk has room")
	})
}

func TestSSHArgs(t *testing.T) {
	s := newSite(t)
	s.to.SSHArgs = "-o StrictHostKeyChecking=yes -oConnectTimeout=30 -C -o 'ControlMaster=auto' -o ControlPersist=60s"
	if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Fatalf("StrictHostKeyChecking was passed over: %v", err)
	}
	s.to.SSHArgs = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -F /dev/null"
	if _, err := s.open(t); err != nil {
		t.Fatal(err)
	}
	s.to.SSHArgs = "-o ConnectTimeout=soon"
	if _, err := s.open(t); api.CodeOf(err) != api.CodeInvalid {
		t.Fatalf("got %v", err)
	}
}
