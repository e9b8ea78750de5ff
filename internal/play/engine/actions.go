package engine

import (
	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"drover/internal/play/module"
	"drover/internal/play/value"

	"github.com/dlclark/regexp2"
)

type dirEntry = fs.DirEntry

func globMatch(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

func regexMatch(pattern, s string) bool {
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return false
	}
	re.MatchTimeout = time.Second // a pattern may need exponential time
	ok, _ := re.MatchString(s)
	return ok
}

// act runs a task's action: the engine's own ones here, modules on the host.
func (r *run) act(s *scope, o *outcome, args *value.Dict, deleg *hostState) error {
	t := o.t
	action := t.action
	mod := t.mod
	if mod == nil && holdsTemplate(action) {
		v, err := s.template(action)
		if err != nil {
			return err
		}
		action = shortAction(value.Str(v))
		var ok bool
		if mod, ok = module.Lookup(value.Str(v)); !ok && ownActions[action] == nil {
			return fmt.Errorf("couldn't resolve module/action '%s'", action)
		}
		o.module = action
	}
	switch action {
	case "debug":
		return r.debug(s, o, args)
	case "set_fact":
		return r.setFact(s, o, args)
	case "assert":
		return r.assert(s, o, args)
	case "fail":
		msg := "Failed as requested from task"
		if v, ok := args.GetString("msg"); ok && v != nil {
			msg = value.Str(v)
		}
		o.res = failure("%s", msg)
		return nil
	case "include_tasks":
		return r.includeTasks(s, o, args)
	case "include_role":
		return r.includeRole(s, o, args)
	case "include_vars":
		return r.includeVars(s, o, args)
	case "add_host":
		return r.addHost(o, args)
	case "group_by":
		return r.groupBy(o, args)
	case "pause":
		return r.pause(s, o, args)
	case "set_stats":
		return r.setStats(o, args)
	case "meta":
		o.res = value.DictOf("changed", false)
		return nil
	case "validate_argument_spec":
		return r.validateArgs(s, o, args)
	case "async_status":
		return r.asyncStatus(o, args)
	case "wait_for_connection":
		return r.waitForConnection(s, o, args, deleg)
	case "gather_facts":
		return r.gather(s, o, args, deleg)
	case "fetch":
		return r.fetch(s, o, args, deleg)
	}
	req := &module.Request{Module: action, Args: source.GoMap(args)}
	if mod != nil {
		req.Module = mod.Name
	}
	done, err := r.attach(s, o, req, args)
	if err != nil || done {
		return err
	}
	return r.module(s, o, req, deleg)
}

func (r *run) gather(s *scope, o *outcome, args *value.Dict, deleg *hostState) error {
	if o.t.implicit && r.o.Gathering == "smart" {
		r.mu.RLock()
		known := len(o.h.prefixed) > 0
		r.mu.RUnlock()
		if known {
			o.res = value.DictOf("changed", false)
			return nil
		}
	}
	req := &module.Request{Module: "setup", Args: source.GoMap(args)}
	delete(req.Args, "parallel")
	return r.module(s, o, req, deleg)
}

func (r *run) debug(s *scope, o *outcome, args *value.Dict) error {
	if v, ok := args.GetString("verbosity"); ok {
		if n, ok := source.Int(v); ok && int(n) > r.o.Verbosity {
			o.res = value.DictOf("skipped", true, "skipped_reason", "Verbosity threshold not met.", "changed", false)
			return nil
		}
	}
	o.verbose = true
	if v, ok := args.GetString("var"); ok && v != nil {
		name := value.Str(v)
		var x value.Value
		var err error
		if _, isText := value.StrOf(v); !isText {
			x, err = s.template(v)
		} else if holdsTemplate(name) {
			if x, err = s.template(name); err == nil {
				if again, isText := value.StrOf(x); isText {
					x, err = s.evalText(again)
				}
			}
		} else {
			x, err = s.evalText(name)
		}
		if err == nil {
			x, err = settled(x, 0)
		}
		if err != nil {
			if !isUndefined(err) {
				return err
			}
			x = "<< error 1 - " + reason(err) + " >>"
		}
		o.res = value.DictOf(name, x, "changed", false)
		return nil
	}
	msg, ok := args.GetString("msg")
	if !ok {
		msg = "Hello world!"
	}
	o.res = value.DictOf("msg", msg, "changed", false)
	return nil
}

