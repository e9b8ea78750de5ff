// Package sshtest is an SSH server in the test's own process: it signs in by
// keys and passwords, runs commands by /bin/sh, and forwards connections.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Server is one running server.
type Server struct {
	Addr     *net.TCPAddr
	HostKey  ssh.Signer
	Home     string // $HOME of the commands; where they start
	Commands atomic.Int32
	Logins   atomic.Int32

	mu sync.Mutex
	// Keys and Passwords are what it accepts, by user.
	Keys      map[string]ssh.PublicKey
	Passwords map[string]string
	Refused   func(command string) (exit int, stderr string, refused bool)

	ln    net.Listener
	conns map[net.Conn]bool
	work  sync.WaitGroup
}

// Change alters what the server is while it serves.
func (s *Server) Change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Key makes a key pair.
func Key(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// KeyFile makes a key pair and writes the private half, locked if there is a passphrase.
func KeyFile(t testing.TB, dir, name, passphrase string) (string, ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, name)
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, name, []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return file, s.PublicKey()
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: ln.Addr().(*net.TCPAddr), HostKey: Key(t), Home: t.TempDir(), Keys: map[string]ssh.PublicKey{}, Passwords: map[string]string{}, ln: ln, conns: map[net.Conn]bool{}}
	s.work.Go(s.accept)
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.work.Go(func() {
			defer c.Close()
			s.serve(c)
		})
	}
}

var errNo = errors.New("no")

func (s *Server) serve(c net.Conn) {
	cfg := &ssh.ServerConfig{
		PublicKeyCallback: func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if want := s.Keys[m.User()]; want != nil && string(want.Marshal()) == string(key.Marshal()) {
				return nil, nil
			}
			return nil, errNo
		},
		PasswordCallback: func(m ssh.ConnMetadata, pw []byte) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if want, ok := s.Passwords[m.User()]; ok && want == string(pw) {
				return nil, nil
			}
			return nil, errNo
		},
	}
	s.mu.Lock()
	cfg.AddHostKey(s.HostKey)
	s.mu.Unlock()
	conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	s.Logins.Add(1)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	wg.Go(func() { ssh.DiscardRequests(reqs) })
	for nc := range chans {
		switch nc.ChannelType() {
		case "session":
			ch, reqs, err := nc.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.session(ch, reqs) })
		case "direct-tcpip":
			var to struct {
				Host string
				Port uint32
				From string
				FP   uint32
			}
			if err := ssh.Unmarshal(nc.ExtraData(), &to); err != nil {
				nc.Reject(ssh.ConnectionFailed, err.Error()) //nolint:errcheck // a test sees it
				continue
			}
			out, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
			if err != nil {
				nc.Reject(ssh.ConnectionFailed, err.Error()) //nolint:errcheck // a test sees it
				continue
			}
			ch, reqs, err := nc.Accept()
			if err != nil {
				out.Close()
				return
			}
			wg.Go(func() { ssh.DiscardRequests(reqs) })
			wg.Go(func() { io.Copy(out, ch); out.Close() })
			wg.Go(func() { io.Copy(ch, out); ch.Close() })
		default:
			nc.Reject(ssh.UnknownChannelType, "no") //nolint:errcheck // a test sees it
		}
	}
}

func (s *Server) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for r := range reqs {
		if r.Type != "exec" {
			if r.WantReply {
				r.Reply(false, nil) //nolint:errcheck // a test sees it
			}
			continue
		}
		var p struct{ Command string }
		if ssh.Unmarshal(r.Payload, &p) != nil {
			return
		}
		if r.WantReply {
			r.Reply(true, nil) //nolint:errcheck // a test sees it
		}
		s.Commands.Add(1)
		wg.Go(func() {
			defer ch.Close()
			exit := s.run(ch, p.Command)
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{uint32(exit)})) //nolint:errcheck // a test sees it
		})
	}
}

func (s *Server) run(ch ssh.Channel, command string) int {
	if s.Refused != nil {
		if exit, said, no := s.Refused(command); no {
			io.WriteString(ch.Stderr(), said)
			return exit
		}
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = s.Home
	cmd.Env = append(os.Environ(), "HOME="+s.Home)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	if err := cmd.Start(); err != nil {
		return 255
	}
	go func() { io.Copy(in, ch); in.Close() }()
	err = cmd.Wait()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.ExitCode()
	}
	return 0
}
