// Package plan shows an api.Plan to people: what a push or a working tree
// would change, with identical changes of many hosts shown once. It is the
// same text in the output of git push and of `drover plan`.
package plan

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/rogpeppe/go-internal/diff"

	"drover/api"
)

// Options say how to show a plan.
type Options struct {
	Lines int // lines of differences shown for each change; 12 if 0
	Tasks int // changes shown for each group of hosts; 40 if 0
	Hosts int // hosts named in one line; 8 if 0
	Total int // lines of changes in all, beyond which they are only counted; 400 if 0
	Color bool
}

func (o Options) filled() Options {
	if o.Lines == 0 {
		o.Lines = 12
	}
	if o.Tasks == 0 {
		o.Tasks = 40
	}
	if o.Hosts == 0 {
		o.Hosts = 8
	}
	if o.Total == 0 {
		o.Total = 400
	}
	return o
}

// Problems prints what is wrong with a tree, one block a problem, errors first.
func Problems(w io.Writer, problems []*api.Error) {
	const most = 50
	for i, p := range problems {
		if i == most {
			fmt.Fprintf(w, "… and %d more\n", len(problems)-most)
			return
		}
		where := ""
		if p.Place != nil {
			where = p.Place.String() + ": "
		}
		text := clean(p.Message)
		if p.Remedy != "" {
			text = strings.TrimRight(text, ".") + "; " + clean(p.Remedy)
		}
		fmt.Fprintf(w, "%s%s\n", where, text)
	}
}

// Print prints a plan. A tree with errors has no other content than these.
func Print(w io.Writer, p *api.Plan, o Options) {
	o = o.filled()
	c := paint(o.Color)
	if p.Errors > 0 {
		fmt.Fprintf(w, "%s\n", c(red, count(p.Errors, "error", "errors")+":"))
		Problems(w, p.Problems)
		return
	}
	switch {
	case p.Declared == 0:
		fmt.Fprintln(w, "The inventory has no hosts.")
	case len(p.Changed) == 0 && p.Unchanged == 0:
		fmt.Fprintf(w, "Plan: none of the %s in the inventory has an agent yet; drover enroll ssh://root@HOST adds one.\n", count(p.Declared, "host", "hosts"))
	case len(p.Changed) == 0:
		fmt.Fprintf(w, "Plan: no host changes (%s).\n", count(p.Unchanged, "host stays as it is", "hosts stay as they are"))
	default:
		headline(w, p)
	}
	lines := &counter{w: w}
	for i, g := range p.Groups {
		if lines.n >= o.Total {
			n := 0
			for _, rest := range p.Groups[i:] {
				n += len(rest.Hosts)
			}
			fmt.Fprintf(w, "  … and %s that change otherwise; drover plan shows all of it\n", count(n, "more host", "more hosts"))
			break
		}
		group(lines, g, o, c)
	}
	if len(p.NotAsked) > 0 {
		fmt.Fprintf(w, "  %s: not asked in advance\n", hosts(p.NotAsked, o.Hosts))
	}
	if len(p.NotEnrolled) > 0 {
		fmt.Fprintf(w, "  %s: in the inventory, without an agent\n", hosts(p.NotEnrolled, o.Hosts))
	}
	if len(p.NotDeclared) > 0 {
		fmt.Fprintf(w, "  %s: with an agent, in no inventory\n", hosts(p.NotDeclared, o.Hosts))
	}
	if len(p.Problems) > 0 {
		fmt.Fprintf(w, "%s\n", c(yellow, "Warnings:"))
		Problems(w, p.Problems)
	}
	if t, doomed := Doomed(p); doomed {
		fmt.Fprintf(w, "%s\n", c(red, "Every host asked fails at this: "+undefinedName.FindString(t.Message)+"."))
	}
}

