package playhost

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"drover/api"
	"drover/internal/play/module"
)

// Become says how a session becomes another user. Root needs none of it.
type Become struct {
	Method   string `json:"method,omitempty"` // sudo (if empty), su, doas
	Password string `json:"password,omitempty"`
	Flags    string `json:"flags,omitempty"` // further words for the program
	Exe      string `json:"exe,omitempty"`   // instead of the method's own program
}

// runner runs modules here, and those for other users in child sessions.
type runner struct {
	host  *module.Host
	fetch func(ctx context.Context, sha256 string) (io.ReadCloser, error)
	o     Options

	name string
	uid  int

	mu       sync.Mutex
	children map[string]*child
	closed   bool
	work     sync.WaitGroup
}

func newRunner(host *module.Host, fetch func(context.Context, string) (io.ReadCloser, error), o Options) *runner {
	if host == nil {
		host = &module.Host{}
	}
	r := &runner{host: host, fetch: fetch, o: o, children: map[string]*child{}}
	r.name, r.uid = currentUser(host)
	return r
}

func (r *runner) who() (string, int) { return r.name, r.uid }

func (r *runner) run(ctx context.Context, req *module.Request, b *Become) (*module.Result, error) {
	if req.User == "" || req.User == r.name || req.User == strconv.Itoa(r.uid) {
		return module.Run(ctx, &module.Call{Request: *req, Host: r.host, Fetch: r.fetch}), nil
	}
	var how Become
	if b != nil {
		how = *b
	}
	c, err := r.child(ctx, req.User, how)
	if err != nil {
		// The host is there; it is the task that cannot be done as this user.
		return module.Fail("%s", message(err)), nil
	}
	relayed := *req
	relayed.User = ""
	res, err := c.client.Run(ctx, &relayed)
	if err != nil && ctx.Err() == nil {
		return module.Fail("cannot run the task as %s: %s", req.User, message(err)), nil
	}
	return res, err
}

func message(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return err.Error()
}

// child is a session as another user.
type child struct {
	ready  chan struct{}
	err    error
	client *Client
	end    func()
}

