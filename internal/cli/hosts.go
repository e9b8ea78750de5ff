package cli

import (
	"context"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
)

func newHostsCommand(a *app) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use: "hosts", GroupID: groupFleet,
		Short: "Show where every host of the fleet is",
		Example: `  drover hosts
  drover hosts -l env=prod -o wide
  drover hosts -w`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.watch || a.structured() {
				return a.get(ctxOf(cmd), f, "hosts", nil)
			}
			return a.hosts(ctxOf(cmd), f.selector)
		},
	}
	cmd.Flags().StringVarP(&f.selector, "selector", "l", "", "only those with these `labels`: label=value, label!=value, label, !label; joined by commas")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on and show every change")
	return cmd
}

// hosts prints the sentence that matters first, then the table.
func (a *app) hosts(ctx context.Context, selector string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	p := a.progress("reading hosts")
	defer p.End()
	k, err := kindNamed(ctx, c, "hosts")
	if err != nil {
		return err
	}
	objs, err := fetch(ctx, c, k, selector, nil)
	p.End()
	if err != nil {
		return err
	}
	if len(objs) == 0 && selector != "" {
		fmt.Fprintf(a.Out, "No host has the labels %s. See the labels of one: drover host NAME.\n", selector)
		return nil
	}
	if len(objs) == 0 {
		fmt.Fprintln(a.Out, "There is no host yet. Add one: drover enroll ssh://root@HOST, or on the host the command of drover token join.")
		return nil
	}
	fmt.Fprintln(a.Out, a.fleetSentence(objs))
	a.printTable(objectTable(k.Columns, objs, a.output == "wide", time.Now()))
	return nil
}

// fleetSentence is the state of the fleet in one sentence.
func (a *app) fleetSentence(objs []object) string {
	states := map[string]int{}
	away := 0
	for _, o := range objs {
		state, _ := at(o, "status.state").(string)
		states[first(state, "new")]++
		if on, _ := at(o, "status.connected").(bool); !on {
			away++
		}
	}
	all := count(len(objs), "host")
	var parts []string
	if n := states[api.StateConverged]; n == len(objs) {
		parts = append(parts, a.style(good, capital(allOf(len(objs))+" converged")))
	} else {
		names := make([]string, 0, len(states))
		for s := range states {
			names = append(names, s)
		}
		sort.Slice(names, func(i, j int) bool { return stateOrder(names[i]) < stateOrder(names[j]) })
		var counts []string
		for _, s := range names {
			counts = append(counts, a.style(toneOf(s), fmt.Sprintf("%d %s", states[s], s)))
		}
		parts = append(parts, all+": "+strings.Join(counts, ", "))
	}
	if away > 0 {
		parts = append(parts, a.style(bad, fmt.Sprintf("%d not connected", away)))
	}
	return strings.Join(parts, "; ") + "."
}

func allOf(n int) string {
	if n == 1 {
		return "the only host is"
	}
	return fmt.Sprintf("all %d hosts are", n)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// stateOrder puts what needs action first.
func stateOrder(s string) int {
	for i, known := range []string{api.StateFailed, api.StateConverging, api.StateNew, api.StatePaused, api.StateConverged} {
		if s == known {
			return i
		}
	}
	return 9
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newHostCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "host NAME", GroupID: groupFleet,
		Short: "Show one host: its state, its last converge, its facts, what happened to it",
		Args:  exactArgs("the host's name"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeKinds(cmd, []string{"hosts"}, "")
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.host(ctxOf(cmd), args[0]) },
	}
}

func (a *app) host(ctx context.Context, name string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if a.structured() {
		var o object
		if err := c.Get(ctx, "hosts", name, &o); err != nil {
			return err
		}
		return a.printValue(o)
	}
	var h api.Host
	if err := c.Get(ctx, "hosts", name, &h); err != nil {
		return err
	}
	var events struct {
		Items []api.Event `json:"items"`
	}
	if err := c.Call(ctx, "GET", "/v1/events"+urlQuery("host", name, "limit", "10"), nil, &events); err != nil {
		return err
	}
	if last := h.Status.Last; last != nil && last.Failed {
		// The status has the outcome only; the report, if it is still there, the tasks.
		var full api.Report
		if err := c.Call(ctx, "GET", "/v1/hosts/"+url.PathEscape(name)+"/report", nil, &full); err == nil && full.ID == last.ID {
			h.Status.Last = &full
		}
	}
	a.printHost(&h, events.Items, time.Now())
	return nil
}

