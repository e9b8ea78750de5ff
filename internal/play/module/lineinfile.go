package module

import (
	"context"
	"fmt"
	"strings"

	"drover/internal/play/pyre"
)

var lineinfileModule = &Module{
	Name: "lineinfile", FileArgs: true,
	Params: []Param{
		{Name: "path", Aliases: []string{"dest", "destfile", "name"}, Type: Path, Required: true},
		{Name: "state", Default: "present", Choices: []string{"absent", "present"}},
		{Name: "regexp", Aliases: []string{"regex"}}, {Name: "search_string"}, {Name: "line", Aliases: []string{"value"}},
		{Name: "insertafter"}, {Name: "insertbefore"}, {Name: "backrefs", Type: Bool, Default: false},
		{Name: "create", Type: Bool, Default: false}, {Name: "backup", Type: Bool, Default: false},
		{Name: "firstmatch", Type: Bool, Default: false}, {Name: "validate"}, {Name: "encoding", Default: "utf-8"},
	},
	MutuallyExclusive: [][]string{{"insertbefore", "insertafter"}, {"regexp", "search_string"}, {"backrefs", "search_string"}},
	Run:               runLineinfile,
}

func runLineinfile(ctx context.Context, c *Call) *Result {
	present := c.Str("state") == "present"
	switch {
	case present && c.Bool("backrefs") && !c.Has("regexp"):
		return Fail("regexp is required with backrefs=true")
	case present && !c.Has("line"):
		return Fail("line is required with state=present")
	case !present && !c.Has("line") && !c.Has("regexp") && !c.Has("search_string"):
		return Fail("one of line, search_string, or regexp is required with state=absent")
	}
	r := &Result{}
	if c.Has("regexp") && c.Str("regexp") == "" {
		r.Warn("The regular expression is an empty string, which will match every line in the file. This may have unintended consequences, such as replacing the last line in the file rather than appending.")
	}
	if c.Has("search_string") && c.Str("search_string") == "" {
		r.Warn("The search string is an empty string, which will match every line in the file. This may have unintended consequences, such as replacing the last line in the file rather than appending.")
	}
	match, bad := lineMatcher(c)
	if bad != nil {
		return bad
	}
	e, bad := c.openEdit("Destination", !present || c.Bool("create"))
	if bad != nil {
		return bad
	}
	e.header = "(content)"
	if !present && !e.exists {
		return r.say("file not present")
	}
	r.Set("msg", nil)
	lines := keepLines(e.before)
	var err error
	if present {
		if lines, bad = e.presentLine(r, lines, match); bad != nil {
			return bad
		}
	} else {
		var keep []string
		for _, l := range lines {
			var hit []int
			if hit, err = match(stripEnd(l)); err != nil {
				return Fail("%v", err)
			}
			if hit == nil {
				keep = append(keep, l)
			}
		}
		found := len(lines) - len(keep)
		r.Set("found", found)
		if found > 0 {
			r.Msg = fmt.Sprintf("%d line(s) removed", found)
		}
		lines = keep
	}
	if r.Msg == "" {
		if !e.exists {
			return r
		}
		r = e.finish(ctx, r, e.before)
	} else {
		r = e.finish(ctx, r, strings.Join(lines, ""))
	}
	if r.Failed {
		return r
	}
	return r.Set("msg", r.Msg).Set("backup", e.bak)
}

// lineMatcher finds the lines meant by regexp, search_string or line itself.
// The answer is the match for back-references, nil if there is none.
func lineMatcher(c *Call) (func(line string) ([]int, error), *Result) {
	whole := []int{0, 0}
	switch {
	case c.Has("regexp"):
		re, bad := c.compileArg("regexp")
		if bad != nil {
			return nil, bad
		}
		return func(l string) ([]int, error) { return re.Find(l) }, nil
	case c.Has("search_string"):
		s := c.Str("search_string")
		return func(l string) ([]int, error) {
			if strings.Contains(l, s) {
				return whole, nil
			}
			return nil, nil
		}, nil
	}
	want := stripEnd(c.Str("line"))
	return func(l string) ([]int, error) {
		if l == want {
			return whole, nil
		}
		return nil, nil
	}, nil
}

// presentLine places the line; r.Msg stays empty if it is there already.
func (e *edit) presentLine(r *Result, lines []string, match func(string) ([]int, error)) ([]string, *Result) {
	line, first := e.Str("line"), e.Bool("firstmatch")
	after, before := e.Str("insertafter"), e.Str("insertbefore")
	if !e.Has("insertafter") && !e.Has("insertbefore") {
		after = "EOF"
	}
	var place *pyre.Regexp
	if where := after + before; where != "EOF" && where != "BOF" && where != "" {
		name := "insertafter"
		if before != "" {
			name = "insertbefore"
		}
		var bad *Result
		if place, bad = e.compileArg(name); bad != nil {
			return nil, bad
		}
	}
	hit, exact, spot := -1, -1, -1
	var groups []int
	for i, l := range lines {
		l = stripEnd(l)
		if hit < 0 || !first {
			m, err := match(l)
			if err != nil {
				return nil, Fail("%v", err)
			}
			if m != nil {
				hit, groups = i, m
			}
		}
		if l == stripEnd(line) {
			exact = i
		}
		if place != nil && (spot < 0 || !first) {
			ok, err := place.Match(l)
			if err != nil {
				return nil, Fail("%v", err)
			}
			if ok {
				spot = i
			}
		}
	}
	switch {
	case hit >= 0:
		text := line
		if e.Bool("backrefs") {
			re, bad := e.compileArg("regexp")
			if bad != nil {
				return nil, bad
			}
			var err error
			if text, err = re.Expand(line, stripEnd(lines[hit]), groups); err != nil {
				return nil, Fail("cannot fill the back-references of line: %v", err)
			}
		}
		text = ended(text)
		if lines[hit] == text {
			return lines, nil
		}
		lines[hit] = text
		r.Msg = "line replaced"
		return lines, nil
	case e.Bool("backrefs"), exact >= 0:
		return lines, nil
	}
	r.Msg = "line added"
	switch {
	case before == "BOF" || after == "BOF":
		return insertAt(lines, 0, ended(line)), nil
	case spot < 0 || after != "" && spot == len(lines)-1:
		if n := len(lines); n > 0 {
			lines[n-1] = ended(lines[n-1])
		}
		return append(lines, ended(line)), nil
	case after != "":
		spot++
	}
	return insertAt(lines, spot, ended(line)), nil
}
