package engine

import (
	"context"
	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"errors"
	"fmt"
	"time"

	"drover/api"
	"drover/internal/play/module"
	"drover/internal/play/value"
)

// outcome is what a task did on one host.
type outcome struct {
	h       *hostState
	t       *Task
	res     *value.Dict // the registered variable
	items   []*outcome  // of a loop
	isLoop  bool
	item    value.Value
	label   string
	status  string // ok changed failed skipped unreachable
	ignored bool   // the failure is ignored
	noLog   bool
	verbose bool // shown in full without -v
	deleg   string
	delegTo *hostState
	factsTo *hostState
	effects []effect
	include []*inclusion
	diff    []api.Diff
	changes []api.Change
	start   time.Time
	took    time.Duration
	shown   bool
	place   api.Place
	module  string
}

// effect is what a task does to the run: applied by the run's goroutine for
// each host that the outcome counts for.
type effect func(r *run, pr *playRun, h *hostState)

// inclusion is what an include_* task brings in on a host.
type inclusion struct {
	file  string // shown; the same file and variables are one inclusion
	key   string
	load  func(r *run, pr *playRun) ([]node, *roleRun, []*Task, error)
	vars  *value.Dict
	label string
	item  bool
}

func (o *outcome) failed() bool { return o.status == "failed" || o.status == "unreachable" }

func failure(format string, args ...any) *value.Dict {
	return value.DictOf("changed", false, "failed", true, "msg", fmt.Sprintf(format, args...))
}

// execute runs a task on a host: its loop, retries and conditions. It is
// called in a worker and changes nothing but its outcome.
func (r *run) execute(pr *playRun, h *hostState, t *Task) *outcome {
	o := &outcome{h: h, t: t, start: r.o.Now(), place: t.at, module: t.action}
	s := r.newScope(r.ctx, pr, h, t)
	c := pr.cursors[h.name]
	if c != nil && c.failedTask != nil {
		s.over = value.DictOf("ansible_failed_task", describeTask(c.failedTask), "ansible_failed_result", c.failedResult)
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				o.status, o.res = "failed", failure("cannot run the task: internal fault: %v", p)
			}
		}()
		if t.loop != nil {
			r.loop(s, o)
		} else {
			r.once(s, o)
		}
	}()
	o.took = r.o.Now().Sub(o.start)
	if b, ok, err := s.flag(&t.common, "no_log"); err == nil && ok && b {
		o.noLog = true
	} else if err != nil {
		o.noLog = true
	}
	o.ignored = r.ignores(s, o)
	return o
}

func (r *run) ignores(s *scope, o *outcome) bool {
	switch o.status {
	case "failed":
		b, _, _ := s.flag(&o.t.common, "ignore_errors")
		return b
	case "unreachable":
		b, _, _ := s.flag(&o.t.common, "ignore_unreachable")
		return b
	}
	return false
}

func describeTask(t *Task) value.Value {
	return value.DictOf("name", t.name, "action", t.written, "args", t.args)
}

