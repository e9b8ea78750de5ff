package engine

import (
	"drover/internal/play/source"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/value"
)

// titleOf is a task's name for people, templates resolved where that works.
func (r *run) titleOf(pr *playRun, t *Task, h *hostState) string {
	name := r.plainName(pr, t, h)
	if t.role != nil {
		return t.role.name + " : " + name
	}
	return name
}

// actionName is what an unnamed task is called.
func (t *Task) actionName() string {
	if t.action == "include_role" {
		if n := t.rawOr("name"); n != "" {
			return t.written + " : " + n
		}
	}
	return t.written
}

func (r *run) plainName(pr *playRun, t *Task, h *hostState) string {
	if t.name == "" {
		n := t.actionName()
		if holdsTemplate(n) {
			if v, err := r.newScope(r.ctx, pr, h, t).template(n); err == nil {
				return value.Str(v)
			}
		}
		return n
	}
	if !holdsTemplate(t.name) {
		return t.name
	}
	v, err := r.newScope(r.ctx, pr, h, t).template(t.name)
	if err != nil {
		return t.name
	}
	return value.Str(v)
}

// announce says that a task starts.
func (r *run) announce(pr *playRun, t *Task, h *hostState) {
	if r.announced == t && t.action != "meta" {
		return
	}
	r.announced = t
	kind := EventTask
	if t.handler {
		kind = EventHandler
	}
	at := t.at
	r.emit(Event{Kind: kind, Play: pr.play.name, Task: r.titleOf(pr, t, h), Action: t.action, Place: &at, Handler: t.handler})
}

func (r *run) retry(s *scope, o *outcome, left int) {
	ev := Event{Kind: EventRetry, Play: s.pr.play.name, Task: r.titleOf(s.pr, o.t, o.h), Host: o.h.name, Delegated: o.deleg, Attempts: left}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(ev)
}

// censored is what is shown of a result under no_log.
func censored(changed bool) map[string]any {
	return map[string]any{"censored": "the output has been hidden due to the fact that 'no_log: true' was specified for this result", "changed": changed}
}

func (o *outcome) taskResult(title string) *api.TaskResult {
	tr := &api.TaskResult{Name: title, Module: o.module, Status: o.status, Start: o.start, Duration: o.took}
	at := o.place
	tr.Place = &at
	if o.noLog {
		tr.Result = censored(dictBool(o.res, "changed"))
		return tr
	}
	tr.Result = source.GoMap(o.res)
	if m, ok := o.res.GetString("msg"); ok && m != nil {
		if s, isText := value.StrOf(m); isText {
			tr.Message = s
		}
	}
	tr.Diff, tr.Changes = o.diff, o.changes
	return tr
}

// shownDelegate is the host that a task was delegated to, if it is another.
func (o *outcome) shownDelegate() string {
	if o.deleg == o.h.name {
		return ""
	}
	return o.deleg
}

// report shows an outcome; it is called as soon as it is there.
func (r *run) report(pr *playRun, t *Task, o *outcome) {
	if o == nil || o.shown {
		return
	}
	o.shown = true
	r.mu.Lock()
	defer r.mu.Unlock()
	title := r.quietTitle(pr, t)
	base := Event{Play: pr.play.name, Task: title, Action: t.action, Host: o.h.name, Delegated: o.shownDelegate(), Handler: t.handler, Place: &o.place}
	for _, i := range o.items {
		if len(i.include) > 0 {
			continue
		}
		e := base
		e.Kind, e.Result, e.NoLog, e.Verbose = EventItem, i.taskResult(title), i.noLog, i.verbose && !i.noLog
		e.Delegated = i.shownDelegate()
		e.Result.Item = i.label
		if i.noLog {
			e.Result.Item = "(censored due to no_log)"
		}
		e.Ignored = i.ignored && i.failed()
		r.emit(e)
	}
	if len(o.include) > 0 && !o.failed() {
		return // shown once for all hosts, as included
	}
	e := base
	e.Kind, e.Result, e.NoLog, e.Verbose, e.Loop = EventResult, o.taskResult(title), o.noLog, o.verbose && !o.noLog, o.isLoop
	e.Ignored = o.ignored && o.failed()
	r.emit(e)
}

