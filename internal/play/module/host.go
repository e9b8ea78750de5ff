package module

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Host is the machine a module works on. The zero value is this machine.
type Host struct {
	// Root is a folder that stands for "/", for tests: every path a module
	// names is looked up below it, symbolic links included.
	Root string
	// Exec runs a command; nil runs it on this machine.
	Exec func(ctx context.Context, cmd Cmd) (Output, error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Dir is what relative paths are relative to; empty is the process's folder.
	Dir string
	// Env, if set, replaces the process's environment.
	Env map[string]string
	// HTTP, if set, is the transport of get_url and uri.
	HTTP http.RoundTripper
	// Crash, if set, is called between the steps of every write; a test makes it
	// panic to stand for a kill at that moment.
	Crash func(step string)

	dpkg atomic.Pointer[dpkgDB] // what was read last of dpkg's status file
}

// Cmd is a command to run.
type Cmd struct {
	Argv  []string          // Argv[0] is looked up in PATH
	Dir   string            // working directory (as the module names it, without Root)
	Env   map[string]string // added to the environment
	Stdin []byte
	// NoInherit leaves the process's own environment away.
	NoInherit bool
	User      string // run as this user (root only)
	Stdout    io.Writer
	Stderr    io.Writer // if set, output goes there as well as to Output
}

// Output is what a command left. A command that ran has a Code, whatever it is;
// only one that could not be started is an error.
type Output struct {
	Stdout []byte
	Stderr []byte
	Code   int // exit status; -n for signal n, as Python tells it
}

// Run runs a command.
func (h *Host) Run(ctx context.Context, cmd Cmd) (Output, error) {
	if len(cmd.Argv) == 0 {
		return Output{}, errors.New("cannot run a command: it is empty")
	}
	if h.Exec != nil {
		return h.Exec(ctx, cmd)
	}
	return h.runHere(ctx, cmd)
}

// Command runs argv and treats a status other than 0 as an error that holds what
// the command wrote.
func (h *Host) Command(ctx context.Context, argv ...string) (Output, error) {
	out, err := h.Run(ctx, Cmd{Argv: argv})
	if err == nil && out.Code != 0 {
		text := strings.TrimSpace(string(out.Stderr))
		if text == "" {
			text = strings.TrimSpace(string(out.Stdout))
		}
		err = fmt.Errorf("cannot run %q: exit status %d: %s", strings.Join(argv, " "), out.Code, text)
	}
	return out, err
}

func (h *Host) runHere(ctx context.Context, cmd Cmd) (Output, error) {
	path, err := h.LookPath(cmd.Argv[0], cmd.Env["PATH"])
	if err != nil {
		return Output{}, err
	}
	x := exec.CommandContext(ctx, path)
	x.Args = cmd.Argv
	x.WaitDelay = 5 * time.Second
	x.Dir = h.Dir
	if cmd.Dir != "" {
		x.Dir = h.Path(cmd.Dir)
	}
	x.Env = h.environ(cmd)
	x.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	x.Cancel = func() error { return syscall.Kill(-x.Process.Pid, syscall.SIGKILL) }
	if cmd.User != "" {
		a, ok := h.UserByName(cmd.User)
		if !ok {
			return Output{}, fmt.Errorf("cannot run %s: no user %q", cmd.Argv[0], cmd.User)
		}
		if a.UID != os.Getuid() {
			var groups []uint32
			for _, g := range h.Groups() {
				for _, m := range g.Members {
					if m == a.Name {
						groups = append(groups, uint32(g.GID))
					}
				}
			}
			x.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID), Groups: groups}
		}
		x.Env = append(x.Env, "HOME="+a.Home, "USER="+a.Name, "LOGNAME="+a.Name)
	}
	var so, se bytes.Buffer
	x.Stdout, x.Stderr = &so, &se
	if cmd.Stdout != nil {
		x.Stdout = io.MultiWriter(&so, cmd.Stdout)
	}
	if cmd.Stderr != nil {
		x.Stderr = io.MultiWriter(&se, cmd.Stderr)
	}
	if cmd.Stdin != nil {
		x.Stdin = bytes.NewReader(cmd.Stdin)
	}
	err = x.Run()
	out := Output{Stdout: so.Bytes(), Stderr: se.Bytes()}
	if cerr := ctx.Err(); cerr != nil {
		return out, fmt.Errorf("cannot run %s: %w", cmd.Argv[0], cerr)
	}
	var ee *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return out, nil
	case errors.As(err, &ee):
		out.Code = ee.ExitCode()
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			out.Code = -int(ws.Signal())
		}
		return out, nil
	}
	return out, err
}

