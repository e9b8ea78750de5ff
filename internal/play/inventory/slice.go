package inventory

import (
	"encoding/json"
	"fmt"

	"drover/api"
	"drover/internal/play/source"
	"drover/internal/play/value"
)

// Slice is what one host needs of an inventory: its own variables, those of
// its groups, and the names of the others. It is plain JSON; the order in
// which variables are laid over each other is kept.
type Slice struct {
	Host       string          `json:"host"`
	Vars       json.RawMessage `json:"vars,omitempty"`
	Plugin     json.RawMessage `json:"hostVars,omitempty"`
	Groups     []SliceGroup    `json:"groups"`
	Hosts      []string        `json:"hosts,omitempty"` // all names, in order
	GroupOrder []string        `json:"groupOrder,omitempty"`
}

// SliceGroup is one group. Those that the host is not in have names only.
type SliceGroup struct {
	Name     string          `json:"name"`
	Vars     json.RawMessage `json:"vars,omitempty"`
	Plugin   json.RawMessage `json:"groupVars,omitempty"`
	Children []string        `json:"children,omitempty"`
	Hosts    []string        `json:"hosts,omitempty"`
	Priority int             `json:"priority,omitempty"`
}

// Slice cuts out what one host needs.
func (inv *Inventory) Slice(host string) (*Slice, error) {
	h := inv.hosts[host]
	if h == nil {
		return nil, api.Errorf(api.CodeNotFound, "cannot cut the inventory for %s: there is no such host", host)
	}
	s := &Slice{Host: host, Hosts: inv.Hosts()}
	var err error
	if s.Vars, err = packVars(h.Vars); err != nil {
		return nil, fmt.Errorf("cannot cut the inventory for %s: %w", host, err)
	}
	if s.Plugin, err = packVars(h.Plugin); err != nil {
		return nil, fmt.Errorf("cannot cut the inventory for %s: %w", host, err)
	}
	mine := map[*Group]bool{inv.groups["all"]: true}
	for _, g := range inv.groupsOf(h) {
		mine[g] = true
	}
	for _, n := range inv.groupOrder {
		g := inv.groups[n]
		sg := SliceGroup{Name: n, Priority: g.Priority}
		for _, c := range g.Children {
			sg.Children = append(sg.Children, c.Name)
		}
		for _, x := range g.Hosts {
			sg.Hosts = append(sg.Hosts, x.Name)
		}
		if mine[g] {
			if sg.Vars, err = packVars(g.Vars); err == nil {
				sg.Plugin, err = packVars(g.Plugin)
			}
			if err != nil {
				return nil, fmt.Errorf("cannot cut the inventory for %s: group %s: %w", host, n, err)
			}
		}
		s.Groups = append(s.Groups, sg)
	}
	return s, nil
}

// WithoutOthers drops the names of other hosts, for where they would take too much room.
func (s *Slice) WithoutOthers() *Slice {
	c := *s
	c.Hosts = []string{s.Host}
	c.Groups = make([]SliceGroup, 0, len(s.Groups))
	for _, g := range s.Groups {
		own := []string(nil)
		for _, h := range g.Hosts {
			if h == s.Host {
				own = []string{h}
			}
		}
		g.Hosts = own
		c.Groups = append(c.Groups, g)
	}
	return &c
}

// LoadSlice loads a slice back. Files are those of the bundle that the
// playbooks are in.
func LoadSlice(s *Slice, files source.Files) (*Inventory, error) {
	inv := newInventory(files, nil)
	inv.sliced = s.Host
	for _, n := range s.Hosts {
		inv.AddHost(n)
	}
	for _, sg := range s.Groups {
		g := inv.group(sg.Name)
		g.Priority = sg.Priority
		var err error
		if g.Vars, err = unpackVars(sg.Vars); err == nil {
			g.Plugin, err = unpackVars(sg.Plugin)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the slice of %s: group %s: %w", s.Host, sg.Name, err)
		}
		for _, n := range sg.Hosts {
			g.AddHost(inv.AddHost(n))
		}
	}
	for _, sg := range s.Groups {
		for _, c := range sg.Children {
			if err := inv.group(sg.Name).addChild(inv.group(c)); err != nil {
				return nil, fmt.Errorf("cannot read the slice of %s: %w", s.Host, err)
			}
		}
	}
	h := inv.AddHost(s.Host)
	var err error
	if h.Vars, err = unpackVars(s.Vars); err == nil {
		h.Plugin, err = unpackVars(s.Plugin)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the slice of %s: %w", s.Host, err)
	}
	return inv, inv.settle()
}

// unsafeKey marks text that must never be templated, as Ansible's JSON does.
const unsafeKey = "__ansible_unsafe"

// closedKey marks what a vault without its password keeps, with the reason.
const closedKey = "__drover_closed"

func packVars(d *value.Dict) (json.RawMessage, error) {
	if d.Len() == 0 {
		return nil, nil
	}
	return value.ToJSON(markUnsafe(d))
}

func markUnsafe(v value.Value) value.Value {
	switch v := v.(type) {
	case value.Unsafe:
		return value.DictOf(unsafeKey, string(v))
	case *value.List:
		out := &value.List{}
		for _, x := range v.Items {
			out.Items = append(out.Items, markUnsafe(x))
		}
		return out
	case *value.Dict:
		out := value.NewDict()
		for _, it := range v.Items() {
			out.Set(it.Key, markUnsafe(it.Value))
		}
		return out
	case *value.Undefined:
		// What could not be opened stays so: an empty value would be taken for it.
		return value.DictOf(closedKey, v.Hint)
	}
	return v
}

func unpackVars(src json.RawMessage) (*value.Dict, error) {
	if len(src) == 0 {
		return value.NewDict(), nil
	}
	v, err := value.FromJSON(src)
	if err != nil {
		return nil, err
	}
	d, ok := unmarkUnsafe(v).(*value.Dict)
	if !ok {
		return nil, fmt.Errorf("variables must be a dictionary")
	}
	return d, nil
}

func unmarkUnsafe(v value.Value) value.Value {
	switch v := v.(type) {
	case *value.List:
		for i := range v.Items {
			v.Items[i] = unmarkUnsafe(v.Items[i])
		}
	case *value.Dict:
		if s, ok := v.GetString(unsafeKey); ok && v.Len() == 1 {
			return value.Unsafe(value.Str(s))
		}
		if s, ok := v.GetString(closedKey); ok && v.Len() == 1 {
			hint := value.Str(s)
			return &value.Undefined{Hint: hint, Err: api.Errorf(api.CodeInvalid, "%s", hint)}
		}
		for _, it := range v.Items() {
			v.Set(it.Key, unmarkUnsafe(it.Value))
		}
	}
	return v
}
