package module

import (
	"context"
	"strings"
)

var systemdModule = &Module{
	Name: "systemd",
	Params: []Param{
		{Name: "name", Aliases: []string{"service", "unit"}},
		{Name: "state", Choices: []string{"reloaded", "restarted", "started", "stopped"}},
		{Name: "enabled", Type: Bool},
		{Name: "force", Type: Bool},
		{Name: "masked", Type: Bool},
		{Name: "daemon_reload", Aliases: []string{"daemon-reload"}, Type: Bool, Default: false},
		{Name: "daemon_reexec", Aliases: []string{"daemon-reexec"}, Type: Bool, Default: false},
		{Name: "scope", Default: "system", Choices: []string{"system", "user", "global"}},
		{Name: "no_block", Type: Bool, Default: false},
	},
	RequiredOneOf: [][]string{{"state", "enabled", "masked", "daemon_reload", "daemon_reexec"}},
	RequiredBy:    map[string][]string{"state": {"name"}, "enabled": {"name"}, "masked": {"name"}},
	Run:           runSystemd,
}

// unitTask is one run of the module.
type unitTask struct {
	*Call
	unit  string // as the task names it
	full  string // with its suffix
	ctl   *systemctl
	src   unitSource
	r     *Result
	props map[string]string
}

func runSystemd(ctx context.Context, c *Call) *Result {
	u := &unitTask{Call: c, unit: c.Str("name"), r: &Result{}, ctl: &systemctl{h: c.Host, scope: c.Str("scope"), env: c.Env}}
	for _, g := range "*?[" {
		if strings.ContainsRune(u.unit, g) {
			return Fail("This module does not currently support using glob patterns, found '%c' in service name: %s", g, u.unit)
		}
	}
	if strings.HasPrefix(u.unit, "-") {
		return Fail("cannot manage unit %q: this is no unit name", u.unit)
	}
	for _, step := range []struct{ param, verb string }{{"daemon_reload", "daemon-reload"}, {"daemon_reexec", "daemon-reexec"}} {
		if !c.Bool(step.param) || c.Check {
			continue
		}
		if !systemdBooted(c.Host) {
			u.r.Warn("Target is a chroot or systemd is offline. This can lead to false positives or prevent the init system tools from working.")
			continue
		}
		if out, err := u.ctl.run(ctx, step.verb); err != nil || out.Code != 0 {
			return Fail("failure %d during %s: %s", out.Code, strings.Replace(step.verb, "daemon-", "", 1), sayError(out, err))
		}
	}
	if u.unit == "" {
		return u.r.Set("name", nil).Set("status", map[string]any{})
	}
	u.r.Set("name", u.unit)
	u.full = unitName(u.unit)
	u.src = unitsOn(ctx, c.Host, c.Str("scope"))
	defer func() { u.src.close() }()
	return u.run(ctx)
}

// unitName adds the suffix that systemctl would.
func unitName(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		switch name[i+1:] {
		case "service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope":
			return name
		}
	}
	return name + ".service"
}

func sayError(out Output, err error) string {
	if err != nil {
		return err.Error()
	}
	if s := strings.TrimSpace(string(out.Stderr)); s != "" {
		return s
	}
	return strings.TrimSpace(string(out.Stdout))
}

func (u *unitTask) run(ctx context.Context) *Result {
	var err error
	if u.Str("scope") != "global" && systemdBooted(u.Host) {
		if strings.HasPrefix(u.unit, "/") { // systemctl escapes paths; D-Bus does not
			u.src.close()
			u.src, u.full = u.ctl, u.unit
		}
		if u.props, err = u.src.show(ctx, u.full); err != nil {
			if _, isBus := u.src.(*busUnits); isBus {
				u.src.close()
				u.src = u.ctl
				u.props, err = u.ctl.show(ctx, u.full)
			}
			if err != nil && u.Has("state") {
				return u.r.Fail("Service is in unknown state: %v", err).Set("status", map[string]any{})
			}
		}
	}
	if len(u.props) > 0 {
		u.r.Set("status", statusMap(u.props))
	} else {
		u.r.Set("status", map[string]any{})
	}
	if u.Has("masked") {
		if !u.mask(ctx) {
			return u.r
		}
	}
	if u.Has("enabled") {
		if !u.enable(ctx) {
			return u.r
		}
	}
	if u.Has("state") {
		u.bring(ctx)
	}
	return u.r
}

func (u *unitTask) missing() bool {
	switch u.props["LoadState"] {
	case "not-found":
		return true
	case "error", "bad-setting":
		return false
	}
	return u.props["LoadState"] == "" && u.props["ActiveState"] == ""
}

