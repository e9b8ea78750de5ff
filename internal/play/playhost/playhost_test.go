package playhost_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/api"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
)

// The test's own program is the child session of the become tests.
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

// session is a client and a host joined by a pipe.
type session struct {
	*playhost.Client
	ended chan error
	opens atomic.Int32
	root  string
}

func start(t *testing.T, files map[string]string) *session {
	t.Helper()
	s := &session{ended: make(chan error, 1), root: t.TempDir()}
	here, there := net.Pipe()
	go func() { s.ended <- playhost.Serve(t.Context(), there, &module.Host{Root: s.root, Dir: "/"}) }()
	s.Client = playhost.NewClient(here, func(sum string) (io.ReadCloser, error) {
		s.opens.Add(1)
		text, ok := files[sum]
		if !ok {
			return nil, errors.New("no such content")
		}
		return io.NopCloser(strings.NewReader(text)), nil
	})
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *session) run(t *testing.T, name string, args map[string]any) *module.Result {
	t.Helper()
	r, err := s.Run(t.Context(), &module.Request{Module: name, Args: args})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestHelloAndPing(t *testing.T) {
	s := start(t, nil)
	h, err := s.Ready(t.Context())
	if err != nil || h.User != "root" || h.Version != playhost.Version {
		t.Fatalf("hello %+v, %v", h, err)
	}
	if r := s.run(t, "ping", map[string]any{"data": "hi"}); r.Failed || r.Values["ping"] != "hi" {
		t.Fatalf("%+v", r)
	}
	if r := s.run(t, "pingg", nil); !r.Failed || !strings.Contains(r.Msg, "pingg") {
		t.Fatalf("an unknown module must fail by its name: %+v", r)
	}
	if r := s.run(t, "ping", map[string]any{"data": "crash"}); !r.Failed || !strings.Contains(r.Msg, "boom") {
		t.Fatalf("a panic must be a failed result: %+v", r)
	}
	if r := s.run(t, "ping", nil); r.Failed {
		t.Fatalf("the session must survive a panic: %+v", r)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, nil)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			want := fmt.Sprint(i)
			r, err := s.Run(t.Context(), &module.Request{Module: "ping", Args: map[string]any{"data": want}})
			if err != nil || r.Values["ping"] != want {
				t.Errorf("%s: %+v %v", want, r, err)
			}
		})
	}
	wg.Wait()
}

// A slow request does not hold up those behind it, and ends when it is cancelled.
func TestSlowAndCancelled(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan error, 1)
	fifo := filepath.Join(s.root, "begun")
	done := make(chan error, 1)
	go func() {
		_, err := s.Run(ctx, &module.Request{Module: "command", Args: map[string]any{"argv": []any{"sh", "-c", "touch " + fifo + "; exec sleep 600"}}})
		done <- err
	}()
	go func() {
		for {
			if _, err := os.Stat(fifo); err == nil {
				began <- nil
				return
			}
			if _, err := s.Run(t.Context(), &module.Request{Module: "ping"}); err != nil {
				began <- err
				return
			}
		}
	}()
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if r := s.run(t, "ping", nil); r.Failed {
		t.Fatalf("%+v", r)
	}
	s.Close()
	if err := <-s.ended; err != nil { // it would wait for the sleep if that still ran
		t.Fatalf("Serve: %v", err)
	}
}

func source(text string, name string) *module.Source {
	return &module.Source{Name: name, Size: int64(len(text)), SHA256: sum(text), Mode: 0o644}
}

