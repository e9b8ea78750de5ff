package lab

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOffline takes the server away: hosts keep themselves converged, and what
// they did arrives afterwards, once.
func TestOffline(t *testing.T) {
	w := begin(t, 2)
	w.clone("web")
	w.push("A small web fleet")
	w.converged()

	w.stopServer(syscall.SIGTERM)
	w.on("web-1", "echo tampered > /var/www/site/index.html")
	// The agent's timer is long; a restart converges at once, from its own disk.
	w.on("web-1", "systemctl restart drover-agent")
	w.until("web-1 puts its page back without a server", 60*time.Second, func() bool {
		return strings.Contains(w.on("web-1", "cat /var/www/site/index.html"), "This is web-1")
	})
	drifted := func() int {
		n := 0
		for line := range strings.Lines(w.ok("events", "-o", "json", "--type", "host.drifted")) {
			n += strings.Count(line, `"host.drifted"`)
		}
		return n
	}
	w.startServer()
	w.until("the report arrives", 60*time.Second, func() bool { return drifted() > 0 })
	w.on("web-1", "systemctl restart drover-agent") // sends its spool again, were it still there
	w.until("web-1 is connected", 60*time.Second, func() bool {
		s, _ := w.host("web-1")["status"].(map[string]any)
		return s["connected"] == true
	})
	if n := drifted(); n != 1 {
		t.Errorf("the drift was reported %d times, want once", n)
	}
}

// TestKill kills the server, an agent or both at twenty random moments of a
// converge: afterwards every host is what the newest accepted push says, no
// accepted push is lost, and no file is half-written.
func TestKill(t *testing.T) {
	w := begin(t, 2)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	w.clone("web")
	w.push("A small web fleet")
	w.converged()

	body := strings.Repeat("0123456789abcdef", 4096) // 64 KiB, so that writing takes a moment
	accepted := ""
	for i := range 20 {
		title := fmt.Sprintf("Kill %d", i)
		w.write("inventory/group_vars/web.yml", "site_title: "+title+"\nsite_port: 80\n")
		w.write("roles/web/files/large.txt", title+"\n"+body+"\n"+title+"\n")
		if i == 0 {
			w.write("roles/web/tasks/large.yml", "- copy: {src: large.txt, dest: /var/www/site/large.txt, mode: '0644'}\n")
			w.git("add", "-A")
			tasks := w.read("roles/web/tasks/main.yml")
			w.write("roles/web/tasks/main.yml", "- import_tasks: large.yml\n"+tasks)
		}
		w.git("add", "-A")
		w.git("commit", "-q", "-m", title)
		what := []string{"server", "agent", "both"}[random.IntN(3)]
		after := time.Duration(random.IntN(800)) * time.Millisecond
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			<-time.After(after)
			if what != "server" {
				_, _ = w.lab.Exec(t.Context(), "web-1", "pkill -9 -x drover-agent")
			}
			if what != "agent" {
				_ = w.server.Process.Signal(syscall.SIGKILL)
			}
		}()
		out, err := w.tryGit("push", "origin", "main")
		<-killed
		t.Logf("%2d: %s killed after %v; push: %v", i, what, after, err)
		if what != "agent" {
			<-w.exited
			w.startServer()
		}
		if err == nil {
			accepted = title
		} else if _, again := w.tryGit("push", "origin", "main"); again != nil {
			t.Fatalf("a push after the kill fails: %v\nthe first said:\n%s", again, out)
		} else {
			accepted = title
		}
		w.until("every host is at "+accepted, 90*time.Second, func() bool {
			for _, h := range w.hosts {
				out, err := w.lab.Exec(t.Context(), h.Name, "cat /var/www/site/index.html; head -1 /var/www/site/large.txt; tail -1 /var/www/site/large.txt; stat -c %s /var/www/site/large.txt")
				if err != nil || !strings.Contains(out, "<h1>"+accepted+"</h1>") ||
					!strings.HasSuffix(out, fmt.Sprintf("%s\n%s\n%d\n", accepted, accepted, len(body)+2*len(accepted)+3)) {
					return false
				}
			}
			return true
		})
		w.converged()
	}
	for _, h := range w.hosts {
		if left := w.on(h.Name, "find /var/www /etc/nginx -name '.*drover*' -o -name '*.tmp' | head"); left != "" {
			t.Errorf("%s: left over: %s", h.Name, left)
		}
	}
	w.ok("audit", "verify")
}

// TestCut takes one host off the network: the others go on, and it catches up.
func TestCut(t *testing.T) {
	w := begin(t, 2)
	w.clone("web")
	w.push("A small web fleet")
	w.converged()
	if err := w.lab.Cut(t.Context(), "web-2", true); err != nil {
		t.Fatal(err)
	}
	w.write("inventory/group_vars/web.yml", "site_title: While one is away\nsite_port: 80\n")
	w.push("While one is away")
	w.ok("wait", "host", "web-1", "--for", "converged", "--timeout", "60s")
	if !strings.Contains(w.on("web-1", "curl -fsS http://localhost/"), "While one is away") {
		t.Error("web-1 did not go on")
	}
	if err := w.lab.Cut(t.Context(), "web-2", false); err != nil {
		t.Fatal(err)
	}
	w.converged()
	w.until("web-2 serves the new page", 60*time.Second, func() bool {
		return strings.Contains(w.on("web-2", "curl -fsS http://localhost/"), "While one is away")
	})
	var events []map[string]any
	if err := json.Unmarshal([]byte(w.ok("events", "-o", "json", "--host", "web-2")), &events); err != nil {
		t.Fatal(err)
	}
	if len(events) == 0 {
		t.Error("no events of web-2")
	}
}
