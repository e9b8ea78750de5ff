package module

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"drover/internal/play/facts"
)

// unitSource answers what systemd knows of units.
type unitSource interface {
	// show gives a unit's properties as `systemctl show` words them.
	show(ctx context.Context, unit string) (map[string]string, error)
	// enabled is what `systemctl is-enabled` says: the state on disk.
	enabled(ctx context.Context, unit string) (string, error)
	close()
}

// systemdBooted reports whether systemd is the host's first process.
func systemdBooted(h *Host) bool { return h.Exists("/run/systemd/system") }

// unitsOn opens the way to systemd: its D-Bus socket where there is one, a
// program otherwise. Reading over D-Bus is ten times faster than a program.
func unitsOn(ctx context.Context, h *Host, scope string) unitSource {
	if h.Root == "" && h.Exec == nil && scope == "system" {
		if u, err := dialUnits(ctx); err == nil {
			return u
		}
	}
	return &systemctl{h: h, scope: scope}
}

// systemctl asks the program.
type systemctl struct {
	h     *Host
	scope string
	env   map[string]string // of the task
}

func (s *systemctl) close() {}

func (s *systemctl) argv(args ...string) []string {
	out := []string{"systemctl"}
	if s.scope != "system" && s.scope != "" {
		out = append(out, "--"+s.scope)
	}
	return append(out, args...)
}

// systemctlEnv leads systemctl --user to the user's own systemd.
func systemctlEnv(h *Host, scope string) map[string]string {
	env := map[string]string{"LANG": "C", "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
	if _, ok := h.Getenv("XDG_RUNTIME_DIR"); !ok && scope == "user" {
		env["XDG_RUNTIME_DIR"] = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	return env
}

func (s *systemctl) run(ctx context.Context, args ...string) (Output, error) {
	env := systemctlEnv(s.h, s.scope)
	maps.Copy(env, s.env)
	return s.h.Run(ctx, Cmd{Argv: s.argv(args...), Env: env})
}

func (s *systemctl) show(ctx context.Context, unit string) (map[string]string, error) {
	out, err := s.run(ctx, "show", unit)
	if err != nil {
		return nil, err
	}
	if out.Code != 0 {
		return nil, errors.New(strings.TrimSpace(string(out.Stderr)))
	}
	return parseShow(string(out.Stdout)), nil
}

// parseShow reads key=value lines; a value with an open brace goes on over
// lines until the brace closes.
func parseShow(text string) map[string]string {
	out := map[string]string{}
	key := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if key != "" {
			out[key] += "\n" + line
			if strings.HasSuffix(strings.TrimRight(line, " "), "}") {
				key = ""
			}
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		out[k] = v
		if strings.HasPrefix(k, "Exec") && strings.HasPrefix(strings.TrimLeft(v, " "), "{") && !strings.HasSuffix(strings.TrimRight(v, " "), "}") {
			key = k
		}
	}
	return out
}

func (s *systemctl) enabled(ctx context.Context, unit string) (string, error) {
	out, err := s.run(ctx, "is-enabled", unit)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(out.Stdout))
	if text == "" && out.Code != 0 {
		return "", errors.New(strings.TrimSpace(string(out.Stderr)))
	}
	return text[strings.LastIndexByte(text, '\n')+1:], nil
}

// busUnits asks systemd itself.
type busUnits struct {
	conn *sd.Conn
	raw  *dbus.Conn
}

func dialUnits(ctx context.Context) (*busUnits, error) {
	u := &busUnits{}
	dial := func() (*dbus.Conn, error) {
		c, err := dbus.Dial("unix:path=/run/systemd/private", dbus.WithContext(ctx))
		if err == nil {
			err = c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))})
			if err != nil {
				c.Close()
			}
		}
		if err != nil { // only root may use systemd's own socket
			if c, err = dbus.SystemBusPrivate(dbus.WithContext(ctx)); err != nil {
				return nil, err
			}
			if err = c.Auth(nil); err == nil {
				err = c.Hello()
			}
			if err != nil {
				c.Close()
				return nil, err
			}
		}
		if u.raw == nil {
			u.raw = c
		}
		return c, nil
	}
	conn, err := sd.NewConnection(dial)
	if err != nil {
		return nil, err
	}
	u.conn = conn
	return u, nil
}

func (u *busUnits) close() { u.conn.Close() }

func (u *busUnits) show(ctx context.Context, unit string) (map[string]string, error) {
	props, err := u.conn.GetAllPropertiesContext(ctx, unit)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(props))
	for k, v := range props {
		if s, ok := showValue(k, v); ok {
			out[k] = s
		}
	}
	return out, nil
}

func (u *busUnits) enabled(ctx context.Context, unit string) (string, error) {
	var state string
	err := u.raw.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.systemd1.Manager.GetUnitFileState", 0, unit).Store(&state)
	return state, err
}