// child gives the session of a user, starting it if there is none alive.
func (r *runner) child(ctx context.Context, user string, how Become) (*child, error) {
	key := strings.Join([]string{user, how.Method, how.Flags, how.Exe, how.Password}, "\x00")
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errClosed
	}
	c, ok := r.children[key]
	if ok {
		select {
		case <-c.ready:
			if c.err == nil {
				select {
				case <-c.client.done:
					r.work.Go(c.end)
					ok = false // it died: start a new one
				default:
				}
			} else {
				ok = false
			}
		default:
		}
	}
	if ok {
		r.mu.Unlock()
		select {
		case <-c.ready:
			return c, c.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	c = &child{ready: make(chan struct{})}
	r.children[key] = c
	r.mu.Unlock()
	c.err = r.spawn(ctx, c, user, how)
	close(c.ready)
	return c, c.err
}

// Close ends the child sessions.
func (r *runner) Close() {
	r.mu.Lock()
	children := r.children
	r.children, r.closed = map[string]*child{}, true
	r.mu.Unlock()
	for _, c := range children {
		<-c.ready
		if c.err == nil {
			c.end()
		}
	}
	r.work.Wait()
}

// startTimeout bounds how long a child session may take to begin.
const startTimeout = 30 * time.Second

// spawn starts a session as user and waits for its hello.
func (r *runner) spawn(ctx context.Context, c *child, user string, how Become) error {
	fail := func(format string, a ...any) error {
		return api.Errorf(api.CodeForbidden, "cannot become %s: %s", user, fmt.Sprintf(format, a...))
	}
	a, ok := r.host.UserByName(user)
	if !ok {
		if n, err := strconv.Atoi(user); err == nil {
			a, ok = r.host.UserByID(n)
		}
	}
	if !ok {
		return fail("the host has no such user")
	}
	self, cleanup, err := r.command(a.UID)
	if err != nil {
		return fail("%v", err)
	}
	p, err := r.prepare(a, how, self)
	if err != nil {
		cleanup()
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no session within %s", startTimeout))
	defer cancel()
	client, end, err := p.start(ctx, how.Password, r.fetch, r.o.Stderr)
	if err != nil {
		cleanup()
		return fail("%v", err)
	}
	c.client, c.end = client, func() { end(); cleanup() }
	return nil
}

// command is how a child session is started. A program in a home that others
// may not enter is copied to where they may.
func (r *runner) command(uid int) (argv []string, cleanup func(), err error) {
	cleanup = func() {}
	if len(r.o.Command) > 0 {
		return r.o.Command, cleanup, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, cleanup, err
	}
	// Only the agent's program knows how to serve a session; the others have
	// it beside them.
	if beside := filepath.Join(filepath.Dir(self), "drover-agent"); filepath.Base(self) == "drover" && isFile(beside) {
		self = beside
	}
	if uid == 0 || othersMayRun(self) {
		return []string{self, "play-session"}, cleanup, nil
	}
	dir, err := os.MkdirTemp("/var/tmp", "drover-")
	if err != nil {
		return nil, cleanup, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	to := filepath.Join(dir, "drover-agent")
	if err := copyProgram(self, to); err != nil {
		cleanup()
		return nil, func() {}, err
	}
	return []string{to, "play-session"}, cleanup, nil
}

func othersMayRun(file string) bool {
	for p := file; ; p = filepath.Dir(p) {
		st, err := os.Stat(p)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if p == "/" {
			return true
		}
	}
}

func copyProgram(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.Chmod(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	if err := dst.Chmod(0o755); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

// process is a child session's program before it runs.
type process struct {
	cmd    *exec.Cmd
	prompt string // what asks for the password; empty if nothing will
}

// prepare chooses the way to become the user.
func (r *runner) prepare(a module.Account, how Become, self []string) (*process, error) {
	if r.uid == 0 {
		return r.asRoot(a, self), nil
	}
	exe := how.Exe
	if exe == "" {
		exe = how.Method
	}
	if exe == "" {
		exe = "sudo"
	}
	if strings.HasPrefix(exe, "-") {
		return nil, api.Errorf(api.CodeInvalid, "cannot become %s: %q is no program", a.Name, exe)
	}
	prompt := "[drover " + rand.Text() + "] "
	flags := strings.Fields(how.Flags)
	var argv []string
	switch how.Method {
	case "", "sudo", "ansible.builtin.sudo":
		if how.Password == "" {
			argv, prompt = append([]string{exe, "-H", "-n"}, flags...), ""
		} else {
			argv = append([]string{exe, "-H", "-S", "-p", prompt}, without(flags, "-n")...)
		}
		argv = append(append(argv, "-u", a.Name, "--"), self...)
	case "su", "ansible.builtin.su":
		if how.Password == "" {
			prompt = ""
		} else {
			prompt = "Password: "
		}
		words := make([]string, len(self))
		for i, w := range self {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		argv = append([]string{exe}, flags...)
		argv = append(argv, "-s", "/bin/sh", "-c", "cd; exec "+strings.Join(words, " "), a.Name)
	case "doas", "community.general.doas":
		if how.Password != "" {
			return nil, api.Errorf(api.CodeInvalid, "cannot become %s: doas takes a password from a terminal only", a.Name).
				WithRemedy("allow it with nopass in doas.conf, or use sudo")
		}
		prompt = ""
		argv = append(append([]string{exe, "-n"}, flags...), "-u", a.Name)
		argv = append(argv, self...)
	default:
		return nil, api.Errorf(api.CodeInvalid, "cannot become %s: unknown become method %q", a.Name, how.Method).
			WithRemedy("use sudo, su or doas")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANGUAGE=")
	return &process{cmd: cmd, prompt: prompt}, nil
}

func without(list []string, s string) []string {
	var out []string
	for _, x := range list {
		if x != s {
			out = append(out, x)
		}
	}
	return out
}

// asRoot changes credentials, as login would: groups, home, a clean environment.
func (r *runner) asRoot(a module.Account, self []string) *process {
	cmd := exec.Command(self[0], self[1:]...)
	var groups []uint32
	for _, g := range r.host.Groups() {
		for _, m := range g.Members {
			if m == a.Name && g.GID != a.GID {
				groups = append(groups, uint32(g.GID))
			}
		}
	}
	groups = append(groups, uint32(a.GID))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID), Groups: groups}}
	path := "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
	if a.UID == 0 {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	shell := a.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	cmd.Env = []string{"HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "SHELL=" + shell, "PATH=" + path, "SUDO_USER=" + r.name}
	for _, k := range []string{"LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM"} {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	if dir := "/run/user/" + strconv.Itoa(a.UID); isDir(dir) {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
	}
	cmd.Dir = "/"
	if isDir(a.Home) {
		cmd.Dir = a.Home
	}
	return &process{cmd: cmd}
}

func isFile(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular()
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

// start runs the program, gives it the password when it asks, and waits for
// the session's hello.
func (p *process) start(ctx context.Context, password string, fetch func(context.Context, string) (io.ReadCloser, error), stderr io.Writer) (*Client, func(), error) {
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	watch := &promptWatch{prompt: []byte(p.prompt), next: stderr, hit: make(chan int, 8)}
	p.cmd.Stderr = watch
	p.cmd.WaitDelay = 2 * time.Second
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	var open Open
	if fetch != nil {
		open = func(sha string) (io.ReadCloser, error) { return fetch(context.Background(), sha) }
	}
	client := NewClient(&pipes{in, out}, open)
	end := func() {
		client.Close()
		kill := time.AfterFunc(5*time.Second, func() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }) //nolint:errcheck // it may have ended
		p.cmd.Wait()                                                                                        //nolint:errcheck // the session said what there was to say
		kill.Stop()
	}
	abort := func(err error) (*Client, func(), error) {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		end()
		return nil, nil, err
	}
	for {
		select {
		case n := <-watch.hit:
			if password == "" {
				return abort(errors.New("a password is wanted"))
			}
			if n > 1 {
				return abort(errors.New("wrong password"))
			}
			if _, err := io.WriteString(in, password+"\n"); err != nil {
				return abort(err)
			}
		case <-client.ready:
			if _, err := client.Ready(ctx); err != nil {
				// Why is on standard error, all of which is read only after the end.
				abort(err) //nolint:errcheck // it gives err back
				if said := watch.text(); said != "" {
					err = errors.New(said)
				}
				return nil, nil, err
			}
			return client, end, nil
		case <-ctx.Done():
			return abort(context.Cause(ctx))
		}
	}
}

type pipes struct {
	io.WriteCloser
	out io.ReadCloser
}

func (p *pipes) Read(b []byte) (int, error) { return p.out.Read(b) }
func (p *pipes) Close() error {
	err := p.WriteCloser.Close()
	p.out.Close()
	return err
}

// promptWatch reads a program's standard error and tells of every prompt.
type promptWatch struct {
	prompt []byte
	next   io.Writer
	hit    chan int

	mu   sync.Mutex
	said []byte
	hits int
}

func (w *promptWatch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.said) < 16<<10 {
		w.said = append(w.said, b...)
	}
	if len(w.prompt) > 0 {
		if n := bytes.Count(w.said, w.prompt); n > w.hits {
			w.hits = n
			select {
			case w.hit <- n:
			default:
			}
		}
	}
	if w.next != nil {
		w.next.Write(b) //nolint:errcheck // what a child says is not worth failing for
	}
	return len(b), nil
}

// text is what the program said, without the prompts.
func (w *promptWatch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.said
	if len(w.prompt) > 0 {
		s = bytes.ReplaceAll(s, w.prompt, nil)
	}
	return strings.TrimSpace(string(s))
}
