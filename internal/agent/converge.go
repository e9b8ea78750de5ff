package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"drover/api"
)

// Reasons for a converge, as reports give them.
const (
	reasonStart   = "start"
	reasonNew     = "new"
	reasonTimer   = "timer"
	reasonRequest = "request"
)

// converge asks for one; several requests that wait are one.
func (a *Agent) converge(reason string) {
	select {
	case a.trigger <- reason:
	default:
	}
}

// converger runs converges one after the other: at start, for a new
// assignment, on the timer, on request, and again soon after a failure.
func (a *Agent) converger(ctx context.Context) {
	failures := 0
	timer := time.NewTimer(0) // at start
	defer timer.Stop()
	reason := reasonStart
	for {
		var ran, failed bool
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			ran, failed = a.convergeKept(ctx, reason)
		case r := <-a.trigger:
			ran, failed = a.convergeKept(ctx, r)
			failures = 0
		case q := <-a.requests:
			if q.Check || q.Assignment != nil {
				a.check(ctx, q)
				continue
			}
			ran, failed = a.convergeFor(ctx, q)
		}
		reason = reasonTimer
		next := spread(a.cfg.Interval)
		if ran && failed {
			next = min(next, spread(a.cfg.Retry<<min(failures, 20)))
			failures++
		} else {
			failures = 0
		}
		timer.Reset(next)
	}
}

// convergeKept applies the assignment on disk and reports. Without one there
// is nothing to do.
func (a *Agent) convergeKept(ctx context.Context, reason string) (ran, failed bool) {
	spec := a.state.Assignment()
	if spec == nil {
		return false, false
	}
	a.mend(ctx, spec)
	r := a.apply(ctx, spec, reason, true, a.cfg.Deadline)
	a.report(r)
	if err := a.state.blobs.collect(needs(a.state.Assignment())); err != nil {
		a.log.Warn("cannot remove old blobs", "error", err)
	}
	return true, r.Failed
}

// mend fetches blobs again that the disk lost. Without a line the executors
// say what is missing.
func (a *Agent) mend(ctx context.Context, spec *api.AssignmentSpec) {
	c, _ := a.line.get()
	for _, b := range needs(spec) {
		if c == nil || a.state.blobs.Has(b) {
			continue
		}
		ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
		err := a.state.blobs.fetch(ctx, c, b)
		stop()
		if err != nil {
			a.log.Error("cannot mend the assignment on disk", "error", err)
		}
	}
}

// convergeFor is a converge that somebody waits for.
func (a *Agent) convergeFor(ctx context.Context, q *api.Converge) (ran, failed bool) {
	spec := a.state.Assignment()
	if spec == nil {
		a.answer(ctx, q, nil, "nothing is assigned to this host yet")
		return false, false
	}
	a.mend(ctx, spec)
	r := a.apply(ctx, spec, reasonRequest, true, a.until(q))
	a.report(r)
	a.answer(ctx, q, r, "")
	return true, r.Failed
}

// check says what a converge would do, with the kept assignment or another.
func (a *Agent) check(ctx context.Context, q *api.Converge) {
	spec := q.Assignment
	if spec == nil {
		spec = a.state.Assignment()
	}
	if spec == nil {
		a.answer(ctx, q, nil, "nothing is assigned to this host yet")
		return
	}
	deadline := a.until(q)
	fetchCtx, stop := context.WithTimeout(ctx, deadline)
	defer stop()
	err := checkAssignment(spec)
	if err == nil {
		defer a.state.blobs.pin(needs(spec))()
		err = a.fetch(fetchCtx, spec)
	}
	if err != nil {
		a.answer(ctx, q, nil, err.Error())
		return
	}
	r := a.apply(ctx, spec, reasonRequest, false, deadline)
	if id := a.state.Identity(); id != nil {
		r.Host = id.Host
	}
	r.ID = newID()
	a.answer(ctx, q, r, "")
}

func (a *Agent) until(q *api.Converge) time.Duration {
	if q.Deadline.IsZero() {
		return a.cfg.Deadline
	}
	return min(time.Until(q.Deadline), a.cfg.Deadline)
}

func (a *Agent) answer(ctx context.Context, q *api.Converge, r *api.Report, problem string) {
	if q.ID == "" {
		return
	}
	d := &api.JobDone{ID: q.ID, Error: problem, Report: r}
	switch {
	case r == nil:
		d.Exit = -1
	case r.Failed:
		d.Exit = 1
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := a.send(ctx, &api.ToServer{Done: d}); err != nil {
		a.log.Warn("cannot answer a request to converge", "id", q.ID, "error", err)
	}
}

// apply runs the sections in order. A section that fails does not keep the
// next one from its turn: they are different rooms' business.
func (a *Agent) apply(ctx context.Context, spec *api.AssignmentSpec, reason string, apply bool, limit time.Duration) *api.Report {
	a.busy.Store(true)
	defer a.busy.Store(false)
	// A process that is told to end finishes what it began, within reason:
	// an interrupted package manager is worse than a late end.
	ctx, giveUp := a.lingering(ctx)
	defer giveUp()
	ctx, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit.Round(time.Second)))
	defer stop()
	start := time.Now()
	r := &api.Report{Commit: spec.Commit, Hash: spec.Hash, Reason: reason, Agent: a.cfg.Version, Start: start.UTC(), Sections: make(map[string]api.Result, len(spec.Sections))}
	for _, s := range spec.Sections {
		res := a.section(ctx, s, apply)
		if res.Failed {
			r.Failed = true
			if r.Message == "" {
				r.Message = res.Message
			}
		}
		r.Changed = r.Changed || res.Changed
		r.Sections[s.Room] = res
	}
	r.Duration = time.Since(start)
	a.log.Info("converged", "commit", r.Commit, "reason", reason, "apply", apply, "changed", r.Changed, "failed", r.Failed,
		"message", r.Message, "took", r.Duration.Round(time.Millisecond))
	if apply && r.Changed {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
	return r
}

// lingering ends a while after ctx does.
func (a *Agent) lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	late, end := context.WithCancelCause(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			timer := time.NewTimer(a.cfg.Linger)
			defer timer.Stop()
			select {
			case <-timer.C:
				end(errors.New("the agent was told to end"))
			case <-done:
			}
		case <-done:
		}
	}()
	return late, func() { close(done); end(nil) }
}

func (a *Agent) section(ctx context.Context, s api.Section, apply bool) (res api.Result) {
	e := a.cfg.Executors[s.Room]
	if e == nil {
		return api.Result{Failed: true, Message: fmt.Sprintf("cannot apply section %s: this agent (%s) does not know it; the agent is older than the server", s.Room, a.cfg.Version)}
	}
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("an executor panicked", "section", s.Room, "panic", p, "stack", string(debug.Stack()))
			res = api.Result{Failed: true, Message: fmt.Sprintf("cannot apply section %s: a fault of ours: %v", s.Room, p)}
		}
	}()
	res, err := e.CheckApply(ctx, s, apply)
	if err != nil {
		res.Failed = true
		res.Message = err.Error()
		if ctx.Err() != nil {
			res.Message = fmt.Sprintf("%v (%v)", err, context.Cause(ctx))
		}
	}
	return res
}