// loop runs a task for each item.
func (r *run) loop(s *scope, o *outcome) {
	t := o.t
	items, err := r.loopItems(s, t)
	if err != nil {
		// The items may be undefined because the condition is false.
		if c, e := s.when(t.when); e == nil && c != nil {
			skipped(o, c)
			return
		}
		o.status, o.res = "failed", failure("%s", reason(err))
		return
	}
	o.isLoop = true
	results := &value.List{}
	if len(items) == 0 {
		o.status = "skipped"
		o.res = value.DictOf("changed", false, "results", results, "skipped", true, "skipped_reason", "No items in the list", "skip_reason", "No items in the list")
		return
	}
	extended := false
	if t.extended != nil {
		v, err := s.template(t.extended.v)
		if err == nil {
			extended, _ = source.Bool(v)
		}
	}
	changed, allSkipped, unreachable := false, true, false
	pending := s.set
	for i, item := range items {
		if err := r.ctx.Err(); err != nil {
			break
		}
		if i > 0 && t.loopPause != nil {
			if secs, err := s.number(t.loopPause, 0); err == nil {
				r.sleep(s.ctx, time.Duration(secs*float64(time.Second)))
			}
		}
		over := value.NewDict()
		over.Update(s.over)
		over.Set(t.loopVar, item)
		over.Set("ansible_loop_var", t.loopVar)
		if t.indexVar != "" {
			over.Set(t.indexVar, int64(i))
			over.Set("ansible_index_var", t.indexVar)
		}
		if extended {
			over.Set("ansible_loop", extendedLoop(items, i))
		}
		is := *s
		is.over, is.kept, is.busy, is.set = over, nil, nil, pending
		is.ctx = context.WithValue(s.ctx, scopeKey{}, &is)
		io := &outcome{h: o.h, t: t, item: item, start: r.o.Now(), place: t.at, module: t.action}
		r.once(&is, io)
		io.took = r.o.Now().Sub(io.start)
		io.label = r.labelOf(&is, t, item)
		pending = is.set
		io.res.Set(t.loopVar, item)
		io.res.Set("ansible_loop_var", t.loopVar)
		if t.indexVar != "" {
			io.res.Set(t.indexVar, int64(i))
			io.res.Set("ansible_index_var", t.indexVar)
		}
		if extended {
			x, _ := over.GetString("ansible_loop")
			io.res.Set("ansible_loop", x)
		}
		results.Items = append(results.Items, io.res)
		if b, ok, err := is.flag(&t.common, "no_log"); err == nil && ok && b {
			io.noLog = true
			o.noLog = true
		}
		io.ignored = r.ignores(&is, io)
		o.items = append(o.items, io)
		o.effects = append(o.effects, io.effects...)
		o.include = append(o.include, io.include...)
		o.changes = append(o.changes, io.changes...)
		o.deleg, o.delegTo, o.factsTo = io.deleg, io.delegTo, io.factsTo
		changed = changed || io.status == "changed"
		unreachable = unreachable || io.status == "unreachable"
		allSkipped = allSkipped && io.status == "skipped"
		if io.status == "unreachable" {
			break
		}
		if len(t.breakWhen) > 0 {
			if c, err := is.when(t.breakWhen); err == nil && c == nil {
				break
			}
		}
	}
	o.res = value.DictOf("changed", changed, "results", results, "skipped", allSkipped)
	anyFailed := false
	for _, io := range o.items {
		anyFailed = anyFailed || io.status == "failed"
	}
	switch {
	case unreachable:
		o.status = "unreachable"
		o.res.Set("msg", "One or more items failed")
		o.res.Set("unreachable", true)
	case anyFailed:
		o.status = "failed"
		o.res.Set("msg", "One or more items failed")
		o.res.Set("failed", true)
	case allSkipped:
		o.status = "skipped"
		o.res.Set("msg", "All items skipped")
	case changed:
		o.status = "changed"
		o.res.Set("msg", "All items completed")
	default:
		o.status = "ok"
		o.res.Set("msg", "All items completed")
	}
	o.verbose = o.items[0].verbose
}

func extendedLoop(items []value.Value, i int) *value.Dict {
	n := len(items)
	d := value.DictOf("allitems", value.NewList(items...), "index", int64(i+1), "index0", int64(i), "first", i == 0, "last", i == n-1,
		"length", int64(n), "revindex", int64(n-i), "revindex0", int64(n-i-1))
	if i > 0 {
		d.Set("previtem", items[i-1])
	}
	if i < n-1 {
		d.Set("nextitem", items[i+1])
	}
	return d
}

func (r *run) labelOf(s *scope, t *Task, item value.Value) string {
	if t.label != nil {
		if v, err := s.template(t.label.v); err == nil {
			return value.Str(v)
		}
	}
	return value.Str(item)
}

func skipped(o *outcome, c *cond) {
	o.status = "skipped"
	var cv value.Value = c.src
	if c.src == "" {
		cv = c.v
	}
	o.res = value.DictOf("changed", false, "false_condition", cv, "skip_reason", "Conditional result was False", "skipped", true)
}