// headline counts the hosts by what the check said of them.
func headline(w io.Writer, p *api.Plan) {
	changing, same, failing := 0, 0, Failing(p)
	for _, g := range p.Groups {
		switch {
		case g.Failed:
		case len(g.Tasks) > 0:
			changing += len(g.Hosts)
		default:
			same += len(g.Hosts)
		}
	}
	asked := changing + same + failing
	if asked == 0 {
		fmt.Fprintf(w, "Plan: %s something new, and none could be asked in advance", count(len(p.Changed), "host gets", "hosts get"))
	} else {
		var said []string
		for _, part := range []struct {
			n         int
			one, many string
		}{{changing, "changes", "change"}, {same, "is already so", "are already so"}, {failing, "fails", "fail"}} {
			if part.n > 0 {
				said = append(said, count(part.n, part.one, part.many))
			}
		}
		fmt.Fprintf(w, "Plan: %s checked: %s", count(asked, "host", "hosts"), strings.Join(said, ", "))
	}
	if p.Unchanged > 0 {
		fmt.Fprintf(w, "; for %s nothing is new", count(p.Unchanged, "host", "hosts"))
	}
	fmt.Fprintln(w, ".")
}

// Group prints what one group of hosts would change, as Print does.
func Group(w io.Writer, g api.PlanGroup, o Options) {
	o = o.filled()
	group(&counter{w: w}, g, o, paint(o.Color))
}

func group(w *counter, g api.PlanGroup, o Options, c painter) {
	head := hosts(g.Hosts, o.Hosts)
	switch {
	case g.Failed && len(g.Tasks) == 0:
		fmt.Fprintf(w, "  %s: %s\n", head, c(red, "the check failed: "+clean(g.Error)))
		return
	case len(g.Tasks) == 0:
		fmt.Fprintf(w, "  %s: nothing to do\n", head)
		return
	}
	fmt.Fprintf(w, "  %s\n", c(bold, head))
	var unforeseen []api.TaskResult
	shown, told := 0, false
	for i, t := range g.Tasks {
		if t.Status == api.StatusUnforeseen {
			unforeseen = append(unforeseen, t)
			continue
		}
		if shown == o.Tasks || w.n >= o.Total {
			n := 0
			for _, rest := range g.Tasks[i:] {
				if rest.Status == api.StatusUnforeseen {
					unforeseen = append(unforeseen, rest)
				} else {
					n++
				}
			}
			fmt.Fprintf(w, "    … and %s\n", count(n, "further change", "further changes"))
			break
		}
		shown++
		told = told || t.Status != "changed"
		task(w, t, o, c)
	}
	if g.Failed && !told {
		fmt.Fprintf(w, "    %s\n", c(red, "the check failed: "+clean(g.Error)))
	}
	later(w, unforeseen, c)
}

// mostLater is how many tasks are named that cannot be foreseen.
const mostLater = 6

// later lists what depends on the changes above, which is no error.
func later(w io.Writer, tasks []api.TaskResult, c painter) {
	if len(tasks) == 0 {
		return
	}
	fmt.Fprintf(w, "    %s\n", c(dim, count(len(tasks), "task cannot be foreseen before the changes above are made:", "tasks cannot be foreseen before the changes above are made:")))
	for i, t := range tasks {
		if i == mostLater {
			fmt.Fprintf(w, "      %s\n", c(dim, fmt.Sprintf("… and %d more", len(tasks)-i)))
			return
		}
		where := ""
		if t.Place != nil {
			where = " (" + t.Place.String() + ")"
		}
		fmt.Fprintf(w, "      %s\n", c(dim, title(t)+": "+clean(t.Message)+where))
	}
}

// counter counts the lines that are printed.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += bytes.Count(b, []byte("\n"))
	return c.w.Write(b)
}

func title(t api.TaskResult) string {
	name := clean(t.Name)
	if t.Module != "" && t.Module != t.Name {
		name += " [" + t.Module + "]"
	}
	if t.Item != "" {
		name += " (" + clean(t.Item) + ")"
	}
	return name
}

