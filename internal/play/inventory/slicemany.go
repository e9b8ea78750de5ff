package inventory

import (
	"fmt"

	"drover/api"
)

// Slicer cuts out the slices of many hosts. What they have in common, the
// groups, it makes once.
type Slicer struct {
	inv    *Inventory
	groups []cutGroup
	direct map[*Group]map[string]bool // which hosts are in a group by themselves
}

// cutGroup is a group as it is in every slice, and what those in it get on top.
type cutGroup struct {
	group *Group
	bare  SliceGroup
	full  SliceGroup
}

// Slicer gets ready to cut.
func (inv *Inventory) Slicer() (*Slicer, error) {
	s := &Slicer{inv: inv, groups: make([]cutGroup, 0, len(inv.groupOrder)), direct: make(map[*Group]map[string]bool, len(inv.groupOrder))}
	for _, n := range inv.groupOrder {
		g := inv.groups[n]
		c := cutGroup{group: g, bare: SliceGroup{Name: n, Priority: g.Priority}}
		for _, child := range g.Children {
			c.bare.Children = append(c.bare.Children, child.Name)
		}
		c.full = c.bare
		var err error
		if c.full.Vars, err = packVars(g.Vars); err == nil {
			c.full.Plugin, err = packVars(g.Plugin)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot cut the inventory: group %s: %w", n, err)
		}
		s.groups = append(s.groups, c)
		in := make(map[string]bool, len(g.Hosts))
		for _, h := range g.Hosts {
			in[h.Name] = true
		}
		s.direct[g] = in
	}
	return s, nil
}

// Alone is Slice(host).WithoutOthers(), made without looking at the others. Its
// parts are shared with other slices and must not be changed.
func (s *Slicer) Alone(host string) (*Slice, error) {
	h := s.inv.hosts[host]
	if h == nil {
		return nil, api.Errorf(api.CodeNotFound, "cannot cut the inventory for %s: there is no such host", host)
	}
	out := &Slice{Host: host, Hosts: []string{host}, Groups: make([]SliceGroup, 0, len(s.groups))}
	var err error
	if out.Vars, err = packVars(h.Vars); err == nil {
		out.Plugin, err = packVars(h.Plugin)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot cut the inventory for %s: %w", host, err)
	}
	mine := map[*Group]bool{s.inv.groups["all"]: true}
	for _, g := range s.inv.groupsOf(h) {
		mine[g] = true
	}
	for _, c := range s.groups {
		g := c.bare
		if mine[c.group] {
			g = c.full
		}
		if s.direct[c.group][host] {
			g.Hosts = out.Hosts
		}
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}
