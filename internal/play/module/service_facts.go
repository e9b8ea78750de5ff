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
	if !systemdBooted(c.Host) {
		c.initScripts(ctx, services)
		return r
	}
	src := unitsOn(ctx, c.Host, "system")
	defer src.close()
	var err error
	if bus, ok := src.(*busUnits); ok {
		err = bus.services(ctx, put)
	} else {
		err = (&systemctl{h: c.Host, scope: "system", env: c.Env}).services(ctx, put)
	}
	if err != nil {
		return Fail("cannot list the services: %v", err)
	}
	// Init scripts are services too; systemd knows whether theirs runs.
	for _, name := range c.scripts() {
		state := "stopped"
		if unit, ok := services[name+".service"].(map[string]any); ok && unit["state"] == "running" {
			state = "running"
		}
		services[name] = map[string]any{"name": name, "state": state, "source": "sysv"}
	}
	return r
}

// scripts are the names of the executable init scripts.
func (c *Call) scripts() []string {
	entries, err := os.ReadDir(c.Host.Path("/etc/init.d"))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			out = append(out, e.Name())
		}
	}
	return out
}

// initScripts asks `service --status-all`: [ + ] runs, [ - ] does not, [ ? ]
// does not tell.
func (c *Call) initScripts(ctx context.Context, services map[string]any) {
	state := map[string]string{}
	if out, err := c.tool(ctx, Cmd{Argv: []string{"service", "--status-all"}}); err == nil {
		for line := range strings.Lines(string(out.Stdout)) {
			f := strings.Fields(line)
			if len(f) == 4 && f[0] == "[" && f[2] == "]" {
				state[f[3]] = map[string]string{"+": "running", "-": "stopped"}[f[1]]
			}
		}
	}
	for _, name := range c.scripts() {
		s := state[name]
		if s == "" {
			s = "unknown"
		}
		services[name] = map[string]any{"name": name, "state": s, "source": "sysv"}
	}
}

type putService func(name, state, status, source string)

// unitRow is a loaded unit.
type unitRow struct{ name, load, active, sub string }

// tell joins loaded units and unit files: a unit without a file of its own is
// told by its state, one that failed by its failure.
func tell(units []unitRow, files map[string]string, active func(name string) string, put putService) {
	loaded := map[string]bool{}
	for _, u := range units {
		loaded[u.name] = true
		state, status := "stopped", files[u.name]
		if u.sub == "running" {
			state = "running"
		}
		switch {
		case u.load == "not-found":
			status = "not-found"
		case u.active == "failed":
			status = "failed"
		case status == "":
			status = "inactive"
		}
		put(u.name, state, status, "systemd")
	}
	for name, status := range files {
		if loaded[name] {
			continue
		}
		state := "unknown" // a template is no service yet
		if !strings.Contains(name, "@.") {
			state = active(name)
		}
		put(name, state, status, "systemd")
	}
}

func (u *busUnits) services(ctx context.Context, put putService) error {
	list, err := u.conn.ListUnitsByPatternsContext(ctx, nil, []string{"*.service"})
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
	units := make([]unitRow, len(list))
	for i, un := range list {
		units[i] = unitRow{un.Name, un.LoadState, un.ActiveState, un.SubState}
	}
	tell(units, status, func(name string) string {
		if status[name] != "alias" {
			return "inactive" // it would be loaded otherwise
		}
		p, err := u.conn.GetUnitPropertyContext(ctx, name, "ActiveState")
		if err != nil {
			return "unknown"
		}
		s, _ := p.Value.Value().(string)
		return s
	}, put)
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
		}
	}
	out, err := s.run(ctx, "list-units", "--no-pager", "--no-legend", "--type", "service", "--all", "--plain")
	if err != nil {
		return err
	}
	var units []unitRow
	for line := range strings.Lines(string(out.Stdout)) {
		if f := strings.Fields(strings.TrimLeft(line, "●* ")); len(f) >= 4 {
			units = append(units, unitRow{f[0], f[1], f[2], f[3]})
		}
	}
	tell(units, status, func(string) string { return "inactive" }, put)
	return nil
}
