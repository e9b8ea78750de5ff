package engine

import (
	"slices"
	"sync"
)

// linear runs each task on all hosts before any host goes to the next.
func (r *run) linear(pr *playRun) {
	for r.ctx.Err() == nil && !pr.end {
		task, hosts := r.furthestBehind(pr)
		if task == nil {
			return
		}
		if task.action == "meta" && task.loop == nil {
			r.meta(pr, task, hosts)
			continue
		}
		skip, once := r.prepareTask(pr, task, hosts)
		if skip {
			continue
		}
		workers := hosts
		if once {
			workers = hosts[:1]
		}
		r.announce(pr, task, hosts[0])
		plan := r.intend(pr, task, hosts)
		outs := r.onHosts(pr, task, workers)
		r.digest(pr, task, hosts, outs, once)
		r.intended(plan)
	}
}

// furthestBehind picks the task that comes first in the play among the
// hosts' next ones, and the hosts that are at it.
func (r *run) furthestBehind(pr *playRun) (*Task, []*hostState) {
	var task *Task
	var at []int
	var hosts []*hostState
	for _, h := range pr.live() {
		c := pr.cursors[h.name]
		t := r.nextTask(pr, h)
		if t == nil {
			continue
		}
		pos := c.position()
		switch {
		case task == nil || before(pos, at):
			task, at, hosts = t, pos, []*hostState{h}
		case t == task && slices.Equal(pos, at):
			hosts = append(hosts, h)
		}
	}
	return task, hosts
}

// nextTask is a host's next task. A host whose failure was only held up by an
// always section leaves the play here.
func (r *run) nextTask(pr *playRun, h *hostState) *Task {
	c := pr.cursors[h.name]
	at := 0
	if len(c.frames) > 0 {
		at = c.frames[0].idx
	}
	t := c.next(pr, h.name)
	if t == nil && c.failed && !pr.gone[h.name] {
		pr.lose(h)
		r.force(pr, c, at)
		t = c.next(pr, h.name)
	}
	return t
}

// prepareTask leaves tasks out that tags, --start-at-task or --step exclude,
// and tells whether the task runs for one host only.
func (r *run) prepareTask(pr *playRun, t *Task, hosts []*hostState) (skip, once bool) {
	if !r.wanted(pr, t, hosts[0]) {
		for _, h := range hosts {
			r.pass(pr, h, t)
		}
		return true, false
	}
	s := r.newScope(r.ctx, pr, hosts[0], t)
	once, _, _ = s.flag(&t.common, "run_once")
	return false, once || t.action == "add_host" || t.action == "pause"
}

// pass steps over a task.
func (r *run) pass(pr *playRun, h *hostState, t *Task) {
	c := pr.cursors[h.name]
	if f := c.top(); f != nil && f.handlers {
		delete(pr.notified[t], h.name)
	}
	c.advance()
}

func (r *run) wanted(pr *playRun, t *Task, h *hostState) bool {
	if t.implicit && t.action == "meta" {
		return true
	}
	tags := t.tags
	if slices.ContainsFunc(tags, func(s string) bool { return holdsTemplate(s) }) {
		s := r.newScope(r.ctx, pr, h, t)
		var out []string
		for _, tag := range tags {
			if v, err := s.template(tag); err == nil {
				out = append(out, splitTags(v)...)
			}
		}
		tags = out
	}
	if !t.handler && !r.tags.wants(tags) {
		return false
	}
	if !r.started {
		if t.implicit {
			return true
		}
		title := r.titleOf(pr, t, h)
		if !matchesStart(r.o.StartAt, title, t.name, r.plainName(pr, t, h)) {
			return false
		}
		r.started = true
	}
	if r.o.Step != nil && r.step != StepContinue && !(t.implicit && t.action == "meta") {
		r.step = r.o.Step(r.titleOf(pr, t, h))
		if r.step == StepNo {
			return false
		}
	}
	return true
}

// onHosts runs a task on hosts at the same time, as many as forks and
// throttle allow. The goroutines end before it returns.
func (r *run) onHosts(pr *playRun, t *Task, hosts []*hostState) []*outcome {
	outs := make([]*outcome, len(hosts))
	if len(hosts) == 1 {
		outs[0] = r.execute(pr, hosts[0], t)
		r.report(pr, t, outs[0])
		return outs
	}
	throttle := 0
	if l := t.attrs["throttle"]; l != nil {
		s := r.newScope(r.ctx, pr, hosts[0], t)
		f, _ := s.number(l, 0)
		throttle = int(f)
	}
	slots := r.slots
	if throttle > 0 && throttle < cap(r.slots) {
		slots = make(chan struct{}, throttle)
	}
	done := make(chan int, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			outs[i] = r.execute(pr, h, t)
			done <- i
		}()
		// Show what is ready while others still start.
		for ready := true; ready; {
			select {
			case j := <-done:
				r.report(pr, t, outs[j])
			default:
				ready = false
			}
		}
	}
	go func() { wg.Wait(); close(done) }()
	for j := range done {
		r.report(pr, t, outs[j])
	}
	return outs
}

// free lets every host go on as fast as it can.
func (r *run) free(pr *playRun) {
	type result struct {
		h    *hostState
		t    *Task
		out  *outcome
		plan []Notice
	}
	done := make(chan result)
	busy := map[string]bool{}
	working := 0
	onceDone := map[*Task]bool{}
	take := func(d result) {
		busy[d.h.name] = false
		working--
		r.report(pr, d.t, d.out)
		r.digest(pr, d.t, []*hostState{d.h}, []*outcome{d.out}, false)
		r.intended(d.plan)
	}
	for {
		progressed := false
		if r.ctx.Err() == nil && !pr.end {
			for _, h := range pr.live() {
				if busy[h.name] || working >= r.o.Forks {
					continue
				}
				t := r.nextTask(pr, h)
				if t == nil {
					continue
				}
				progressed = true
				if t.action == "meta" && t.loop == nil {
					r.meta(pr, t, []*hostState{h})
					continue
				}
				skip, once := r.prepareTask(pr, t, []*hostState{h})
				if skip {
					continue
				}
				if once && onceDone[t] {
					r.pass(pr, h, t)
					continue
				}
				onceDone[t] = true
				r.announce(pr, t, h)
				busy[h.name] = true
				working++
				plan := r.intend(pr, t, []*hostState{h})
				go func() { done <- result{h, t, r.execute(pr, h, t), plan} }()
			}
		}
		if working == 0 {
			if progressed {
				continue
			}
			return
		}
		if progressed && working < r.o.Forks {
			// Others may be ready: take what has come without waiting.
			select {
			case d := <-done:
				take(d)
			default:
			}
			continue
		}
		take(<-done)
	}
}
