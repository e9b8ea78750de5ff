package lab

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/lab"
)

// bare starts a lab with hosts that are in no fleet, and a server whose
// programs are its own, so that a test may put others in their place.
func bare(t *testing.T, name string, spec lab.Spec) *world {
	t.Helper()
	if os.Getenv("DROVER_LAB") == "" {
		t.Skip("ring 4 runs with DROVER_LAB=1 as root: make lab-test")
	}
	dir, err := os.MkdirTemp("", "drover-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, drover: filepath.Join(dir, "bin", "drover"), lab: &lab.Lab{Name: name, Progress: func(s string) { t.Log(s) }}}
	t.Cleanup(w.end)
	for _, p := range []string{"drover", "drover-agent"} {
		w.program(p, filepath.Join("..", "..", "bin", p))
	}
	w.api, w.link = freePort(t), freePort(t)
	if w.hosts, err = w.lab.Up(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	w.startServer()
	return w
}

// program puts a copy of a file beside the server, as an upgrade does.
func (w *world) program(name, from string) {
	w.t.Helper()
	in, err := os.Open(from)
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	to := filepath.Join(w.dir, "bin", name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		w.t.Fatal(err)
	}
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		w.t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		w.t.Fatal(err)
	}
}

// agentOf builds an agent that says it is another version.
func (w *world) agentOf(version string) {
	w.t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X drover/internal/version.Version="+version, "-o", filepath.Join(w.dir, "agent-"+version), "../../cmd/drover-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	w.program("drover-agent", filepath.Join(w.dir, "agent-"+version))
}

// try runs a shell command on a host; it gives all that was printed and the exit status.
func (w *world) try(host, command string) (string, int) {
	w.t.Helper()
	h, err := w.lab.Host(host)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append(w.lab.SSHArgs(h), command)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// refused runs a line on a host that must fail with status and say all of want.
func (w *world) refused(t *testing.T, host, line string, status int, want ...string) {
	t.Helper()
	out, exit := w.try(host, line)
	if exit != status {
		t.Errorf("exit status %d, want %d:\n%s", exit, status, out)
	}
	for _, s := range want {
		if !strings.Contains(out, s) {
			t.Errorf("it does not say %q:\n%s", s, out)
		}
	}
}

// fails runs drover, which must fail with status and say all of want.
func (w *world) fails(t *testing.T, status int, want []string, args ...string) {
	t.Helper()
	out, errOut, exit := w.run(args...)
	if exit != status {
		t.Errorf("drover %s: exit status %d, want %d:\n%s%s", strings.Join(args, " "), exit, status, out, errOut)
	}
	for _, s := range want {
		if !strings.Contains(out+errOut, s) {
			t.Errorf("drover %s does not say %q:\n%s%s", strings.Join(args, " "), s, out, errOut)
		}
	}
}

// untouched reports that no join has left anything on a host.
func (w *world) untouched(t *testing.T, host string) {
	t.Helper()
	if left, _ := w.try(host, "ls -d /var/lib/drover-agent /var/lib/.drover-join* /usr/local/bin/drover-agent /etc/systemd/system/drover-agent.service 2>/dev/null"); left != "" {
		t.Errorf("%s: left over: %s", host, left)
	}
}

// nobody is an address of this machine where nobody listens.
func (w *world) nobody(port int) string {
	w.t.Helper()
	gw, err := w.lab.Gateway()
	if err != nil {
		w.t.Fatal(err)
	}
	return net.JoinHostPort(gw.String(), strconv.Itoa(port))
}

func (w *world) connected(name string) bool {
	out, _, exit := w.run("get", "host", name, "-o", "json")
	return exit == 0 && strings.Contains(strings.ReplaceAll(out, " ", ""), `"connected":true`)
}

func (w *world) status(name string) map[string]any {
	s, _ := w.host(name)["status"].(map[string]any)
	return s
}

func (w *world) restartServer() {
	w.stopServer(syscall.SIGTERM)
	w.startServer()
}

func (w *world) enroll(h lab.Host, more ...string) []string {
	return append([]string{"enroll", "ssh://root@" + h.Address.String(), "--name", h.Name, "--private-key", w.lab.KeyFile(), "--host-key-checking=off"}, more...)
}

// TestAgentJoins runs the line of `drover token join` on bare hosts.
func TestAgentJoins(t *testing.T) {
	w := bare(t, "tjoin", lab.Spec{Hosts: []string{"one", "two"}})
	line := func(args ...string) string {
		t.Helper()
		out := w.ok(append([]string{"token", "join", "-q"}, args...)...)
		if strings.Count(out, "\n") != 1 {
			t.Fatalf("it is not one line:\n%s", out)
		}
		return strings.TrimSpace(out)
	}
	good := line("--host", "one")
	t.Log(good)

	t.Run("a wrong token", func(t *testing.T) {
		before, after, _ := strings.Cut(good, "DROVER_TOKEN=drv_")
		_, after, _ = strings.Cut(after, " ")
		w.refused(t, "one", before+"DROVER_TOKEN=drv_nobody_x "+after, 4, "→ ", "drover token join")
		w.untouched(t, "one")
	})
	t.Run("an expired token", func(t *testing.T) {
		var made struct {
			Command string
			Expires time.Time
		}
		if err := json.Unmarshal([]byte(w.ok("token", "join", "--expires", "1s", "-o", "json")), &made); err != nil {
			t.Fatal(err)
		}
		w.until("the token has expired", 10*time.Second, func() bool { return time.Now().After(made.Expires) })
		w.refused(t, "two", made.Command, 4, "expired at", "→ ", "drover token join")
		w.untouched(t, "two")
	})
	t.Run("another host's token", func(t *testing.T) {
		w.refused(t, "two", strings.Replace(good, "--name one", "--name two", 1), 4, `is for host "one"`, "→ ")
		w.untouched(t, "two")
	})
	t.Run("an installer that is not the one the line names", func(t *testing.T) {
		_, after, _ := strings.Cut(good, `" = "`)
		w.refused(t, "one", strings.Replace(good, after[:8], "00000000", 1), 1, "not the one this line names")
		w.untouched(t, "one")
	})
	t.Run("a server that cannot be reached", func(t *testing.T) {
		w.refused(t, "two", line("--host", "two", "--reach", w.nobody(9)), 1, "did not come from https://"+w.nobody(9))
		w.untouched(t, "two")
	})
	t.Run("not root", func(t *testing.T) {
		w.refused(t, "one", "su -s /bin/sh nobody -c '"+strings.ReplaceAll(good, "'", `'\''`)+"'", 1, "only root", "→ ")
		w.untouched(t, "one")
	})
	t.Run("the line works once", func(t *testing.T) {
		if out, exit := w.try("one", good); exit != 0 {
			t.Fatalf("exit status %d:\n%s", exit, out)
		}
		w.until("one is connected", 20*time.Second, func() bool { return w.connected("one") })
		if left := w.on("one", "ls -d /var/lib/.drover-join* 2>/dev/null || true"); left != "" {
			t.Errorf("left over: %s", left)
		}
		if got := w.on("one", "systemctl is-enabled drover-agent; systemctl is-active drover-agent; readlink /usr/local/bin/drover-agent"); got != "enabled\nactive\n/var/lib/drover-agent/bin/current" {
			t.Errorf("the service: %s", got)
		}
		w.refused(t, "one", good, 7, "this host is one in fleet", "--force")
		w.refused(t, "two", strings.Replace(good, "--name one", "--name one2", 1), 4, "→ ", "used already")
		w.untouched(t, "two")
		if !w.connected("one") {
			t.Error("one is not connected any more")
		}
	})
	t.Run("a refused --force leaves the agent running", func(t *testing.T) {
		w.refused(t, "one", good+" --force", 4, "used already")
		w.until("one is connected", 20*time.Second, func() bool { return w.connected("one") })
	})
	t.Run("uninstall --purge", func(t *testing.T) {
		w.on("one", "drover-agent uninstall --purge")
		w.untouched(t, "one")
		if got, _ := w.try("one", "systemctl status drover-agent; pgrep -x drover-agent"); !strings.Contains(got, "could not be found") {
			t.Errorf("the service: %s", got)
		}
		w.ok("delete", "host", "one")
		if out, exit := w.try("one", line("--host", "one")); exit != 0 {
			t.Errorf("joining again: exit status %d:\n%s", exit, out)
		}
		w.until("one is connected", 20*time.Second, func() bool { return w.connected("one") })
	})
}

// TestAgentEnrols enrols hosts by SSH, as root and not, twice and wrongly.
func TestAgentEnrols(t *testing.T) {
	w := bare(t, "tenrol", lab.Spec{Hosts: []string{"one", "two"}})
	one, two := w.hosts[0], w.hosts[1]
	w.on("two", "useradd -m -s /bin/bash plain; useradd -m -s /bin/bash sudoer; echo 'sudoer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/sudoer; "+
		"for u in plain sudoer; do install -d -m 700 -o $u -g $u /home/$u/.ssh; install -m 600 -o $u -g $u /root/.ssh/authorized_keys /home/$u/.ssh/authorized_keys; done")
	as := func(user string) []string {
		args := w.enroll(two)
		args[1] = "ssh://" + user + "@" + two.Address.String()
		return args
	}
	t.Run("wrongly", func(t *testing.T) {
		w.fails(t, 2, []string{"ssh://USER@HOST"}, "enroll", "http://x")
		w.fails(t, 3, []string{w.nobody(9), "→"}, "enroll", "ssh://root@"+w.nobody(9), "--host-key-checking=off", "--private-key", w.lab.KeyFile())
		wrong := filepath.Join(w.dir, "wrong")
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", wrong).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		w.fails(t, 4, []string{"root", "→"}, "enroll", "ssh://root@"+two.Address.String(), "--host-key-checking=off", "--private-key", wrong)
		w.fails(t, 4, []string{"plain may not use sudo", "→"}, as("plain")...)
		w.fails(t, 3, []string{"→", "--reach"}, w.enroll(two, "--reach", w.nobody(9))...)
		w.untouched(t, "two")
		if out := w.ok("hosts", "-o", "json"); strings.Contains(out, `"two"`) {
			t.Errorf("a host was half enrolled:\n%s", out)
		}
	})
	t.Run("as a user with sudo", func(t *testing.T) {
		w.ok(as("sudoer")...)
		if !w.connected("two") {
			t.Error("two is not connected")
		}
	})
	t.Run("twice", func(t *testing.T) {
		w.ok(w.enroll(one)...)
		w.fails(t, 7, []string{"this host is one in fleet", "--force"}, w.enroll(one)...)
		if !w.connected("one") {
			t.Error("one is not connected any more")
		}
		taken := w.enroll(one, "--force")
		taken[3] = "two"
		w.fails(t, 7, []string{"there is a host two already", "→"}, taken...)
		w.until("one goes on", 20*time.Second, func() bool { return w.connected("one") })
	})
	t.Run("anew", func(t *testing.T) {
		w.ok("delete", "host", "one")
		w.ok(w.enroll(one, "--force")...)
		if !w.connected("one") {
			t.Error("one is not connected")
		}
	})
	t.Run("the service", func(t *testing.T) {
		pid := w.on("one", "systemctl show -p MainPID --value drover-agent")
		w.on("one", "kill -9 "+pid)
		w.until("it starts again", 30*time.Second, func() bool {
			now, _ := w.try("one", "systemctl show -p MainPID --value drover-agent")
			now = strings.TrimSpace(now)
			return now != pid && now != "0" && w.connected("one")
		})
		before := time.Now()
		w.on("one", "systemctl restart drover-agent")
		w.until("it is connected", 20*time.Second, func() bool { return w.connected("one") })
		t.Logf("restarted and connected within %v", time.Since(before).Round(time.Millisecond))
		rss, err := strconv.Atoi(w.on("one", "awk '/^VmRSS/{print $2}' /proc/$(systemctl show -p MainPID --value drover-agent)/status"))
		if err != nil || rss > 40<<10 {
			t.Errorf("the agent has %d KiB, %v", rss, err)
		}
		t.Logf("resident: %d KiB", rss)
		if out, _ := w.try("one", "systemd-analyze --man=no verify /etc/systemd/system/drover-agent.service"); strings.Contains(out, "drover-agent.service") {
			t.Errorf("systemd has something to say about the unit:\n%s", out)
		}
	})
	t.Run("without power", func(t *testing.T) {
		if err := w.lab.Stop(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		w.until("it is missed", 30*time.Second, func() bool { return !w.connected("one") })
		if _, err := w.lab.Up(t.Context(), lab.Spec{Hosts: []string{"one"}}); err != nil {
			t.Fatal(err)
		}
		w.until("it is back", 30*time.Second, func() bool { return w.connected("one") })
	})
	t.Run("commands and plays as other users", func(t *testing.T) {
		w.on("one", "useradd -m -s /bin/bash worker")
		if out := w.ok("run", "id -un; pwd; echo $HOME", "-l", "one", "--user", "worker"); strings.Count(out, "worker") < 3 {
			t.Errorf("as worker:\n%s", out)
		}
		out, errOut, exit := w.run("run", "true", "-l", "one", "--user", "nobody-known")
		if exit == 0 || !strings.Contains(out+errOut, "nobody-known") {
			t.Errorf("as an unknown user: exit status %d\n%s%s", exit, out, errOut)
		}
		play := filepath.Join(w.dir, "plays")
		w.write("../plays/hosts", "one\n")
		w.write("../plays/site.yml", `
- hosts: one
  gather_facts: false
  tasks:
    - command: id -un
      register: me
    - command: id -un
      become: true
      become_user: worker
      register: other
    - copy: {dest: /home/worker/mine, content: "from a play\n"}
      become: true
      become_user: worker
    - debug: {msg: "I am {{ me.stdout }} and {{ other.stdout }}"}
`)
		inventory, site := filepath.Join(play, "hosts"), filepath.Join(play, "site.yml")
		if out := w.ok("play", "-c", "agent", "-i", inventory, site); !strings.Contains(out, "I am root and worker") {
			t.Errorf("the play says:\n%s", out)
		}
		if got := w.on("one", "stat -c '%U %s' /home/worker/mine"); got != "worker 12" {
			t.Errorf("the file is %s", got)
		}
		if out := w.ok("play", "-c", "agent", "-u", "worker", "-i", inventory, site); !strings.Contains(out, "I am worker and worker") {
			t.Errorf("as worker the play says:\n%s", out)
		}
	})
}

// TestAgentUpdates offers agents by restarting the server with others beside
// it: a good one, and three that do not come up.
func TestAgentUpdates(t *testing.T) {
	w := bare(t, "tupdate", lab.Spec{Hosts: []string{"one"}})
	w.agentOf("one-1")
	w.restartServer()
	w.ok(w.enroll(w.hosts[0])...)
	// A new agent has three minutes to come up; the test does not wait so long.
	w.on("one", `mkdir -p /etc/systemd/system/drover-agent.service.d; printf '[Service]\nExecStart=\nExecStart=/var/lib/drover-agent/bin/current run --state /var/lib/drover-agent --confirm 8s\n' >/etc/systemd/system/drover-agent.service.d/confirm.conf; systemctl daemon-reload; systemctl restart drover-agent`)
	w.until("one is connected", 20*time.Second, func() bool { return w.connected("one") })
	running := func() string {
		return w.on("one", "sha256sum </proc/$(systemctl show -p MainPID --value drover-agent)/exe | cut -c-64")
	}
	version := func() string { v, _ := w.status("one")["agentVersion"].(string); return v }

	w.agentOf("one-2")
	w.restartServer()
	w.until("the agent is the new one", 60*time.Second, func() bool { return version() == "one-2" && w.connected("one") })
	good := running()
	if got := w.on("one", "drover-agent version"); !strings.Contains(got, "one-2") {
		t.Errorf("the agent's program is %s", got)
	}

	for _, c := range []struct{ name, program string }{
		{"ends at once", "#!/bin/sh\nexit 1\n"},
		{"hangs", "#!/bin/sh\nexec sleep 1000\n"},
		{"is no program", "rubbish\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(w.dir, "bad")
			if err := os.WriteFile(bad, []byte(c.program), 0o755); err != nil {
				t.Fatal(err)
			}
			w.program("drover-agent", bad)
			w.restartServer()
			start := time.Now()
			putBack := func() map[string]any { p, _ := w.status("one")["putBack"].(map[string]any); return p }
			sum := fmt.Sprintf("%x", sha256.Sum256([]byte(c.program)))
			w.until("the old agent is back and says so", 90*time.Second, func() bool { return putBack()["sha256"] == sum && w.connected("one") })
			t.Logf("put back after %v: %v", time.Since(start).Round(100*time.Millisecond), putBack()["why"])
			if got := running(); got != good {
				t.Errorf("one runs %.12s, want %.12s", got, good)
			}
			if out := w.ok("host", "one"); !strings.Contains(out, "was put back") {
				t.Errorf("drover host does not tell:\n%s", out)
			}
			// It is offered at each connection, and not tried again.
			w.restartServer()
			w.until("one is connected", 30*time.Second, func() bool { return w.connected("one") })
			w.until("the offer is refused", 20*time.Second, func() bool {
				return strings.Contains(w.on("one", "journalctl -u drover-agent --since '-20s' --no-pager"), "is offered again and not taken")
			})
			if got := running(); got != good {
				t.Errorf("one runs %.12s, want %.12s", got, good)
			}
			if got := w.ok("run", "echo works", "-l", "one"); !strings.Contains(got, "works") {
				t.Errorf("run: %s", got)
			}
		})
	}

	t.Run("the next good one", func(t *testing.T) {
		w.agentOf("one-3")
		w.restartServer()
		w.until("the agent is the new one", 60*time.Second, func() bool { return version() == "one-3" && w.connected("one") })
		if p := w.status("one")["putBack"]; p != nil {
			t.Errorf("an old trouble is still told: %v", p)
		}
	})
	t.Run("the server went back", func(t *testing.T) {
		w.program("drover-agent", filepath.Join(w.dir, "agent-one-2"))
		w.restartServer()
		w.until("the agent went back too", 60*time.Second, func() bool { return version() == "one-2" && w.connected("one") })
	})
	var events []struct{ Type string }
	if err := json.Unmarshal([]byte(w.ok("events", "-o", "json", "--host", "one")), &events); err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, e := range events {
		n[e.Type]++
	}
	if n["host.agent-put-back"] != 3 || n["host.agent-updated"] < 3 {
		t.Errorf("events: %v", n)
	}
	t.Log(n)
}
