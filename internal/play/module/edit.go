package module

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/play/machine"
	"drover/internal/play/pyre"
)

// edit is what the modules that change a part of a text file share: reading the
// file or saying why not, and putting the new content and the attributes in
// place.
type edit struct {
	*Call
	path   string
	exists bool
	before string
	header string // of the diff, after the path
	bak    string // name of the copy, if one was made
}

const attrsChanged = "ownership, perms or SE linux context changed"

// openEdit reads the file. A missing one is an empty one when create is set.
func (c *Call) openEdit(missing string, create bool) (*edit, *Result) {
	e := &edit{Call: c, path: c.Str("path")}
	fi, err := c.Host.Stat(e.path)
	switch {
	case err == nil && fi.IsDir():
		return nil, Fail("Path %s is a directory !", e.path).Set("rc", 256)
	case err == nil:
		b, err := c.Host.ReadFile(e.path)
		if err != nil {
			return nil, Fail("cannot read %s: %s", e.path, reason(err))
		}
		e.before, e.exists = string(b), true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, Fail("cannot read %s: %s", e.path, reason(err))
	case !create:
		return nil, Fail("%s %s does not exist !", missing, e.path).Set("rc", 257)
	}
	return e, nil
}

// finish writes the content if it changed, sets the attributes, and tells both.
func (e *edit) finish(ctx context.Context, r *Result, after string) *Result {
	h, record := e.Host, e.Host.Record(e.path)
	changed := after != e.before || !e.exists
	if changed {
		if e.Diff {
			r.addDiff(strings.TrimSpace(e.path+" "+e.header), text([]byte(e.before)), text([]byte(after)))
		}
		if bad := e.write(ctx, after); bad != nil {
			return bad
		}
	}
	d := machine.NewAttrChange()
	attrs := e.fileAttrs()
	attrChanged := false
	if e.exists || !e.Check {
		var err error
		attrChanged, err = h.Apply(e.path, attrs, true, e.Check, d)
		r.await(d.Awaited...)
		if err != nil {
			return r.Fail("%v", attrMessage(r, err))
		}
	}
	if changed && !attrChanged && !e.Check {
		if !e.exists {
			record = e.fresh()
		}
		attrChanged = e.attrsDiffer(record, attrs, d)
		if !e.exists {
			record = nil
		}
	}
	if attrChanged {
		if r.Msg != "" {
			r.Msg += " and "
		}
		r.Msg += attrsChanged
		if e.Diff {
			d.Add("path", e.path, e.path)
			r.attrDiff(d.Before, d.After)
			last := &r.Diff[len(r.Diff)-1]
			last.BeforeHeader, last.AfterHeader = e.path+" (file attributes)", e.path+" (file attributes)"
		}
	}
	if !changed && !attrChanged {
		return r
	}
	action := "update"
	if !e.exists {
		action = "create"
	}
	now := h.Record(e.path)
	if e.Check {
		sum := machine.SumsOf([]byte(after))
		now = map[string]any{"sha256": sum.SHA256, "size": len(after)}
	}
	return r.Change("file", e.path, action, record, now)
}

// attrsDiffer reports attributes that were set together with the content.
func (e *edit) attrsDiffer(record any, a *machine.Attrs, d *machine.AttrChange) bool {
	was, _ := record.(map[string]any)
	now, _ := e.Host.Record(e.path).(map[string]any)
	if was == nil || now == nil || e.Check || a.Empty() {
		return false
	}
	for _, k := range []string{"mode", "owner", "group"} {
		if was[k] != now[k] {
			d.Add(k, was[k], now[k])
		}
	}
	return len(d.Before) > 0
}

// fresh is what a new file would be without the task's attributes.
func (e *edit) fresh() any {
	return map[string]any{"mode": machine.ModeString(0o666 &^ machine.Umask()), "owner": e.Host.OwnerName(os.Geteuid()), "group": e.Host.GroupName(os.Getegid())}
}

func (e *edit) write(ctx context.Context, after string) *Result {
	if e.Check {
		return nil
	}
	if e.exists && e.Bool("backup") {
		name, err := e.backup(e.path)
		if err != nil {
			return Fail("%v", err)
		}
		e.bak = name
	}
	if !e.exists {
		dir := filepath.Dir(e.path)
		if err := os.MkdirAll(e.Host.Path(e.Host.Realpath(dir)), 0o777); err != nil {
			return Fail("Error creating %s (%s)", dir, reason(err))
		}
	}
	bad := e.writeFile(ctx, e.path, []byte(after), e.writeOptions())
	if bad != nil {
		bad.Values = nil
	}
	return bad
}

// keepLines splits a text into lines that keep their ends.
func keepLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func stripEnd(line string) string { return strings.TrimRight(line, "\r\n") }

// ended is a line with an end.
func ended(line string) string {
	if strings.HasSuffix(line, "\n") {
		return line
	}
	return line + "\n"
}

func insertAt(lines []string, i int, add ...string) []string {
	out := make([]string, 0, len(lines)+len(add))
	out = append(out, lines[:i]...)
	out = append(out, add...)
	return append(out, lines[i:]...)
}

// compileArg compiles a regular expression of a parameter.
func (c *Call) compileArg(name string) (*pyre.Regexp, *Result) {
	re, err := pyre.Compile(c.Str(name), false, false)
	if err != nil {
		return nil, Fail("%v", fmt.Errorf("%s: %w", name, err))
	}
	return re, nil
}