func (r *run) setFact(s *scope, o *outcome, args *value.Dict) error {
	facts := value.NewDict()
	cacheable := false
	for _, it := range args.Items() {
		k := value.Str(it.Key)
		if k == "cacheable" {
			cacheable, _ = source.Bool(it.Value)
			continue
		}
		if k == "_raw_params" {
			continue
		}
		if !source.IsIdentifier(k) {
			return fmt.Errorf("Action failed: The variable name '%s' is not valid. Variables must start with a letter or underscore character, and contain only letters, numbers and underscores.", k)
		}
		v := it.Value
		if str, ok := v.(string); ok {
			// key=value text: booleans are taken as such.
			if lower := strings.ToLower(str); o.t.argsText && (lower == "true" || lower == "false" || lower == "yes" || lower == "no") {
				v, _ = source.Bool(str)
			}
		}
		facts.Set(k, v)
	}
	if facts.Len() == 0 {
		return fmt.Errorf("Action failed: No key/value pairs provided, at least one is required for this action to succeed")
	}
	o.res = value.DictOf("ansible_facts", facts, "changed", false)
	if cacheable {
		o.res.Set("_ansible_facts_cacheable", true)
		o.res.Delete("_ansible_facts_cacheable")
	}
	to := o.factsTo
	o.effects = append(o.effects, func(r *run, _ *playRun, h *hostState) {
		if to != nil {
			h = to
		}
		r.mu.Lock()
		d := value.NewDict()
		d.Update(h.set)
		d.Update(facts)
		h.set = d
		r.mu.Unlock()
		if cacheable {
			r.learn(h, facts, false)
		}
	})
	// The next item of a loop sees it already.
	set := value.NewDict()
	set.Update(s.set)
	set.Update(facts)
	s.set = set
	return nil
}

func (r *run) assert(s *scope, o *outcome, args *value.Dict) error {
	that, ok := args.GetString("that")
	if !ok {
		return fmt.Errorf("conditional required in \"that\" string")
	}
	list := []value.Value{that}
	if l, ok := that.(*value.List); ok {
		list = l.Items
	}
	str := func(keys ...string) (value.Value, bool) {
		for _, k := range keys {
			if v, ok := args.GetString(k); ok && v != nil {
				return v, true
			}
		}
		return nil, false
	}
	quiet := dictBool(args, "quiet")
	o.verbose = !quiet
	at := o.t.argAt("that")
	for _, x := range list {
		good, err := s.test(r.p.newCond(x, at))
		if err != nil {
			return fmt.Errorf("Action failed: %w", conditionError(err))
		}
		if good {
			continue
		}
		msg, ok := str("fail_msg", "msg")
		if !ok {
			msg = "Assertion failed"
		}
		o.res = value.DictOf("changed", false, "failed", true, "msg", msg)
		if !quiet {
			o.res.Set("assertion", x)
			o.res.Set("evaluated_to", false)
		}
		return nil
	}
	msg, ok := str("success_msg")
	if !ok {
		msg = "All assertions passed"
	}
	o.res = value.DictOf("changed", false, "msg", msg)
	return nil
}

func conditionError(err error) error {
	if b, ok := err.(*brokenConditional); ok {
		return b
	}
	return fmt.Errorf("Error while evaluating conditional: %s", reason(err))
}

