package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

// waitFlags are what `drover wait` waits for.
type waitFlags struct {
	conditions []string
	selector   string
	timeout    time.Duration
	count      int
}

func newWaitCommand(a *app) *cobra.Command {
	var f waitFlags
	cmd := &cobra.Command{
		Use: "wait KIND [NAME…] --for CONDITION | wait server", GroupID: groupObjects,
		Short: "Wait until objects are in a state",
		Long: `Wait until every named object, or every one that the selector picks, fulfils
every --for. A condition is one of

  converged         the state of that name; converged also asks that the host
                    is at the revision it is assigned
  connected         an open link to the host
  deleted           the object is no more
  PATH=VALUE        a field: status.fleetRevision=3f2a…, also by its first 7
                    or more letters where it is a hash

"drover wait server" waits until the server is ready.

Exit status 5 says that it did not come in time, and names what was not there.`,
		Example: `  drover wait hosts --for converged --timeout 60s
  drover wait hosts --for converged --for status.fleetRevision=$(git rev-parse HEAD)
  drover wait host web-7 --for deleted`,
		Args:              minArgs("a kind, such as hosts"),
		ValidArgsFunction: a.completeKinds,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.wait(ctxOf(cmd), f, args[0], args[1:]) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.conditions, "for", nil, "`condition` to wait for; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"converged", "connected", "deleted", "failed", "paused", "status.fleetRevision="}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	fl.StringVarP(&f.selector, "selector", "l", "", "only those with these `labels`")
	fl.DurationVar(&f.timeout, "timeout", 60*time.Second, "how long to wait")
	fl.IntVar(&f.count, "count", 1, "wait until there are at least so many")
	return cmd
}

// condition reports whether an object, nil for a missing one, is as wished,
// and how it is.
type condition func(o object) (ok bool, is string)

func parseCondition(s string) (condition, error) {
	if path, want, ok := strings.Cut(s, "="); ok && path != "" {
		return func(o object) (bool, string) {
			is := cellText(at(o, path), path, time.Now())
			raw, _ := at(o, path).(string)
			same := fmt.Sprint(at(o, path)) == want || is == want || len(want) >= 7 && isHash(raw) && strings.HasPrefix(raw, want)
			return o != nil && same, "at " + path + "=" + is
		}, nil
	}
	switch s {
	case "":
		return nil, usagef("there is nothing to wait for: use --for converged, connected, deleted or PATH=VALUE")
	case "deleted", "delete":
		return func(o object) (bool, string) { return o == nil, "there" }, nil
	case "connected":
		return func(o object) (bool, string) {
			on, _ := at(o, "status.connected").(bool)
			return on, "not connected"
		}, nil
	}
	return func(o object) (bool, string) {
		state, _ := at(o, "status.state").(string)
		if o == nil {
			return false, "not there"
		}
		if state != s {
			return false, first(state, "new")
		}
		assigned, _ := at(o, "status.assignedRevision").(string)
		revision, _ := at(o, "status.fleetRevision").(string)
		if s == api.StateConverged && assigned != "" && assigned != revision {
			return false, "at an older revision"
		}
		return true, state
	}, nil
}

// waitPoll bounds how long a change may go unseen that no watch tells of, such
// as a host's connection.
const waitPoll = time.Second

// waitServer waits until the server answers that it is well. Its credential,
// too, may be made only now: on its own machine at its first start.
func (a *app) waitServer(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := a.progress("waiting for the server")
	defer p.End()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := a.client()
		if err == nil {
			var h server.Health
			if err = c.Call(ctx, "GET", "/healthz", nil, &h); err == nil {
				var me api.Me
				if err = c.Call(ctx, "GET", "/v1/whoami", nil, &me); err == nil {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return timedOut("the server is not ready after %s: %v", timeout, err)
		case <-tick.C:
		}
	}
}

func (a *app) wait(ctx context.Context, f waitFlags, word string, names []string) error {
	if word == "server" {
		if len(names) > 0 || len(f.conditions) > 0 {
			return usagef("`drover wait server` waits until the server is ready; it takes no names and no --for")
		}
		return a.waitServer(ctx, f.timeout)
	}
	if len(f.conditions) == 0 {
		f.conditions = []string{""}
	}
	var conds []condition
	for _, s := range f.conditions {
		cond, err := parseCondition(s)
		if err != nil {
			return err
		}
		conds = append(conds, cond)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	k, err := kindNamed(ctx, c, word)
	if err != nil {
		return err
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	p := a.progress("waiting for " + k.Plural)
	defer p.End()
	w := &waiter{c: c, kind: k, flags: f, names: names, conds: conds, changed: make(chan struct{}, 1)}
	err = w.run(ctx, p)
	p.End()
	switch {
	case err == nil:
		a.say("%s after %s\n", w.summary, short(time.Since(begun)))
		if a.structured() {
			return a.printValue(w.last)
		}
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return timedOut("%s not %s after %s: %s", k.Plural, strings.Join(f.conditions, " and "), f.timeout, first(w.summary, "no answer from the server"))
	}
	return err
}

// waiter looks at objects until all are as wished.
type waiter struct {
	c       *client.Client
	kind    server.KindInfo
	flags   waitFlags
	names   []string
	conds   []condition
	changed chan struct{}
	last    []object
	summary string
}

func (w *waiter) run(ctx context.Context, p *progress) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching chan error
	defer func() {
		cancel()
		if watching != nil {
			<-watching
		}
	}()
	for {
		begun := time.Now()
		done, err := w.look(ctx)
		if done {
			return nil
		}
		// Thousands of hosts take a while to read: the server is to do its
		// work meanwhile, not to answer this again and again.
		rest := 3 * time.Since(begun)
		var gone *client.UnreachableError
		if err != nil && !errors.As(err, &gone) {
			return err
		}
		if err != nil {
			w.summary = err.Error() // the server may come back in time
		}
		p.Set("waiting for %s: %s", w.kind.Plural, w.summary)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(rest, waitPoll)):
		}
		if len(w.last) > manyObjects {
			continue
		}
		if watching == nil {
			watching = make(chan error, 1)
			go w.watch(ctx, watching)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.changed:
		case <-time.After(waitPoll):
		}
	}
}

// manyObjects is from where on looking again and again costs less than to be
// told of each change.
const manyObjects = 1000

// watch notes when something changed, until ctx ends.
func (w *waiter) watch(ctx context.Context, ended chan<- error) {
	ended <- client.Watch(ctx, w.c, w.kind.Plural, client.ListOptions{Selector: w.flags.selector}, func(client.Change[object]) error {
		select {
		case w.changed <- struct{}{}:
		default:
		}
		return nil
	})
}

// look reads the objects once and says how many are as wished.
func (w *waiter) look(ctx context.Context) (bool, error) {
	objs, err := w.read(ctx)
	if err != nil {
		return false, err
	}
	var not []string
	ready := 0
	w.last = []object{}
	for _, o := range objs {
		name, ok := o.name, true
		for _, cond := range w.conds {
			if good, is := cond(o.value); !good {
				ok = false
				not = append(not, name+" is "+is)
				break
			}
		}
		if ok {
			ready++
		}
		if o.value != nil {
			w.last = append(w.last, o.value)
		}
	}
	w.summary = fmt.Sprintf("%d of %d %s", ready, max(len(objs), w.flags.count), strings.Join(w.flags.conditions, " and "))
	const few = 5
	if n := len(not); n > 0 {
		w.summary += "; " + strings.Join(not[:min(n, few)], ", ")
		if n > few {
			w.summary += fmt.Sprintf(" and %d more", n-few)
		}
	}
	return len(not) == 0 && (ready >= w.flags.count || w.deleting()), nil
}

// deleting: when deletion is waited for, nothing left is what is wished.
func (w *waiter) deleting() bool {
	return len(w.flags.conditions) == 1 && strings.HasPrefix(w.flags.conditions[0], "delete")
}

type named struct {
	name  string
	value object
}

func (w *waiter) read(ctx context.Context) ([]named, error) {
	var out []named
	if len(w.names) == 0 {
		objs, err := fetch(ctx, w.c, w.kind, w.flags.selector, nil)
		for _, o := range objs {
			out = append(out, named{nameOf(o), o})
		}
		return out, err
	}
	for _, n := range w.names {
		var o object
		if err := w.c.Get(ctx, w.kind.Plural, n, &o); err != nil && api.CodeOf(err) != api.CodeNotFound {
			return nil, err
		}
		out = append(out, named{n, o})
	}
	return out, nil
}