// lacks answers for a unit that does not exist. A check goes on with a
// warning: the task before it may be what installs the unit.
func (u *unitTask) lacks() bool {
	if u.Check {
		u.r.Warn("Could not find the requested service %s: host; it is taken as one that an earlier task makes", u.unit)
		return false
	}
	u.r.Values = nil
	u.r.Fail("Could not find the requested service %s: host", u.unit)
	return true
}

func (u *unitTask) do(ctx context.Context, what string, args ...string) bool {
	out, err := u.ctl.run(ctx, args...)
	if err != nil || out.Code != 0 {
		u.r.Values = nil
		u.r.Fail("%s %s: %s", what, u.unit, sayError(out, err))
		return false
	}
	return true
}

func (u *unitTask) mask(ctx context.Context) bool {
	state, _ := u.src.enabled(ctx, u.full)
	masked := u.props["LoadState"] == "masked" || state == "masked" || state == "masked-runtime"
	if masked == u.Bool("masked") {
		return true
	}
	verb := "mask"
	if masked {
		verb = "unmask"
	}
	if !masked && u.missing() && u.lacks() {
		return false
	}
	if !u.Check && !u.do(ctx, "Unable to "+verb+" service", u.withForce(verb)...) {
		return false
	}
	u.change(verb, map[string]any{"masked": masked}, map[string]any{"masked": !masked})
	if !u.Check {
		u.reread(ctx)
	}
	return true
}

func (u *unitTask) withForce(verb string) []string {
	argv := []string{verb}
	if u.Bool("force") {
		argv = append(argv, "--force")
	}
	return append(argv, u.full)
}

// reread looks at the unit again after its files changed.
func (u *unitTask) reread(ctx context.Context) {
	if len(u.props) == 0 {
		return
	}
	if p, err := u.src.show(ctx, u.full); err == nil {
		u.props = p
		u.r.Set("status", statusMap(p))
	}
}

func (u *unitTask) change(action string, before, after map[string]any) {
	u.r.Change("unit", u.full, action, before, after)
	if u.Diff {
		u.r.attrDiff(before, after)
	}
}

// enable makes the unit start at boot, or not.
func (u *unitTask) enable(ctx context.Context) bool {
	want := u.Bool("enabled")
	state, err := u.src.enabled(ctx, u.full)
	if err != nil || state == "not-found" {
		state = ""
		if initd := strings.TrimSuffix(u.full, ".service"); u.Host.Exists("/etc/init.d/" + initd) {
			state = "disabled"
			if sysvEnabled(u.Host, initd) {
				state = "enabled"
			}
		} else if u.missing() {
			if u.lacks() {
				return false
			}
		}
	}
	is := false
	switch state {
	case "enabled", "alias":
		is = true
	case "enabled-runtime", "linked-runtime", "indirect":
	case "static", "generated", "transient":
		// Generated units come from init scripts, whose links tell; the others
		// have nothing to enable or disable.
		is = want
		if initd := strings.TrimSuffix(u.full, ".service"); state == "generated" && u.Host.Exists("/etc/init.d/"+initd) {
			is = sysvEnabled(u.Host, initd)
		}
	}
	u.r.Set("enabled", want)
	if is == want {
		return true
	}
	verb := "enable"
	if !want {
		verb = "disable"
	}
	if !u.Check && !u.do(ctx, "Unable to "+verb+" service", u.withForce(verb)...) {
		return false
	}
	u.change(verb, map[string]any{"enabled": is}, map[string]any{"enabled": want})
	return true
}

// bring starts, stops, restarts or reloads the unit.
func (u *unitTask) bring(ctx context.Context) {
	want := u.Str("state")
	if !systemdBooted(u.Host) && !u.Check {
		u.r.Fail("Service is in unknown state: System has not been booted with systemd as init system (PID 1). Can't operate.")
		return
	}
	if u.missing() && !(u.props["LoadState"] == "masked") && u.lacks() {
		return
	}
	state := u.props["ActiveState"]
	running := state == "active" || state == "activating" || state == "reloading" || state == "refreshing"
	verb := ""
	u.r.Set("state", "started")
	switch want {
	case "started":
		if !running {
			verb = "start"
		}
	case "stopped":
		u.r.Set("state", "stopped")
		if running || state == "deactivating" {
			verb = "stop"
		}
	case "restarted", "reloaded":
		verb = strings.TrimSuffix(want, "ed")
		if !running {
			verb = "start"
		}
	}
	if verb == "" {
		return
	}
	if !u.Check {
		args := []string{verb, u.full}
		if u.Bool("no_block") {
			args = append([]string{"--no-block"}, args...)
		}
		if !u.do(ctx, "Unable to "+verb+" service", args...) {
			return
		}
	}
	after := "active"
	if verb == "stop" {
		after = "inactive"
	}
	u.change(verb, map[string]any{"state": state}, map[string]any{"state": after})
}
