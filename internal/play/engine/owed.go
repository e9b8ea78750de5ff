package engine

import (
	"cmp"
	"slices"

	"drover/internal/play/value"
)

// Notice is a handler that a host owes a play: a task that changed something
// asked for it, and it has not run yet.
type Notice struct {
	Play    string `json:"play"`    // its name as it is written
	Host    string `json:"host"`    // inventory name
	Handler string `json:"handler"` // what the task notified: a name or a topic
	// Maybe: the task that would notify it is running. Should the process die
	// now, nobody knows whether it changed something.
	Maybe bool `json:"maybe,omitempty"`
}

// owed is what hosts owe in a run. It belongs to the run's goroutine.
type owed struct {
	// carried are the notices of an earlier run whose handlers were not met yet:
	// those of a role may come with a later include.
	carried []Notice
	plays   map[string]bool
	due     map[Notice]map[*Task]bool // without Maybe: the handlers yet to run
	maybe   map[Notice]int
	dirty   bool
	// including are handlers that included tasks, which run next.
	including map[string][]*Task
}

func (r *run) setupOwed() {
	r.owed = owed{carried: slices.Clone(r.o.Notified), plays: map[string]bool{}, due: map[Notice]map[*Task]bool{}, maybe: map[Notice]int{}, including: map[string][]*Task{}}
	for i := range r.owed.carried {
		r.owed.carried[i].Maybe = false
	}
	for _, pl := range r.p.plays {
		r.owed.plays[pl.name] = true
	}
}

// tellOwed hands on what hosts owe, if that has changed.
func (r *run) tellOwed() {
	if !r.owed.dirty || r.o.Owed == nil || r.o.Check {
		return
	}
	r.owed.dirty = false
	all := slices.Clone(r.owed.carried)
	for n := range r.owed.due {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	for n := range r.owed.maybe {
		if !slices.Contains(all, n) {
			n.Maybe = true
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b Notice) int {
		return cmp.Or(cmp.Compare(a.Play, b.Play), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Handler, b.Handler))
	})
	r.o.Owed(all)
}

// intend notes, before a task runs, what it would notify.
func (r *run) intend(pr *playRun, t *Task, hosts []*hostState) []Notice {
	if r.o.Owed == nil || r.o.Check || len(t.notify) == 0 {
		return nil
	}
	var out []Notice
	for _, h := range hosts {
		s := r.newScope(r.ctx, pr, h, t)
		for _, l := range t.notify {
			v := l.v
			if l.tmpl {
				x, err := s.template(l.v)
				if err != nil {
					continue // it hangs on the loop's item or the task's result
				}
				v = x
			}
			for _, name := range notifyNames(v) {
				n := Notice{Play: pr.key, Host: h.name, Handler: name}
				r.owed.maybe[n]++
				out = append(out, n)
			}
		}
	}
	r.owed.dirty = r.owed.dirty || len(out) > 0
	r.tellOwed()
	return out
}

// intended ends intend when the task's outcome is digested. What a run that is
// broken off was doing stays open.
func (r *run) intended(list []Notice) {
	if r.ctx.Err() != nil {
		return
	}
	for _, n := range list {
		if r.owed.maybe[n]--; r.owed.maybe[n] <= 0 {
			delete(r.owed.maybe, n)
		}
		r.owed.dirty = true
	}
	r.tellOwed()
}

// notifyNames are the names in one entry of notify.
func notifyNames(v value.Value) []string {
	if list, ok := v.(*value.List); ok {
		var out []string
		for _, x := range list.Items {
			out = append(out, value.Str(x))
		}
		return out
	}
	if _, gone := v.(omitted); v == nil || gone {
		return nil
	}
	return []string{value.Str(v)}
}

// owe notes that a host owes the handlers of a name.
func (r *run) owe(n Notice, handlers []*Task) {
	if r.owed.due[n] == nil {
		r.owed.due[n] = map[*Task]bool{}
	}
	for _, t := range handlers {
		r.owed.due[n][t] = true
	}
	r.owed.dirty = true
}

// carry notifies the handlers that an earlier run left behind, as far as the
// play has them by now.
func (r *run) carry(pr *playRun) {
	r.owed.carried = slices.DeleteFunc(r.owed.carried, func(n Notice) bool {
		if n.Play != pr.key && r.owed.plays[n.Play] || pr.cursors[n.Host] == nil {
			return false
		}
		tasks := r.notifyName(pr, r.stateOf(n.Host), n.Handler)
		if len(tasks) > 0 {
			r.owe(Notice{Play: pr.key, Host: n.Host, Handler: n.Handler}, tasks)
		}
		return len(tasks) > 0
	})
}

// ran strikes a handler off. One that failed stays owed: nothing would notify
// it again, and what it should have done is still to do.
func (r *run) ran(pr *playRun, t *Task, host string) {
	for n, tasks := range r.owed.due {
		if n.Host != host || n.Play != pr.key || !tasks[t] {
			continue
		}
		if delete(tasks, t); len(tasks) == 0 {
			delete(r.owed.due, n)
		}
		r.owed.dirty = true
	}
}

// handlerDone is told of the outcome of a handler.
func (r *run) handlerDone(pr *playRun, t *Task, o *outcome, host string) {
	switch {
	case r.ctx.Err() != nil || o.failed() && !o.ignored:
	case len(o.include) > 0:
		r.owed.including[host] = append(r.owed.including[host], t)
	default:
		r.ran(pr, t, host)
	}
}

// includedDone is called when a host is through with what its handlers included.
func (r *run) includedDone(pr *playRun, host string) {
	for _, t := range r.owed.including[host] {
		r.ran(pr, t, host)
	}
	delete(r.owed.including, host)
	r.tellOwed()
}

// batchOver forgets what hosts that are through with a play owe still: a meta
// task ended it before its handlers. Hosts that failed will come again.
func (r *run) batchOver(pr *playRun) {
	if r.ctx.Err() != nil {
		return
	}
	for n := range r.owed.due {
		if n.Play == pr.key && pr.cursors[n.Host] != nil && !pr.gone[n.Host] {
			delete(r.owed.due, n)
			r.owed.dirty = true
		}
	}
	clear(r.owed.including)
	r.tellOwed()
}

// forgetCarried drops what no play of the run has a handler for any more.
func (r *run) forgetCarried() {
	r.owed.carried = slices.DeleteFunc(r.owed.carried, func(n Notice) bool {
		if r.removed[n.Host] {
			return false
		}
		r.warn("the handler '%s', which an earlier run notified on %s, is not there any more", n.Handler, n.Host)
		r.owed.dirty = true
		return true
	})
	r.tellOwed()
}
