package sim

import (
	"math"
	"time"

	"drover/api"
)

// look is what a simulated host shows when it is looked at.
func (h *host) look(l *api.Look) *api.Seen {
	now := time.Now()
	c := characterOf(h.name, h.fleet.start)
	seen := &api.Seen{ID: l.ID}
	switch l.What {
	case api.LookUnits:
		for _, u := range units {
			seen.Units = append(seen.Units, api.Unit{Name: u.name, Description: u.description, Load: "loaded", Active: "active", Sub: u.sub, Since: c.boot.Add(20 * time.Second).UTC()})
		}
	case api.LookProcesses:
		seen.Processes = h.processes(c, now, l.Limit)
	default:
		seen.Error = "a simulated host cannot look at " + l.What
	}
	return seen
}

// simProcesses are what runs on a simulated host of load and size 1.
var simProcesses = []struct {
	user, name, command string
	cpu                 float64
	mb                  int64
}{
	{"postgres", "postgres", "postgres: 15/main: app app 127.0.0.1(51212) SELECT", 14, 92}, {"www-data", "nginx", "nginx: worker process", 6, 24},
	{"postgres", "postgres", "postgres: 15/main: checkpointer", 2, 61}, {"root", "drover-agent", "/var/lib/drover-agent/bin/current run --state /var/lib/drover-agent", 0.2, 36},
	{"root", "systemd", "/sbin/init", 0.1, 12}, {"root", "systemd-journal", "/lib/systemd/systemd-journald", 0.3, 28}, {"root", "sshd", "sshd: /usr/sbin/sshd -D", 0, 9},
	{"root", "nginx", "nginx: master process /usr/sbin/nginx", 0, 6}, {"root", "cron", "/usr/sbin/cron -f", 0, 3}, {"messagebus", "dbus-daemon", "/usr/bin/dbus-daemon --system", 0, 4},
	{"systemd-timesync", "systemd-timesyn", "/lib/systemd/systemd-timesyncd", 0, 7}, {"root", "systemd-logind", "/lib/systemd/systemd-logind", 0, 8},
	{"root", "systemd-udevd", "/lib/systemd/systemd-udevd", 0, 7}, {"root", "agetty", "/sbin/agetty -o -p -- \\u --noclear tty1 linux", 0, 1}, {"root", "kworker/0:1", "", 0.1, 0}, {"root", "ksoftirqd/0", "", 0, 0},
}

func (h *host) processes(c character, now time.Time, limit int) *api.ProcessList {
	up := now.Sub(c.boot)
	wave := 1 + 0.5*math.Sin(dayNight*up.Seconds()+c.phase)
	l := &api.ProcessList{Time: now.UTC(), CPUs: 2, CPUPercent: 100 * busyShare * c.load * wave, Load1: 0.8 * c.load * wave, Uptime: up, Total: 140,
		MemTotal: int64(c.size * 2 * (1 << 30)), MemUsed: int64(c.size * 0.9 * (1 << 30)), Items: []api.Process{}}
	for i, p := range simProcesses {
		if limit > 0 && i == limit {
			break
		}
		l.Items = append(l.Items, api.Process{PID: 1 + i*137%4000, User: p.user, Name: p.name, Command: p.command, CPUPercent: p.cpu * c.load * wave,
			RSS: int64(float64(p.mb<<20) * math.Sqrt(c.size)), Start: c.boot.Add(time.Duration(i) * time.Second).UTC()})
	}
	return l
}
