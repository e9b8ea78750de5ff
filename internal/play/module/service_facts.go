package module

import (
	"context"
	"os"
	"path"
	"strings"
)

var serviceFactsModule = &Module{Name: "service_facts", Run: runServiceFacts}

func runServiceFacts(ctx context.Context, c *Call) *Result {
	services := map[string]any{}
	r := &Result{Facts: map[string]any{"services": services}}
	put := func(name, state, status, source string) {
		services[name] = map[string]any{"name": name, "state": state, "status": status, "source": source}
	}
	if entries, err := os.ReadDir(c.Host.Path("/etc/init.d")); err == nil && !systemdBooted(c.Host) {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || e.Name() == "README" {
				continue
			}
			status := "disabled"
			if sysvEnabled(c.Host, e.Name()) {
				status = "enabled"
			}
			put(e.Name(), "unknown", status, "sysv")
		}
	}
	if !systemdBooted(c.Host) {
		return r
	}
	src := unitsOn(c.Host, ctx, "system")
	defer src.close()
	var err error
	if bus, ok := src.(*busUnits); ok {
		err = bus.services(ctx, put)
	} else {
		err = (&systemctl{h: c.Host, scope: "system"}).services(ctx, put)
	}
	if err != nil {
		return Fail("cannot list the services: %v", err)
	}
	return r
}

type putService func(name, state, status, source string)

// serviceState words a loaded unit's state: running, stopped, or systemd's own word.
func serviceState(load, active, sub string) string {
	switch {
	case sub == "running":
		return "running"
	case active == "failed" || load == "failed":
		return "failed"
	case active == "active" && sub != "":
		return "stopped" // a oneshot that is done: nothing runs
	}
	return "stopped"
}

func (u *busUnits) services(ctx context.Context, put putService) error {
	units, err := u.conn.ListUnitsByPatternsContext(ctx, nil, []string{"*.service"})
	if err != nil {
		return err
	}
	files, err := u.conn.ListUnitFilesByPatternsContext(ctx, nil, []string{"*.service"})
	if err != nil {
		return err
	}
	status := map[string]string{}
	for _, f := range files {
		status[path.Base(f.Path)] = f.Type
	}
	for name, s := range status {
		state := "inactive"
		if s == "static" || strings.Contains(name, "@.") {
			state = "inactive"
		}
		if strings.Contains(name, "@.") {
			state = "unknown"
		}
		put(name, state, s, "systemd")
	}
	for _, un := range units {
		s := status[un.Name]
		if s == "" {
			s = "unknown"
			if un.LoadState == "not-found" {
				s = "not-found"
			} else if base, _, ok := strings.Cut(un.Name, "@"); ok {
				if t := status[base+"@.service"]; t != "" {
					s = t
				}
			}
		}
		put(un.Name, serviceState(un.LoadState, un.ActiveState, un.SubState), s, "systemd")
	}
	return nil
}

func (s *systemctl) services(ctx context.Context, put putService) error {
	files, err := s.run(ctx, "list-unit-files", "--no-pager", "--no-legend", "--type", "service", "--all")
	if err != nil {
		return err
	}
	status := map[string]string{}
	for line := range strings.Lines(string(files.Stdout)) {
		if f := strings.Fields(line); len(f) >= 2 {
			status[f[0]] = f[1]
			state := "inactive"
			if strings.Contains(f[0], "@.") {
				state = "unknown"
			}
			put(f[0], state, f[1], "systemd")
		}
	}
	units, err := s.run(ctx, "list-units", "--no-pager", "--no-legend", "--type", "service", "--all", "--plain")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(units.Stdout)) {
		f := strings.Fields(strings.TrimLeft(line, "●* "))
		if len(f) < 4 {
			continue
		}
		st := status[f[0]]
		if st == "" {
			if st = "unknown"; f[1] == "not-found" {
				st = "not-found"
			}
		}
		put(f[0], serviceState(f[1], f[2], f[3]), st, "systemd")
	}
	return nil
}
