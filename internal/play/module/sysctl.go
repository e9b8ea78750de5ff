package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/play/param"
)

var sysctlModule = &Module{
	Name: "sysctl",
	Params: []Param{
		{Name: "name", Aliases: []string{"key"}, Required: true}, {Name: "value", Aliases: []string{"val"}},
		{Name: "state", Default: "present", Choices: []string{"present", "absent"}},
		{Name: "reload", Type: Bool, Default: true}, {Name: "sysctl_set", Type: Bool, Default: false},
		{Name: "ignoreerrors", Type: Bool, Default: false}, {Name: "sysctl_file", Type: Path, Default: "/etc/sysctl.conf"},
	},
	RequiredIf: []RequiredIf{{Param: "state", Equals: "present", Needs: []string{"value"}}},
	Run:        runSysctl,
}

// runSysctl keeps a key in a file under /etc and, when asked to, in the kernel.
// The kernel is read and written through /proc/sys: no program is started.
func runSysctl(ctx context.Context, c *Call) *Result {
	h, name, file := c.Host, strings.TrimSpace(c.Str("name")), c.Str("sysctl_file")
	if name == "" || strings.ContainsAny(name, "\n=") {
		return Fail("cannot use the name %q: it is empty or holds = or a line break", name)
	}
	value := sysctlValue(c.Raw("value"))
	present := c.Str("state") == "present"
	if present && value == "" {
		return Fail("value cannot be blank")
	}
	if strings.Contains(value, "\n") {
		return Fail("cannot use the value %q: it holds a line break", value)
	}
	before, err := h.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Fail("Failed to open %s: %s", file, reason(err))
	}
	old := string(before)
	text, was := editSysctl(old, name, value, present)
	r := &Result{}
	fileChanged := text != old
	live, liveErr := readSysctl(h, name)
	setLive := present && c.Bool("sysctl_set") && (liveErr != nil || sysctlNorm(live) != sysctlNorm(value))
	if setLive && liveErr != nil && !c.Bool("ignoreerrors") && !c.Check {
		return Fail("setting %s failed: %v", name, liveErr)
	}
	if setLive && liveErr != nil && c.Bool("ignoreerrors") {
		setLive = false // the host does not have it, and that is to be ignored
	}
	if !fileChanged && !setLive {
		return r
	}
	if c.Diff && fileChanged {
		r.addDiff(file, old, text)
	}
	if !c.Check {
		if setLive {
			if err := writeSysctl(h, name, value); err != nil && !c.Bool("ignoreerrors") {
				return Fail("setting %s failed: %v", name, err)
			}
		}
		// The kernel comes first: ended between the two, the next run still
		// finds the file to change and does both.
		if fileChanged && c.Bool("reload") {
			if err := loadSysctl(h, text); err != nil && !c.Bool("ignoreerrors") {
				return r.Fail("Failed to reload sysctl: %v", err)
			}
		}
		h.Step("kernel set")
		if fileChanged {
			if err := h.WriteFile(file, []byte(text)); err != nil {
				return Fail("%v", err)
			}
		}
	}
	rec := func(file, live string) map[string]any {
		m := map[string]any{"value": file}
		if live != "" {
			m["live"] = live
		}
		return m
	}
	action := "update"
	switch {
	case !present:
		return r.Change("sysctl", name, "delete", rec(was, sysctlNorm(live)), nil)
	case was == "":
		action = "create"
	}
	now := sysctlNorm(live)
	if setLive || fileChanged && c.Bool("reload") {
		now = value
	}
	return r.Change("sysctl", name, action, rec(was, sysctlNorm(live)), rec(value, now))
}

func sysctlValue(v any) string {
	s := strings.TrimSpace(param.ToText(v))
	switch strings.ToLower(s) {
	case "yes", "on", "true", "y", "t":
		return "1"
	case "no", "off", "false", "n", "f":
		return "0"
	}
	return s
}

// sysctlNorm makes values comparable: the kernel writes tabs between numbers.
func sysctlNorm(s string) string { return strings.Join(strings.Fields(s), " ") }

// sysctlKey is the key of a line, or "" for a comment or something else. Keys
// may be written with dots or slashes.
func sysctlKey(line string) (key, value string) {
	l := strings.TrimSpace(line)
	if l == "" || l[0] == '#' || l[0] == ';' {
		return "", ""
	}
	k, v, ok := strings.Cut(l, "=")
	if !ok {
		return "", ""
	}
	return strings.TrimPrefix(strings.TrimSpace(k), "-"), strings.TrimSpace(v)
}

// editSysctl sets or removes a key in a file's text. Every other line stays as
// it is; a second line of the same key is dropped, as it would win.
func editSysctl(text, name, value string, present bool) (out, was string) {
	var lines []string
	done := false
	for _, l := range keepLines(text) {
		k, v := sysctlKey(l)
		if k == "" || sysctlPath(k) != sysctlPath(name) {
			lines = append(lines, l)
			continue
		}
		was = v
		switch {
		case !present || done:
		case sysctlNorm(v) == sysctlNorm(value):
			lines = append(lines, l)
		default:
			lines = append(lines, name+"="+value+"\n")
		}
		done = true
	}
	if present && !done {
		if n := len(lines); n > 0 {
			lines[n-1] = ended(lines[n-1])
		}
		lines = append(lines, name+"="+value+"\n")
	}
	return strings.Join(lines, ""), was
}

// sysctlPath is a key's file in /proc/sys: dots are slashes, unless a slash
// comes first, then it is the other way round (net/ipv4/conf/eth0.5/forwarding).
func sysctlPath(key string) string {
	dot, slash := strings.IndexByte(key, '.'), strings.IndexByte(key, '/')
	if slash >= 0 && (dot < 0 || slash < dot) {
		return filepath.Join("/proc/sys", filepath.Join("/", key))
	}
	swap := strings.NewReplacer(".", "/", "/", ".")
	return filepath.Join("/proc/sys", filepath.Join("/", swap.Replace(key)))
}

func readSysctl(h *Host, key string) (string, error) {
	b, err := h.ReadFile(sysctlPath(key))
	return strings.TrimSpace(string(b)), err
}

func writeSysctl(h *Host, key, value string) error {
	return os.WriteFile(h.Path(sysctlPath(key)), []byte(value+"\n"), 0o644)
}

// loadSysctl brings the kernel to what a file says, as sysctl -p would.
func loadSysctl(h *Host, text string) error {
	var errs []error
	for _, l := range keepLines(text) {
		k, v := sysctlKey(l)
		if k == "" {
			continue
		}
		cur, err := readSysctl(h, k)
		if err == nil && sysctlNorm(cur) != sysctlNorm(v) {
			err = writeSysctl(h, k, v)
		}
		if err != nil && !strings.HasPrefix(strings.TrimSpace(l), "-") {
			errs = append(errs, fmt.Errorf("%s: %w", k, err))
		}
	}
	return errors.Join(errs...)
}
