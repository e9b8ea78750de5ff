package module

import (
	"context"
	"maps"
	"strings"
)

// packageModule manages packages by whatever the host has; today that is apt.
var packageModule = &Module{
	Name: "package",
	Params: []Param{
		{Name: "name", Aliases: []string{"pkg"}, Type: Raw, Required: true},
		{Name: "state", Required: true},
		{Name: "use", Default: "auto"},
	},
	AnyArgs: true, // the rest is the package manager's
	Run:     runPackage,
}

func runPackage(ctx context.Context, c *Call) *Result {
	use := strings.TrimPrefix(strings.TrimPrefix(c.Str("use"), "ansible.builtin."), "ansible.legacy.")
	if use == "auto" {
		if !c.Host.Exists("/var/lib/dpkg") && !c.Host.Exists("/etc/debian_version") {
			return Fail("Could not detect which package manager to use. Try gathering facts or setting the \"use\" option; Drover manages packages by apt")
		}
		use = "apt"
	}
	if use != "apt" {
		return Fail("Could not find a matching action for the \"%s\" package manager; Drover manages packages by apt", use)
	}
	req := c.Request
	req.Module, req.Args = "apt", maps.Clone(c.Args)
	delete(req.Args, "use")
	switch c.Str("state") { // what the generic module calls the same
	case "installed":
		req.Args["state"] = "present"
	case "removed":
		req.Args["state"] = "absent"
	}
	as := &Call{Request: req, Host: c.Host, Fetch: c.Fetch, module: aptModule}
	if errs := aptModule.CheckArgs(req.Args); len(errs) > 0 {
		return Fail("%s", messageOf(errs[0]))
	}
	if err := as.bind(); err != nil {
		return Fail("%s", messageOf(err))
	}
	return runApt(ctx, as)
}