// quietTitle is the title without asking a host: the task was announced with it.
func (r *run) quietTitle(pr *playRun, t *Task) string {
	return t.title()
}

// digest applies what a task did: to the variables, the counts, the handlers
// and the hosts' ways through the play.
func (r *run) digest(pr *playRun, t *Task, hosts []*hostState, outs []*outcome, once bool) {
	failedHosts := false
	for i, h := range hosts {
		o := outs[min(i, len(outs)-1)]
		if once && i > 0 {
			r.apply(pr, h, t, o, false)
			continue
		}
		if r.apply(pr, h, t, o, true) {
			failedHosts = true
		}
	}
	r.bringIn(pr, t, hosts, outs, once)
	if once && outs[0].failed() && !outs[0].ignored {
		for _, h := range hosts[1:] {
			failedHosts = r.failHost(pr, h, t, outs[0], false) || failedHosts
		}
	}
	if !failedHosts {
		return
	}
	fatal := once
	s := r.newScope(r.ctx, pr, hosts[0], t)
	if b, ok, err := s.flag(&t.common, "any_errors_fatal"); err == nil && ok && b {
		fatal = true
	}
	over := pr.maxFailed()
	if over {
		r.emit(Event{Kind: EventNoHosts, Play: pr.play.name, Message: "NO MORE HOSTS LEFT"})
	}
	if !fatal && !over {
		return
	}
	for _, h := range pr.live() {
		if !pr.gone[h.name] && !slices.ContainsFunc(outs, func(o *outcome) bool { return o.h == h && o.failed() && !o.ignored }) {
			r.failHost(pr, h, t, outs[0], false)
		}
	}
}

// lose takes a host out of the play and of all later ones.
func (pr *playRun) lose(h *hostState) {
	pr.r.mu.Lock()
	defer pr.r.mu.Unlock()
	pr.gone[h.name] = true
	pr.r.removed[h.name] = true
}

// apply counts an outcome for a host and moves it on. It reports a failure
// that was neither ignored nor rescued.
func (r *run) apply(pr *playRun, h *hostState, t *Task, o *outcome, own bool) (failed bool) {
	c := pr.cursors[h.name]
	if f := c.top(); f != nil && f.handlers {
		r.mu.Lock()
		delete(pr.notified[t], h.name)
		r.mu.Unlock()
		r.handlerDone(pr, t, o, h.name)
	}
	if t.register != "" {
		r.mu.Lock()
		h.set.Set(t.register, o.res)
		r.mu.Unlock()
	}
	for _, e := range o.effects {
		e(r, pr, h)
	}
	if t.implicit && t.action == "gather_facts" && len(pr.play.varsFiles) > 0 && o.status == "ok" {
		r.moveOn(pr, h, t, o)
		r.stats(h).OK++
		r.readVarsFiles(pr, []*hostState{h}) // names may hold facts
		return false
	}
	if o.status != "skipped" && t.role != nil {
		pr.roleTaskRan(t.role, h.name)
	}
	stats := r.stats(h)
	if !own {
		if !o.failed() || o.ignored {
			r.moveOn(pr, h, t, o)
		}
		return false
	}
	switch o.status {
	case "ok":
		stats.OK += max(1, len(o.include)) // each inclusion of a loop counts
	case "changed":
		stats.OK++
		stats.Changed++
	case "skipped":
		stats.Skipped++
	case "failed":
		if o.ignored {
			stats.OK++
			stats.Ignored++
			if dictBool(o.res, "changed") {
				stats.Changed++
			}
			break
		}
		return r.failHost(pr, h, t, o, true)
	case "unreachable":
		if o.ignored {
			stats.Ignored++
			stats.Skipped++
			break
		}
		stats.Unreachable++
		c.failed, c.frames = true, nil
		pr.lose(h)
		return true
	}
	r.moveOn(pr, h, t, o)
	return false
}

