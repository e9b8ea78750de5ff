package inventory

import (
	"slices"

	"drover/internal/play/source"
	"drover/internal/play/value"
)

// What add_host and group_by change, and what a run reads. An inventory is
// not safe for use while it is changed: a run works on a Clone.

// AddGroup makes a group below parent, or all.
func (inv *Inventory) AddGroup(name, parent string) *Group {
	fresh := inv.groups[name] == nil
	g := inv.group(name)
	if parent != "all" || fresh && len(g.Parents) == 0 {
		_ = inv.group(parent).addChild(g)
	}
	return g
}

// Host finds a host; nil if there is none.
func (inv *Inventory) Host(name string) *Host { return inv.hosts[name] }

// Group finds a group; nil if there is none.
func (inv *Inventory) Group(name string) *Group { return inv.groups[name] }

// GroupNames lists the groups in the order of declaration.
func (inv *Inventory) GroupNames() []string { return inv.groupOrder }

// Sources are what the inventory was read from.
func (inv *Inventory) Sources() []string { return inv.sources }

// Files are what its sources are read from.
func (inv *Inventory) Files() source.Files { return inv.files }

// New is an empty inventory.
func New(files source.Files) *Inventory { return newInventory(files, nil) }

// NewHost is a host that is in no inventory.
func NewHost(name string) *Host {
	return &Host{Name: name, Vars: value.NewDict(), Plugin: value.NewDict(), Implicit: true}
}

// Holds reports whether h is directly in the group.
func (g *Group) Holds(h *Host) bool { return slices.Contains(g.Hosts, h) }

// In reports whether the host is in any group.
func (h *Host) In() bool { return len(h.groups) > 0 }

// SetVars adds variables to a host.
func (h *Host) SetVars(vars *value.Dict) {
	d := h.Vars.Copy()
	d.Update(vars)
	h.Vars = d
}

// Empty reports whether there is nothing beside the playbook.
func (pv *PlayVars) Empty() bool { return pv == nil || len(pv.groups)+len(pv.hosts) == 0 }

// Clone copies hosts and groups, so that the copy can be changed alone. The
// variables are shared until they are set.
func (inv *Inventory) Clone() *Inventory {
	c := *inv
	c.hosts = make(map[string]*Host, len(inv.hosts))
	c.groups = make(map[string]*Group, len(inv.groups))
	c.order, c.groupOrder = slices.Clone(inv.order), slices.Clone(inv.groupOrder)
	c.warnings = slices.Clone(inv.warnings)
	for n, h := range inv.hosts {
		x := *h
		c.hosts[n] = &x
	}
	for n, g := range inv.groups {
		x := *g
		c.groups[n] = &x
	}
	groups := func(list []*Group) []*Group {
		out := make([]*Group, len(list))
		for i, g := range list {
			out[i] = c.groups[g.Name]
		}
		return out
	}
	for _, h := range c.hosts {
		h.groups = groups(h.groups)
	}
	for _, g := range c.groups {
		g.Children, g.Parents = groups(g.Children), groups(g.Parents)
		hosts := make([]*Host, len(g.Hosts))
		for i, h := range g.Hosts {
			hosts[i] = c.hosts[h.Name]
		}
		g.Hosts = hosts
	}
	return &c
}

// Reload reads the sources again; a slice stays as it is.
func (inv *Inventory) Reload() error {
	if inv.sliced != "" || len(inv.sources) == 0 {
		return nil
	}
	fresh, err := Load(Options{Files: inv.files, Sources: inv.sources, Vault: inv.vault})
	if err != nil {
		return err
	}
	*inv = *fresh
	return nil
}