func TestFetchOncePerContent(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 40_000) // several pieces
	s := start(t, map[string]string{sum(big): big})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r, err := s.Run(t.Context(), &module.Request{Module: "copy", Source: source(big, "big"),
				Args: map[string]any{"src": "big", "dest": fmt.Sprintf("/f%d", i)}})
			if err != nil || r.Failed || !r.Changed {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		got, err := os.ReadFile(filepath.Join(s.root, fmt.Sprintf("f%d", i)))
		if err != nil || string(got) != big {
			t.Fatalf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
	if n := s.opens.Load(); n != 1 {
		t.Fatalf("the content was fetched %d times", n)
	}
}

func TestFetchGoesWrong(t *testing.T) {
	lie := "what was promised"
	s := start(t, map[string]string{sum(lie): "something else"})
	for name, src := range map[string]*module.Source{"absent": source("absent", "a"), "wrong": source(lie, "b")} {
		r, err := s.Run(t.Context(), &module.Request{Module: "copy", Source: src, Args: map[string]any{"src": "x", "dest": "/" + name}})
		if err != nil || !r.Failed {
			t.Fatalf("%s: %+v %v", name, r, err)
		}
		if _, err := os.Stat(filepath.Join(s.root, name)); err == nil {
			t.Fatalf("%s: a file was made of content that is not right", name)
		}
	}
}

func TestLongOutputIsCut(t *testing.T) {
	s := start(t, nil)
	r := s.run(t, "command", map[string]any{"argv": []any{"head", "-c", "10000000", "/dev/zero"}})
	out, _ := r.Values["stdout"].(string)
	if r.Failed || len(out) > 9<<20 || len(r.Warnings) == 0 {
		t.Fatalf("%d bytes, warnings %v, %s", len(out), r.Warnings, r.Msg)
	}
}

func TestTooLargeRequestIsAFailedTask(t *testing.T) {
	s := start(t, nil)
	r := s.run(t, "ping", map[string]any{"data": strings.Repeat("x", playhost.MaxFrame)})
	if !r.Failed || !strings.Contains(r.Msg, "larger than") {
		t.Fatalf("%+v", r)
	}
	if r := s.run(t, "ping", nil); r.Failed {
		t.Fatalf("%+v", r)
	}
}

func TestEnds(t *testing.T) {
	s := start(t, nil)
	s.run(t, "ping", nil)
	s.Close()
	if err := <-s.ended; err != nil {
		t.Fatalf("Serve after the client closed: %v", err)
	}
	_, err := s.Run(t.Context(), &module.Request{Module: "ping"})
	if api.CodeOf(err) != api.CodeUnavailable {
		t.Fatalf("a request after the end: %v", err)
	}
}

func TestHostDiesUnderRequest(t *testing.T) {
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- playhost.Serve(ctx, there, &module.Host{Root: t.TempDir()}) }()
	c := playhost.NewClient(here, nil)
	defer c.Close()
	if _, err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		r   *module.Result
		err error
	}
	done := make(chan answer, 1)
	go func() {
		r, err := c.Run(context.Background(), &module.Request{Module: "command", Args: map[string]any{"argv": []any{"sleep", "600"}}})
		done <- answer{r, err}
	}()
	cancel()
	// The command's end may still be told before the session's.
	if a := <-done; a.err == nil && !a.r.Failed || a.err != nil && api.CodeOf(a.err) != api.CodeUnavailable {
		t.Fatalf("got %+v, %v", a.r, a.err)
	}
	<-ended
}

// What a login script prints before the session does no harm; a program that
// is no session is told by what it said.
func TestNoise(t *testing.T) {
	here, there := net.Pipe()
	go func() {
		io.WriteString(there, "Welcome!\n\n\x00drover-sess not yet\n")
		playhost.Serve(t.Context(), there, &module.Host{Root: t.TempDir()})
	}()
	c := playhost.NewClient(here, nil)
	defer c.Close()
	if r, err := c.Run(t.Context(), &module.Request{Module: "ping"}); err != nil || r.Failed {
		t.Fatalf("%+v %v", r, err)
	}
	if !strings.HasPrefix(c.Noise(), "Welcome!") {
		t.Fatalf("noise %q", c.Noise())
	}

	here, there = net.Pipe()
	go func() {
		io.WriteString(there, "this account is closed\n")
		there.Close()
	}()
	c = playhost.NewClient(here, nil)
	defer c.Close()
	if _, err := c.Ready(t.Context()); err == nil || c.Noise() != "this account is closed" {
		t.Fatalf("%v, noise %q", err, c.Noise())
	}
}

func TestBrokenFrames(t *testing.T) {
	for name, in := range map[string][]byte{
		"no JSON": append([]byte{0, 0, 0, 3}, "{{{"...),
		"length":  {0xff, 0xff, 0xff, 0xff, 1},
		"cut":     {0, 0, 1, 0, '{'},
	} {
		var out bytes.Buffer
		err := playhost.Serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out}, &module.Host{Root: t.TempDir()})
		if api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root becomes another user without a password")
	}
	if _, err := user.Lookup("nobody"); err != nil {
		t.Skip("there is no user nobody here")
	}
}

