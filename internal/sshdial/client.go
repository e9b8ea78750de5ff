package sshdial

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"drover/api"
)

// Client is one signed-in connection.
type Client struct {
	ssh      *ssh.Client
	settings *settings
	onClose  func()
	once     sync.Once
	stop     chan struct{} // closed by Close
	ended    chan struct{} // closed when the connection is gone
	keeper   sync.WaitGroup
}

func newClient(c *ssh.Client, s *settings) *Client {
	cl := &Client{ssh: c, settings: s, stop: make(chan struct{}), ended: make(chan struct{})}
	cl.keepAlive(s.keepAlive, s.keepAliveMax)
	return cl
}

// Output is what a command left.
type Output struct {
	Stdout, Stderr []byte
	Exit           int // exit status; 128+n when signal n ended it
}

// maxOutput bounds what Run keeps of each stream.
const maxOutput = 16 << 20

// User is who is signed in.
func (c *Client) User() string { return c.settings.user }

// Close ends the connection and all that runs over it.
func (c *Client) Close() error {
	c.once.Do(func() {
		close(c.stop)
		c.ssh.Close()
		c.keeper.Wait()
		if c.onClose != nil {
			c.onClose()
		}
	})
	return nil
}

func (c *Client) dead() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// keepAlive notices a host that went away without a word: after max probes
// without an answer the connection is closed, and what waits on it fails.
func (c *Client) keepAlive(every time.Duration, max int) {
	c.keeper.Add(1)
	go func() {
		defer c.keeper.Done()
		defer close(c.ended)
		c.ssh.Wait()
	}()
	if every <= 0 {
		return
	}
	c.keeper.Add(1)
	go func() {
		defer c.keeper.Done()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-c.ended:
				return
			case <-tick.C:
			}
			answered := make(chan error, 1)
			c.keeper.Add(1)
			go func() {
				defer c.keeper.Done()
				_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
				answered <- err
			}()
			late := time.NewTimer(every * time.Duration(max))
			select {
			case err := <-answered:
				late.Stop()
				if err != nil {
					c.ssh.Close()
					return
				}
			case <-late.C:
				c.ssh.Close()
				return
			}
		}
	}()
}

// Run runs a command by the user's login shell and waits for its end. A
// command that fails is no error: look at Exit.
func (c *Client) Run(ctx context.Context, cmd string, stdin io.Reader) (Output, error) {
	s, err := c.Open(ctx, cmd)
	if err != nil {
		return Output{}, err
	}
	defer s.Close()
	var out bytes.Buffer
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		if stdin != nil {
			io.Copy(s.ch, stdin) //nolint:errcheck // a command may end without reading its input
		}
		s.ch.CloseWrite()
	}()
	_, err = io.Copy(&out, io.LimitReader(s, maxOutput+1))
	if err == nil && out.Len() > maxOutput {
		err = fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	if err != nil {
		s.Close()
		wg.Wait()
		return Output{}, api.Errorf(api.CodeUnavailable, "cannot run a command on %s: %v", c.settings.where(), err)
	}
	exit, err := s.Wait()
	s.Close()
	wg.Wait()
	return Output{Stdout: out.Bytes(), Stderr: s.Stderr(), Exit: exit}, err
}

// Stream is a running command: reads are its output, writes its input.
type Stream struct {
	c    *Client
	ch   ssh.Channel
	free func() bool
	done chan struct{} // closed when the exit status is known, or never will be

	mu     sync.Mutex
	stderr tail
	exit   int
	err    error
	pumps  sync.WaitGroup
}

// Open starts a command by the user's login shell, without waiting for the
// server's word that it did: a refusal shows in the first read and in Wait.
// The context bounds the command's life.
func (c *Client) Open(ctx context.Context, cmd string) (*Stream, error) {
	ch, reqs, err := c.ssh.OpenChannel("session", nil)
	if err != nil {
		return nil, c.channelError(err)
	}
	s := &Stream{c: c, ch: ch, done: make(chan struct{}), exit: -1}
	s.pumps.Add(2)
	go s.requests(reqs)
	go func() {
		defer s.pumps.Done()
		io.Copy(&s.stderr, ch.Stderr()) //nolint:errcheck // the exit status tells
	}()
	if _, err := ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{cmd})); err != nil {
		ch.Close()
		s.pumps.Wait()
		return nil, c.channelError(err)
	}
	s.free = context.AfterFunc(ctx, func() { ch.Close() })
	return s, nil
}

func (c *Client) channelError(err error) error {
	var open *ssh.OpenChannelError
	if errors.As(err, &open) {
		return api.Errorf(api.CodeUnavailable, "cannot start a command on %s: %s", c.settings.where(), open.Message).
			WithRemedy("raise MaxSessions in its sshd_config")
	}
	return api.Errorf(api.CodeUnavailable, "cannot start a command on %s: the connection is gone (%v)", c.settings.where(), err)
}

