package module

import (
	"context"
	"strings"

	"drover/internal/play/machine"
)

var getentModule = &Module{
	Name: "getent",
	Params: []Param{
		{Name: "database", Required: true},
		{Name: "key"},
		{Name: "split"},
		{Name: "service"},
		{Name: "fail_key", Type: Bool, Default: true},
	},
	Run: runGetent,
}

// splitAt is the separator of each database that has one by nature.
var splitAt = map[string]string{"passwd": ":", "shadow": ":", "group": ":", "gshadow": ":"}

func runGetent(ctx context.Context, c *Call) *Result {
	db, key := c.Str("database"), c.Str("key")
	if strings.HasPrefix(db, "-") || strings.HasPrefix(key, "-") {
		return Fail("cannot ask for %q in %q: neither may begin with a dash", key, db)
	}
	lines, found, unknown, err := c.getentLines(ctx, db, key)
	if err != nil {
		return Fail("cannot ask the name service: %v", err)
	}
	if unknown {
		return Fail("Missing arguments, or database unknown.")
	}
	fact := "getent_" + db
	out := map[string]any{}
	if !found {
		msg := "One or more supplied key could not be found in the database."
		if c.Bool("fail_key") {
			return Fail("%s", msg)
		}
		out[key] = nil
		return &Result{Msg: msg, Facts: map[string]any{fact: out}}
	}
	sep := splitAt[db]
	if c.Has("split") {
		sep = c.Str("split")
	}
	for _, line := range lines {
		var f []string
		if sep != "" {
			f = strings.Split(line, sep)
		} else {
			f = strings.Fields(line)
		}
		if len(f) == 0 {
			continue
		}
		rest := make([]any, len(f)-1)
		for i, v := range f[1:] {
			rest[i] = v
		}
		if had, ok := out[f[0]].([]any); ok && sep == "" {
			rest = append(had, rest...) // hosts and services may have a line more
		}
		out[f[0]] = rest
	}
	return &Result{Facts: map[string]any{fact: out}}
}

// getentLines reads the file where the name service has no other source, and
// asks the program otherwise.
func (c *Call) getentLines(ctx context.Context, db, key string) (lines []string, found, unknown bool, err error) {
	conf, cerr := c.Host.ReadFile("/etc/nsswitch.conf")
	if splitAt[db] != "" && !c.Has("service") && (c.Host.Root != "" || (cerr == nil && !machine.NSSBeyondFiles(string(conf), db))) {
		raw, err := c.Host.ReadFile("/etc/" + db)
		if err != nil {
			return nil, false, false, err
		}
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimRight(line, "\n")
			f := strings.Split(line, ":")
			if len(f) < 2 || line[0] == '#' {
				continue
			}
			if key != "" && f[0] != key && !(len(f) > 2 && (db == "passwd" || db == "group") && f[2] == key) {
				continue
			}
			lines = append(lines, line)
		}
		return lines, key == "" || len(lines) > 0, false, nil
	}
	argv := []string{"getent"}
	if c.Has("service") {
		argv = append(argv, "-s", c.Str("service"))
	}
	argv = append(argv, db)
	if key != "" {
		argv = append(argv, key)
	}
	out, err := c.tool(ctx, Cmd{Argv: argv})
	if err != nil {
		return nil, false, false, err
	}
	switch out.Code {
	case 0:
		return strings.Split(strings.TrimRight(string(out.Stdout), "\n"), "\n"), true, false, nil
	case 1:
		return nil, false, true, nil
	}
	return nil, false, false, nil
}
