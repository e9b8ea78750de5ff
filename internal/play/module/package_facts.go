package module

import (
	"context"
	"slices"

	"drover/internal/play/param"
)

var packageFactsModule = &Module{
	Name: "package_facts",
	Params: []Param{
		{Name: "manager", Type: List, Default: []any{"auto"}},
		{Name: "strategy", Default: "first", Choices: []string{"first", "all"}},
	},
	Run: runPackageFacts,
}

func runPackageFacts(_ context.Context, c *Call) *Result {
	if !slices.ContainsFunc(c.List("manager"), func(m string) bool { return m == "auto" || m == "apt" || m == "dpkg" }) {
		return Fail("Could not detect a supported package manager from the following list: %s; Drover reads dpkg's list: use auto or apt", param.ToRepr(c.Raw("manager")))
	}
	if !c.Host.Exists(dpkgStatus) {
		return Fail("Could not detect a supported package manager from the following list: %s, or the required Python library is not installed", param.ToRepr(c.Raw("manager")))
	}
	db, err := packagesOn(c.Host)
	if err != nil {
		return Fail("cannot read the list of packages: %v", err)
	}
	packages := make(map[string]any, len(db.byName))
	for name, list := range db.byName {
		var entries []any
		for _, p := range list {
			if p.Installed {
				entries = append(entries, map[string]any{"name": p.Name, "version": p.Version, "arch": p.Arch, "category": p.Section, "origin": "", "source": "apt"})
			}
		}
		if len(entries) > 0 {
			packages[name] = entries
		}
	}
	return &Result{Facts: map[string]any{"packages": packages}}
}