// once runs a task for one item, or without a loop, with its retries.
func (r *run) once(s *scope, o *outcome) {
	t := o.t
	deleg, err := r.delegate(s, o)
	if c, werr := s.when(t.when); werr != nil {
		var broken *brokenConditional
		if errors.As(werr, &broken) {
			o.status, o.res = "failed", failure("Task failed: %s", reason(werr))
		} else {
			o.status, o.res = "failed", failure("Task failed: Error while evaluating conditional: %s", reason(werr))
		}
		return
	} else if c != nil {
		skipped(o, c)
		return
	}
	if err != nil {
		o.status, o.res = "failed", failure("Task failed: %s", reason(err))
		return
	}
	retries, delay := 0, 5.0
	if len(t.until) > 0 || t.retries != nil {
		n, err := s.number(t.retries, 3)
		if err == nil {
			delay, err = s.number(t.delay, 5)
		}
		if err != nil {
			o.status, o.res = "failed", failure("Task failed: %s", reason(err))
			return
		}
		retries = max(0, int(n))
	}
	for attempt := 1; ; attempt++ {
		o.effects, o.include, o.changes, o.diff, o.status = nil, nil, nil, nil, ""
		r.attempt(s, o, deleg)
		if o.status == "unreachable" || o.status == "skipped" {
			return
		}
		if retries == 0 && len(t.until) == 0 {
			return
		}
		o.res.Set("attempts", int64(attempt))
		us := s
		if t.register != "" {
			us = s.registered(t.register, o.res)
		}
		done := o.status != "failed"
		if len(t.until) > 0 {
			c, err := us.when(t.until)
			if err != nil {
				o.status = "failed"
				o.res.Set("failed", true)
				o.res.Set("msg", "Task failed: Error while evaluating conditional: "+reason(err))
				return
			}
			done = c == nil
		}
		if done {
			return
		}
		if attempt > retries {
			o.status = "failed"
			o.res.Set("failed", true)
			o.res.Set("attempts", int64(retries))
			return
		}
		r.retry(s, o, retries-attempt+1)
		o.res.Set("retries", int64(retries+1))
		if !r.sleep(s.ctx, time.Duration(delay*float64(time.Second))) {
			return
		}
		s.forget()
	}
}

// registered is the scope in which the task's own result is known already.
func (s *scope) registered(name string, res *value.Dict) *scope {
	c := *s
	c.set = value.NewDict()
	c.set.Update(s.set)
	c.set.Set(name, res)
	c.kept, c.busy = nil, nil
	c.ctx = context.WithValue(s.ctx, scopeKey{}, &c)
	return &c
}

// sleep waits, unless the run ends; it reports whether it waited to the end.
func (r *run) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs the action once and settles changed and failed.
func (r *run) attempt(s *scope, o *outcome, deleg *hostState) {
	t := o.t
	args, err := r.arguments(s, t)
	if err == nil {
		err = r.act(s, o, args, deleg)
	}
	if err != nil {
		o.res = failure("Task failed: %s", reason(err))
		o.status = "failed"
		return
	}
	if o.status == "unreachable" {
		return
	}
	res := o.res
	if res == nil {
		res = value.DictOf("changed", false)
		o.res = res
	}
	if _, ok := res.GetString("changed"); !ok {
		res.Set("changed", false)
	}
	isSkipped := dictBool(res, "skipped")
	if _, ok := res.GetString("failed"); !ok && !isSkipped {
		res.Set("failed", false)
	}
	if !isSkipped {
		r.verdict(s, o)
	}
	switch {
	case dictBool(res, "failed"):
		o.status = "failed"
	case isSkipped:
		o.status = "skipped"
	case dictBool(res, "changed"):
		o.status = "changed"
	default:
		o.status = "ok"
	}
}