func (r *run) addHost(o *outcome, args *value.Dict) error {
	name := ""
	vars := value.NewDict()
	var groups []string
	for _, it := range args.Items() {
		switch k := value.Str(it.Key); k {
		case "name", "hostname", "host":
			name = value.Str(it.Value)
		case "groups", "groupname", "group":
			groups = splitTags(it.Value)
		case "_raw_params":
		default:
			vars.Set(k, it.Value)
		}
	}
	if name == "" {
		return fmt.Errorf("Action failed: name, host or hostname needs to be provided")
	}
	host, port := inventory.SplitPort(name)
	if port != 0 {
		vars.Set("ansible_port", int64(port))
	}
	o.res = value.DictOf("add_host", value.DictOf("groups", names(groups), "host_name", host, "host_vars", vars), "changed", false)
	changed := r.addsHost(host, groups, vars)
	o.res.Set("changed", changed)
	done := false
	o.effects = append(o.effects, func(r *run, pr *playRun, _ *hostState) {
		if done {
			return
		}
		done = true
		r.mu.Lock()
		defer r.mu.Unlock()
		h := r.inv.AddHost(host)
		h.SetVars(vars)
		for _, g := range groups {
			r.inv.AddGroup(g, "all").AddHost(h)
		}
		if len(groups) == 0 && !h.In() {
			r.inv.Group("ungrouped").AddHost(h)
		}
		r.inventoryChanged(h)
	})
	return nil
}

func (r *run) addsHost(host string, groups []string, vars *value.Dict) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h := r.inv.Host(host)
	if h == nil {
		return true
	}
	for _, g := range groups {
		if x := r.inv.Group(g); x == nil || !x.Holds(h) {
			return true
		}
	}
	for _, it := range vars.Items() {
		if v, ok := h.Vars.Get(it.Key); !ok || !value.Equal(v, it.Value) {
			return true
		}
	}
	return false
}

// inventoryChanged merges a host's variables again. The caller holds mu.
func (r *run) inventoryChanged(h *inventory.Host) {
	r.groupsV = nil
	st := r.stateLocked(h)
	st.host = h
	st.inv = r.inv.Merge(h, nil)
	for dir, pv := range r.pv {
		if !pv.Empty() {
			st.byPlay[dir] = r.inv.Merge(h, pv)
		}
	}
}

func (r *run) groupBy(o *outcome, args *value.Dict) error {
	kv, _ := args.GetString("key")
	clean := func(s string) string { return strings.ReplaceAll(s, " ", "-") }
	key := clean(value.Str(kv))
	parents := []string{"all"}
	if v, ok := args.GetString("parents"); ok {
		parents = splitTags(v)
	}
	for i := range parents {
		parents[i] = clean(parents[i])
	}
	r.mu.RLock()
	g := r.inv.Group(key)
	changed := g == nil || !g.Holds(o.h.host)
	r.mu.RUnlock()
	o.res = value.DictOf("add_group", key, "changed", changed, "parent_groups", names(parents))
	o.effects = append(o.effects, func(r *run, _ *playRun, h *hostState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range parents {
			if p != "all" {
				r.inv.AddGroup(p, "all")
			}
			r.inv.AddGroup(key, p)
		}
		if r.inv.Host(h.name) != nil {
			r.inv.Group(key).AddHost(h.host)
		}
		r.inventoryChanged(h.host)
	})
	return nil
}

func (r *run) pause(s *scope, o *outcome, args *value.Dict) error {
	secs := 0.0
	unit := "seconds"
	for k, f := range map[string]float64{"seconds": 1, "minutes": 60} {
		if v, ok := args.GetString(k); ok && v != nil {
			n, ok := source.Float(v)
			if !ok {
				return fmt.Errorf("Action failed: argument '%s' is of type %s and we were unable to convert to int", k, value.TypeName(v))
			}
			secs, unit = n*f, k
		}
	}
	start := r.o.Now()
	prompt, asks := "", false
	if v, ok := args.GetString("prompt"); ok && v != nil {
		prompt, asks = value.Str(v), true
	}
	input := ""
	switch {
	case secs > 0:
		if r.o.Prompt != nil && asks {
			r.warn("%s", prompt)
		}
		r.sleep(s.ctx, time.Duration(secs*float64(time.Second)))
	case r.o.Prompt != nil:
		if prompt == "" {
			prompt = "Press enter to continue, Ctrl+C to interrupt"
		}
		private := false
		if v, ok := args.GetString("echo"); ok {
			b, _ := source.Bool(v)
			private = !b
		}
		a, err := r.o.Prompt(s.ctx, Prompt{Text: prompt, Private: private})
		if err != nil {
			return fmt.Errorf("Action failed: %w", err)
		}
		input = a
	default:
		r.warn("Not waiting for response to prompt as stdin is not interactive")
	}
	stop := r.o.Now()
	took := stop.Sub(start).Seconds()
	n := int64(took)
	text := fmt.Sprintf("Paused for %.2f %s", took, unit)
	if unit == "minutes" {
		text = fmt.Sprintf("Paused for %.1f minutes", took/60)
	}
	o.res = value.DictOf("changed", false, "delta", n, "echo", true, "rc", int64(0), "start", stamp(start), "stderr", "", "stdout", text, "stop", stamp(stop), "user_input", input)
	return nil
}

