// Package inventory reads what hosts and groups there are and what variables
// they have: INI, YAML and scripts, group_vars and host_vars; it answers which
// hosts a pattern names, and cuts out one host's slice.
package inventory

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"drover/api"
	"drover/internal/play/source"
	"drover/internal/play/value"
)

// Inventory is the hosts and groups that plays choose from.
type Inventory struct {
	hosts      map[string]*Host
	groups     map[string]*Group
	order      []string // hosts in the order they were declared
	groupOrder []string
	dirs       []string // folders whose group_vars and host_vars count
	sources    []string
	files      source.Files
	vault      *source.Vault
	// sliced is set when the inventory is one host's slice.
	sliced   string
	warnings []string
}

// Host is one host of an inventory.
type Host struct {
	Name     string
	Vars     *value.Dict // declared in the inventory itself
	Plugin   *value.Dict // from host_vars beside the inventory
	groups   []*Group    // direct ones, without "all"
	Implicit bool        // localhost that nobody declared
}

// Group is a group of hosts.
type Group struct {
	Name     string
	Vars     *value.Dict
	Plugin   *value.Dict // from group_vars beside the inventory
	Children []*Group
	Parents  []*Group
	Hosts    []*Host
	Priority int
}

// Options say what to load.
type Options struct {
	Files   source.Files
	Sources []string // files, folders, or "host1,host2,"
	Vault   *source.Vault
	// INI reads files that end in .ini in inventory folders too. Ansible passes
	// them over, so that its plugins' settings may be there.
	INI bool
	// Run executes an inventory script; nil runs it on this machine when
	// Files are this machine's, and is an error when they are not.
	Run func(ctx context.Context, argv ...string) ([]byte, error)
}

func newInventory(files source.Files, vault *source.Vault) *Inventory {
	inv := &Inventory{hosts: map[string]*Host{}, groups: map[string]*Group{}, files: files, vault: vault}
	inv.group("all")
	inv.group("ungrouped")
	return inv
}