// stats are a host's counts; a host has some from its first result on.
func (r *run) stats(h *hostState) *HostStats {
	st := r.recap.Hosts[h.name]
	if st == nil {
		st = &HostStats{}
		r.recap.Hosts[h.name] = st
		r.recap.Order = append(r.recap.Order, h.name)
	}
	return st
}

// moveOn steps behind a task and notifies its handlers.
func (r *run) moveOn(pr *playRun, h *hostState, t *Task, o *outcome) {
	r.notify(pr, h, t, o)
	if len(o.include) == 0 {
		pr.cursors[h.name].advance()
	}
}

// failHost sends a failed host to its rescue, or out of the play. It is always
// true: with any_errors_fatal a rescued failure sends all hosts to the rescue.
func (r *run) failHost(pr *playRun, h *hostState, t *Task, o *outcome, count bool) bool {
	c := pr.cursors[h.name]
	stats := r.stats(h)
	at := 0
	if len(c.frames) > 0 {
		at = c.frames[0].idx
	}
	if c.fail(t, o.res, pr, h.name) {
		if count {
			stats.Rescued++
		}
		return true
	}
	if count {
		stats.Failed++
	}
	if c.failed {
		pr.lose(h)
		r.force(pr, c, at)
	}
	return true
}

// force sends a failed host to the next flush of handlers, where
// force_handlers says so.
func (r *run) force(pr *playRun, c *cursor, at int) {
	on := r.o.ForceHandler
	if l := pr.play.kw["force_handlers"]; l != nil {
		if b, ok := source.Bool(l.v); ok {
			on = b
		}
	}
	if !on || c.forcing {
		c.forcing = false
		return
	}
	for i := at; i < len(pr.program); i++ {
		if t, ok := pr.program[i].(*Task); ok && t.implicit && t.action == "meta" {
			c.forcing = true
			c.frames = []*frame{{nodes: [3][]node{pr.program[:i+1]}, idx: i}}
			return
		}
	}
}

// notify marks the handlers that a changed task names.
func (r *run) notify(pr *playRun, h *hostState, t *Task, o *outcome) {
	if len(t.notify) == 0 || !dictBool(o.res, "changed") || o.status == "skipped" {
		return
	}
	s := r.newScope(r.ctx, pr, h, t)
	var wanted []string
	add := func(o *outcome, s *scope) {
		for _, l := range t.notify {
			v := l.v
			if l.tmpl {
				x, err := s.template(l.v)
				if err != nil {
					r.warn("%s: cannot work out what to notify: %s", l.at, reason(err))
					continue
				}
				v = x
			}
			wanted = append(wanted, notifyNames(v)...)
		}
	}
	if o.isLoop && slices.ContainsFunc(t.notify, func(l *lit) bool { return l.tmpl }) {
		for _, i := range o.items {
			if i.status == "changed" {
				add(i, s.with(t.loopVar, i.item))
			}
		}
	} else {
		add(o, s)
	}
	for _, name := range wanted {
		handlers := r.notifyName(pr, h, name)
		if len(handlers) > 0 {
			r.owe(Notice{Play: pr.key, Host: h.name, Handler: name}, handlers)
		} else {
			at := t.at
			r.emit(Event{Kind: EventWarning, Message: at.String() + ": The requested handler '" + name + "' was not found in either the main handlers list nor in the listening handlers list"})
		}
	}
}

// notifyName marks the handlers of a name or topic, and returns them.
func (r *run) notifyName(pr *playRun, h *hostState, name string) (found []*Task) {
	mark := func(t *Task) {
		found = append(found, t)
		r.mu.Lock()
		defer r.mu.Unlock()
		if pr.notified[t] == nil {
			pr.notified[t] = map[string]bool{}
		}
		pr.notified[t][h.name] = true
	}
	// Of several handlers with one name the last counts.
	for i := len(pr.handlers) - 1; i >= 0; i-- {
		t := pr.handlers[i]
		if r.handlerNamed(pr, t, h, name) {
			mark(t)
			break
		}
	}
	for _, t := range pr.handlers {
		for _, l := range t.listen {
			topic := l.text()
			if l.tmpl {
				if v, err := r.newScope(r.ctx, pr, h, t).template(l.v); err == nil {
					topic = value.Str(v)
				}
			}
			if topic == name {
				mark(t)
			}
		}
	}
	return found
}

