package module

import (
	"context"
	"fmt"

	"drover/internal/play/pyre"
)

var replaceModule = &Module{
	Name: "replace", FileArgs: true,
	Params: []Param{
		{Name: "path", Aliases: []string{"dest", "destfile", "name"}, Type: Path, Required: true},
		{Name: "regexp", Required: true}, {Name: "replace", Default: ""}, {Name: "after"}, {Name: "before"},
		{Name: "backup", Type: Bool, Default: false}, {Name: "validate"}, {Name: "encoding", Default: "utf-8"},
	},
	Run: runReplace,
}

func runReplace(ctx context.Context, c *Call) *Result {
	e, bad := c.openEdit("Path", false)
	if bad != nil {
		return bad
	}
	r := (&Result{}).Set("rc", 0)
	start, end := 0, len(e.before)
	if c.Str("after") != "" || c.Str("before") != "" {
		pattern := c.Str("after") + "(?P<subsection>.*)"
		if c.Str("before") != "" {
			pattern = c.Str("after") + "(?P<subsection>.*?)" + c.Str("before")
		}
		re, err := pyre.Compile(pattern, false, true)
		if err != nil {
			return Fail("%v", err)
		}
		m, err := re.Find(e.before)
		if err != nil {
			return Fail("%v", err)
		}
		if m == nil {
			msg := fmt.Sprintf("Pattern for before/after params did not match the given file: %s", pattern)
			return r.say(msg).Set("msg", msg)
		}
		g := re.Group("subsection")
		start, end = m[2*g], m[2*g+1]
	}
	re, err := pyre.Compile(c.Str("regexp"), true, false)
	if err != nil {
		return Fail("%v", err)
	}
	part, n, err := re.ReplaceAll(e.before[start:end], c.Str("replace"))
	if err != nil {
		return Fail("cannot replace in %s: %v", e.path, err)
	}
	after := e.before[:start] + part + e.before[end:]
	if n > 0 && after != e.before {
		r.Msg = fmt.Sprintf("%d replacements made", n)
	}
	r = e.finish(ctx, r, after)
	if r.Failed {
		return r
	}
	if e.bak != "" {
		r.Set("backup_file", e.bak)
	}
	return r.Set("msg", r.Msg)
}
