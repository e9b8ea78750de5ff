package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"

	"drover/api"
	"drover/internal/play/value"
)

// script runs an inventory script with --list, and --host where it has no _meta.
func (inv *Inventory) script(name string, o Options) error {
	ctx := context.Background()
	run := o.Run
	if run == nil {
		run = func(ctx context.Context, argv ...string) ([]byte, error) {
			return exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
		}
	}
	out, err := run(ctx, name, "--list")
	if err != nil {
		return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: name}, Message: fmt.Sprintf("cannot run the inventory script: %v", err), Remedy: "a file that is no script should not be executable"}
	}
	v, err := value.FromJSON(out)
	d, ok := v.(*value.Dict)
	if err != nil || !ok {
		return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: name}, Message: "the inventory script's output is not a JSON dictionary"}
	}
	var hostVars *value.Dict
	for _, it := range d.Items() {
		gname, _ := value.StrOf(it.Key)
		if gname == "_meta" {
			if m, ok := it.Value.(*value.Dict); ok {
				x, _ := m.GetString("hostvars")
				hostVars, _ = x.(*value.Dict)
			}
			continue
		}
		g := inv.group(gname)
		switch m := it.Value.(type) {
		case *value.List:
			for _, h := range m.Items {
				g.AddHost(inv.AddHost(value.Str(h)))
			}
		case *value.Dict:
			if l, ok := m.GetString("hosts"); ok {
				if l, ok := l.(*value.List); ok {
					for _, h := range l.Items {
						g.AddHost(inv.AddHost(value.Str(h)))
					}
				}
			}
			if x, ok := m.GetString("vars"); ok {
				if x, ok := x.(*value.Dict); ok {
					for _, kv := range x.Items() {
						g.setVar(value.Str(kv.Key), kv.Value)
					}
				}
			}
			if l, ok := m.GetString("children"); ok {
				if l, ok := l.(*value.List); ok {
					for _, c := range l.Items {
						if err := g.addChild(inv.group(value.Str(c))); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	for _, n := range slices.Clone(inv.order) {
		var v value.Value
		if hostVars != nil {
			v, _ = hostVars.GetString(n)
		} else if out, err := run(ctx, name, "--host", n); err == nil && json.Valid(out) {
			v, _ = value.FromJSON(out)
		}
		if x, ok := v.(*value.Dict); ok {
			inv.hosts[n].Vars.Update(x)
		}
	}
	return nil
}