// showValue words a property as `systemctl show` does. What that tells in
// other words altogether (unit relations of a job, say) is left out.
func showValue(key string, v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		if v {
			return "yes", true
		}
		return "no", true
	case int32:
		if v == -1 && strings.HasSuffix(key, "ActionExitStatus") {
			return "", true
		}
		return strconv.Itoa(int(v)), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint32:
		switch {
		case strings.HasSuffix(key, "Mode") || key == "UMask":
			return fmt.Sprintf("%04o", v), true
		case key == "UID" || key == "GID":
			if v == 1<<32-1 {
				return "[not set]", true
			}
		}
		return strconv.FormatUint(uint64(v), 10), true
	case uint64:
		if key == "CapabilityBoundingSet" || key == "AmbientCapabilities" {
			return strings.Join(facts.Capabilities(v), " "), true
		}
		return showNumber(key, v), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case []string:
		if key == "Documentation" {
			for i, s := range v {
				v[i] = `"` + s + `"`
			}
		}
		if key == "Environment" || strings.HasPrefix(key, "Exec") {
			for i, s := range v {
				if strings.ContainsAny(s, " \t") {
					v[i] = `"` + s + `"`
				}
			}
		}
		return strings.Join(v, " "), true
	case [][]any:
		switch {
		case strings.HasPrefix(key, "Exec"):
			return showCommands(v, strings.HasSuffix(key, "Ex"))
		case key == "EnvironmentFiles":
			return showPairs(v, func(a, b any) string {
				if ignore, _ := b.(bool); ignore {
					return fmt.Sprintf("%v (ignore_errors=yes)", a)
				}
				return fmt.Sprintf("%v (ignore_errors=no)", a)
			})
		case key == "DeviceAllow":
			return showPairs(v, func(a, b any) string { return fmt.Sprintf("%v %v", a, b) })
		}
	}
	return "", false
}

func showNumber(key string, v uint64) string {
	const unset = 1<<64 - 1
	timestamp := strings.HasSuffix(key, "Timestamp")
	switch {
	case timestamp && (v == 0 || v == unset):
		return ""
	case timestamp:
		return time.UnixMicro(int64(v)).Format("Mon 2006-01-02 15:04:05 MST")
	case strings.HasSuffix(key, "TimestampMonotonic"):
		return strconv.FormatUint(v, 10)
	case strings.HasSuffix(key, "USec"), strings.HasSuffix(key, "Usec"):
		if v == unset {
			return "infinity"
		}
		return span(v)
	case v == unset && (strings.HasPrefix(key, "Limit") || strings.HasPrefix(key, "Memory") || key == "TasksMax"):
		return "infinity"
	case v == unset && strings.HasPrefix(key, "IO") && !strings.HasSuffix(key, "Weight"):
		return strconv.FormatUint(v, 10)
	case v == unset && strings.HasPrefix(key, "IP"):
		return "[no data]"
	case key == "CoredumpFilter":
		return fmt.Sprintf("0x%x", v)
	case v == unset:
		return "[not set]"
	}
	return strconv.FormatUint(v, 10)
}

// span words microseconds as systemd does: "1min 30s", "100ms".
func span(us uint64) string {
	if us == 0 {
		return "0"
	}
	units := []struct {
		name string
		us   uint64
	}{{"y", 31557600e6}, {"month", 2629800e6}, {"w", 604800e6}, {"d", 86400e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1000}, {"us", 1}}
	var parts []string
	for _, u := range units {
		if n := us / u.us; n > 0 {
			parts = append(parts, strconv.FormatUint(n, 10)+u.name)
			us %= u.us
		}
	}
	return strings.Join(parts, " ")
}

func showPairs(list [][]any, word func(a, b any) string) (string, bool) {
	var out []string
	for _, p := range list {
		if len(p) != 2 {
			return "", false
		}
		out = append(out, word(p[0], p[1]))
	}
	return strings.Join(out, "\n"), true
}

// showCommands words ExecStart and its like; the Ex forms have flags instead
// of whether to ignore errors.
func showCommands(list [][]any, ex bool) (string, bool) {
	var out []string
	for _, c := range list {
		if len(c) < 10 {
			return "", false
		}
		argv, ok := c[1].([]string)
		if !ok {
			return "", false
		}
		how := "ignore_errors=no"
		if b, _ := c[2].(bool); b {
			how = "ignore_errors=yes"
		}
		if flags, _ := c[2].([]string); ex {
			how = "flags=" + strings.Join(flags, " ")
		}
		stamp := func(v any) string {
			n, _ := v.(uint64)
			if n == 0 {
				return "[n/a]"
			}
			return "[" + time.UnixMicro(int64(n)).Format("Mon 2006-01-02 15:04:05 MST") + "]"
		}
		code := "(null)"
		if n, _ := c[8].(int32); n == 1 {
			code = "exited"
		}
		out = append(out, fmt.Sprintf("{ path=%v ; argv[]=%s ; %s ; start_time=%s ; stop_time=%s ; pid=%v ; code=%s ; status=%v/0 }",
			c[0], strings.Join(argv, " "), how, stamp(c[3]), stamp(c[5]), c[7], code, c[9]))
	}
	return strings.Join(out, "\n"), true
}

// statusMap is the properties as the `status` return key holds them: those that
// are not empty.
func statusMap(props map[string]string) map[string]any {
	out := make(map[string]any, len(props))
	for k, v := range props {
		if v != "" {
			out[k] = v
		}
	}
	return out
}
