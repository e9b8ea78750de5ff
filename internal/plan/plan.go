// Package plan shows an api.Plan to people: what a push or a working tree
// would change, with identical changes of many hosts shown once. It is the
// same text in the output of git push and of `drover plan`.
package plan

import (
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
		fmt.Fprintf(w, "%s%s; %s\n", where, clean(p.Message), remedy(p))
	}
}

func remedy(p *api.Error) string {
	if p.Remedy == "" {
		return "mend it and push again"
	}
	return clean(p.Remedy)
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
		fmt.Fprintf(w, "Plan: %s, %d as before.\n", count(len(p.Changed), "host gets a new assignment", "hosts get a new assignment"), p.Unchanged)
	}
	for _, g := range p.Groups {
		group(w, g, o, c)
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
}

func group(w io.Writer, g api.PlanGroup, o Options, c painter) {
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
	for i, t := range g.Tasks {
		if i == o.Tasks {
			fmt.Fprintf(w, "    … and %s\n", count(len(g.Tasks)-i, "further change", "further changes"))
			break
		}
		task(w, t, o, c)
	}
	if g.Failed {
		fmt.Fprintf(w, "    %s\n", c(red, "the check stops here: "+clean(g.Error)))
	}
}

func task(w io.Writer, t api.TaskResult, o Options, c painter) {
	name := clean(t.Name)
	if t.Module != "" && t.Module != t.Name {
		name += " [" + t.Module + "]"
	}
	if t.Item != "" {
		name += " (" + clean(t.Item) + ")"
	}
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
	left := o.Lines
	for _, d := range t.Diff {
		left = difference(w, d, left, c)
	}
}

// difference prints at most left lines of one difference.
func difference(w io.Writer, d api.Diff, left int, c painter) int {
	text := d.Prepared
	if text == "" && d.Before != d.After {
		text = string(diff.Diff("before", []byte(d.Before), "after", []byte(d.After)))
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "diff ") || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") || strings.HasPrefix(line, "@@") || line == "" {
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