func (s *Stream) requests(reqs <-chan *ssh.Request) {
	defer s.pumps.Done()
	defer close(s.done)
	exit, err := -1, errors.New("the connection ended before the command")
	for r := range reqs {
		switch r.Type {
		case "exit-status":
			if len(r.Payload) >= 4 {
				var p struct{ Status uint32 }
				if ssh.Unmarshal(r.Payload, &p) == nil {
					exit, err = int(p.Status), nil
				}
			}
		case "exit-signal":
			var p struct {
				Signal  string
				Dumped  bool
				Message string
				Lang    string
			}
			if ssh.Unmarshal(r.Payload, &p) == nil {
				exit, err = 128+signalNumber(p.Signal), nil
			}
		}
		if r.WantReply {
			r.Reply(false, nil) //nolint:errcheck // a dead connection ends the loop
		}
	}
	s.mu.Lock()
	s.exit, s.err = exit, err
	s.mu.Unlock()
}

func signalNumber(name string) int {
	numbers := map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "SEGV": 11, "PIPE": 13, "ALRM": 14, "TERM": 15}
	return numbers[name]
}

func (s *Stream) Read(p []byte) (int, error)  { return s.ch.Read(p) }
func (s *Stream) Write(p []byte) (int, error) { return s.ch.Write(p) }

// CloseWrite ends the command's input.
func (s *Stream) CloseWrite() error { return s.ch.CloseWrite() }

// Close ends the command's streams; most commands end then.
func (s *Stream) Close() error {
	if s.free != nil {
		s.free()
	}
	err := s.ch.Close()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.pumps.Wait()
	return err
}

// Wait waits for the command's end and says how it ended.
func (s *Stream) Wait() (int, error) {
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.exit, api.Errorf(api.CodeUnavailable, "cannot run a command on %s: %v", s.c.settings.where(), s.err)
	}
	return s.exit, nil
}

// Stderr is the end of what the command said on its standard error.
func (s *Stream) Stderr() []byte { return s.stderr.Bytes() }

// tail keeps the last bytes written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailSize; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.b)
}

// Upload writes a file whole or not at all: into a new file beside it, which
// takes its name once its SHA-256 (hex; "" skips the check) is right. Folders
// are made with mode 0700 for others than root. A name that begins with ~/
// lies in the user's home.
func (c *Client) Upload(ctx context.Context, name string, r io.Reader, mode fs.FileMode, sha256 string) error {
	return c.upload(ctx, name, r, mode, sha256, "cat")
}

// UploadGzip is Upload of content that r holds gzip-compressed; the hash is
// that of the content.
func (c *Client) UploadGzip(ctx context.Context, name string, r io.Reader, mode fs.FileMode, sha256 string) error {
	return c.upload(ctx, name, r, mode, sha256, "gzip -dc")
}

func (c *Client) upload(ctx context.Context, name string, r io.Reader, mode fs.FileMode, sum, filter string) error {
	if b, err := hex.DecodeString(sum); sum != "" && (err != nil || len(b) != 32) {
		return api.Errorf(api.CodeInvalid, "cannot upload %s: %q is no SHA-256", name, sum)
	}
	script := `set -e; umask 077; d=` + Quote(path.Dir(name)) + `; f=` + Quote(path.Base(name)) + `
case "$d" in "~"|"~/"*) d="$HOME${d#?}";; esac
if [ "$(id -u)" = 0 ]; then (umask 022; mkdir -p "$d"); else mkdir -p "$d"; fi
t=$(mktemp "$d/.upload.XXXXXXXX"); trap 'rm -f "$t"' EXIT
` + filter + ` >"$t"
`
	if sum != "" {
		script += `s=$(sha256sum "$t"); s=${s%% *}; [ "${s#\\}" = ` + sum + ` ] || { echo "hash mismatch: $s" >&2; exit 97; }
`
	}
	script += fmt.Sprintf("chmod %04o \"$t\"; mv -f \"$t\" \"$d/$f\"; trap - EXIT\n", mode.Perm())
	out, err := c.Run(ctx, "sh -c "+Quote(script), r)
	if err != nil {
		return err
	}
	if out.Exit == 97 {
		return api.Errorf(api.CodeUnavailable, "cannot upload %s to %s: what arrived has another hash (%s)", name, c.settings.where(), strings.TrimSpace(string(out.Stderr)))
	}
	if out.Exit != 0 {
		return api.Errorf(api.CodeUnavailable, "cannot upload %s to %s: %s", name, c.settings.where(), lastLine(out.Stderr)).
			WithRemedy("check that %s may write there and that the disk has room", c.settings.user)
	}
	return nil
}

func lastLine(b []byte) string {
	s := strings.TrimSpace(string(b))
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// Quote makes one word of s for any Bourne shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
