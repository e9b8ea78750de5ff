// Package push brings the interpreter's hands to hosts over SSH: it connects,
// makes sure that the agent's program is there, named by its hash, and opens
// one session. A host that has the program costs one round trip after sign-in.
package push

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/playhost"
	"drover/internal/sshdial"
)

// Options say where the connector finds what it needs.
type Options struct {
	SSH sshdial.Options
	// Binaries are the agent's programs by architecture as Go names it (amd64,
	// arm64). For one that is missing, a file drover-agent-ARCH, or
	// drover-agent for this machine's own, is looked for beside this program.
	Binaries map[string]string
	// Open gives content by its hash to modules that ask for it, when the
	// target does not bring its own.
	Open func(sha256 string) (io.ReadCloser, error)
	// Progress tells of what takes a while: an upload. May be nil.
	Progress func(host, what string)
}

// Connector opens sessions over SSH for the engine. It may be used by many
// goroutines, and keeps what hosts have in common: configuration, keys, the
// compressed program.
type Connector struct {
	o Options

	mu      sync.Mutex
	dialers map[dialerKey]*sshdial.Dialer
	agents  map[string]*binary // by architecture
}

type dialerKey struct {
	args    string
	keys    sshdial.HostKeys
	timeout time.Duration
}

// New makes a Connector.
func New(o Options) *Connector {
	return &Connector{o: o, dialers: map[dialerKey]*sshdial.Dialer{}, agents: map[string]*binary{}}
}

// Close ends connections to jump hosts. Sessions are their users' to close.
func (c *Connector) Close() error {
	c.mu.Lock()
	dialers := c.dialers
	c.dialers = map[dialerKey]*sshdial.Dialer{}
	c.mu.Unlock()
	for _, d := range dialers {
		d.Close()
	}
	return nil
}

// Connect opens a session on a host.
func (c *Connector) Connect(ctx context.Context, t engine.Target) (engine.Conn, error) {
	return c.Open(ctx, t)
}

// Conn is a session over its own SSH connection.
type Conn struct {
	*playhost.Client
	ssh *sshdial.Client
}

// Close ends the session and the connection.
func (c *Conn) Close() error {
	err := c.Client.Close()
	c.ssh.Close()
	return err
}

// Open opens a session on a host.
func (c *Connector) Open(ctx context.Context, t engine.Target) (*Conn, error) {
	d, err := c.dialer(t)
	if err != nil {
		return nil, err
	}
	to := sshdial.Target{Host: t.Host, Port: t.Port, User: t.User, Password: t.Password}
	if t.Address != t.Host {
		to.Address = t.Address
	}
	if t.KeyFile != "" {
		to.KeyFiles = []string{t.KeyFile}
	}
	ssh, err := d.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	open := t.Open
	if open == nil {
		open = c.o.Open
	}
	client, err := c.session(ctx, t.Host, ssh, open)
	if err != nil {
		ssh.Close()
		return nil, err
	}
	client.SetBecome(playhost.Become{Method: t.Become.Method, Password: t.Become.Password, Flags: t.Become.Flags, Exe: t.Become.Exe})
	return &Conn{Client: client, ssh: ssh}, nil
}

// dialer gives the dialer for a target's way of connecting.
func (c *Connector) dialer(t engine.Target) (*sshdial.Dialer, error) {
	o, err := sshArgs(t.SSHArgs, c.o.SSH)
	if err != nil {
		return nil, err
	}
	if !t.HostKeyChecking {
		o.HostKeys = sshdial.Off
	}
	if t.Timeout > 0 {
		o.Timeout = t.Timeout
	}
	key := dialerKey{t.SSHArgs, o.HostKeys, o.Timeout}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.dialers[key]; d != nil {
		return d, nil
	}
	d, err := sshdial.New(o)
	if err != nil {
		return nil, err
	}
	c.dialers[key] = d
	return d, nil
}

// session starts the program by its name, at first as if it were there.
func (c *Connector) session(ctx context.Context, host string, ssh *sshdial.Client, open playhost.Open) (*playhost.Client, error) {
	for arch := range c.likely() {
		b, err := c.binary(arch)
		if err != nil {
			return nil, err
		}
		client, exit, err := c.start(ctx, ssh, b, open)
		if err == nil {
			return client, nil
		}
		if !missing(exit, err) {
			return nil, api.Errorf(api.CodeUnavailable, "cannot start a session on %s: %v", host, err)
		}
	}
	arch, err := archOf(ctx, host, ssh)
	if err != nil {
		return nil, err
	}
	b, err := c.binary(arch)
	if err != nil {
		return nil, err
	}
	if c.o.Progress != nil {
		c.o.Progress(host, fmt.Sprintf("copying the agent (%d MiB)", b.size>>20))
	}
	packed, err := b.packed()
	if err != nil {
		return nil, err
	}
	if err := ssh.UploadGzip(ctx, b.pathFor(ssh.User()), bytes.NewReader(packed), 0o755, b.hash); err != nil {
		return nil, err
	}
	client, _, err := c.start(ctx, ssh, b, open)
	if err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "cannot start a session on %s with the agent just copied: %v", host, err).
			WithRemedy("check that %s may run programs in %s (noexec?)", ssh.User(), path.Dir(b.pathFor(ssh.User())))
	}
	return client, nil
}