func task(w io.Writer, t api.TaskResult, o Options, c painter) {
	name := title(t)
	if t.Status != "changed" {
		where := ""
		if t.Place != nil {
			where = t.Place.String() + ": "
		}
		fmt.Fprintf(w, "    %s %s\n      %s%s\n", c(red, "✗"), name, where, clean(t.Message))
		return
	}
	fmt.Fprintf(w, "    %s %s\n", c(yellow, "~"), name)
	for _, ch := range t.Changes {
		fmt.Fprintf(w, "      %s %s %s\n", clean(ch.Action), clean(ch.Type), clean(ch.ID))
	}
	if told(t.Changes) {
		return
	}
	left := o.Lines
	for _, d := range t.Diff {
		left = difference(w, d, left, c)
	}
}

// told reports whether the words for the changes say all: those of units are
// "enable" and "start", and their differences are the same once more.
func told(changes []api.Change) bool {
	for _, ch := range changes {
		if ch.Type != "unit" {
			return false
		}
	}
	return len(changes) > 0
}

// unified is a difference as text.
func unified(d api.Diff) string {
	if d.Prepared != "" || d.Before == d.After {
		return d.Prepared
	}
	if len(d.Before)+len(d.After) > mostCompared {
		return fmt.Sprintf("@@\n-%d bytes\n+%d bytes\n", len(d.Before), len(d.After))
	}
	return string(diff.Diff("before", []byte(d.Before), "after", []byte(d.After)))
}

// Bounds of what is compared and kept of one difference.
const (
	mostCompared = 2 << 20
	mostKept     = 32 << 10
)

// Same is equal for changes that a person would call the same: what is added
// and removed counts, and not the lines around it, nor what the whole file was.
func Same(g api.PlanGroup) string {
	h := sha256.New()
	put := func(words ...any) {
		for _, w := range words {
			fmt.Fprintf(h, "%q ", fmt.Sprint(w))
		}
	}
	put(g.Failed, g.Error)
	for _, t := range g.Tasks {
		put("task", t.Name, t.Module, t.Item, t.Status, t.Place)
		if t.Status != "changed" {
			put(t.Message)
		}
		for _, c := range t.Changes {
			put(c.Type, c.ID, c.Action)
		}
		for _, d := range t.Diff {
			put("diff")
			for line := range strings.Lines(unified(d)) {
				if isHeader(line) || line[0] != '+' && line[0] != '-' {
					continue
				}
				put(line)
			}
		}
	}
	return string(h.Sum(nil))
}

func isHeader(line string) bool {
	return strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, "@@")
}

// Trim makes a change small enough to travel: of a large difference the
// beginning stays, as text.
func Trim(t *api.TaskResult) {
	for i, d := range t.Diff {
		if len(d.Before)+len(d.After)+len(d.Prepared) <= mostKept {
			continue
		}
		text := unified(d)
		if len(text) > mostKept {
			cut := strings.LastIndexByte(text[:mostKept], '\n') + 1
			if cut == 0 {
				cut = mostKept
			}
			text = strings.ToValidUTF8(text[:cut], "") + "@@ … cut: the difference is " + fmt.Sprint(len(text)>>10) + " KB\n"
		}
		t.Diff[i] = api.Diff{BeforeHeader: d.BeforeHeader, AfterHeader: d.AfterHeader, Prepared: text}
	}
}

// difference prints at most left lines of one difference.
func difference(w io.Writer, d api.Diff, left int, c painter) int {
	text := unified(d)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || isHeader(line) {
			continue
		}
		if left == 0 {
			fmt.Fprintln(w, "        …")
			return -1
		}
		if left < 0 {
			return left
		}
		left--
		line = clean(line)
		switch line[0] {
		case '+':
			line = c(green, line)
		case '-':
			line = c(red, line)
		}
		fmt.Fprintf(w, "        %s\n", line)
	}
	return left
}

func hosts(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// clean keeps what a repository or a host says from steering a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		return string(r[:299]) + "…"
	}
	if s == "" {
		return " "
	}
	return s
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

type painter func(code, s string) string

func paint(on bool) painter {
	if !on {
		return func(_, s string) string { return s }
	}
	return func(code, s string) string { return "\x1b[" + code + "m" + s + "\x1b[0m" }
}