// verdict applies changed_when and failed_when.
func (r *run) verdict(s *scope, o *outcome) {
	t, res := o.t, o.res
	if !t.hasChanged && !t.hasFailed {
		return
	}
	vs := s
	if t.register != "" {
		vs = s.registered(t.register, res)
	}
	if t.hasChanged {
		c, err := vs.when(t.changedWhen)
		if err != nil {
			r.verdictError(o, "changed_when_result", err)
			return
		}
		res.Set("changed", c == nil)
	}
	if t.hasFailed {
		bad := false
		c, err := vs.when(t.failedWhen)
		if err != nil {
			r.verdictError(o, "failed_when_result", err)
			return
		}
		bad = c == nil
		res.Set("failed_when_result", bad)
		res.Set("failed", bad)
	}
}

func (r *run) verdictError(o *outcome, key string, err error) {
	var broken *brokenConditional
	msg := "Task failed: Error while evaluating conditional: " + reason(err)
	if errors.As(err, &broken) {
		msg = "Task failed: " + reason(err)
	}
	o.res.Set("failed", true)
	o.res.Set(key, msg)
	o.res.Set("msg", msg)
}

func dictBool(d *value.Dict, k string) bool {
	v, ok := d.GetString(k)
	if !ok {
		return false
	}
	b, _ := source.Bool(v)
	return b
}

// arguments templates a task's arguments and leaves omitted ones out.
func (r *run) arguments(s *scope, t *Task) (*value.Dict, error) {
	out := value.NewDict()
	r.moduleDefaults(s, t, out)
	if t.argsLit != nil {
		v, err := s.template(t.argsLit.v)
		if err != nil {
			return nil, fmt.Errorf("Finalization of task args for '%s' failed: %w", t.fqcn, err)
		}
		d, ok := v.(*value.Dict)
		if !ok && v != nil {
			return nil, fmt.Errorf("Finalization of task args for '%s' failed: the arguments are a %s, not a dictionary", t.fqcn, value.TypeName(v))
		}
		out.Update(d)
	}
	lazy := lazyArgs[t.action]
	for _, it := range t.args.Items() {
		k := value.Str(it.Key)
		if lazy[k] {
			out.Set(k, it.Value)
			continue
		}
		if holdsTemplate(it.Key) {
			kv, err := s.template(it.Key)
			if err != nil {
				return nil, argError(t, k, err)
			}
			k = value.Str(kv)
		}
		v := it.Value
		if needsWork(v) {
			var err error
			if v, err = s.template(it.Value); err != nil {
				return nil, argError(t, k, err)
			}
		} else if u, bad := v.(*value.Undefined); bad {
			return nil, argError(t, k, u.Use())
		}
		if _, gone := v.(omitted); gone {
			out.Delete(k)
			continue
		}
		out.Set(k, v)
	}
	return out, nil
}

// lazyArgs are arguments that the action templates itself.
var lazyArgs = map[string]map[string]bool{
	"assert":        {"that": true},
	"debug":         {"var": true},
	"include_tasks": {"apply": true}, "include_role": {"apply": true},
}

func argError(t *Task, k string, err error) error {
	return fmt.Errorf("Finalization of task args for '%s' failed: Error while resolving value for '%s': %s", t.fqcn, k, reason(err))
}

// moduleDefaults fills in module_defaults, the outermost first.
func (r *run) moduleDefaults(s *scope, t *Task, out *value.Dict) {
	for _, l := range t.defaults {
		v, err := s.template(l.v)
		d, ok := v.(*value.Dict)
		if err != nil || !ok {
			continue
		}
		for _, it := range d.Items() {
			name := value.Str(it.Key)
			if shortAction(name) != t.action && name != t.fqcn && name != t.written && !(t.action == "gather_facts" && name == "setup") {
				continue
			}
			if args, ok := it.Value.(*value.Dict); ok {
				out.Update(args)
			}
		}
	}
}