func (r *run) handlerNamed(pr *playRun, t *Task, h *hostState, name string) bool {
	n := t.name
	if n == "" {
		return false
	}
	if holdsTemplate(n) {
		n = r.plainName(pr, t, h)
	}
	if n == name {
		return true
	}
	if t.role != nil {
		return t.role.name+" : "+n == name || t.role.def.name+" : "+n == name
	}
	return false
}

// learn keeps facts.
func (r *run) learn(h *hostState, facts *value.Dict, setup bool) {
	r.mu.Lock()
	d := value.NewDict()
	d.Update(h.facts)
	for _, it := range facts.Items() {
		k := value.Str(it.Key)
		short := strings.TrimPrefix(k, "ansible_")
		d.Set(short, it.Value)
		if setup {
			h.prefixed[short] = true
		} else {
			h.injected.Set(k, it.Value)
		}
	}
	h.facts = d
	r.mu.Unlock()
	if r.o.Facts != nil && setup {
		r.o.Facts.Save(h.name, source.GoMap(d))
	}
}

// meta runs a meta task.
func (r *run) meta(pr *playRun, t *Task, hosts []*hostState) {
	what := strings.TrimSpace(t.rawOr("_raw_params"))
	what, _, _ = strings.Cut(what, " ")
	if !r.wanted(pr, t, hosts[0]) {
		for _, h := range hosts {
			r.pass(pr, h, t)
		}
		return
	}
	once := true
	switch what {
	case "noop", "reset_connection", "end_host", "flush_handlers", "end_role":
		once = false
	}
	for i, h := range hosts {
		c := pr.cursors[h.name]
		if f := c.top(); f != nil && f.handlers {
			delete(pr.notified[t], h.name)
			r.ran(pr, t, h.name)
		}
		if once && i > 0 {
			if !pr.end {
				c.advance()
			}
			continue
		}
		if !t.implicit {
			r.announce(pr, t, h)
		}
		o := &outcome{h: h, t: t, place: t.at, module: "meta"}
		if cond, err := r.newScope(r.ctx, pr, h, t).when(t.when); err != nil {
			o.status, o.res = "failed", failure("Task failed: Error while evaluating conditional: %s", reason(err))
			r.report(pr, t, o)
			r.failHost(pr, h, t, o, true)
			continue
		} else if cond != nil {
			skipped(o, cond)
			r.report(pr, t, o)
			c.advance()
			continue
		}
		r.metaOn(pr, what, h, c)
	}
}

// metaOn carries out a meta action, on the host or, for those that run once, on all.
func (r *run) metaOn(pr *playRun, what string, h *hostState, c *cursor) {
	switch what {
	case "flush_handlers":
		r.carry(pr) // names and topics may hold facts
		c.frames = append(c.frames, &frame{handlers: true})
		return
	case "end_host":
		c.frames = nil
		r.mu.Lock()
		pr.ended[h.name] = true
		r.mu.Unlock()
		return
	case "end_role":
		c.endRole(pr, h.name)
		return
	case "reset_connection":
		r.conns.reset(h.name)
	case "clear_facts":
		r.mu.Lock()
		for _, h := range pr.hosts {
			h.facts, h.injected, h.prefixed = value.NewDict(), value.NewDict(), map[string]bool{}
		}
		r.mu.Unlock()
	case "clear_host_errors":
		// Failed hosts are in later plays again; in this one they have ended.
		r.mu.Lock()
		for _, h := range pr.hosts {
			delete(r.removed, h.name)
		}
		r.mu.Unlock()
	case "refresh_inventory":
		r.refresh()
	case "end_play", "end_batch":
		pr.end = true
		pr.endPlay = pr.endPlay || what == "end_play"
	}
	c.advance()
}