// missing tells from how a shell ended that the program is not there, or is
// another architecture's. Bourne shells say 127 and 126; others say it in words.
func missing(exit int, err error) bool {
	if exit == 127 || exit == 126 {
		return true
	}
	said := strings.ToLower(err.Error())
	for _, words := range []string{"not found", "no such file", "exec format error", "unknown command", "cannot execute"} {
		if exit > 0 && strings.Contains(said, words) {
			return true
		}
	}
	return false
}

// likely lists the architectures to try before asking the host: this
// machine's, if there is a program for it.
func (c *Connector) likely() map[string]bool {
	if _, err := c.binary(ownArch); err == nil {
		return map[string]bool{ownArch: true}
	}
	return nil
}

// start opens the session; when it does not begin, exit says how the command ended.
func (c *Connector) start(ctx context.Context, ssh *sshdial.Client, b *binary, open playhost.Open) (*playhost.Client, int, error) {
	stream, err := ssh.Open(context.WithoutCancel(ctx), b.pathFor(ssh.User())+" play-session")
	if err != nil {
		return nil, -1, err
	}
	client := playhost.NewClient(stream, open)
	if _, err = client.Ready(ctx); err == nil {
		return client, 0, nil
	}
	if ctx.Err() != nil {
		client.Close()
		return nil, -1, err
	}
	exit, werr := stream.Wait()
	client.Close()
	if werr != nil {
		return nil, -1, werr
	}
	if said := strings.TrimSpace(string(stream.Stderr())); said != "" {
		err = errors.New(said)
	} else if noise := client.Noise(); noise != "" {
		err = errors.New(noise)
	}
	return nil, exit, fmt.Errorf("exit status %d: %w", exit, err)
}

// archOf asks a host what it is.
func archOf(ctx context.Context, host string, ssh *sshdial.Client) (string, error) {
	out, err := ssh.Run(ctx, "uname -sm", nil)
	if err != nil {
		return "", err
	}
	f := strings.Fields(string(out.Stdout))
	if len(f) < 2 {
		return "", api.Errorf(api.CodeUnavailable, "cannot use %s: `uname -sm` said %q (exit status %d)", host, strings.TrimSpace(string(out.Stdout)+string(out.Stderr)), out.Exit)
	}
	f = f[len(f)-2:]
	arch, ok := map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[f[1]]
	if f[0] != "Linux" || !ok {
		return "", api.Errorf(api.CodeInvalid, "cannot use %s: there is no agent for %s on %s", host, f[0], f[1]).
			WithRemedy("Drover manages Linux on amd64 and arm64")
	}
	return arch, nil
}

// binary is the agent's program for one architecture.
type binary struct {
	file, hash string
	size       int64

	once sync.Once
	gz   []byte
	err  error
}

// pathFor is where the program lies on hosts for who signs in as user. The
// name holds the hash, so what is there is never another version.
func (b *binary) pathFor(user string) string {
	name := "drover-agent-" + b.hash[:32]
	if user == "root" {
		return "/var/lib/drover/bin/" + name
	}
	return "~/.cache/drover/" + name
}

// packed is the program compressed, once for all hosts.
func (b *binary) packed() ([]byte, error) {
	b.once.Do(func() {
		var raw []byte
		if raw, b.err = os.ReadFile(b.file); b.err != nil {
			return
		}
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		w.Write(raw) //nolint:errcheck // into memory
		w.Close()
		b.gz = out.Bytes()
	})
	return b.gz, b.err
}

// binary finds the agent's program for an architecture, and its hash.
func (c *Connector) binary(arch string) (*binary, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.agents[arch]; b != nil {
		return b, nil
	}
	var tried []string
	if f := c.o.Binaries[arch]; f != "" {
		tried = []string{f}
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		dir := filepath.Dir(self)
		tried = []string{filepath.Join(dir, "drover-agent-"+arch), filepath.Join(dir, "drover-agent-linux-"+arch)}
		if arch == ownArch {
			tried = append(tried, filepath.Join(dir, "drover-agent"))
			if filepath.Base(self) == "drover-agent" {
				tried = append(tried, self)
			}
		}
	}
	for _, f := range tried {
		h, size, err := hashFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, api.Errorf(api.CodeInternal, "cannot read the agent's program: %v", err)
		}
		b := &binary{file: f, hash: h, size: size}
		c.agents[arch] = b
		return b, nil
	}
	return nil, api.Errorf(api.CodeNotFound, "cannot find the agent's program for %s (looked for %s)", arch, strings.Join(tried, ", ")).
		WithRemedy("build it with `make build`, or with GOARCH=%s for another architecture, and put it there", arch)
}

func hashFile(name string) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}