func stamp(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }

func (r *run) setStats(o *outcome, args *value.Dict) error {
	v, _ := args.GetString("data")
	data, ok := v.(*value.Dict)
	if !ok {
		return fmt.Errorf("Action failed: The 'data' option needs to be a dictionary/hash")
	}
	perHost, aggregate := dictBool(args, "per_host"), true
	if v, ok := args.GetString("aggregate"); ok {
		aggregate, _ = source.Bool(v)
	}
	for _, k := range data.Keys() {
		if !source.IsIdentifier(value.Str(k)) {
			return fmt.Errorf("Action failed: The variable name '%s' is not valid. Variables must start with a letter or underscore character, and contain only letters, numbers and underscores.", value.Str(k))
		}
	}
	o.res = value.DictOf("ansible_stats", value.DictOf("aggregate", aggregate, "data", data, "per_host", perHost), "changed", false)
	o.effects = append(o.effects, func(r *run, _ *playRun, h *hostState) {
		into := r.custom
		if perHost {
			if r.perHost[h.name] == nil {
				r.perHost[h.name] = value.NewDict()
			}
			into = r.perHost[h.name]
		}
		for _, it := range data.Items() {
			old, had := into.Get(it.Key)
			if had && aggregate {
				into.Set(it.Key, addStats(old, it.Value))
			} else {
				into.Set(it.Key, it.Value)
			}
		}
	})
	return nil
}

// addStats adds a value to one that is there: numbers and texts are added,
// lists and dictionaries joined.
func addStats(a, b value.Value) value.Value {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return x + y
		}
	case float64:
		if y, ok := b.(float64); ok {
			return x + y
		}
	case string:
		if y, ok := value.StrOf(b); ok {
			return x + y
		}
	case *value.List:
		if y, ok := b.(*value.List); ok {
			return &value.List{Items: append(slices.Clone(x.Items), y.Items...)}
		}
	case *value.Dict:
		if y, ok := b.(*value.Dict); ok {
			d := value.NewDict()
			d.Update(x)
			d.Update(y)
			return d
		}
	}
	return b
}

func (r *run) waitForConnection(s *scope, o *outcome, args *value.Dict, deleg *hostState) error {
	num := func(k string, def float64) float64 {
		if v, ok := args.GetString(k); ok {
			if f, ok := source.Float(v); ok {
				return f
			}
		}
		return def
	}
	start := r.o.Now()
	deadline := start.Add(time.Duration(num("timeout", 600) * float64(time.Second)))
	if !r.sleep(s.ctx, time.Duration(num("delay", 0)*float64(time.Second))) {
		return s.ctx.Err()
	}
	for {
		probe := &outcome{h: o.h, t: o.t}
		if err := r.module(s, probe, &module.Request{Module: "ping", Args: map[string]any{}}, deleg); err != nil {
			return err
		}
		if probe.status != "unreachable" && !dictBool(probe.res, "failed") {
			o.res = value.DictOf("changed", false, "elapsed", int64(r.o.Now().Sub(start).Seconds()))
			return nil
		}
		if !r.o.Now().Before(deadline) || !r.sleep(s.ctx, time.Duration(num("sleep", 1)*float64(time.Second))) {
			m, _ := probe.res.GetString("msg")
			o.res = failure("timed out waiting for ping module test: %s", value.Str(m))
			o.res.Set("elapsed", int64(r.o.Now().Sub(start).Seconds()))
			return nil
		}
	}
}