// refresh reads the inventory's sources again.
func (r *run) refresh() {
	fresh := r.inv.Clone()
	if err := fresh.Reload(); err != nil {
		r.warn("cannot read the inventory again: %s", reason(err))
		return
	}
	r.mu.Lock()
	r.inv = fresh
	for _, st := range r.hosts {
		if h := fresh.Host(st.name); h != nil {
			st.host, st.inv, st.byPlay = h, fresh.Merge(h, nil), map[string]*value.Dict{}
		}
	}
	r.groupsV = nil
	r.mu.Unlock()
}

// bringIn puts what include_* tasks named into the hosts' ways. Hosts that include
// the same file with the same variables share its tasks.
func (r *run) bringIn(pr *playRun, t *Task, hosts []*hostState, outs []*outcome, once bool) {
	type loaded struct {
		inc   *inclusion
		hosts []*hostState
		nodes []node
		role  *roleRun
		err   error
	}
	var order []*loaded
	byKey := map[string]*loaded{}
	for i, h := range hosts {
		o := outs[min(i, len(outs)-1)]
		if o.failed() && !o.ignored {
			continue
		}
		for _, inc := range o.include {
			l := byKey[inc.key]
			if l == nil {
				l = &loaded{inc: inc}
				byKey[inc.key] = l
				order = append(order, l)
			}
			l.hosts = append(l.hosts, h)
		}
	}
	if len(order) == 0 {
		return
	}
	for _, l := range order {
		var handlers []*Task
		l.nodes, l.role, handlers, l.err = l.inc.load(r, pr)
		if l.err != nil {
			continue
		}
		r.mu.Lock()
		pr.addHandlers(handlers)
		if l.role != nil && l.role.public {
			pr.roles = append(pr.roles, l.role)
		}
		r.mu.Unlock()
		r.carry(pr)
		var list []string
		for _, h := range l.hosts {
			list = append(list, h.name)
		}
		ev := Event{Kind: EventInclude, Play: pr.play.name, Task: r.quietTitle(pr, t), Hosts: list, Message: l.inc.file}
		if l.inc.item {
			ev.Result = &api.TaskResult{Item: l.inc.label}
		}
		r.emit(ev)
	}
	for i, h := range hosts {
		o := outs[min(i, len(outs)-1)]
		if len(o.include) == 0 || o.failed() && !o.ignored {
			continue
		}
		lists := make([][]node, len(order))
		var bad *loaded
		for n, l := range order {
			if slices.Contains(l.hosts, h) {
				if l.err != nil {
					bad = l
				}
				lists[n] = l.nodes
			}
		}
		if bad != nil {
			fo := &outcome{h: h, t: t, status: "failed", res: failure("%s", reason(bad.err)), place: t.at, module: t.action}
			fo.ignored = r.ignores(r.newScope(r.ctx, pr, h, t), fo)
			r.report(pr, t, fo)
			stats := r.stats(h)
			stats.OK--
			if fo.ignored {
				stats.OK++
				stats.Ignored++
				pr.cursors[h.name].advance()
				continue
			}
			r.failHost(pr, h, t, fo, true)
			continue
		}
		pr.cursors[h.name].include(lists, nil)
	}
}

// addHandlers adds the handlers of an included role, once.
func (pr *playRun) addHandlers(ts []*Task) {
	for _, t := range ts {
		if !slices.ContainsFunc(pr.handlers, func(x *Task) bool {
			return x == t || x.at == t.at && x.role != nil && t.role != nil && x.role.def == t.role.def
		}) {
			pr.handlers = append(pr.handlers, t)
		}
	}
}

func splitTags(v value.Value) []string {
	var out []string
	if l, ok := v.(*value.List); ok {
		for _, x := range l.Items {
			out = append(out, splitTags(x)...)
		}
		return out
	}
	for _, s := range strings.Split(value.Str(v), ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func matchesStart(pattern string, titles ...string) bool {
	for _, t := range titles {
		if t == pattern || globMatch(pattern, t) {
			return true
		}
	}
	return false
}
