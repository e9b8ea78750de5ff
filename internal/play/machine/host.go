package machine

import (
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
	"strings"
	"sync"
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

	// Memo holds what was read last of a file that is slow to read, by the file's
	// path; whoever stores it checks that the file is still the same.
	Memo sync.Map
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
	x.Env = h.Environ(cmd)
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

// Environ is the environment a command gets.
func (h *Host) Environ(cmd Cmd) []string {
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

// Step tells Crash that a step is done.
func (h *Host) Step(name string) {
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

// Glob are the paths that match a pattern, as a module would name them.
func (h *Host) Glob(pattern string) []string {
	full := h.Path(pattern)
	if h.Root != "" {
		full = filepath.Join(h.Root, filepath.Join("/", pattern))
	}
	if !strings.ContainsAny(pattern, "*?[") {
		if h.Exists(pattern) {
			return []string{pattern}
		}
		return nil
	}
	list, err := filepath.Glob(full)
	if err != nil {
		return nil
	}
	for i := range list {
		list[i] = strings.TrimPrefix(list[i], h.Root)
	}
	return list
}

// TempDir makes a private folder for a run's own files, on a real path where
// programs may be executed.
func (h *Host) TempDir() (string, error) {
	base := "/var/lib/drover/tmp"
	if os.Geteuid() != 0 {
		home, ok := h.Getenv("HOME")
		if !ok {
			return os.MkdirTemp("", "drover-")
		}
		base = filepath.Join(home, ".cache/drover/tmp")
	}
	base = h.Path(base)
	if err := os.MkdirAll(base, 0o700); err != nil {
		return os.MkdirTemp("", "drover-")
	}
	return os.MkdirTemp(base, "run-")
}
