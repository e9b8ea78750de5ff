// Package lab is the fourth ring: the real programs on real Debian hosts, with
// systemd, sshd and apt, on this machine. It needs root and runs when
// DROVER_LAB=1; `make lab-test` builds what it drives.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

var keep = flag.Bool("keep", false, "leave the lab and the server's data behind to look at")

// world is a server and its hosts, driven by the programs that people use.
type world struct {
	t      *testing.T
	dir    string // server's data, fleet working copy, logs
	drover string
	lab    *lab.Lab
	hosts  []lab.Host
	api    int
	link   int
	server *exec.Cmd
	exited chan struct{}
}

// begin starts a lab with n hosts and a server, and enrols the hosts.
func begin(t *testing.T, n int) *world {
	t.Helper()
	if os.Getenv("DROVER_LAB") == "" {
		t.Skip("ring 4 runs with DROVER_LAB=1 as root: make lab-test")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "drover-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, drover: filepath.Join(root, "bin/drover"),
		lab: &lab.Lab{Name: "t" + strings.ToLower(t.Name()[4:min(len(t.Name()), 12)]), Progress: func(s string) { t.Log(s) }}}
	t.Cleanup(w.end)
	w.api, w.link = freePort(t), freePort(t)
	// A run that was killed left its hosts, with their disks, under the same name.
	if err := w.lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.hosts, err = w.lab.Up(t.Context(), lab.Spec{Hosts: lab.Names("web", n)})
	if err != nil {
		t.Fatal(err)
	}
	w.startServer()
	for _, h := range w.hosts {
		w.ok("enroll", "ssh://root@"+h.Address.String(), "--name", h.Name, "--private-key", w.lab.KeyFile(), "--host-key-checking=off")
	}
	return w
}

func (w *world) end() {
	if w.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(w.dir, "server.log")); err == nil {
			w.t.Logf("end of the server's log:\n%s", tail(log, 4000))
		}
	}
	if *keep {
		w.t.Logf("kept: lab %s, data %s", w.lab.Name, w.dir)
		return
	}
	w.stopServer(syscall.SIGKILL)
	if err := w.lab.Down(context.Background()); err != nil {
		w.t.Error(err)
	}
	if err := os.RemoveAll(w.dir); err != nil {
		w.t.Error(err)
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (w *world) startServer() {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	w.server = exec.Command(w.drover, "server", "--data", filepath.Join(w.dir, "data"), "--listen", fmt.Sprintf(":%d", w.api), "--link", fmt.Sprintf(":%d", w.link))
	w.server.Stdout, w.server.Stderr = log, log
	if err := w.server.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.exited = make(chan struct{})
	go func(c *exec.Cmd, done chan struct{}) { c.Wait(); close(done) }(w.server, w.exited)
	w.ok("wait", "server", "--timeout", "60s")
}

func (w *world) stopServer(sig syscall.Signal) {
	if w.server == nil {
		return
	}
	_ = w.server.Process.Signal(sig)
	select {
	case <-w.exited:
	case <-time.After(30 * time.Second):
		w.t.Error("the server did not stop within 30 s")
		_ = w.server.Process.Kill()
		<-w.exited
	}
	w.server = nil
}

// run runs drover and returns what it printed and its exit status.
func (w *world) run(args ...string) (stdout, stderr string, exit int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.drover, args...)
	cmd.Env = append(os.Environ(), "DROVER_CONFIG="+filepath.Join(w.dir, "data", "admin.yml"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// ok is run that must succeed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	out, errOut, exit := w.run(args...)
	if exit != 0 {
		w.t.Fatalf("drover %s: exit status %d\n%s%s", strings.Join(args, " "), exit, out, errOut)
	}
	return out
}

// on runs a shell command on a host by ssh.
func (w *world) on(host, command string) string {
	w.t.Helper()
	out, err := w.lab.Exec(w.t.Context(), host, command)
	if err != nil {
		w.t.Fatalf("on %s: %v\n%s", host, err, out)
	}
	return strings.TrimSpace(out)
}

// clone makes a working copy with an example's files in it, not yet committed.
func (w *world) clone(example string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, "fleet")
	w.ok("clone", dir, "--from", filepath.Join("..", "..", "examples", example))
	w.git("config", "user.name", "test")
	w.git("config", "user.email", "test@localhost")
	return dir
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "fleet", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "fleet", name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

func (w *world) tryGit(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(w.dir, "fleet")}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	out, err := w.tryGit(args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// push commits everything and pushes it.
func (w *world) push(subject string) string {
	w.t.Helper()
	w.git("add", "-A")
	w.git("commit", "-q", "--allow-empty", "-m", subject)
	return w.git("push", "origin", "main")
}

func (w *world) converged() {
	w.t.Helper()
	w.ok("wait", "hosts", "--for", "converged", "--timeout", "240s")
}

// status is a host's status as the API gives it.
func (w *world) host(name string) map[string]any {
	w.t.Helper()
	var h map[string]any
	if err := json.Unmarshal([]byte(w.ok("get", "host", name, "-o", "json")), &h); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// until asks again until the answer is yes; what it waits for happens on
// another machine, so there is nothing to wait on but asking.
func (w *world) until(what string, timeout time.Duration, yes func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline.C:
			w.t.Fatalf("not within %v: %s", timeout, what)
		case <-tick.C:
		}
	}
}