func (h *Host) environ(cmd Cmd) []string {
	var env []string
	if !cmd.NoInherit {
		if h.Env != nil {
			for k, v := range h.Env {
				env = append(env, k+"="+v)
			}
		} else {
			env = os.Environ()
		}
	}
	for k, v := range cmd.Env {
		env = append(env, k+"="+v)
	}
	return env
}

// defaultPath is searched after PATH, as root's tools are often not in it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// LookPath finds a program; path, if not empty, replaces the host's PATH.
func (h *Host) LookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if path == "" {
		path, _ = h.Getenv("PATH")
	}
	for _, d := range filepath.SplitList(path + ":" + defaultPath) {
		if d == "" {
			continue
		}
		p := filepath.Join(d, name)
		if fi, err := os.Stat(p); err == nil && !fi.IsDir() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &os.PathError{Op: "exec", Path: name, Err: syscall.ENOENT}
}

// HasProgram reports whether a program can be found.
func (h *Host) HasProgram(name string) bool {
	_, err := h.LookPath(name, "")
	return err == nil
}

// Getenv reads the host's environment.
func (h *Host) Getenv(k string) (string, bool) {
	if h.Env != nil {
		v, ok := h.Env[k]
		return v, ok
	}
	return os.LookupEnv(k)
}

// Time is the time now.
func (h *Host) Time() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Host) step(name string) {
	if h.Crash != nil {
		h.Crash(name)
	}
}

// Path is where a path that a module names really is. Under a fake root
// symbolic links in its folders are followed inside the root; the last
// element is not followed.
func (h *Host) Path(p string) string {
	if !strings.HasPrefix(p, "/") {
		if h.Dir == "" && h.Root == "" {
			return p
		}
		p = filepath.Join("/", h.Dir, p)
	}
	if h.Root == "" {
		return p
	}
	slash := strings.HasSuffix(p, "/") && len(p) > 1
	p = filepath.Clean(p)
	if p == "/" {
		return h.Root
	}
	dir := h.Realpath(filepath.Dir(p))
	out := filepath.Join(h.Root, dir, filepath.Base(p))
	if slash {
		out += "/"
	}
	return out
}

// Realpath follows every symbolic link of a path, as far as it exists, and
// gives the path as a module would name it.
func (h *Host) Realpath(p string) string {
	if !filepath.IsAbs(p) {
		d := h.Dir
		if d == "" && h.Root == "" {
			d, _ = os.Getwd()
		}
		p = filepath.Join("/", d, p)
	}
	todo := strings.Split(filepath.Clean(p), "/")[1:]
	cur, links := "/", 0
	for len(todo) > 0 {
		e := todo[0]
		todo = todo[1:]
		switch e {
		case "", ".":
			continue
		case "..":
			cur = filepath.Dir(cur)
			continue
		}
		next := filepath.Join(cur, e)
		t, err := os.Readlink(h.Root + next)
		if err != nil {
			cur = next
			continue
		}
		if links++; links > 40 {
			return filepath.Join(append([]string{next}, todo...)...)
		}
		if filepath.IsAbs(t) {
			cur = "/"
		}
		todo = append(strings.Split(t, "/"), todo...)
	}
	return cur
}

// Lstat and Stat look at a path a module names; Stat follows symbolic links.
func (h *Host) Lstat(p string) (fs.FileInfo, error) { return os.Lstat(h.Path(p)) }

