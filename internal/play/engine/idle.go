package engine

import (
	"fmt"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/inventory"
	"drover/internal/play/source"
)

// Idle finds plays that no host of the inventory is in, and parts of their
// patterns that name nothing. It is no error: a group may be filled later.
func (p *Project) Idle(inv *Inventory) []*api.Error {
	var out []*api.Error
	known := append(slices.Clone(inv.GroupNames()), inv.Hosts()...)
	for _, pl := range p.plays {
		if pl.hosts == nil || pl.hosts.tmpl || len(inv.Hosts()) == 0 {
			continue
		}
		pattern := pl.hosts.text()
		hosts, unmatched, err := inv.Match(pattern)
		if err != nil {
			continue
		}
		// A group that is there and empty is meant so.
		unmatched = slices.DeleteFunc(unmatched, func(n string) bool { return inventory.IsLocalName(n) || slices.Contains(known, n) })
		if len(unmatched) == 0 {
			continue
		}
		e := &api.Error{Code: api.CodeInvalid, Place: &pl.hosts.at, Field: "hosts"}
		if len(hosts) == 0 {
			e.Message = fmt.Sprintf("no host matches %q, so this play does nothing", pattern)
		} else {
			e.Message = fmt.Sprintf("no host or group is called %s", strings.Join(unmatched, ", "))
		}
		for _, name := range unmatched {
			if e.Remedy == "" {
				e.Remedy = source.DidYouMean(name, known)
			}
		}
		out = append(out, e)
	}
	return out
}
