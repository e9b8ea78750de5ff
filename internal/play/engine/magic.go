package engine

import (
	"context"
	"path"
	"slices"
	"strings"

	"drover/internal/play/source"
	"drover/internal/play/value"
)

// magicNames are the variables that the engine itself gives.
var magicNames = map[string]func(s *scope) (value.Value, bool){
	"inventory_hostname":       func(s *scope) (value.Value, bool) { return s.h.name, true },
	"inventory_hostname_short": func(s *scope) (value.Value, bool) { n, _, _ := strings.Cut(s.h.name, "."); return n, true },
	"inventory_dir":            func(s *scope) (value.Value, bool) { return s.r.inventoryDir(), true },
	"inventory_file":           func(s *scope) (value.Value, bool) { return s.r.inventoryFile(), true },
	"ansible_inventory_sources": func(s *scope) (value.Value, bool) {
		return names(s.r.inv.Sources()), true
	},
	"group_names": func(s *scope) (value.Value, bool) { return names(s.r.inv.GroupNamesOf(s.h.host)), true },
	"groups":      func(s *scope) (value.Value, bool) { return s.r.groupsDict(), true },
	"hostvars":    func(s *scope) (value.Value, bool) { return &hostvars{s}, true },
	"vars":        func(s *scope) (value.Value, bool) { return &allVars{s}, true },
	"omit":        func(*scope) (value.Value, bool) { return omitted{}, true },
	"playbook_dir": func(s *scope) (value.Value, bool) {
		if s.pr == nil {
			return s.r.p.files.Root(), true
		}
		return s.pr.play.dir, true
	},
	"play_hosts":             playHosts,
	"ansible_play_hosts":     playHosts,
	"ansible_play_batch":     playBatch,
	"ansible_play_hosts_all": playHostsAll,
	"ansible_play_name": func(s *scope) (value.Value, bool) {
		if s.pr == nil {
			return nil, false
		}
		return s.pr.play.name, true
	},
	"ansible_play_role_names": roleNames,
	"role_names":              roleNames,
	"ansible_role_names":      roleNames,
	"role_name":               roleName,
	"ansible_role_name":       roleName,
	"role_path": func(s *scope) (value.Value, bool) {
		if s.c == nil || s.c.role == nil {
			return nil, false
		}
		return s.c.role.def.path, true
	},
	"ansible_parent_role_names": func(s *scope) (value.Value, bool) { return parents(s, func(r *roleRun) string { return r.name }) },
	"ansible_dependent_role_names": func(s *scope) (value.Value, bool) {
		if s.pr == nil {
			return nil, false
		}
		var out []string
		for _, r := range s.pr.play.roles {
			if r.dependency && !slices.Contains(out, r.name) {
				out = append(out, r.name)
			}
		}
		return names(out), true
	},
	"ansible_parent_role_paths": func(s *scope) (value.Value, bool) { return parents(s, func(r *roleRun) string { return r.def.path }) },
	"ansible_check_mode":        func(s *scope) (value.Value, bool) { return s.r.o.Check, true },
	"ansible_diff_mode":         func(s *scope) (value.Value, bool) { return s.r.o.Diff, true },
	"ansible_forks":             func(s *scope) (value.Value, bool) { return int64(s.r.o.Forks), true },
	"ansible_verbosity":         func(s *scope) (value.Value, bool) { return int64(s.r.o.Verbosity), true },
	"ansible_limit": func(s *scope) (value.Value, bool) {
		if s.r.o.Limit == "" {
			return nil, false
		}
		return s.r.o.Limit, true
	},
	"ansible_run_tags": func(s *scope) (value.Value, bool) {
		if len(s.r.o.Tags) == 0 {
			return names([]string{"all"}), true
		}
		return names(s.r.o.Tags), true
	},
	"ansible_skip_tags": func(s *scope) (value.Value, bool) { return names(s.r.o.SkipTags), true },
	"ansible_version": func(*scope) (value.Value, bool) {
		return value.DictOf("full", Version, "major", int64(2), "minor", int64(19), "revision", int64(11), "string", Version), true
	},
	"ansible_playbook_python": func(*scope) (value.Value, bool) { return "/usr/bin/python3", true },
	"ansible_facts":           func(s *scope) (value.Value, bool) { return s.factsDict(), true },
	"ansible_search_path":     func(s *scope) (value.Value, bool) { return names(s.searchPath()), true },
	"ansible_collection_name": func(s *scope) (value.Value, bool) {
		if s.c == nil || s.c.role == nil {
			return nil, false
		}
		if p := strings.Split(s.c.role.name, "."); len(p) == 3 {
			return p[0] + "." + p[1], true
		}
		return nil, false
	},
	"ansible_delegated_vars": func(s *scope) (value.Value, bool) { return s.delegated, s.delegated != nil },
	"environment": func(s *scope) (value.Value, bool) {
		return nil, false
	},
}

func (s *scope) magic(name string) (value.Value, bool) {
	if f := magicNames[name]; f != nil {
		return f(s)
	}
	return nil, false
}

func names(list []string) *value.List {
	out := &value.List{Items: make([]value.Value, len(list))}
	for i, n := range list {
		out.Items[i] = n
	}
	return out
}