// Load reads inventory sources in order; later ones win.
func Load(o Options) (*Inventory, error) {
	if o.Files == nil {
		o.Files = source.None()
	}
	inv := newInventory(o.Files, o.Vault)
	// All that is wrong is told at once: whoever mends it pushes once.
	var problems source.Problems
	for _, s := range o.Sources {
		if err := inv.source(s, o); err != nil {
			problems = append(problems, source.ProblemsOf(err)...)
		}
		inv.sources = append(inv.sources, s)
	}
	if err := inv.settle(); err != nil {
		return nil, append(problems, source.ProblemsOf(err)...)
	}
	for _, d := range inv.dirs {
		if err := inv.loadVars(d, func(g *Group) **value.Dict { return &g.Plugin }, func(h *Host) **value.Dict { return &h.Plugin }); err != nil {
			problems = append(problems, source.ProblemsOf(err)...)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return inv, nil
}

func (inv *Inventory) source(s string, o Options) error {
	if strings.Contains(s, ",") {
		if _, err := o.Files.Stat(s); err != nil {
			for _, h := range strings.Split(s, ",") {
				if h = strings.TrimSpace(h); h != "" {
					names, port, err := expandHost(h)
					if err != nil {
						return api.Errorf(api.CodeInvalid, "cannot read the host list %q: %v", s, err)
					}
					for _, n := range names {
						inv.addPort(inv.AddHost(n), port)
					}
				}
			}
			inv.addDir(o.Files.Root())
			return nil
		}
	}
	name := source.Join(o.Files.Root(), s)
	st, err := o.Files.Stat(name)
	if err != nil {
		return source.FileError(s, err)
	}
	if st.IsDir() {
		inv.addDir(name)
		return inv.folder(name, o)
	}
	inv.addDir(path.Dir(name))
	return inv.file(name, o, st)
}

func (inv *Inventory) addDir(dir string) {
	if !slices.Contains(inv.dirs, dir) {
		inv.dirs = append(inv.dirs, dir)
	}
}

// ignoredInFolder are the endings of files that an inventory folder may hold
// for other purposes.
var ignoredInFolder = []string{".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry", ".ini"}

func (inv *Inventory) folder(dir string, o Options) error {
	list, err := o.Files.ReadDir(dir)
	if err != nil {
		return source.FileError(dir, err)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name() < list[j].Name() })
	for _, e := range list {
		n := e.Name()
		if n == "group_vars" || n == "host_vars" || n == "vars_plugins" || strings.HasPrefix(n, ".") ||
			slices.ContainsFunc(ignoredInFolder, func(s string) bool { return strings.HasSuffix(n, s) && !(o.INI && s == ".ini") }) {
			continue
		}
		full := path.Join(dir, n)
		st, err := o.Files.Stat(full)
		if err != nil {
			return source.FileError(full, err)
		}
		if st.IsDir() {
			err = inv.folder(full, o)
		} else {
			err = inv.file(full, o, st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (inv *Inventory) file(name string, o Options, st fs.FileInfo) error {
	src, err := o.Files.ReadFile(name)
	if err != nil {
		return source.FileError(name, err)
	}
	if st.Mode()&0o111 != 0 && strings.HasPrefix(string(src), "#!") {
		if o.Run == nil && !source.Here(o.Files) {
			return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: name}, Message: "cannot run the inventory script: scripts of a project are run on nobody's server",
				Remedy: "commit what it prints with --list as a .json file and name that as the inventory"}
		}
		return inv.script(name, o)
	}
	if source.IsVault(src) {
		if src, err = o.Vault.Decrypt(src); err != nil {
			if o.Vault.Refuses() {
				return o.Vault.Closed("the inventory", api.Place{File: name, Line: 1, Column: 1}, err)
			}
			return &api.Error{Code: api.CodeInvalid, Message: "cannot read the vaulted inventory: " + err.Error(), Place: &api.Place{File: name}}
		}
	}
	switch path.Ext(name) {
	case ".yml", ".yaml", ".json":
		return inv.yaml(name, src)
	}
	if looksLikeYAML(src) {
		return inv.yaml(name, src)
	}
	return inv.ini(name, src)
}

// looksLikeYAML tells a file without a telling name apart: YAML inventories
// begin with "---", "{" or "all:" and the like.
func looksLikeYAML(src []byte) bool {
	for line := range strings.Lines(string(src)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		return line == "---" || line[0] == '{' || strings.HasSuffix(line, ":") && !strings.ContainsAny(line, "[] \t=")
	}
	return false
}

func (inv *Inventory) AddHost(name string) *Host {
	h := inv.hosts[name]
	if h == nil {
		h = &Host{Name: name, Vars: value.NewDict(), Plugin: value.NewDict()}
		inv.hosts[name] = h
		inv.order = append(inv.order, name)
	}
	return h
}

func (inv *Inventory) group(name string) *Group {
	g := inv.groups[name]
	if g == nil {
		g = &Group{Name: name, Vars: value.NewDict(), Plugin: value.NewDict(), Priority: 1}
		inv.groups[name] = g
		inv.groupOrder = append(inv.groupOrder, name)
	}
	return g
}

func (inv *Inventory) addPort(h *Host, port int) {
	if port != 0 {
		h.Vars.Set("ansible_port", int64(port))
	}
}

func (g *Group) AddHost(h *Host) {
	if g.Name == "all" {
		return
	}
	if !slices.Contains(g.Hosts, h) {
		g.Hosts = append(g.Hosts, h)
	}
	if !slices.Contains(h.groups, g) {
		h.groups = append(h.groups, g)
	}
}

func (g *Group) addChild(c *Group) error {
	if g == c {
		return fmt.Errorf("can't add group to itself: %s", g.Name)
	}
	if slices.Contains(g.Children, c) {
		return nil
	}
	if c.reaches(g) {
		return fmt.Errorf("Adding group '%s' as child to '%s' creates a recursive dependency loop", c.Name, g.Name)
	}
	g.Children = append(g.Children, c)
	c.Parents = append(c.Parents, g)
	return nil
}

func (g *Group) reaches(o *Group) bool {
	for _, c := range g.Children {
		if c == o || c.reaches(o) {
			return true
		}
	}
	return false
}

// setVar sets a group's variable; ansible_group_priority orders its group.
func (g *Group) setVar(k string, v value.Value) {
	if k == "ansible_group_priority" {
		if p, ok := source.Int(v); ok {
			g.Priority = int(p)
		}
		return
	}
	g.Vars.Set(k, v)
}

// settle completes the groups all and ungrouped.
func (inv *Inventory) settle() error {
	un := inv.groups["ungrouped"]
	for _, name := range inv.order {
		h := inv.hosts[name]
		other := false
		for _, g := range h.groups {
			other = other || g != un
		}
		if !other && !h.Implicit {
			un.AddHost(h)
		} else if slices.Contains(un.Hosts, h) {
			un.Hosts = slices.DeleteFunc(un.Hosts, func(x *Host) bool { return x == h })
			h.groups = slices.DeleteFunc(h.groups, func(g *Group) bool { return g == un })
		}
	}
	all := inv.groups["all"]
	for _, name := range inv.groupOrder {
		g := inv.groups[name]
		if g != all && len(g.Parents) == 0 {
			if err := all.addChild(g); err != nil {
				return err
			}
		}
	}
	for _, name := range inv.groupOrder {
		if _, clash := inv.hosts[name]; clash {
			inv.warnings = append(inv.warnings, "Found both group and host with same name: "+name)
		}
	}
	return nil
}

// depth of a group is its longest way from all.
func (g *Group) depth() int {
	d := 0
	for _, p := range g.Parents {
		d = max(d, p.depth()+1)
	}
	return d
}

// groupsOf lists all groups of a host but all, in the order in which their variables
// are laid over each other.
func (inv *Inventory) groupsOf(h *Host) []*Group {
	seen := map[*Group]int{}
	var up func(g *Group)
	up = func(g *Group) {
		if _, ok := seen[g]; ok || g.Name == "all" {
			return
		}
		seen[g] = g.depth()
		for _, p := range g.Parents {
			up(p)
		}
	}
	for _, g := range h.groups {
		up(g)
	}
	out := make([]*Group, 0, len(seen))
	for g := range seen {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *Group) int {
		switch {
		case seen[a] != seen[b]:
			return seen[a] - seen[b]
		case a.Priority != b.Priority:
			return a.Priority - b.Priority
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// GroupNamesOf are group_names: sorted, without all.
func (inv *Inventory) GroupNamesOf(h *Host) []string {
	var out []string
	for _, g := range inv.groupsOf(h) {
		out = append(out, g.Name)
	}
	sort.Strings(out)
	return out
}

// HostsOf lists the hosts of a group and its children, in the order of declaration.
func (inv *Inventory) HostsOf(g *Group) []*Host {
	if g.Name == "all" {
		var out []*Host
		for _, n := range inv.order {
			if h := inv.hosts[n]; !h.Implicit {
				out = append(out, h)
			}
		}
		return inv.byGroups(g, out)
	}
	return inv.byGroups(g, nil)
}

// byGroups walks the children as Ansible does: a group's own hosts come first.
func (inv *Inventory) byGroups(g *Group, all []*Host) []*Host {
	var out []*Host
	seen := map[*Host]bool{}
	visited := map[*Group]bool{}
	queue := []*Group{g}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		if visited[g] {
			continue
		}
		visited[g] = true
		for _, h := range g.Hosts {
			if !seen[h] {
				seen[h] = true
				out = append(out, h)
			}
		}
		queue = append(queue, g.Children...)
	}
	if all != nil {
		return all
	}
	return out
}

// Hosts lists all hosts in the order of declaration.
func (inv *Inventory) Hosts() []string {
	var out []string
	for _, n := range inv.order {
		if !inv.hosts[n].Implicit {
			out = append(out, n)
		}
	}
	return out
}

// Groups lists all groups with their hosts.
func (inv *Inventory) Groups() map[string][]string {
	out := map[string][]string{}
	for _, n := range inv.groupOrder {
		names := []string{}
		for _, h := range inv.HostsOf(inv.groups[n]) {
			names = append(names, h.Name)
		}
		out[n] = names
	}
	return out
}

// GroupsOf lists the groups of a host, sorted, without "all".
func (inv *Inventory) GroupsOf(host string) []string {
	h := inv.hosts[host]
	if h == nil {
		return nil
	}
	return inv.GroupNamesOf(h)
}

// Warnings are what loading found odd.
func (inv *Inventory) Warnings() []string { return inv.warnings }

// VarsOf are a host's variables from the inventory and from group_vars and
// host_vars beside it, templates not resolved.
func (inv *Inventory) VarsOf(host string) map[string]any {
	h := inv.hosts[host]
	if h == nil {
		return nil
	}
	return source.GoMap(inv.Merge(h, nil))
}

// loadVars reads group_vars and host_vars below dir.
func (inv *Inventory) loadVars(dir string, group func(*Group) **value.Dict, host func(*Host) **value.Dict) error {
	var problems source.Problems
	load := func(sub, name string, into **value.Dict) {
		d, err := inv.readVars(path.Join(dir, sub, name))
		if err != nil {
			problems = append(problems, source.ProblemsOf(err)...)
			return
		}
		if d != nil {
			if *into == nil {
				*into = value.NewDict()
			}
			(*into).Update(d)
		}
	}
	if source.IsDir(inv.files, path.Join(dir, "group_vars")) {
		for _, n := range inv.groupOrder {
			g := inv.groups[n]
			into := group(g)
			load("group_vars", n, into)
			if *into != nil {
				if p, ok := (*into).GetString("ansible_group_priority"); ok {
					if i, ok := source.Int(p); ok {
						g.Priority = int(i)
					}
					(*into).Delete("ansible_group_priority")
				}
			}
		}
	}
	if source.IsDir(inv.files, path.Join(dir, "host_vars")) {
		for _, n := range inv.order {
			load("host_vars", n, host(inv.hosts[n]))
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// readVars reads NAME (a folder or a file), or else NAME.yml, .yaml or .json.
func (inv *Inventory) readVars(base string) (*value.Dict, error) {
	var files []string
	for _, ext := range []string{"", ".yml", ".yaml", ".json"} {
		st, err := inv.files.Stat(base + ext)
		if err != nil {
			continue
		}
		if st.IsDir() {
			if ext != "" {
				continue
			}
			files = source.VarFiles(inv.files, base)
		} else {
			files = []string{base + ext}
		}
		break
	}
	if len(files) == 0 {
		return nil, nil
	}
	out := value.NewDict()
	var problems source.Problems
	for _, f := range files {
		docs, err := source.ReadYAML(inv.files, f, inv.vault)
		var d *value.Dict
		if err == nil {
			d, err = source.Vars(f, docs, inv.vault)
		}
		if err != nil {
			problems = append(problems, source.ProblemsOf(err)...)
			continue
		}
		out.Update(d)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// PlayVars are group_vars and host_vars beside a playbook.
type PlayVars struct {
	groups map[*Group]*value.Dict
	hosts  map[*Host]*value.Dict
}

func (inv *Inventory) PlayVars(dir string) (*PlayVars, error) {
	pv := &PlayVars{groups: map[*Group]*value.Dict{}, hosts: map[*Host]*value.Dict{}}
	if slices.Contains(inv.dirs, dir) {
		return pv, nil
	}
	gs, hs := map[*Group]**value.Dict{}, map[*Host]**value.Dict{}
	err := inv.loadVars(dir, func(g *Group) **value.Dict {
		gs[g] = new(*value.Dict)
		return gs[g]
	}, func(h *Host) **value.Dict {
		hs[h] = new(*value.Dict)
		return hs[h]
	})
	for g, d := range gs {
		pv.groups[g] = *d
	}
	for h, d := range hs {
		pv.hosts[h] = *d
	}
	return pv, err
}

// Merge lays a host's inventory variables over each other by precedence.
func (inv *Inventory) Merge(h *Host, pv *PlayVars) *value.Dict {
	out := value.NewDict()
	all, groups := inv.groups["all"], inv.groupsOf(h)
	if h.Implicit {
		groups = nil
	}
	out.Update(all.Vars)
	for _, g := range groups {
		out.Update(g.Vars)
	}
	out.Update(all.Plugin)
	if pv != nil {
		out.Update(pv.groups[all])
	}
	for _, g := range groups {
		out.Update(g.Plugin)
	}
	if pv != nil {
		for _, g := range groups {
			out.Update(pv.groups[g])
		}
	}
	out.Update(h.Vars)
	out.Update(h.Plugin)
	if pv != nil {
		out.Update(pv.hosts[h])
	}
	return out
}

// Localhost is the host of that name, made when nobody declared one.
func (inv *Inventory) Localhost(name string) *Host {
	if h := inv.hosts[name]; h != nil {
		return h
	}
	return &Host{Name: name, Vars: value.DictOf("ansible_connection", "local"), Plugin: value.NewDict(), Implicit: true}
}

func IsLocalName(n string) bool { return n == "localhost" || n == "127.0.0.1" || n == "::1" }
