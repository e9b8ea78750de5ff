package playpull

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/module"
)

// discreet is a session that does not tell what is in files that not everybody
// on the host may read: reports and plans are kept by the server and shown to
// people who have no account there. That such a file changed is told all the same.
type discreet struct{ engine.Conn }

func (d discreet) Run(ctx context.Context, req *module.Request) (*module.Result, error) {
	res, err := d.Conn.Run(ctx, req)
	if res != nil && len(res.Diff) > 0 {
		if path, ok := privateFile(req.Args["mode"], res.Changes); ok {
			res.Diff = conceal(res.Diff, path)
		}
	}
	return res, err
}

// privateFile finds a file among the changes that is, was or is to be closed to others.
func privateFile(mode any, changes []api.Change) (path string, ok bool) {
	for _, c := range changes {
		if c.Type == "file" && (closes(mode) || closed(c.Before) || closed(c.After)) {
			return c.ID, true
		}
	}
	return "", false
}

// closed reports whether a file's record has a mode without reading for others.
func closed(record any) bool {
	r, ok := record.(map[string]any)
	return ok && closes(r["mode"])
}

// closes reports whether a mode, as a task gives it or as a record has it,
// keeps others from reading. In doubt it does.
func closes(mode any) bool {
	var bits int64
	switch m := mode.(type) {
	case nil:
		return false
	case int64:
		bits = m
	case int:
		bits = int64(m)
	case float64:
		bits = int64(m)
	case fmt.Stringer: // json.Number
		return closes(mustInt(m.String()))
	case string:
		if m == "" || m == "preserve" {
			return false
		}
		n, err := strconv.ParseInt(m, 8, 32)
		if err != nil {
			return closesSymbolic(m)
		}
		bits = n
	default:
		return true
	}
	return fs.FileMode(bits)&0o004 == 0
}

func mustInt(s string) any {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return true // no mode at all
	}
	return n
}

// closesSymbolic reads a mode such as "u=rw,go=".
func closesSymbolic(mode string) bool {
	for clause := range strings.SplitSeq(mode, ",") {
		at := strings.IndexAny(clause, "=+-")
		if at < 0 {
			return true
		}
		who, reads := clause[:at], strings.ContainsAny(clause[at+1:], "rugo")
		if who != "" && !strings.ContainsAny(who, "oa") {
			continue
		}
		if clause[at] == '=' && !reads || clause[at] == '-' && reads {
			return true
		}
	}
	return false
}

// Discreet is diffs for a record that others read: without the content of
// files that not everybody may read, as far as the changes tell.
func Discreet(diffs []api.Diff, changes []api.Change) []api.Diff {
	if path, ok := privateFile(nil, changes); ok && len(diffs) > 0 {
		return conceal(slices.Clone(diffs), path)
	}
	return diffs
}

// conceal takes the content out of diffs. Those of attributes stay.
func conceal(diffs []api.Diff, path string) []api.Diff {
	for i, d := range diffs {
		if !attributes(d.Before) || !attributes(d.After) || d.Prepared != "" {
			diffs[i] = api.Diff{Prepared: fmt.Sprintf("the content is not shown: not everybody may read %s\n", path)}
		}
	}
	return diffs
}

// attributes reports whether one side of a diff is a record of a file's attributes.
func attributes(text string) bool {
	var record map[string]any
	if json.Unmarshal([]byte(text), &record) != nil {
		return false
	}
	for k := range record {
		switch k {
		case "path", "mode", "owner", "group", "state", "attributes", "secontext":
		default:
			return false
		}
	}
	return true
}
