package play

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/tree"
)

// labelPart is a label in a pattern: "label:env=prod".
var labelPart = regexp.MustCompile(`label:([A-Za-z0-9_./-]+)=([A-Za-z0-9_./-]*)`)

// groupName is what can be written as a group of an inventory.
var groupName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// match gives the enrolled hosts that a pattern names: the inventory's
// patterns over names and groups, with labels as further groups.
func (p *Play) match(ctx context.Context, pattern string) ([]string, error) {
	labels := map[string]string{} // group's name by "key=value"
	for _, m := range labelPart.FindAllStringSubmatch(pattern, -1) {
		labels[m[1]+"="+m[2]] = fmt.Sprintf("label__%d", len(labels))
	}
	pattern = labelPart.ReplaceAllStringFunc(pattern, func(s string) string { return labels[strings.TrimPrefix(s, "label:")] })
	all, groups, err := p.known(ctx, labels)
	if err != nil {
		return nil, err
	}
	if pattern == "" || pattern == "all" || pattern == "*" {
		return all, nil
	}
	inv, err := inventoryOf(all, groups, labels)
	if err != nil {
		return nil, err
	}
	out, err := inv.Select(pattern)
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalid, Field: "hosts", Message: fmt.Sprintf("the pattern %q is wrong: %v", pattern, err),
			Remedy: "use names, groups and label:KEY=VALUE, joined by ',' with '!' for except and '&' for both"}
	}
	if len(out) == 0 {
		return nil, &api.Error{Code: api.CodeNotFound, Field: "hosts", Message: fmt.Sprintf("no enrolled host matches %q", pattern), Remedy: "see them and their groups: drover hosts"}
	}
	return out, nil
}

// known lists the enrolled hosts and what groups they are in; labels names
// further groups.
func (p *Play) known(ctx context.Context, labels map[string]string) (all []string, groups map[string][]string, err error) {
	groups = map[string][]string{}
	err = p.d.Hosts.Scan(ctx, func(h *api.Host) error {
		all = append(all, h.Name)
		for _, g := range h.Status.Groups {
			if groupName.MatchString(g) && g != "all" {
				groups[g] = append(groups[g], h.Name)
			}
		}
		for k, v := range h.Labels {
			if g := labels[k+"="+v]; g != "" {
				groups[g] = append(groups[g], h.Name)
			}
		}
		return nil
	})
	return all, groups, err
}

// inventoryOf is an inventory of what is enrolled.
func inventoryOf(all []string, groups map[string][]string, labels map[string]string) (*engine.Inventory, error) {
	var b bytes.Buffer
	write := func(name string, hosts []string) {
		fmt.Fprintf(&b, "[%s]\n", name)
		for _, h := range hosts {
			b.WriteString(h + "\n")
		}
	}
	for _, h := range all {
		b.WriteString(h + "\n")
	}
	for _, g := range labels {
		write(g, groups[g])
		delete(groups, g)
	}
	names := make([]string, 0, len(groups))
	for g := range groups {
		names = append(names, g)
	}
	slices.Sort(names)
	for _, g := range names {
		write(g, groups[g])
	}
	files := tree.NewBuilder(tree.Limits{})
	if err := files.Add(tree.File{Path: "hosts", Data: b.Bytes()}); err != nil {
		return nil, err
	}
	t, err := files.Tree()
	if err != nil {
		return nil, err
	}
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: engine.Bundle(t), Sources: []string{"hosts"}})
	if err != nil {
		return nil, fmt.Errorf("cannot list the enrolled hosts: %w", err)
	}
	return inv, nil
}
