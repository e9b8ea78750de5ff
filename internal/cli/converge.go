package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/plan"
)

func newConvergeCommand(a *app) *cobra.Command {
	var q api.ConvergeRequest
	cmd := &cobra.Command{
		Use: "converge [-l PATTERN]", GroupID: groupWork,
		Short: "Have hosts become what they should be, now",
		Long: `Hosts converge by themselves, at once when something is pushed and again on a
timer. This asks them to do it now, and says of each how it ended. With --check
they only say what they would change.

Exit status 0 says that all hosts are as they should be, 1 that some failed,
3 that some did not answer.`,
		Example: `  drover converge
  drover converge -l 'web:!web-3'
  drover converge --check -l label:env=prod`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return a.converge(ctxOf(cmd), q) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&q.Hosts, "limit", "l", "", "`pattern` of the hosts, as of drover run; all of them without it")
	fl.BoolVarP(&q.Check, "check", "C", false, "change nothing; say what would be changed")
	fl.DurationVar(&q.Timeout, "timeout", 0, "end it after this long (1h)")
	fl.BoolVar(&q.Detach, "detach", false, "print the run's ID and let it go on by itself")
	return cmd
}

func (a *app) converge(ctx context.Context, q api.ConvergeRequest) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if q.Detach {
		r, err := c.Detached(ctx, q)
		if err != nil {
			return err
		}
		return a.detached(r)
	}
	v := &convergeView{app: a, check: q.Check, done: map[string]api.RunDone{}}
	p := a.progress("asking the hosts")
	err = c.Stream(ctx, "POST", "/v1/converge", q, func(m client.Message) error {
		var e api.RunEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("cannot read the stream: %w", err)
		}
		if len(e.Done) > 0 && !v.structured() {
			p.End()
		}
		v.take(e)
		p.Set("%d of %d hosts are done", len(v.done), v.asked)
		return nil
	})
	p.End()
	if err != nil {
		return stopped(ctx, err)
	}
	return v.finish()
}

// convergeView prints a converge of many hosts as it goes.
type convergeView struct {
	*app
	check bool
	asked int
	width int
	done  map[string]api.RunDone
	end   *api.RunEnd
}

func (v *convergeView) take(e api.RunEvent) {
	if e.Start != nil {
		v.asked = len(e.Start.Hosts)
		for _, h := range slices.Concat(e.Start.Hosts, e.Start.Away) {
			v.width = min(max(v.width, len(h)), 24)
		}
		for _, h := range e.Start.Away {
			v.host(api.RunDone{Host: h, Exit: -1, Error: "not connected; it converges when it is back"})
		}
	}
	for _, d := range e.Done {
		v.host(d)
	}
	if e.End != nil {
		v.end = e.End
	}
}

// host says how one host ended.
func (v *convergeView) host(d api.RunDone) {
	v.done[d.Host] = d
	if v.structured() {
		return
	}
	r := d.Report
	line := func(t tone, mark, format string, args ...any) {
		fmt.Fprintf(v.Out, "%s %s\n", v.style(t, fmt.Sprintf("%-*s %s", v.width, d.Host, mark)), fmt.Sprintf(format, args...))
	}
	if r == nil || d.Error != "" {
		line(bad, "✗", "%s", oneLine(first(d.Error, fmt.Sprintf("exit status %d", d.Exit))))
		return
	}
	ok, changed, failed, unforeseen := 0, 0, 0, 0
	for _, s := range r.Sections {
		ok, changed, failed = ok+s.OK, changed+s.Changes, failed+s.Failures
		for _, t := range s.Tasks {
			if t.Status == api.StatusUnforeseen {
				unforeseen++
			}
		}
	}
	counts := fmt.Sprintf("%d ok, %d changed", ok, changed)
	if v.check {
		counts = fmt.Sprintf("%d ok, %d would change", ok-changed, changed)
	}
	if failed > 0 {
		counts += fmt.Sprintf(", %d failed", failed)
	}
	if unforeseen > 0 {
		counts += fmt.Sprintf(", %d cannot be foreseen", unforeseen)
	}
	counts += " " + v.style(dim, "in "+short(r.Duration))
	switch {
	case r.Failed:
		line(bad, "✗", "%s", counts)
		if r.Message != "" {
			fmt.Fprintln(v.Out, indent(wrap(r.Message, v.textWidth()-v.width-3), v.width+3))
		}
	case r.Changed:
		line(warn, "~", "%s", counts)
	default:
		line(good, "✓", "%s", counts)
	}
}

func (v *convergeView) finish() error {
	if v.end == nil {
		return api.Errorf(api.CodeUnavailable, "the server ended the stream before all hosts were done").WithRemedy("hosts go on by themselves; see drover hosts")
	}
	if v.structured() {
		out := map[string]any{"ok": v.end.OK, "failed": v.end.Failed, "lost": v.end.Lost, "seconds": v.end.Took.Seconds(), "hosts": v.done}
		if err := v.printValue(out); err != nil {
			return err
		}
		return runStatus(v.end)
	}
	if v.check {
		v.changes()
	}
	if !v.quiet {
		fmt.Fprintf(v.Err, "%s %s\n", runSummary(v.end), v.style(dim, "in "+v.end.Took.Round(10*time.Millisecond).String()))
	}
	return runStatus(v.end)
}

// changes shows what a check found, the same changes of many hosts once.
func (v *convergeView) changes() {
	groups := map[string]*api.PlanGroup{}
	var order []*api.PlanGroup
	for _, h := range slices.Sorted(maps.Keys(v.done)) {
		d := v.done[h]
		if d.Report == nil {
			continue
		}
		g := api.PlanGroup{Failed: d.Report.Failed, Error: d.Report.Message}
		for _, room := range slices.Sorted(maps.Keys(d.Report.Sections)) {
			g.Tasks = append(g.Tasks, d.Report.Sections[room].Tasks...)
		}
		if len(g.Tasks) == 0 {
			continue
		}
		key := plan.Same(g)
		if groups[key] == nil {
			groups[key] = &g
			order = append(order, &g)
		}
		groups[key].Hosts = append(groups[key].Hosts, h)
	}
	if len(order) > 0 {
		fmt.Fprintln(v.Out)
	}
	for _, g := range order {
		plan.Group(v.Out, *g, plan.Options{Color: v.coloured(), Hosts: 20, Tasks: 1000, Lines: 30, Total: math.MaxInt})
	}
}

// textWidth is where running text ends.
func (a *app) textWidth() int {
	if w := a.width(); w > 0 {
		return min(w, 100)
	}
	return 100
}

// wrap breaks a text into lines of at most width runes, at spaces.
func wrap(s string, width int) string {
	width = max(width, 20)
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(oneLine(s)) {
		l := len([]rune(word))
		switch {
		case n == 0:
		case n+1+l > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += l
	}
	return b.String()
}

func indent(s string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
}
