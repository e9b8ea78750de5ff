package sshdial_test

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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"drover/api"
	"drover/internal/sshdial"
	"drover/internal/sshdial/sshtest"
)

// world is a home with nothing of the real user's in it.
type world struct {
	home, known string
	o           sshdial.Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	home := t.TempDir()
	none := ""
	w := &world{home: home, known: filepath.Join(home, "known_hosts")}
	w.o = sshdial.Options{Home: home, ConfigFiles: []string{filepath.Join(home, "config")}, KnownHosts: []string{w.known}, AgentSocket: &none, Timeout: 20 * time.Second}
	return w
}

func (w *world) config(t *testing.T, format string, a ...any) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.home, "config"), fmt.Appendf(nil, format, a...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) dialer(t *testing.T) *sshdial.Dialer {
	t.Helper()
	d, err := sshdial.New(w.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func (w *world) dial(t *testing.T, to sshdial.Target) (*sshdial.Client, error) {
	t.Helper()
	c, err := w.dialer(t).Dial(t.Context(), to)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func target(s *sshtest.Server, user string) sshdial.Target {
	return sshdial.Target{Host: s.Addr.IP.String(), Port: s.Addr.Port, User: user}
}

func refused(t *testing.T, err error, code api.Code, words ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code || e.Remedy == "" {
		t.Fatalf("got %v (%T), want an error of kind %s with a remedy", err, err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Fatalf("%q does not say %q", e.Error(), w)
		}
	}
}

func TestRun(t *testing.T) {
	s, w := sshtest.Start(t), newWorld(t)
	key, pub := sshtest.KeyFile(t, w.home, "key", "")
	s.Keys["root"] = pub
	to := target(s, "root")
	to.KeyFiles = []string{key}
	c, err := w.dial(t, to)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Run(t.Context(), "cat; echo err >&2; exit 3", strings.NewReader("in"))
	if err != nil || string(out.Stdout) != "in" || string(out.Stderr) != "err\n" || out.Exit != 3 {
		t.Fatalf("%q %q %d %v", out.Stdout, out.Stderr, out.Exit, err)
	}
	if out, err = c.Run(t.Context(), "kill -9 $$", nil); err != nil || out.Exit == 0 {
		t.Fatalf("%+v %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	st, err := c.Open(ctx, "echo ready; cat")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 6)
	if _, err := io.ReadFull(st, b); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := st.Read(b); err == nil {
		t.Fatal("a cancelled command went on")
	}
	st.Close()
	c.Close()
	if _, err := c.Run(t.Context(), "true", nil); api.CodeOf(err) != api.CodeUnavailable {
		t.Fatalf("after Close: %v", err)
	}
}

func TestUpload(t *testing.T) {
	s, w := sshtest.Start(t), newWorld(t)
	s.Passwords["u"] = "pw"
	to := target(s, "u")
	to.Password = "pw"
	c, err := w.dial(t, to)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("it's\x00"), 100_000)
	h := sha256.Sum256(data)
	sum := hex.EncodeToString(h[:])
	for _, name := range []string{"~/a/b c/it's", filepath.Join(s.Home, "plain")} {
		if err := c.Upload(t.Context(), name, bytes.NewReader(data), 0o755, sum); err != nil {
			t.Fatal(err)
		}
		file := strings.Replace(name, "~", s.Home, 1)
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s: %d bytes, %v", file, len(got), err)
		}
		if st, _ := os.Stat(file); st.Mode().Perm() != 0o755 {
			t.Fatalf("%s has mode %v", file, st.Mode())
		}
	}
	err = c.Upload(t.Context(), "~/bad", strings.NewReader("other"), 0o600, sum)
	if err == nil || !strings.Contains(err.Error(), "hash") {
		t.Fatalf("another content was taken: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.Home, ".upload*"))
	if _, err := os.Stat(filepath.Join(s.Home, "bad")); err == nil || len(left) > 0 {
		t.Fatalf("a failed upload left %v", left)
	}
	if err := c.Upload(t.Context(), "/dev/null/x", strings.NewReader(""), 0o600, ""); err == nil {
		t.Fatal("an upload to where nothing can be was fine")
	}
}

func TestWaysToSignIn(t *testing.T) {
	s := sshtest.Start(t)
	cases := map[string]func(t *testing.T, w *world, to *sshdial.Target){
		"password": func(_ *testing.T, _ *world, to *sshdial.Target) { to.Password = "secret" },
		"asked password": func(_ *testing.T, w *world, _ *sshdial.Target) {
			w.o.Password = func(_ context.Context, user, _ string) (string, error) {
				return map[string]string{"u": "secret"}[user], nil
			}
		},
		"configured key": func(t *testing.T, w *world, _ *sshdial.Target) {
			f, pub := sshtest.KeyFile(t, w.home, "other", "")
			s.Keys["u"] = pub
			w.config(t, "Host *\n  IdentityFile %s\n", f)
		},
		"default key": func(t *testing.T, w *world, _ *sshdial.Target) {
			if err := os.Mkdir(filepath.Join(w.home, ".ssh"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, s.Keys["u"] = sshtest.KeyFile(t, filepath.Join(w.home, ".ssh"), "id_ed25519", "")
		},
		"locked key": func(t *testing.T, w *world, to *sshdial.Target) {
			f, pub := sshtest.KeyFile(t, w.home, "locked", "phrase")
			s.Keys["u"], to.KeyFiles = pub, []string{f}
			w.o.Passphrase = func(_ context.Context, file string) ([]byte, error) {
				if file != f {
					return nil, errors.New("asked for another file")
				}
				return []byte("phrase"), nil
			}
		},
		"agent": func(t *testing.T, w *world, _ *sshdial.Target) {
			_, s.Keys["u"] = serveAgent(t, w)
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			s.Change(func() { s.Keys, s.Passwords = map[string]ssh.PublicKey{}, map[string]string{"u": "secret"} })
			w := newWorld(t)
			to := target(s, "u")
			prepare(t, w, &to)
			s.Change(func() {
				if len(s.Keys) > 0 {
					s.Passwords = map[string]string{}
				}
			})
			if _, err := w.dial(t, to); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// serveAgent is an agent that holds one key.
func serveAgent(t *testing.T, w *world) (string, ssh.PublicKey) {
	t.Helper()
	file, pub := sshtest.KeyFile(t, t.TempDir(), "held", "")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(w.home, "agent")
	ln, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, c) //nolint:errcheck // ends with its connection
		}
	}()
	w.o.AgentSocket = &sock
	return sock, pub
}

func TestRefusals(t *testing.T) {
	s := sshtest.Start(t)
	s.Passwords["u"] = "right"
	w := newWorld(t)
	to := target(s, "u")
	_, err := w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "no key and no password")
	to.Password = "wrong"
	_, err = w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "the password", "as u")
	to = target(s, "u")
	f, _ := sshtest.KeyFile(t, w.home, "stranger", "")
	to.KeyFiles = []string{f}
	_, err = w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, f)
	f, pub := sshtest.KeyFile(t, w.home, "locked", "phrase")
	s.Change(func() { s.Keys["u"] = pub })
	to.KeyFiles = []string{f}
	_, err = w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "encrypted")
	w.o.Passphrase = func(context.Context, string) ([]byte, error) { return []byte("nonsense"), nil }
	_, err = w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "wrong passphrase")
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	w.o.Timeout = 50 * time.Millisecond
	_, err = w.dial(t, sshdial.Target{Host: "web", Address: "127.0.0.1", Port: port, User: "u"})
	refused(t, err, api.CodeUnavailable, "web", "no answer")
	w.o.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.dialer(t).Dial(ctx, sshdial.Target{Host: "127.0.0.1", Port: port, User: "u"}); err == nil {
		t.Fatal("a cancelled dial went on")
	}
	ln.Close()
	_, err = w.dial(t, sshdial.Target{Host: "127.0.0.1", Port: port, User: "u"})
	refused(t, err, api.CodeUnavailable, "refused")
	_, err = w.dial(t, sshdial.Target{Host: "127.0.0.1", Port: 99999, User: "u"})
	if api.CodeOf(err) != api.CodeInvalid {
		t.Fatalf("port 99999: %v", err)
	}
}

func TestHostKeys(t *testing.T) {
	s := sshtest.Start(t)
	s.Passwords["u"] = "pw"
	to := target(s, "u")
	to.Password = "pw"
	w := newWorld(t)

	w.o.HostKeys = sshdial.Strict
	_, err := w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "not known", ssh.FingerprintSHA256(s.HostKey.PublicKey()))
	if _, err := os.Stat(w.known); err == nil {
		t.Fatal("a strict dial kept the key")
	}

	w.o.HostKeys = sshdial.AcceptNew
	d := w.dialer(t)
	var wg sync.WaitGroup
	for range 4 { // at once: one line is enough
		wg.Go(func() {
			c, err := d.Dial(t.Context(), to)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	wg.Wait()
	kept, _ := os.ReadFile(w.known)
	if strings.Count(string(kept), "\n") != 1 {
		t.Fatalf("known hosts:\n%s", kept)
	}
	w.o.HostKeys = sshdial.Strict
	if _, err := w.dial(t, to); err != nil {
		t.Fatalf("the kept key is not known: %v", err)
	}

	next := sshtest.Key(t)
	s.Change(func() { s.HostKey = next })
	for _, mode := range []sshdial.HostKeys{sshdial.AcceptNew, sshdial.Strict} {
		w.o.HostKeys = mode
		_, err = w.dial(t, to)
		refused(t, err, api.CodeUnauthorized, "changed", w.known+":1", "ssh-keygen -R")
	}
	w.o.HostKeys = sshdial.Off
	if _, err := w.dial(t, to); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(w.known); !bytes.Equal(again, kept) {
		t.Fatal("the known hosts were changed")
	}
}

func TestHashedHosts(t *testing.T) {
	s, w := sshtest.Start(t), newWorld(t)
	s.Passwords["u"] = "pw"
	to := target(s, "u")
	to.Password = "pw"
	w.config(t, "Host *\n HashKnownHosts yes\n")
	if _, err := w.dial(t, to); err != nil {
		t.Fatal(err)
	}
	kept, _ := os.ReadFile(w.known)
	if !strings.HasPrefix(string(kept), "|1|") {
		t.Fatalf("kept %q", kept)
	}
	w.o.HostKeys = sshdial.Strict
	if _, err := w.dial(t, to); err != nil {
		t.Fatal(err)
	}
	// By an alias the same server is another host.
	w.config(t, "Host *\n HostKeyAlias the-web\n")
	_, err := w.dial(t, to)
	refused(t, err, api.CodeUnauthorized, "not known")
	line := knownhosts.Line([]string{"the-web"}, s.HostKey.PublicKey())
	if err := os.WriteFile(w.known, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.dial(t, to); err != nil {
		t.Fatal(err)
	}
}

func TestConfigAndJump(t *testing.T) {
	bastion, web := sshtest.Start(t), sshtest.Start(t)
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.home, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	file, pub := sshtest.KeyFile(t, w.home, "k", "")
	bastion.Keys["hop"], web.Keys["me"] = pub, pub
	more := fmt.Sprintf("Host web*\n HostName 127.0.0.1\n Port %d\n User me\n ProxyJump bastion\n", web.Addr.Port)
	if err := os.WriteFile(filepath.Join(w.home, "d/1.conf"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	w.config(t, "Match exec \"test -e /\"\n User nobody-at-all\nMatch host bastion\n User hop\nHost bastion\n HostName 127.0.0.1\n Port %d\nInclude d/*.conf\nMatch all\n IdentityFile ~/k\n", bastion.Addr.Port)
	_ = file
	d := w.dialer(t)
	for i := range 3 {
		c, err := d.Dial(t.Context(), sshdial.Target{Host: fmt.Sprintf("web%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := c.Run(t.Context(), "echo there", nil); err != nil || string(out.Stdout) != "there\n" || c.User() != "me" {
			t.Fatalf("%+v %v as %s", out, err, c.User())
		}
		c.Close()
	}
	if n := bastion.Logins.Load(); n != 1 {
		t.Fatalf("%d connections to the jump host", n)
	}
	w.config(t, "Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
	_, err := w.dial(t, sshdial.Target{Host: "a", User: "u"})
	refused(t, err, api.CodeInvalid, "jump")
	w.config(t, "Host p\n ProxyCommand exec 3<>/dev/null; false\n User u\n")
	if _, err := w.dial(t, sshdial.Target{Host: "p"}); api.CodeOf(err) != api.CodeUnavailable {
		t.Fatalf("a program that fails: %v", err)
	}
}

func TestKeepAliveNoticesTheEnd(t *testing.T) {
	s, w := sshtest.Start(t), newWorld(t)
	s.Passwords["u"] = "pw"
	w.o.KeepAlive = 10 * time.Millisecond
	// A relay that stops passing bytes stands for a host that lost its power.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dead := make(chan struct{})
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", s.Addr.String())
		if err != nil {
			return
		}
		go io.Copy(c, to) //nolint:errcheck // ends with the test
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-dead:
				continue
			default:
				to.Write(buf[:n]) //nolint:errcheck // ends with the test
			}
		}
	}()
	c, err := w.dial(t, sshdial.Target{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, User: "u", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Open(t.Context(), "echo up; cat")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	if _, err := io.ReadFull(st, b); err != nil {
		t.Fatal(err)
	}
	close(dead)
	if _, err := st.Read(b); err == nil {
		t.Fatal("the end of the host was not noticed")
	}
}
