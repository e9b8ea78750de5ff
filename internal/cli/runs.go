package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
)

func newRunsCommand(a *app) *cobra.Command {
	var q client.RunQuery
	var host string
	var follow bool
	cmd := &cobra.Command{
		Use: "runs [ID]", GroupID: groupWork,
		Short: "Show what ran, and how it went on each host",
		Long: `Without an ID, list what people ran, the newest first: commands, converges and
plays. With --host, --commit or --kind apply also how hosts brought themselves to
revisions.

With an ID, show how that run went on each of its hosts; with --host what that
host printed, or its tasks; with -f all of it from the beginning, and on until
it ends. An ID may be shortened as long as it is clear among the newest.`,
		Example: `  drover runs
  drover runs --host web-1 --state failed
  drover runs run-3F7KXQ2M
  drover runs run-3F7KXQ2M --host web-1
  drover runs cancel run-3F7KXQ2M`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Host = host
			switch {
			case len(args) == 0 && follow:
				return usagef("-f follows one run: give its ID")
			case len(args) == 0:
				return a.listRuns(ctxOf(cmd), q)
			case follow:
				return a.followRun(ctxOf(cmd), args[0])
			case host != "":
				return a.runOfHost(ctxOf(cmd), args[0], host)
			}
			return a.showRun(ctxOf(cmd), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&host, "host", "", "about this `host` only; with an ID what it printed")
	f.StringSliceVar(&q.Kinds, "kind", nil, "of these `kinds` only: command, converge, play, apply")
	f.StringVar(&q.Actor, "actor", "", "asked for by this `person` or token/NAME only")
	f.StringVar(&q.State, "state", "", "in this `state` only: running, ok, failed, partial, cancelled, lost")
	f.StringVar(&q.Commit, "commit", "", "applies of this fleet `revision` only, in full")
	f.IntVarP(&q.Limit, "limit", "n", 20, "the newest so many")
	f.BoolVarP(&follow, "follow", "f", false, "with an ID: from the beginning, and on until it ends")
	cmd.AddCommand(&cobra.Command{
		Use: "cancel ID", Short: "End a run that goes on",
		Long: "End a run that goes on. Commands and plays are ended on their hosts; hosts that\nconverge go on by themselves, and nobody waits for them any more.",
		Args: exactArgs("the ID of a run"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.cancelRun(ctxOf(cmd), args[0]) },
	})
	return cmd
}

func (a *app) listRuns(ctx context.Context, q client.RunQuery) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if len(q.Kinds) == 0 && q.Host == "" && q.Commit == "" {
		q.Kinds = askedKinds
	}
	list, err := c.Runs(ctx, q)
	if err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(list.Items)
	}
	now := time.Now()
	t := newTable("RUN", "KIND", "STATE", "HOSTS", "CHANGED", "BY", "BEGAN", "TOOK", "WHAT")
	for _, r := range list.Items {
		took := "-"
		if r.Took > 0 {
			took = short(r.Took)
		}
		t.row(r.ID, r.Kind, r.State, runHosts(r), fmt.Sprint(r.Changed), first(r.Actor, "-"), since(r.Start, now), took, runTitle(r))
	}
	a.printTable(t)
	if list.Next != "" && !a.quiet {
		fmt.Fprintln(a.Err, a.style(dim, fmt.Sprintf("there are more: drover runs -n %d", 10*max(q.Limit, 20))))
	}
	return nil
}

// askedKinds are what people run. A list of a fleet's own applies would bury them.
var askedKinds = []string{api.RunCommand, api.RunConverge, api.RunPlay}

// runHosts says on how many hosts it went well, or which host it was.
func runHosts(r api.RunRecord) string {
	if r.Host != "" {
		return r.Host
	}
	return fmt.Sprintf("%d/%d", r.OK, r.Count)
}

func runTitle(r api.RunRecord) string {
	title := oneLine(r.Title)
	if r.Check && r.Kind == api.RunPlay {
		title += " (check)"
	}
	if r.Hosts != "" {
		title += " -l " + oneLine(r.Hosts)
	}
	return title
}

// findRun is the run whose ID is given, or the beginning of it.
func (a *app) findRun(ctx context.Context, id string) (*client.Client, *api.RunDetail, error) {
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	d, err := c.Run(ctx, id)
	if api.CodeOf(err) != api.CodeNotFound {
		return c, d, err
	}
	list, listErr := c.Runs(ctx, client.RunQuery{Limit: 1000})
	if listErr != nil {
		return nil, nil, err
	}
	var found []string
	for _, r := range list.Items {
		if strings.HasPrefix(r.ID, id) {
			found = append(found, r.ID)
		}
	}
	if len(found) != 1 {
		return nil, nil, err
	}
	d, err = c.Run(ctx, found[0])
	return c, d, err
}

func (a *app) showRun(ctx context.Context, id string) error {
	_, d, err := a.findRun(ctx, id)
	if err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(d)
	}
	a.printRun(d, time.Now())
	return nil
}

