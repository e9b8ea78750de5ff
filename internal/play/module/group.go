package module

import (
	"context"
	"strconv"
	"strings"
)

var groupModule = &Module{
	Name: "group",
	Params: []Param{
		{Name: "name", Required: true},
		{Name: "gid", Type: Int},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "system", Type: Bool, Default: false},
		{Name: "local", Type: Bool, Default: false},
		{Name: "non_unique", Type: Bool, Default: false},
		{Name: "force", Type: Bool, Default: false},
		{Name: "gid_min", Type: Int},
		{Name: "gid_max", Type: Int},
	},
	RequiredIf: []RequiredIf{{Param: "non_unique", Equals: true, Needs: []string{"gid"}}},
	Run:        runGroup,
}

func runGroup(ctx context.Context, c *Call) *Result {
	name, r := c.Str("name"), &Result{}
	if strings.ContainsAny(name, ":\n\t ,") || name == "" || strings.HasPrefix(name, "-") {
		return Fail("cannot manage group %q: this is no group name", name).Set("name", name)
	}
	was, ok := c.Host.GroupByName(name)
	var argv []string
	switch {
	case c.Str("state") == "absent" && !ok:
		return r.Set("name", name).Set("state", "absent")
	case c.Str("state") == "absent":
		argv = []string{"groupdel"}
		if c.Bool("force") {
			argv = append(argv, "-f")
		}
		r.Change("group", name, "delete", groupRecord(was), nil)
		c.groupDiff(r, groupRecord(was), map[string]any{})
	case !ok:
		argv = c.groupAdd()
		after := map[string]any{"system": c.Bool("system")}
		if c.Has("gid") {
			after["gid"] = c.Int("gid")
		}
		r.Change("group", name, "create", nil, after)
		c.groupDiff(r, map[string]any{}, after)
	case c.Has("gid") && int64(was.GID) != c.Int("gid"):
		argv = []string{"groupmod", "-g", strconv.FormatInt(c.Int("gid"), 10)}
		if c.Bool("non_unique") {
			argv = append(argv, "-o")
		}
		after := groupRecord(was)
		after["gid"] = c.Int("gid")
		r.Change("group", name, "update", groupRecord(was), after)
		c.groupDiff(r, map[string]any{"gid": was.GID}, map[string]any{"gid": c.Int("gid")})
	}
	if len(argv) > 0 {
		if c.Check {
			return r
		}
		out, err := c.tool(ctx, Cmd{Argv: append(argv, name)})
		if err != nil {
			return Fail("cannot run %s for group %s: %v", argv[0], name, err).Set("name", name)
		}
		if out.Code != 0 {
			return Fail("%s", strings.TrimSpace(string(out.Stderr)+string(out.Stdout))).Set("name", name).Set("rc", out.Code)
		}
		if len(out.Stdout) > 0 {
			r.Set("stdout", string(out.Stdout))
		}
		if len(out.Stderr) > 0 {
			r.Set("stderr", string(out.Stderr))
		}
	}
	r.Set("name", name).Set("state", c.Str("state"))
	if c.Str("state") == "present" {
		now, ok := c.Host.GroupByName(name)
		if !ok {
			return r.Fail("cannot find group %s after it was made", name)
		}
		r.Set("gid", now.GID).Set("system", c.Bool("system"))
	}
	return r
}

func groupRecord(g Group) map[string]any {
	return map[string]any{"gid": g.GID, "members": strings.Join(g.Members, ",")}
}

func (c *Call) groupAdd() []string {
	argv := []string{"groupadd"}
	if c.Has("gid") {
		argv = append(argv, "-g", strconv.FormatInt(c.Int("gid"), 10))
		if c.Bool("non_unique") {
			argv = append(argv, "-o")
		}
	}
	if c.Bool("system") {
		argv = append(argv, "-r")
	}
	for _, k := range []string{"gid_min", "gid_max"} {
		if c.Has(k) {
			argv = append(argv, "-K", strings.ToUpper(k)+"="+strconv.FormatInt(c.Int(k), 10))
		}
	}
	return argv
}

func (c *Call) groupDiff(r *Result, before, after map[string]any) {
	if c.Diff {
		r.attrDiff(before, after)
	}
}