// program copies the test's program to where everybody may run it.
func program(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "playhost-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "agent")
	if err := os.WriteFile(to, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBecomeByRoot(t *testing.T) {
	asRoot(t)
	text := "content for a child session"
	var opens atomic.Int32
	c := playhost.LocalOptions(&module.Host{}, func(h string) (io.ReadCloser, error) {
		opens.Add(1)
		return io.NopCloser(strings.NewReader(text)), nil
	}, playhost.Options{Command: []string{program(t), "play-session"}})
	defer c.Close()
	for range 2 { // the second uses the session of the first
		r, err := c.Run(t.Context(), &module.Request{Module: "command", User: "nobody", Args: map[string]any{"argv": []any{"sh", "-c", "id -un; id -Gn; echo $HOME; echo $USER"}}})
		if err != nil || r.Failed {
			t.Fatalf("%+v %v", r, err)
		}
		out, _ := r.Values["stdout"].(string)
		u, _ := user.Lookup("nobody")
		if !strings.HasPrefix(out, "nobody\nnogroup\n"+u.HomeDir+"\nnobody") {
			t.Fatalf("as nobody: %q", out)
		}
	}
	dest := filepath.Join("/var/tmp", filepath.Base(t.TempDir())+"-become")
	defer os.Remove(dest)
	r, err := c.Run(t.Context(), &module.Request{Module: "copy", User: "nobody", Source: source(text, "x"), Args: map[string]any{"src": "x", "dest": dest}})
	if err != nil || r.Failed {
		t.Fatalf("%+v %v", r, err)
	}
	if got, err := os.ReadFile(dest); err != nil || string(got) != text {
		t.Fatalf("%q %v", got, err)
	}
	r, err = c.Run(t.Context(), &module.Request{Module: "ping", User: "no-such-user"})
	if err != nil || !r.Failed || !strings.Contains(r.Msg, "no such user") {
		t.Fatalf("%+v %v", r, err)
	}
}

// sudo and su are played by a script that asks for a password as they do.
func TestBecomeWithPassword(t *testing.T) {
	asRoot(t)
	dir := program(t)
	fake := filepath.Join(filepath.Dir(dir), "sudo")
	script := `#!/bin/sh
prompt=
while [ $# -gt 0 ]; do
  case "$1" in
  -p) prompt=$2; shift 2;;
  -n) echo "sudo: a password is required" >&2; exit 1;;
  --) shift; break;;
  -u) shift 2;;
  *) shift;;
  esac
done
printf '%s' "$prompt" >&2
read -r pw
[ "$pw" = open ] || { printf 'Sorry, try again.\n%s' "$prompt" >&2; read -r pw; echo "sudo: no password was provided" >&2; exit 1; }
exec "$@"
`
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	parent := playhost.LocalOptions(&module.Host{}, nil, playhost.Options{Command: []string{dir, "play-session"}})
	defer parent.Close()
	// A session of nobody becomes root by the script: nobody has no other way.
	child := func(b playhost.Become) *module.Result {
		t.Helper()
		r, err := playhost.RunAs(t.Context(), parent, "nobody", "root", b, []string{dir, "play-session"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := child(playhost.Become{Exe: fake, Password: "open"}); r.Failed {
		t.Errorf("right password: %+v", r)
	}
	if r := child(playhost.Become{Exe: fake, Password: "shut"}); !r.Failed || !strings.Contains(r.Msg, "wrong password") {
		t.Errorf("wrong password: %+v", r)
	}
	if r := child(playhost.Become{Exe: fake}); !r.Failed || !strings.Contains(r.Msg, "a password is required") {
		t.Errorf("no password: %+v", r)
	}
	if r := child(playhost.Become{Method: "magic"}); !r.Failed || !strings.Contains(r.Msg, "magic") {
		t.Errorf("unknown method: %+v", r)
	}
}

func TestLocal(t *testing.T) {
	root := t.TempDir()
	c := playhost.Local(&module.Host{Root: root}, nil)
	defer c.Close()
	r, err := c.Run(t.Context(), &module.Request{Module: "copy", Args: map[string]any{"content": "x\n", "dest": "/f"}})
	if err != nil || r.Failed || !r.Changed {
		t.Fatalf("%+v %v", r, err)
	}
	if b, _ := os.ReadFile(filepath.Join(root, "f")); string(b) != "x\n" {
		t.Fatalf("%q", b)
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x2c" + `{"id":1,"run":{"request":{"module":"ping"}}}`))
	f.Add([]byte("\x00\x00\x00\x17" + `{"id":1,"cancel":true}x`))
	f.Add([]byte("\x00\x00\x00\x1d" + `{"id":9,"data":{"last":true}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(in, []byte("user")) {
			t.Skip() // it might hit on a user that is
		}
		noPrograms := func(context.Context, module.Cmd) (module.Output, error) { return module.Output{}, os.ErrPermission }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		playhost.Serve(ctx, struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard}, &module.Host{Root: t.TempDir(), Exec: noPrograms}) //nolint:errcheck // it must end, that is all
		if ctx.Err() != nil {
			t.Fatal("the session did not end")
		}
	})
}

// FuzzClient feeds a client what no host says.
func FuzzClient(f *testing.F) {
	f.Add([]byte("\n\x00drover-session\x00\n\x00\x00\x00\x1f" + `{"hello":{"version":1,"uid":0}}`))
	f.Add([]byte("noise\n\x00drover-session\x00\n\x00\x00\x00\x10" + `{"id":1,"fetch":1}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := playhost.NewClient(&fixed{Reader: bytes.NewReader(in)}, nil)
		c.Ready(t.Context()) //nolint:errcheck // it must come back
		c.Close()
	})
}

type fixed struct{ io.Reader }

func (*fixed) Write(b []byte) (int, error) { return len(b), nil }
func (*fixed) Close() error                { return nil }