// delegate resolves delegate_to.
func (r *run) delegate(s *scope, o *outcome) (*hostState, error) {
	l := o.t.attrs["delegate_to"]
	if l == nil || l.v == nil {
		return nil, nil
	}
	name, err := s.text(l)
	if err != nil {
		return nil, fmt.Errorf("Could not resolve 'delegate_to': %w", err)
	}
	if name == "" {
		return nil, nil
	}
	st := r.stateOf(name)
	if st == nil {
		r.mu.Lock()
		st = r.stateLocked(inventory.NewHost(name))
		r.mu.Unlock()
	}
	o.deleg, o.delegTo = name, st
	if b, _, err := s.flag(&o.t.common, "delegate_facts"); err == nil && b {
		o.factsTo = st
	}
	return st, nil
}

// module runs a module on the host.
func (r *run) module(s *scope, o *outcome, req *module.Request, deleg *hostState) error {
	h := o.h
	if deleg != nil {
		h = deleg
	}
	conn, target, err := r.connect(s, o, h, deleg != nil)
	if err != nil {
		return r.unreachable(o, err)
	}
	if req.User == "" && target.Become.Enabled {
		req.User = target.Become.User
	}
	if err := r.dressRequest(s, o, req); err != nil {
		return err
	}
	ctx := s.ctx
	if secs, err := s.number(o.t.attrs["timeout"], 0); err == nil && secs > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(secs*float64(time.Second)))
		defer stop()
	}
	if r.asyncStart(s, o, conn, req) {
		return nil
	}
	res, err := conn.Run(ctx, req)
	if err != nil {
		if ctx.Err() != nil && s.ctx.Err() == nil {
			secs, _ := s.number(o.t.attrs["timeout"], 0)
			o.res = failure("Task failed: Timed out after %g second(s).", secs)
			o.res.Set("timedout", value.DictOf("period", int64(secs)))
			return nil
		}
		r.conns.drop(target, conn)
		return r.unreachable(o, err)
	}
	r.take(o, res)
	return nil
}

func (r *run) unreachable(o *outcome, err error) error {
	o.status = "unreachable"
	o.res = value.DictOf("changed", false, "msg", "Task failed: "+reason(err), "unreachable", true)
	return nil
}

// dressRequest adds what keywords say about how to run a module.
func (r *run) dressRequest(s *scope, o *outcome, req *module.Request) error {
	c := &o.t.common
	req.Check, req.Diff = r.o.Check, r.o.Diff
	if b, ok, err := s.flag(c, "check_mode"); err != nil {
		return err
	} else if ok {
		req.Check = b
	}
	if b, ok, err := s.flag(c, "diff"); err != nil {
		return err
	} else if ok {
		req.Diff = b
	}
	for _, l := range c.env {
		v, err := s.template(l.v)
		if err != nil {
			return fmt.Errorf("could not template the environment: %w", err)
		}
		d, ok := v.(*value.Dict)
		if !ok {
			if v == nil || value.Str(v) == "" {
				continue
			}
			return fmt.Errorf("environment must be a dictionary, received %s", value.Repr(v))
		}
		if req.Env == nil {
			req.Env = map[string]string{}
		}
		for _, it := range d.Items() {
			req.Env[value.Str(it.Key)] = value.Str(it.Value)
		}
	}
	return nil
}

// take turns a module's result into the registered variable.
func (r *run) take(o *outcome, res *module.Result) {
	d, _ := value.FromGo(res.Map()).(*value.Dict)
	if d == nil {
		d = value.NewDict()
	}
	o.res = d
	o.diff, o.changes = res.Diff, res.Changes
	for _, w := range res.Warnings {
		o.effects = append(o.effects, func(r *run, _ *playRun, _ *hostState) { r.warn("%s", w) })
	}
	if len(res.Facts) > 0 {
		facts := source.Dict(res.Facts)
		setup := o.t.action == "setup" || o.t.action == "gather_facts"
		to := o.factsTo
		o.effects = append(o.effects, func(r *run, _ *playRun, h *hostState) {
			if to != nil {
				h = to
			}
			r.learn(h, facts, setup)
		})
		if !setup {
			d.Set("ansible_facts", facts)
		}
	}
}