// Stat looks at what a path leads to.
func (h *Host) Stat(p string) (fs.FileInfo, error) {
	if h.Root == "" {
		return os.Stat(h.Path(p))
	}
	return os.Stat(h.Path(h.Realpath(p)))
}

// ReadFile reads a whole file.
func (h *Host) ReadFile(p string) ([]byte, error) {
	f, err := h.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Open opens a file for reading.
func (h *Host) Open(p string) (*os.File, error) {
	if h.Root != "" {
		p = h.Realpath(p)
	}
	return os.Open(h.Path(p))
}

// Exists reports whether something is at the path, a broken link included.
func (h *Host) Exists(p string) bool {
	_, err := h.Lstat(p)
	return err == nil
}

// Account is a line of /etc/passwd.
type Account struct {
	Name, Password     string
	UID, GID           int
	Gecos, Home, Shell string
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string
}

// Accounts are the lines of /etc/passwd.
func (h *Host) Accounts() []Account {
	var out []Account
	h.lines("/etc/passwd", func(f []string) {
		if len(f) < 7 {
			return
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			out = append(out, Account{Name: f[0], Password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]})
		}
	})
	return out
}

// Groups are the lines of /etc/group.
func (h *Host) Groups() []Group {
	var out []Group
	h.lines("/etc/group", func(f []string) {
		if len(f) < 4 {
			return
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			return
		}
		g := Group{Name: f[0], GID: gid}
		if f[3] != "" {
			g.Members = strings.Split(f[3], ",")
		}
		out = append(out, g)
	})
	return out
}

func (h *Host) lines(file string, each func(fields []string)) {
	f, err := h.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		each(strings.Split(s.Text(), ":"))
	}
}

// getent asks the name service for what /etc/passwd and /etc/group do not have.
func (h *Host) getent(db, key string) []string {
	if h.Root != "" || h.Exec != nil {
		return nil
	}
	if b, err := os.ReadFile("/etc/nsswitch.conf"); err != nil || !nssBeyondFiles(string(b), db) {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	out, err := h.Run(ctx, Cmd{Argv: []string{"getent", db, key}})
	if err != nil || out.Code != 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out.Stdout)), ":")
}

// nssBeyondFiles reports whether a database has a source other than files, so
// that the usual host never forks for a name it does not have.
func nssBeyondFiles(conf, db string) bool {
	for line := range strings.Lines(conf) {
		k, v, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(k) != db {
			continue
		}
		for _, s := range strings.Fields(v) {
			if s != "files" && s != "compat" && !strings.HasPrefix(s, "[") {
				return true
			}
		}
	}
	return false
}

// UserByName finds a user.
func (h *Host) UserByName(name string) (Account, bool) {
	for _, a := range h.Accounts() {
		if a.Name == name {
			return a, true
		}
	}
	return accountOf(h.getent("passwd", name))
}

// UserByID finds a user by number.
func (h *Host) UserByID(uid int) (Account, bool) {
	for _, a := range h.Accounts() {
		if a.UID == uid {
			return a, true
		}
	}
	return accountOf(h.getent("passwd", strconv.Itoa(uid)))
}

func accountOf(f []string) (Account, bool) {
	if len(f) < 7 {
		return Account{}, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	return Account{Name: f[0], Password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}, err1 == nil && err2 == nil
}

// GroupByName finds a group.
func (h *Host) GroupByName(name string) (Group, bool) {
	for _, g := range h.Groups() {
		if g.Name == name {
			return g, true
		}
	}
	return groupOf(h.getent("group", name))
}

// GroupByID finds a group by number.
func (h *Host) GroupByID(gid int) (Group, bool) {
	for _, g := range h.Groups() {
		if g.GID == gid {
			return g, true
		}
	}
	return groupOf(h.getent("group", strconv.Itoa(gid)))
}

func groupOf(f []string) (Group, bool) {
	if len(f) < 4 {
		return Group{}, false
	}
	gid, err := strconv.Atoi(f[2])
	g := Group{Name: f[0], GID: gid}
	if f[3] != "" {
		g.Members = strings.Split(f[3], ",")
	}
	return g, err == nil
}
