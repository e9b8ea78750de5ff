package module

import (
	"context"
	"strings"
)

var blockinfileModule = &Module{
	Name: "blockinfile", FileArgs: true,
	Params: []Param{
		{Name: "path", Aliases: []string{"dest", "destfile", "name"}, Type: Path, Required: true},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "marker", Default: "# {mark} ANSIBLE MANAGED BLOCK"}, {Name: "marker_begin", Default: "BEGIN"}, {Name: "marker_end", Default: "END"},
		{Name: "block", Aliases: []string{"content"}, Default: ""}, {Name: "insertafter"}, {Name: "insertbefore"},
		{Name: "create", Type: Bool, Default: false}, {Name: "backup", Type: Bool, Default: false}, {Name: "validate"},
		{Name: "append_newline", Type: Bool, Default: false}, {Name: "prepend_newline", Type: Bool, Default: false}, {Name: "encoding", Default: "utf-8"},
	},
	MutuallyExclusive: [][]string{{"insertbefore", "insertafter"}},
	Run:               runBlockinfile,
}

func runBlockinfile(ctx context.Context, c *Call) *Result {
	block := c.Str("block")
	present := c.Str("state") == "present" && block != ""
	create := c.Bool("create")
	e, bad := c.openEdit("Path", create)
	if bad != nil {
		if bad.Values["rc"] == 257 && !present {
			return (&Result{}).say("File " + c.Str("path") + " not present")
		}
		return bad
	}
	e.header = "(content)"
	if !e.exists && !present {
		return (&Result{}).say("File " + e.path + " not present")
	}
	lines := keepLines(e.before)
	mark := func(word string) string {
		return stripEnd(strings.ReplaceAll(c.Str("marker"), "{mark}", c.Str(word)))
	}
	begin, end := mark("marker_begin"), mark("marker_end")
	from, to := -1, -1
	for i, l := range lines {
		switch stripEnd(l) {
		case begin:
			from = i
		case end:
			to = i
		}
	}
	at := -1
	switch {
	case from < 0 || to < 0:
		if !present {
			break
		}
		if at, bad = e.blockPlace(lines); bad != nil {
			return bad
		}
	default:
		if from > to {
			from, to = to, from
		}
		at = from
		lines = append(lines[:from:from], lines[to+1:]...)
	}
	r := &Result{}
	if present {
		text := []string{begin + "\n"}
		text = append(text, keepLines(ended(block))...)
		text = append(text, end+"\n")
		if at > 0 {
			lines[at-1] = ended(lines[at-1])
		}
		if c.Bool("prepend_newline") && at > 0 && strings.TrimSpace(lines[at-1]) != "" {
			text = append([]string{"\n"}, text...)
		}
		if c.Bool("append_newline") && at < len(lines) && strings.TrimSpace(lines[at]) != "" {
			text = append(text, "\n")
		}
		lines = insertAt(lines, at, text...)
	}
	after := strings.Join(lines, "")
	switch {
	case after == e.before && e.exists:
	case !e.exists:
		r.Msg = "File created"
	case present:
		r.Msg = "Block inserted"
	default:
		r.Msg = "Block removed"
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

// blockPlace is the line before which a new block goes.
func (e *edit) blockPlace(lines []string) (int, *Result) {
	name := "insertafter"
	if e.Has("insertbefore") {
		name = "insertbefore"
	}
	switch where := e.Str(name); where {
	case "BOF":
		return 0, nil
	case "", "EOF":
		return len(lines), nil
	}
	re, bad := e.compileArg(name)
	if bad != nil {
		return 0, bad
	}
	at := len(lines)
	for i, l := range lines {
		ok, err := re.Match(stripEnd(l))
		if err != nil {
			return 0, Fail("%v", err)
		}
		if ok {
			if at = i; name == "insertafter" {
				at++
			}
		}
	}
	return at, nil
}
