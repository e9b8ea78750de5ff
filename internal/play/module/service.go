package module

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var serviceModule = &Module{
	Name: "service",
	Params: []Param{
		{Name: "name", Required: true},
		{Name: "state", Choices: []string{"reloaded", "restarted", "started", "stopped"}},
		{Name: "enabled", Type: Bool},
		{Name: "sleep", Type: Int},
		{Name: "pattern"},
		{Name: "runlevel", Default: "default"},
		{Name: "arguments", Aliases: []string{"args"}, Default: ""},
		{Name: "use", Default: "auto"},
		// What a task may pass on to systemd.
		{Name: "force", Type: Bool},
		{Name: "masked", Type: Bool},
		{Name: "daemon_reload", Aliases: []string{"daemon-reload"}, Type: Bool, Default: false},
		{Name: "daemon_reexec", Aliases: []string{"daemon-reexec"}, Type: Bool, Default: false},
		{Name: "scope", Default: "system", Choices: []string{"system", "user", "global"}},
		{Name: "no_block", Type: Bool, Default: false},
	},
	RequiredOneOf: [][]string{{"state", "enabled", "masked", "daemon_reload", "daemon_reexec"}},
	Run:           runService,
}

func runService(ctx context.Context, c *Call) *Result {
	use := strings.TrimPrefix(strings.TrimPrefix(c.Str("use"), "ansible.builtin."), "ansible.legacy.")
	switch {
	case use == "systemd" || use == "systemd_service" || (use == "auto" && systemdBooted(c.Host)):
		r := runSystemd(ctx, c)
		for _, p := range []string{"pattern", "sleep", "runlevel", "arguments"} {
			if c.Has(p) {
				r.Warn("Ignoring \"%s\" as it is not used in \"systemd\"", p)
			}
		}
		return r
	case use == "auto" || use == "service" || use == "sysvinit":
		return runSysv(ctx, c)
	}
	return Fail("cannot manage services by %q; use auto, systemd or sysvinit", use)
}

// sysvEnabled reports whether an init script is started in a usual runlevel.
func sysvEnabled(h *Host, name string) bool {
	for _, level := range "2345" {
		entries, err := os.ReadDir(h.Path("/etc/rc" + string(level) + ".d"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if n := e.Name(); len(n) > 3 && n[0] == 'S' && n[3:] == name {
				return true
			}
		}
	}
	return false
}

// runSysv manages an init script, for hosts without systemd.
func runSysv(ctx context.Context, c *Call) *Result {
	name, r := c.Str("name"), &Result{}
	if name == "" || filepath.Base(name) != name || strings.HasPrefix(name, "-") {
		return Fail("cannot manage service %q: this is no service name", name)
	}
	r.Set("name", name)
	script := "/etc/init.d/" + name
	if !c.Host.Exists(script) {
		if !c.Check {
			return r.Fail("Could not find the requested service %s: host", name)
		}
		r.Warn("Could not find the requested service %s: host; it is taken as one that an earlier task makes", name)
	}
	if c.Has("enabled") {
		is, want := sysvEnabled(c.Host, name), c.Bool("enabled")
		r.Set("enabled", want)
		if is != want {
			verb := "disable"
			if want {
				verb = "enable"
			}
			if !c.Check {
				if _, err := c.toolOK(ctx, "update-rc.d", name, "defaults"); err != nil {
					return r.Fail("%v", err)
				}
				if _, err := c.toolOK(ctx, "update-rc.d", name, verb); err != nil {
					return r.Fail("%v", err)
				}
			}
			r.Change("unit", name, verb, map[string]any{"enabled": is}, map[string]any{"enabled": want})
		}
	}
	if c.Has("state") {
		c.sysvState(ctx, r, script)
	}
	return r
}

func (c *Call) sysvState(ctx context.Context, r *Result, script string) {
	name, want := c.Str("name"), c.Str("state")
	call := func(verb string) (Output, error) {
		argv := []string{c.Host.Path(script), verb}
		if a := strings.Fields(c.Str("arguments")); len(a) > 0 {
			argv = append(argv, a...)
		}
		return c.tool(ctx, Cmd{Argv: argv, Env: map[string]string{"LC_ALL": "C"}})
	}
	running := false
	if c.Has("pattern") {
		running = processMatches(c.Host, c.Str("pattern"))
	} else if c.Host.Exists(script) {
		out, err := call("status")
		running = err == nil && out.Code == 0
	}
	verbs := map[string][]string{"restarted": {"restart"}, "reloaded": {"reload"}}[want]
	r.Set("state", "started")
	switch {
	case want == "started" && !running, want == "reloaded" && !running:
		verbs = []string{"start"}
	case want == "stopped":
		r.Set("state", "stopped")
		if running {
			verbs = []string{"stop"}
		}
	case want == "restarted" && c.Has("sleep"):
		verbs = []string{"stop", "start"}
	}
	if len(verbs) == 0 {
		return
	}
	for i, v := range verbs {
		if c.Check {
			break
		}
		if i > 0 {
			select {
			case <-time.After(time.Duration(c.Int("sleep")) * time.Second):
			case <-ctx.Done():
				r.Fail("cannot %s service %s: %v", v, name, ctx.Err())
				return
			}
		}
		if out, err := call(v); err != nil || (out.Code != 0 && v != "stop") {
			r.Fail("Unable to %s service %s: %s", v, name, sayError(out, err))
			return
		}
	}
	r.Change("unit", name, verbs[len(verbs)-1], map[string]any{"running": running}, map[string]any{"running": want != "stopped"})
}

// processMatches looks for a process whose command line holds a text.
func processMatches(h *Host, pattern string) bool {
	entries, err := os.ReadDir(h.Path("/proc"))
	if err != nil {
		return false
	}
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		b, err := os.ReadFile(h.Path("/proc/" + e.Name() + "/cmdline"))
		if err == nil && strings.Contains(strings.ReplaceAll(string(b), "\x00", " "), pattern) {
			return true
		}
	}
	return false
}
