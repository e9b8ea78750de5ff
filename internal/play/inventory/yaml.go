package inventory

import (
	"fmt"

	"drover/api"
	"drover/internal/play/source"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// yaml reads a YAML inventory.
func (inv *Inventory) yaml(name string, src []byte) error {
	docs, err := yaml.Parse(name, src)
	if err != nil {
		return err
	}
	if len(docs) == 0 || docs[0] == nil || docs[0].Kind == yaml.Scalar && docs[0].Scalar == nil {
		return nil
	}
	if docs[0].Kind != yaml.Map {
		at := docs[0].Pos
		return &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf("YAML inventory has invalid structure, it should be a dictionary, got: %s", source.KindName(docs[0])), Remedy: "begin with all: and its hosts: and children:"}
	}
	y := &yamlInventory{inv: inv}
	for _, pr := range docs[0].Pairs {
		y.group(source.KeyText(pr.Key), pr.Value, nil)
	}
	if len(y.errs) > 0 {
		return y.errs
	}
	return nil
}

type yamlInventory struct {
	inv  *Inventory
	errs source.Problems
}

func (y *yamlInventory) bad(at api.Place, remedy, format string, args ...any) {
	y.errs = append(y.errs, &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (y *yamlInventory) vars(n *yaml.Node) *value.Dict {
	v := source.Decode(n, y.inv.vault, func(err error) {
		for _, e := range source.ProblemsOf(err) {
			if e.Place == nil {
				e.Place = &n.Pos
			}
			y.errs = append(y.errs, e)
		}
	})
	switch v := v.(type) {
	case nil:
		return value.NewDict()
	case *value.Dict:
		return v
	}
	y.bad(n.Pos, "write name: value lines", "vars must be a dictionary, not a %s", source.KindName(n))
	return value.NewDict()
}

func (y *yamlInventory) group(name string, n *yaml.Node, parent *Group) {
	g := y.inv.group(name)
	if parent != nil {
		if err := parent.addChild(g); err != nil {
			y.bad(n.Pos, "", "%v", err)
			return
		}
	}
	if n.Kind == yaml.Scalar && n.Scalar == nil {
		return
	}
	if n.Kind != yaml.Map {
		y.bad(n.Pos, "give it hosts:, children: or vars:", "Invalid definition for group '%s': it should be a dictionary, not a %s", name, source.KindName(n))
		return
	}
	for _, pr := range n.Pairs {
		k, v := source.KeyText(pr.Key), pr.Value
		null := v.Kind == yaml.Scalar && v.Scalar == nil
		switch k {
		case "vars":
			for _, it := range y.vars(v).Items() {
				g.setVar(value.Str(it.Key), it.Value)
			}
		case "children":
			if v.Kind != yaml.Map && !null {
				y.bad(v.Pos, "end each child's name with a colon", "Invalid \"children\" entry for \"%s\" group, requires a dictionary, found a %s instead", name, source.KindName(v))
				continue
			}
			for _, c := range v.Pairs {
				y.group(source.KeyText(c.Key), c.Value, g)
			}
		case "hosts":
			if s, ok := value.StrOf(v.Scalar); ok && v.Kind == yaml.Scalar {
				y.host(g, s, nil, v.Pos)
				continue
			}
			if v.Kind != yaml.Map && !null {
				y.bad(v.Pos, "end each host's name with a colon", "Invalid \"hosts\" entry for \"%s\" group, requires a dictionary, found a %s instead", name, source.KindName(v))
				continue
			}
			for _, h := range v.Pairs {
				y.host(g, source.KeyText(h.Key), h.Value, h.Key.Pos)
			}
		default:
			y.inv.warnings = append(y.inv.warnings, fmt.Sprintf("%s: Skipping unexpected key (%s) in group (%s), only \"vars\", \"children\" and \"hosts\" are valid", pr.Key.Pos, k, name))
		}
	}
}

func (y *yamlInventory) host(g *Group, pattern string, n *yaml.Node, at api.Place) {
	names, port, err := expandHost(pattern)
	if err != nil {
		y.bad(at, "", "%v", err)
		return
	}
	for _, name := range names {
		h := y.inv.AddHost(name)
		g.AddHost(h)
		y.inv.addPort(h, port)
		if n != nil {
			h.Vars.Update(y.vars(n))
		}
	}
}