func playHosts(s *scope) (value.Value, bool) {
	if s.pr == nil {
		return nil, false
	}
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	var out []string
	batch := make(map[*hostState]bool, len(s.pr.batch))
	for _, h := range s.pr.batch {
		batch[h] = true
		if !s.pr.gone[h.name] && !s.pr.ended[h.name] {
			out = append(out, h.name)
		}
	}
	for _, h := range s.pr.hosts {
		if !batch[h] && !s.pr.gone[h.name] && !s.r.removed[h.name] {
			out = append(out, h.name)
		}
	}
	return names(out), true
}

func playBatch(s *scope) (value.Value, bool) {
	if s.pr == nil {
		return nil, false
	}
	var out []string
	for _, h := range s.pr.batch {
		out = append(out, h.name)
	}
	return names(out), true
}

func playHostsAll(s *scope) (value.Value, bool) {
	if s.pr == nil {
		return nil, false
	}
	var out []string
	for _, h := range s.pr.hosts {
		out = append(out, h.name)
	}
	return names(out), true
}

func roleName(s *scope) (value.Value, bool) {
	if s.c == nil || s.c.role == nil {
		return nil, false
	}
	return s.c.role.name, true
}

func roleNames(s *scope) (value.Value, bool) {
	if s.pr == nil {
		return nil, false
	}
	var out []string
	for _, r := range s.pr.play.roles {
		if !slices.Contains(out, r.name) {
			out = append(out, r.name)
		}
	}
	return names(out), true
}

func parents(s *scope, of func(*roleRun) string) (value.Value, bool) {
	if s.c == nil || s.c.role == nil {
		return nil, false
	}
	var out []string
	for r := s.c.role; r.parent != nil && !r.dependency; r = r.parent {
		out = append(out, of(r.parent))
	}
	return names(out), len(out) > 0
}

// factsDict is ansible_facts of the host.
func (s *scope) factsDict() *value.Dict {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.set != nil {
		if d, ok := s.set.GetString("ansible_facts"); ok {
			if d, ok := d.(*value.Dict); ok {
				return d
			}
		}
	}
	return s.h.facts
}

// searchPath lists the folders that files of a task are looked for in.
func (s *scope) searchPath() []string {
	var out []string
	add := func(d string) {
		if d != "" && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	if s.c != nil {
		for r := s.c.role; r != nil; r = r.parent {
			add(r.def.path)
		}
	}
	if s.t != nil {
		add(s.t.dir)
	}
	if s.pr != nil {
		add(s.pr.play.dir)
	}
	return out
}

// find looks a file up along the search path, in the folder kind of each place
// first.
func (s *scope) find(kind, name string) (file string, tried []string, ok bool) {
	files := s.r.p.files
	if path.IsAbs(name) {
		_, err := files.Stat(name)
		if tried = []string{name}; err != nil && kind != "" && !source.Here(files) {
			tried[0] += " (among the project's own files: those of the machine that reads it are not looked at)"
		}
		return path.Clean(name), tried, err == nil
	}
	if strings.HasPrefix(name, "~/") {
		if home := s.r.o.Env["HOME"]; home != "" {
			name = path.Join(home, name[2:])
			_, err := files.Stat(name)
			return name, []string{name}, err == nil
		}
	}
	for _, d := range s.searchPath() {
		var candidates []string
		if kind != "" && !strings.HasPrefix(name, kind+"/") {
			candidates = append(candidates, path.Join(d, kind, name))
		}
		candidates = append(candidates, path.Join(d, name))
		if kind != "" && path.Base(d) == "tasks" {
			candidates = append(candidates, path.Join(path.Dir(d), kind, name))
		}
		for _, c := range candidates {
			if slices.Contains(tried, c) {
				continue
			}
			if _, err := files.Stat(c); err == nil {
				return c, nil, true
			}
			tried = append(tried, c)
		}
	}
	return "", tried, false
}

// hostvars is the variable of that name.
type hostvars struct{ s *scope }

// Lookup gives the variables of one host.
func (m *hostvars) Lookup(key value.Value) (value.Value, bool, error) {
	name, ok := value.StrOf(key)
	if !ok {
		return nil, false, nil
	}
	h := m.s.r.stateOf(name)
	if h == nil {
		return nil, false, nil
	}
	return &allVars{m.s.r.hostScope(m.s.ctx, m.s.pr, h)}, true, nil
}

// Keys lists the hosts.
func (m *hostvars) Keys() []value.Value {
	m.s.r.mu.RLock()
	defer m.s.r.mu.RUnlock()
	var out []value.Value
	for _, n := range m.s.r.inv.Hosts() {
		out = append(out, n)
	}
	return out
}

// hostScope sees a host's variables without a task's.
func (r *run) hostScope(ctx context.Context, pr *playRun, h *hostState) *scope {
	s := r.newScope(ctx, pr, h, nil)
	return s
}

// allVars is all that a scope sees, as a dictionary.
type allVars struct{ s *scope }

// Lookup gives one variable.
func (m *allVars) Lookup(key value.Value) (value.Value, bool, error) {
	name, ok := value.StrOf(key)
	if !ok || name == "vars" {
		return nil, false, nil
	}
	return m.s.Var(name)
}

// Keys lists the names.
func (m *allVars) Keys() []value.Value {
	var out []value.Value
	for _, n := range m.s.Names() {
		if n != "vars" && n != "hostvars" {
			out = append(out, n)
		}
	}
	return out
}

// TypeName is what type_debug says.
func (m *allVars) TypeName() string { return "HostVarsVars" }

// TypeName is what type_debug says.
func (m *hostvars) TypeName() string { return "HostVars" }
