package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"drover/api"
)

func newDiffCommand(a *app) *cobra.Command {
	var files []string
	var exitCode bool
	cmd := &cobra.Command{
		Use: "diff -f FILE", GroupID: groupObjects,
		Short: "Show what apply would change",
		Long:  "Show what drover apply with the same files would change; nothing is stored. The server checks the files as at an apply.",
		Args:  exactArgs(),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.diff(ctxOf(cmd), files, exitCode) },
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`file`, folder, or - for standard input; may be repeated")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if there is a difference")
	return cmd
}

// difference is one object's, as -o json prints it.
type difference struct {
	Object string `json:"object"`
	Result string `json:"result"` // created, changed, unchanged
	Diff   string `json:"diff,omitempty"`
}

func (a *app) diff(ctx context.Context, files []string, exitCode bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	p := a.progress("comparing")
	defer p.End()
	list, err := a.check(ctx, c, files)
	if err != nil {
		return err
	}
	diffs, differs := []difference{}, false
	for _, d := range list {
		var old object
		if err := c.Get(ctx, d.kind.Plural, d.name, &old); err != nil && api.CodeOf(err) != api.CodeNotFound {
			return err
		}
		result, stored, err := put(ctx, c, d, true)
		if err != nil {
			return err
		}
		before, err := declared(old)
		after, err2 := declared(stored)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		one := difference{Object: d.kind.Name + "/" + d.name, Result: result}
		if result != "unchanged" {
			one.Diff, differs = unified(before, after), true
		}
		diffs = append(diffs, one)
	}
	p.End()
	if a.structured() {
		err = a.printValue(diffs)
	} else {
		a.printDiffs(diffs)
	}
	if err == nil && differs && exitCode {
		err = exit(ExitFailed)
	}
	return err
}

func (a *app) printDiffs(diffs []difference) {
	for _, d := range diffs {
		if d.Result == "unchanged" {
			fmt.Fprintf(a.Out, "%s is unchanged\n", d.Object)
			continue
		}
		verb := "would be changed"
		if d.Result == "created" {
			verb = "would be created"
		}
		fmt.Fprintf(a.Out, "%s %s\n", a.style(bold, d.Object), verb)
		for line := range strings.SplitSeq(strings.TrimSuffix(d.Diff, "\n"), "\n") {
			t := plain
			switch {
			case strings.HasPrefix(line, "+"):
				t = good
			case strings.HasPrefix(line, "-"):
				t = bad
			case strings.HasPrefix(line, "@"):
				t = dim
			}
			fmt.Fprintln(a.Out, a.style(t, line))
		}
	}
}

// declared is what people declare of an object, as YAML.
func declared(o object) (string, error) {
	if o == nil {
		return "", nil
	}
	part := object{}
	for k, v := range o {
		switch k {
		case "status", "uid", "generation", "revision", "created", "updated":
		default:
			part[k] = v
		}
	}
	b, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("cannot compare: %w", err)
	}
	return jsonToYAML(b)
}

// diffContext is how many equal lines stand around a change.
const diffContext = 3

// unified is a diff of two texts by lines: " " same, "-" before, "+" after.
func unified(before, after string) string {
	a, b := lines(before), lines(after)
	edits := shortest(a, b)
	var out strings.Builder
	shown := make([]bool, len(edits))
	for i, e := range edits {
		if e.op == ' ' {
			continue
		}
		for j := max(0, i-diffContext); j <= min(len(edits)-1, i+diffContext); j++ {
			shown[j] = true
		}
	}
	skipped := false
	for i, e := range edits {
		if !shown[i] {
			skipped = true
			continue
		}
		if skipped {
			out.WriteString("@ …\n")
			skipped = false
		}
		out.WriteString(string(e.op) + e.line + "\n")
	}
	return out.String()
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

type edit struct {
	op   rune
	line string
}

// shortest is a shortest list of edits, by the longest common subsequence.
// Objects are at most 64 KB, so the table stays small.
func shortest(a, b []string) []edit {
	n, m := len(a), len(b)
	common := make([][]int, n+1)
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var edits []edit
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i]})
			i, j = i+1, j+1
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, edit{'-', a[i]})
			i++
		default:
			edits = append(edits, edit{'+', b[j]})
			j++
		}
	}
	return edits
}
