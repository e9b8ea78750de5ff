package lab

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/lab"
)

// What is tested without hosts, in process: unknown fields and wrong types in
// the API (internal/server), ports, folders and certificates at a server's
// start (internal/server), YAML and inventories (internal/play/...), pushes
// over the limit (internal/fleet/repo), tokens (internal/access,
// internal/fleet, internal/agent), other fleets' and newer agents'
// connections (internal/link), full disks of the store (internal/store/etcd).
// Here the same is done to the programs, and hosts show that nothing is lost.

// small is the disk of a server, in MiB: the store keeps 192 of them in reserve.
const small = 640

// onDisk gives the server's data directory a disk of its own, before it starts.
func (w *world) onDisk(mib int) string {
	w.t.Helper()
	data := filepath.Join(w.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		w.t.Fatal(err)
	}
	return data
}

// fill takes what is left of a disk; the file that it makes gives it back.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(zeros)
	}
	return filler
}

// TestBadInput gives the programs what is wrong: each answer says what to do,
// and afterwards the fleet is as it was and goes on.
func TestBadInput(t *testing.T) {
	w := bare(t, "tbad", lab.Spec{Hosts: []string{"one"}})
	w.stopServer(syscall.SIGTERM)
	data := w.onDisk(small)
	t.Cleanup(func() {
		w.stopServer(syscall.SIGKILL)
		if err := unix.Unmount(data, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w.startServer()
	if _, err := w.lab.Up(t.Context(), lab.Spec{Hosts: []string{"tiny"}, DiskMiB: 96}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.hosts, err = w.lab.Hosts(); err != nil {
		t.Fatal(err)
	}
	one, tiny := w.hosts[0], w.hosts[1]
	w.ok(w.enroll(one)...)
	w.clone("web")
	for _, extra := range []string{"roles", "inventory"} {
		if err := os.RemoveAll(filepath.Join(w.dir, "fleet", extra)); err != nil {
			t.Fatal(err)
		}
	}
	const title = "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: note\n      copy: {dest: /etc/note, content: %q}\n"
	w.write("inventory/hosts", "one\ntiny\n")
	w.write("site.yml", fmt.Sprintf(title, "first\n"))
	w.push("First")
	w.ok("wait", "host", "one", "--for", "converged", "--timeout", "60s")
	is := func(host, want string) {
		t.Helper()
		if got := w.on(host, "cat /etc/note 2>/dev/null || echo none"); got != want {
			t.Errorf("%s: the note is %q, want %q", host, got, want)
		}
	}
	is("one", "first")

	t.Run("pushes", func(t *testing.T) {
		for _, c := range []struct {
			name, file, content string
			want                []string
		}{
			{"YAML that does not parse", "site.yml", "- hosts: all\n  tasks:\n    - copy: {dest: /etc/note\n", []string{"site.yml:4:1", "from line 3"}},
			{"an unknown keyword", "site.yml", "- hosts: all\n  handler:\n    - command: true\n", []string{"site.yml:2", "handlers"}},
			{"an unknown parameter", "site.yml", "- hosts: all\n  tasks:\n    - copy: {dest: /etc/note, contents: x}\n", []string{"site.yml:3", "content"}},
			{"an unknown module", "site.yml", "- hosts: all\n  tasks:\n    - coppy: {dest: /etc/note}\n", []string{"site.yml:3", "copy"}},
			{"a wrong type", "site.yml", "- hosts: all\n  tasks:\n    - copy: {dest: /etc/note, content: x, backup: perhaps}\n", []string{"site.yml:3", "backup"}},
			{"an inventory that does not parse", "inventory/hosts.yml", "all:\n  hosts:\n    - one\n", []string{"inventory/hosts.yml"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := w.git("ls-remote", "origin", "main")
				w.write(c.file, c.content)
				w.git("add", "-A")
				w.git("commit", "-q", "-m", c.name)
				out, err := w.tryGit("push", "origin", "main")
				if err == nil {
					t.Errorf("accepted:\n%s", out)
				}
				for _, s := range append(c.want, "remote: ") {
					if !strings.Contains(out, s) {
						t.Errorf("it does not say %q:\n%s", s, out)
					}
				}
				if after := w.git("ls-remote", "origin", "main"); after != before {
					t.Errorf("main moved: %s, was %s", after, before)
				}
				w.git("reset", "-q", "--hard", "HEAD~1")
			})
		}
		is("one", "first")
	})

	t.Run("a push of 100 MB", func(t *testing.T) {
		before := w.git("ls-remote", "origin", "main")
		free := func() uint64 {
			var s unix.Statfs_t
			if err := unix.Statfs(data, &s); err != nil {
				t.Fatal(err)
			}
			return s.Bavail * uint64(s.Bsize)
		}
		had := free()
		noise := make([]byte, 100<<20)
		_, _ = rand.Read(noise)
		w.write("image.iso", string(noise))
		w.git("add", "-A")
		w.git("commit", "-q", "-m", "An image")
		out, err := w.tryGit("push", "origin", "main")
		if err == nil || !strings.Contains(out, "larger than 50 MB") || !strings.Contains(out, "what to do") {
			t.Errorf("%v\n%s", err, out)
		}
		if after := w.git("ls-remote", "origin", "main"); after != before {
			t.Errorf("main moved: %s, was %s", after, before)
		}
		if has := free(); had > has+(4<<20) {
			t.Errorf("the server keeps %d bytes of it", had-has)
		}
		w.git("reset", "-q", "--hard", "HEAD~1")
		w.git("gc", "-q", "--prune=now")
	})

	t.Run("objects", func(t *testing.T) {
		for name, c := range map[string]struct {
			text   string
			status int
			want   []string
		}{
			"an unknown field": {"kind: host\nname: one\nspec: {pausd: true}\n", 2, []string{"pausd", "paused"}},
			"a wrong type":     {"kind: host\nname: one\nspec: {paused: perhaps}\n", 2, []string{"paused"}},
			"an unknown kind":  {"kind: hots\nname: one\n", 2, []string{"hots", "host"}},
			"no YAML":          {"kind: host\n  name: [\n", 2, []string{"objects.yml:2"}},
		} {
			t.Run(name, func(t *testing.T) {
				file := filepath.Join(w.dir, "objects.yml")
				if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
				w.fails(t, c.status, c.want, "apply", "-f", file)
			})
		}
	})

	t.Run("a taken port", func(t *testing.T) {
		taken, err := net.Listen("tcp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := fmt.Sprintf(":%d", taken.Addr().(*net.TCPAddr).Port)
		w.fails(t, 1, []string{"address already in use", "--listen", "→"}, "server", "--data", filepath.Join(w.dir, "other"), "--listen", port, "--link", ":0")
		w.fails(t, 1, []string{"another server", "→"}, "server", "--data", data, "--listen", ":0", "--link", ":0")
		if !w.connected("one") {
			t.Error("the server that runs was disturbed")
		}
	})

	t.Run("no server", func(t *testing.T) {
		w.fails(t, 3, []string{"cannot reach", "→"}, "hosts", "--server", "https://"+w.nobody(9))
	})

	t.Run("another fleet's server", func(t *testing.T) {
		w.stopServer(syscall.SIGTERM)
		stranger := &world{t: t, dir: filepath.Join(w.dir, "stranger"), drover: w.drover, lab: w.lab, api: w.api, link: w.link}
		if err := os.MkdirAll(stranger.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		stranger.startServer()
		w.until("the agent says whose server it is", 60*time.Second, func() bool {
			log := w.on("one", "journalctl -u drover-agent --since '-60s' --no-pager")
			return strings.Contains(log, "no line to a server") && strings.Count(log, "fleet-") >= 2
		})
		if out := stranger.ok("hosts", "-o", "json"); strings.Contains(out, `"one"`) {
			t.Errorf("another fleet's host got in:\n%s", out)
		}
		stranger.stopServer(syscall.SIGTERM)
		w.startServer()
		w.until("its own server has it again", 90*time.Second, func() bool { return w.connected("one") })
	})

	t.Run("a full disk of a host", func(t *testing.T) {
		w.on("tiny", "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 2000000)) /filler || true; dd if=/dev/zero of=/filler2 bs=64k 2>/dev/null || true")
		w.fails(t, 3, []string{"cannot upload", "No space left", "has room"}, w.enroll(tiny)...)
		w.untouched(t, "tiny")
		w.refused(t, "tiny", strings.TrimSpace(w.ok("token", "join", "-q", "--host", "tiny")), 1, "disk", "→ ")
		w.untouched(t, "tiny")
		w.on("tiny", "rm -f /filler /filler2")
		w.ok(w.enroll(tiny)...)
		w.ok("wait", "host", "tiny", "--for", "converged", "--timeout", "60s")
		is("tiny", "first")

		// A converge that meets the full disk fails and leaves the old file.
		w.on("tiny", "dd if=/dev/zero of=/filler bs=64k 2>/dev/null || true; dd if=/dev/zero of=/filler2 bs=1 2>/dev/null || true")
		w.write("site.yml", fmt.Sprintf(title, strings.Repeat("second ", 200000)+"\n"))
		w.push("Second")
		w.ok("wait", "host", "one", "--for", "converged", "--timeout", "60s")
		w.until("tiny says why it fails", 60*time.Second, func() bool {
			return strings.Contains(w.ok("host", "tiny"), "no space left")
		})
		is("tiny", "first")
		w.on("tiny", "rm -f /filler /filler2")
		w.until("tiny is converged", 90*time.Second, func() bool {
			return strings.HasPrefix(w.on("tiny", "head -c 20 /etc/note"), "second")
		})
		w.converged()
	})

	t.Run("a full disk of the server", func(t *testing.T) {
		filler := fill(t, data)
		before := w.git("ls-remote", "origin", "main")
		noise := make([]byte, 8<<20)
		_, _ = rand.Read(noise)
		w.write("large.bin", string(noise))
		w.write("site.yml", fmt.Sprintf(title, "third\n"))
		w.git("add", "-A")
		w.git("commit", "-q", "-m", "Third")
		out, err := w.tryGit("push", "origin", "main")
		if err == nil || !strings.Contains(out, "disk") {
			t.Errorf("%v\n%s", err, out)
		}
		if after := w.git("ls-remote", "origin", "main"); after != before {
			t.Errorf("main moved: %s, was %s", after, before)
		}
		if !strings.Contains(w.ok("run", "echo still here", "-l", "one"), "still here") {
			t.Error("hosts cannot be reached with a full disk")
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if out, err := w.tryGit("push", "origin", "main"); err != nil {
			t.Fatalf("there is room again: %v\n%s", err, out)
		}
		w.converged()
		is("one", "third")
		is("tiny", "third")
		w.ok("audit", "verify")
	})

	t.Run("an agent newer than the server", func(t *testing.T) {
		w.newerAgent("next")
		w.ok("delete", "host", "one")
		w.fails(t, 5, []string{"did not connect", "journalctl -u drover-agent"}, w.enroll(one, "--force", "--timeout", "4s")...)
		w.until("the agent says who has to be upgraded", 30*time.Second, func() bool {
			log := w.on("one", "journalctl -u drover-agent --since '-60s' --no-pager")
			return strings.Contains(log, "newer than the server") && strings.Contains(log, "upgrade the server first")
		})
		w.program("drover-agent", filepath.Join("..", "..", "bin", "drover-agent"))
		w.ok("delete", "host", "one")
		w.ok(w.enroll(one, "--force")...)
		w.ok("wait", "host", "one", "--for", "converged", "--timeout", "60s")
	})
}

// newerAgent puts an agent beside the server that speaks the next protocol only.
func (w *world) newerAgent(version string) {
	w.t.Helper()
	original, err := filepath.Abs("../../api/link.go")
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		w.t.Fatal(err)
	}
	next := strings.Replace(string(text), "LinkVersion = 1\n", "LinkVersion = 2\n", 1)
	if next == string(text) {
		w.t.Fatal("the protocol's version is not where it was")
	}
	changed, overlay := filepath.Join(w.dir, "link.go"), filepath.Join(w.dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		w.t.Fatal(err)
	}
	for name, b := range map[string][]byte{changed: []byte(next), overlay: list} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	to := filepath.Join(w.dir, "agent-"+version)
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", overlay, "-ldflags", "-s -w -X drover/internal/version.Version="+version, "-o", to, "../../cmd/drover-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	w.program("drover-agent", to)
}