func (a *app) printHost(h *api.Host, events []api.Event, now time.Time) {
	link := a.style(bad, "not connected")
	if h.Status.Connected {
		link = a.style(good, "connected")
	}
	if !h.Status.LastSeen.IsZero() {
		link += ", seen " + since(h.Status.LastSeen, now)
	}
	state := first(h.Status.State, api.StateNew)
	fmt.Fprintf(a.Out, "%s is %s; %s.\n\n", a.style(bold, h.Name), a.style(toneOf(state), state), link)
	var pairs [][2]string
	add := func(k, v string) {
		if v != "" {
			pairs = append(pairs, [2]string{k, oneLine(v)})
		}
	}
	add("Groups", strings.Join(h.Status.Groups, ", "))
	add("Labels", labelText(h.Labels))
	add("Revision", revisionText(h.Status))
	add("Agent", h.Status.AgentVersion)
	if p := h.Status.PutBack; p != nil {
		add("", fmt.Sprintf("%s (%.12s) was put back %s: %s", p.Version, p.SHA256, since(p.Time, now), p.Why))
	}
	add("Address", h.Spec.Address)
	add("System", systemText(h.Status.Facts))
	if !h.Status.CertExpires.IsZero() {
		add("Certificate", "expires "+since(h.Status.CertExpires, now))
	}
	if !h.Created.IsZero() {
		add("Enrolled", since(h.Created, now))
	}
	if r := h.Status.Last; r != nil {
		add("Last converge", reportText(r, now))
	}
	for _, p := range pairs {
		fmt.Fprintf(a.Out, "  %-14s %s\n", p[0], strings.TrimLeft(indent(wrap(p[1], a.textWidth()-17), 17), " "))
	}
	if r := h.Status.Last; r != nil && r.Failed {
		a.printFailure(r)
	}
	if len(events) == 0 {
		return
	}
	fmt.Fprintln(a.Out)
	t := newTable("WHEN", "EVENT", "WHO", "WHAT")
	for _, e := range events {
		t.row(since(e.Time, now), e.Type, first(e.Actor, "-"), e.Message)
	}
	a.printTable(t)
}

// printFailure shows the task at which a converge failed, so that it can be read.
func (a *app) printFailure(r *api.Report) {
	var failed *api.TaskResult
	for _, s := range r.Sections {
		for i, t := range s.Tasks {
			if t.Status == "failed" || t.Status == "unreachable" {
				failed = &s.Tasks[i]
			}
		}
	}
	text := func(s string) { fmt.Fprintln(a.Out, indent(wrap(s, a.textWidth()-4), 4)) }
	if failed == nil {
		if r.Message != "" {
			fmt.Fprintf(a.Out, "\n  %s\n", a.style(bad, "It failed:"))
			text(r.Message)
		}
		return
	}
	name := failed.Name
	if failed.Module != "" && failed.Module != failed.Name {
		name += " [" + failed.Module + "]"
	}
	if failed.Item != "" {
		name += " (" + failed.Item + ")"
	}
	fmt.Fprintf(a.Out, "\n  %s %s\n", a.style(bad, "It failed at"), a.style(bold, oneLine(name)))
	if failed.Place != nil {
		text(failed.Place.String())
	}
	text(failed.Message)
	if out, _ := failed.Result["stderr"].(string); strings.TrimSpace(out) != "" && !strings.Contains(failed.Message, strings.TrimSpace(out)) {
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) > 8 {
			lines = append([]string{"…"}, lines[len(lines)-8:]...)
		}
		for _, l := range lines {
			fmt.Fprintf(a.Out, "    %s\n", a.style(dim, oneLine(l)))
		}
	}
}

