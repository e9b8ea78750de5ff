package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestFleet is the main job: hosts are enrolled, a push makes them what it
// says, a wrong push changes nothing, and what somebody changes by hand is put
// back.
func TestFleet(t *testing.T) {
	w := begin(t, 3)
	w.clone("web")
	said := w.push("A small web fleet")
	if !strings.Contains(said, "remote: ") || !strings.Contains(said, "web-1") {
		t.Errorf("the push does not print the plan:\n%s", said)
	}
	w.converged()

	for _, h := range w.hosts {
		for command, want := range map[string]string{
			"curl -fsS http://localhost/ | grep -c 'This is " + h.Name + "'": "1",
			"id -gn ops":                                        "ops",
			"sysctl -n net.ipv4.tcp_fin_timeout":                "20",
			"systemctl is-active site-pulse.service nginx":      "active\nactive",
			"systemctl is-enabled site-pulse.service":           "enabled",
			"crontab -l -u root | grep -c '^17 3 \\* \\* \\* '": "1",
			"stat -c %a /var/www/site/index.html":               "644",
		} {
			if got := w.on(h.Name, command); got != want {
				t.Errorf("%s: %s: %q, want %q", h.Name, command, got, want)
			}
		}
	}

	t.Run("a second converge changes nothing", func(t *testing.T) {
		out := w.ok("plan", w.dir+"/fleet")
		if !strings.Contains(out, "no host changes") {
			t.Errorf("after a converge the plan is not empty:\n%s", out)
		}
	})

	t.Run("one line reaches every host", func(t *testing.T) {
		w.write("inventory/group_vars/web.yml", "site_title: Another title\nsite_port: 80\n")
		said := w.push("Another title")
		if !strings.Contains(said, "index.html") {
			t.Errorf("the plan does not name the file that changes:\n%s", said)
		}
		w.converged()
		for _, h := range w.hosts {
			if got := w.on(h.Name, "curl -fsS http://localhost/"); !strings.Contains(got, "Another title") {
				t.Errorf("%s serves:\n%s", h.Name, got)
			}
		}
	})

	t.Run("a wrong push is refused with its place and changes nothing", func(t *testing.T) {
		before := w.git("ls-remote", "origin", "main")
		w.write("roles/web/tasks/extra.yml", "- name: wrong\n  ansible.builtin.copy:\n    dest: /etc/wrong\n    contents: x\n")
		w.write("site.yml", "- hosts: web\n  tasks:\n    - import_tasks: roles/web/tasks/extra.yml\n")
		w.git("add", "-A")
		w.git("commit", "-q", "-m", "A mistake")
		out, err := w.tryGit("push", "origin", "main")
		if err == nil {
			t.Fatalf("accepted:\n%s", out)
		}
		if !strings.Contains(out, "roles/web/tasks/extra.yml:4:5") || !strings.Contains(out, "content") {
			t.Errorf("the refusal does not name place and remedy:\n%s", out)
		}
		if after := w.git("ls-remote", "origin", "main"); after != before {
			t.Errorf("main moved: %s, was %s", after, before)
		}
		w.converged()
		w.git("reset", "-q", "--hard", "HEAD~1")
	})

	t.Run("what is changed by hand is put back", func(t *testing.T) {
		w.on("web-2", "echo tampered > /var/www/site/index.html; systemctl stop nginx")
		w.on("web-2", "systemctl restart drover-agent") // converges at its start, not only by its timer
		w.until("web-2 serves its page again", 30*time.Second, func() bool {
			out, err := w.lab.Exec(t.Context(), "web-2", "curl -fsS http://localhost/")
			return err == nil && strings.Contains(out, "Another title")
		})
		w.until("the drift is an event", 10*time.Second, func() bool {
			return strings.Contains(w.ok("events", "-o", "json"), `"host.drifted"`)
		})
	})

	t.Run("a command runs on the hosts that a pattern names", func(t *testing.T) {
		out := w.ok("run", "hostname", "-l", "web:!web-3")
		for _, name := range []string{"web-1", "web-2"} {
			if strings.Count(out, name) < 2 {
				t.Errorf("no answer of %s:\n%s", name, out)
			}
		}
		if strings.Contains(out, "web-3") {
			t.Errorf("it ran on web-3 too:\n%s", out)
		}
		if _, _, exit := w.run("run", "test $(hostname) = web-1", "-l", "web"); exit != 1 {
			t.Errorf("a command that fails on two hosts: exit status %d, want 1", exit)
		}
	})

	t.Run("play works without agents, by ssh", func(t *testing.T) {
		inventory := ""
		for _, h := range w.hosts {
			inventory += fmt.Sprintf("%s ansible_host=%s ansible_user=root\n", h.Name, h.Address)
		}
		w.write("../adhoc/hosts", "[web]\n"+inventory)
		w.write("../adhoc/play.yml", `
- hosts: web
  tasks:
    - copy: {dest: /etc/adhoc, content: "{{ inventory_hostname }} has {{ ansible_facts['distribution'] }}\n"}
      notify: told
  handlers:
    - name: told
      command: touch /etc/adhoc.told
`)
		play := []string{"play", "-i", w.dir + "/adhoc/hosts", w.dir + "/adhoc/play.yml", "--private-key", w.lab.KeyFile(), "-e", "ansible_host_key_checking=false"}
		out := w.ok(append(play, "--check", "--diff")...)
		if !strings.Contains(out, "+web-1 has Debian") || !strings.Contains(out, "changed=") {
			t.Errorf("check does not show what it would do:\n%s", out)
		}
		if got := w.on("web-1", "ls /etc/adhoc 2>/dev/null || echo none"); got != "none" {
			t.Error("check changed the host")
		}
		w.ok(play...)
		if got := w.on("web-3", "cat /etc/adhoc; ls /etc/adhoc.told"); got != "web-3 has Debian\n/etc/adhoc.told" {
			t.Errorf("web-3: %q", got)
		}
		if out := w.ok(play...); !strings.Contains(out, "changed=0") {
			t.Errorf("the second run changes something:\n%s", out)
		}
	})
}