func (a *app) printRun(d *api.RunDetail, now time.Time) {
	by := ""
	if d.Actor != "" {
		by = " by " + d.Actor
	}
	took := ""
	if d.Took > 0 {
		took = ", took " + short(d.Took)
	}
	fmt.Fprintf(a.Out, "%s is %s; a %s%s, began %s%s.\n", a.style(bold, d.ID), a.style(toneOf(d.State), d.State), d.Kind, by, since(d.Start, now), took)
	fmt.Fprintf(a.Out, "  %s\n", oneLine(first(d.Command, runTitle(d.RunRecord))))
	if d.Message != "" {
		fmt.Fprintln(a.Out, indent(wrap(d.Message, a.textWidth()-2), 2))
	}
	fmt.Fprintln(a.Out)
	t := newTable("HOST", "STATE", "TOOK", "RESULT")
	for _, r := range d.Results {
		took := "-"
		if r.Took > 0 {
			took = short(r.Took)
		}
		t.row(r.Host, r.State, took, resultText(d.Kind, r))
	}
	a.printTable(t)
	counts := fmt.Sprintf("%d of %d ok", d.OK, d.Count)
	for _, n := range []struct {
		n    int
		what string
	}{{d.Changed, "changed"}, {d.Failed, "failed"}, {d.Lost, "without an answer"}, {d.Away, "away"}} {
		if n.n > 0 {
			counts += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	if !a.quiet {
		fmt.Fprintln(a.Err, a.style(dim, counts))
	}
}

// resultText says what came of it on one host.
func resultText(kind string, r api.RunResult) string {
	var parts []string
	if r.State == api.RunFailed && kind == api.RunCommand {
		parts = append(parts, fmt.Sprintf("exit status %d", r.Exit))
	}
	if t := r.Tasks; t != nil {
		parts = append(parts, fmt.Sprintf("%d ok, %d changed, %d failed", t.OK, t.Changed, t.Failed))
	}
	if r.Bytes > 0 && kind == api.RunCommand {
		parts = append(parts, fmt.Sprintf("printed %s", bytesText(r.Bytes)))
	}
	if r.Truncated {
		parts = append(parts, "not all of it is kept")
	}
	if r.Error != "" {
		parts = append(parts, oneLine(r.Error))
	}
	return first(strings.Join(parts, "; "), "-")
}

func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d KB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}

// runOfHost prints what one host said or did in a run.
func (a *app) runOfHost(ctx context.Context, id, host string) error {
	c, d, err := a.findRun(ctx, id)
	if err != nil {
		return err
	}
	switch d.Kind {
	case api.RunCommand:
		out, truncated, err := c.RunOutput(ctx, d.ID, host)
		if err != nil {
			return err
		}
		defer out.Close()
		if _, err := io.Copy(a.Out, out); err != nil {
			return fmt.Errorf("the output broke off: %w", err)
		}
		if truncated {
			fmt.Fprintln(a.Err, a.style(warn, "the host printed more than is kept"))
		}
		return nil
	case api.RunPlay:
		list, err := c.RunTasks(ctx, d.ID, host)
		if err != nil {
			return err
		}
		if a.structured() {
			return a.printValue(list)
		}
		a.printTasks(list.Items)
		if list.Truncated {
			fmt.Fprintln(a.Err, a.style(warn, "the tasks returned more than is kept"))
		}
		return nil
	}
	r, err := c.RunReport(ctx, d.ID, host)
	if err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(r)
	}
	fmt.Fprintf(a.Out, "%s: %s\n", a.style(bold, r.Host), reportText(r, time.Now()))
	for _, room := range slices.Sorted(maps.Keys(r.Sections)) {
		a.printTasks(r.Sections[room].Tasks)
	}
	if r.Failed {
		a.printFailure(r)
	}
	return nil
}

func (a *app) printTasks(tasks []api.TaskResult) {
	t := newTable("STATUS", "TASK", "TOOK", "WHAT")
	for _, x := range tasks {
		name := x.Name
		if x.Item != "" {
			name += " (" + x.Item + ")"
		}
		took := "-"
		if x.Duration > 0 {
			took = short(x.Duration)
		}
		what := x.Message
		if what == "" && len(x.Changes) > 0 {
			what = x.Changes[0].Action + " " + x.Changes[0].Type + " " + x.Changes[0].ID
		}
		t.row(x.Status, name, took, first(oneLine(what), "-"))
	}
	a.printTable(t)
}

func (a *app) cancelRun(ctx context.Context, id string) error {
	c, d, err := a.findRun(ctx, id)
	if err != nil {
		return err
	}
	r, err := c.CancelRun(ctx, d.ID)
	if err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(r)
	}
	fmt.Fprintf(a.Out, "%s is being ended on %d hosts.\n", r.ID, r.Count-r.Away)
	return nil
}

// followRun prints a run from its beginning as drover run or drover converge would.
func (a *app) followRun(ctx context.Context, id string) error {
	c, d, err := a.findRun(ctx, id)
	if err != nil {
		return err
	}
	switch d.Kind {
	case api.RunCommand:
		v := newRunView(a)
		if err := c.FollowRun(ctx, d.ID, v.take); err != nil {
			return stopped(ctx, err)
		}
		return v.finish()
	case api.RunConverge:
		v := &convergeView{app: a, check: d.Check, done: map[string]api.RunDone{}}
		err := c.FollowRun(ctx, d.ID, func(e api.RunEvent) error { v.take(e); return nil })
		if err != nil {
			return stopped(ctx, err)
		}
		return v.finish()
	case api.RunPlay:
		return a.followPlay(ctx, c, d.ID)
	}
	return a.showRun(ctx, d.ID)
}

// detached says under which ID a run goes on.
func (a *app) detached(r *api.RunRecord) error {
	if a.structured() {
		return a.printValue(r)
	}
	if _, err := fmt.Fprintln(a.Out, r.ID); err != nil {
		return err
	}
	if !a.quiet {
		fmt.Fprintln(a.Err, a.style(dim, fmt.Sprintf("it runs on %d hosts; follow it: drover runs %s -f", r.Count-r.Away, r.ID)))
	}
	return nil
}