func labelText(labels map[string]string) string {
	var parts []string
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

func revisionText(s api.HostStatus) string {
	switch {
	case s.Assigned == "" && s.Revision == "":
		return ""
	case s.Assigned == s.Revision || s.Assigned == "":
		return shortHash(s.Revision)
	case s.Revision == "":
		return "none yet, to be " + shortHash(s.Assigned)
	}
	return shortHash(s.Revision) + ", to be " + shortHash(s.Assigned)
}

func shortHash(s string) string {
	if isHash(s) {
		return s[:hashLetters]
	}
	return s
}

// systemText is the host's system from a few facts.
func systemText(facts map[string]any) string {
	var parts []string
	for _, names := range [][]string{{"distribution", "distribution_version"}, {"kernel"}, {"architecture"}} {
		var words []string
		for _, n := range names {
			if v, ok := facts[n]; ok && v != nil {
				words = append(words, fmt.Sprint(v))
			}
		}
		if len(words) > 0 {
			parts = append(parts, strings.Join(words, " "))
		}
	}
	return strings.Join(parts, ", ")
}

func reportText(r *api.Report, now time.Time) string {
	outcome := "no change"
	switch {
	case r.Failed:
		outcome = "failed"
	case r.Changed:
		outcome = "changed"
	}
	ok, changed, failed := 0, 0, 0
	for _, s := range r.Sections {
		ok, changed, failed = ok+s.OK, changed+s.Changes, failed+s.Failures
	}
	text := fmt.Sprintf("%s %s, in %s (%s)", outcome, since(r.Start.Add(r.Duration), now), short(r.Duration), first(r.Reason, "new"))
	if ok+changed+failed > 0 {
		text += fmt.Sprintf(": %d ok, %d changed, %d failed", ok, changed, failed)
	}
	return text
}

func newEventsCommand(a *app) *cobra.Command {
	var follow bool
	var host, kind, actor, sinceText string
	var limit int
	cmd := &cobra.Command{
		Use: "events", GroupID: groupFleet,
		Short: "Show what happened in the fleet",
		Example: `  drover events --host web-1 --since 24h
  drover events -f --type 'host.*'`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			when, err := sinceParam(sinceText, time.Now())
			if err != nil {
				return err
			}
			return a.events(ctxOf(cmd), follow, limit, []string{"host", host, "type", kind, "actor", actor, "since", when})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on and show new ones as they happen")
	f.StringVar(&host, "host", "", "of this `host` only")
	f.StringVar(&kind, "type", "", "of this `type` only; 'host.*' for all of hosts")
	f.StringVar(&actor, "actor", "", "caused by this `person` or token/NAME only")
	f.StringVar(&sinceText, "since", "", "not older than this `time`: 2h, 3d or 2006-01-02T15:04:05Z")
	f.IntVarP(&limit, "limit", "n", 50, "the newest so many")
	return cmd
}

// sinceParam is a time ago, or a time, as the API takes it.
func sinceParam(s string, now time.Time) (string, error) {
	if s == "" {
		return "", nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		s = days + "h"
		if d, err := time.ParseDuration(s); err == nil && d >= 0 {
			return now.Add(-24 * d).UTC().Format(time.RFC3339), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Format(time.RFC3339), nil
	}
	return "", usagef("--since %s is not a time: use 2h, 3d or 2006-01-02T15:04:05Z", s)
}

func (a *app) events(ctx context.Context, follow bool, limit int, filter []string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list struct {
		Items []api.Event `json:"items"`
		Last  int64       `json:"last"`
	}
	if limit > 0 || !follow {
		if limit <= 0 {
			return usagef("-n must be 1 or more")
		}
		if err := c.Call(ctx, "GET", "/v1/events"+urlQuery(append(filter, "limit", fmt.Sprint(limit))...), nil, &list); err != nil {
			return err
		}
	}
	if a.structured() && !follow {
		if list.Items == nil {
			list.Items = []api.Event{}
		}
		return a.printValue(list.Items)
	}
	for _, e := range list.Items {
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
	if !follow {
		if len(list.Items) == 0 {
			fmt.Fprintln(a.Err, "no events")
		}
		return nil
	}
	return a.followEvents(ctx, c, list.Last, filter)
}
