package engine

import (
	"context"
	"drover/internal/play/source"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/module"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

var bg = context.Background()

// loader turns nodes into blocks and tasks. One is made for each file.
type loader struct {
	p     *Project
	play  *Play
	role  *roleRun
	dir   string // of the file
	depth int
	// late is set when the file is included while the play runs: problems go
	// to errs instead of the project.
	late bool
	errs []*api.Error
	// handlers is set while handlers are loaded.
	handlers bool
	// newHandlers are those of roles that were imported along the way.
	newHandlers []*Task
}

func (l *loader) bad(at api.Place, field, remedy, format string, args ...any) {
	if l.late {
		q := Project{}
		q.bad(at, field, remedy, format, args...)
		l.errs = append(l.errs, q.problems...)
		return
	}
	l.p.bad(at, field, remedy, format, args...)
}

func (l *loader) add(err error) {
	if l.late {
		l.errs = append(l.errs, source.ProblemsOf(err)...)
		return
	}
	l.p.add(err)
}

// decode turns a node into a value, opening vaulted text.
func (l *loader) decode(n *yaml.Node) value.Value { return source.Decode(n, l.p.opts.Vault, l.add) }

func (l *loader) lit(n *yaml.Node) *lit {
	v := l.decode(n)
	return &lit{v: v, at: n.Pos, tmpl: holdsTemplate(v)}
}

// text is the literal as text, without templates resolved.
func (x *lit) text() string {
	if x == nil {
		return ""
	}
	if l, ok := x.v.(*value.List); ok {
		parts := make([]string, len(l.Items))
		for i, it := range l.Items {
			parts[i] = value.Str(it)
		}
		return strings.Join(parts, ",")
	}
	if x.v == nil {
		return ""
	}
	return value.Str(x.v)
}

func holdsTemplate(v value.Value) bool {
	switch v := v.(type) {
	case string:
		return jinja.HasTemplate(v)
	case *value.List:
		return slices.ContainsFunc(v.Items, holdsTemplate)
	case value.Tuple:
		return slices.ContainsFunc(v, holdsTemplate)
	case *value.Dict:
		for _, it := range v.Items() {
			if holdsTemplate(it.Key) || holdsTemplate(it.Value) {
				return true
			}
		}
	}
	return false
}

// dict reads vars: a dictionary, or a list of dictionaries.
func (l *loader) dict(n *yaml.Node, field string) *value.Dict {
	switch v := l.decode(n).(type) {
	case nil:
		return value.NewDict()
	case *value.Dict:
		for _, k := range v.Keys() {
			if s, ok := value.StrOf(k); !ok || !source.IsIdentifier(s) {
				l.bad(n.Pos, field, "use letters, digits and '_', beginning with a letter or '_'", "invalid variable name in %s: '%s'", field, value.Str(k))
			}
		}
		return v
	case *value.List:
		out := value.NewDict()
		for _, it := range v.Items {
			d, ok := it.(*value.Dict)
			if !ok {
				l.bad(n.Pos, field, "", "Vars in a %s must be specified as a dictionary, or a list of dictionaries", field)
				return nil
			}
			out.Update(d)
		}
		return out
	}
	l.bad(n.Pos, field, "write name: value pairs", "Vars must be specified as a dictionary, or a list of dictionaries")
	return nil
}

func (l *loader) tags(n *yaml.Node) []string {
	var out []string
	add := func(v value.Value) {
		s, ok := value.StrOf(v)
		if !ok {
			switch v.(type) {
			case int64, bool, float64:
				s = value.Str(v)
			default:
				l.bad(n.Pos, "tags", "write names, or a list of names", "tags must be specified as a list")
				return
			}
		}
		for _, t := range strings.Split(s, ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, t)
			}
		}
	}
	switch v := l.decode(n).(type) {
	case nil:
	case *value.List:
		for _, it := range v.Items {
			add(it)
		}
	default:
		add(v)
	}
	return out
}

func mergeTags(a, b []string) []string {
	out := slices.Clone(a)
	for _, t := range b {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// conds reads a condition or a list of them.
func (l *loader) conds(n *yaml.Node) []*cond {
	if n.Kind == yaml.Seq {
		var out []*cond
		for _, it := range n.Items {
			out = append(out, l.conds(it)...)
		}
		return out
	}
	return []*cond{l.p.newCond(l.decode(n), n.Pos)}
}

func (p *Project) newCond(v value.Value, at api.Place) *cond {
	c := &cond{v: v, at: at}
	s, ok := value.StrOf(v)
	if !ok {
		if v == nil {
			c.v = true
		}
		return c
	}
	c.src = strings.TrimSpace(s)
	if c.src == "" {
		c.v = true
		return c
	}
	if !jinja.HasTemplate(s) {
		c.expr, c.err = p.static.Expr(c.src)
	}
	return c
}

// list gives a keyword's value as a list of literals.
func (l *loader) list(n *yaml.Node) []*lit {
	if n.Kind != yaml.Seq {
		x := l.lit(n)
		if x.v == nil {
			return nil
		}
		return []*lit{x}
	}
	var out []*lit
	for _, it := range n.Items {
		if it.Kind == yaml.Seq {
			out = append(out, l.list(it)...)
			continue
		}
		out = append(out, l.lit(it))
	}
	return out
}

// shapeOK checks a keyword's value on load.
func (l *loader) shapeOK(k string, n *yaml.Node, what string) bool {
	if n.Kind == yaml.Scalar && (n.Scalar == nil || holdsTemplate(n.Scalar) || n.Tag != "") {
		return true
	}
	fail := func(want string) bool {
		l.bad(n.Pos, k, "", "the field '%s' has an invalid value (%s), and could not be converted to %s", k, value.Repr(n.Value()), want)
		return false
	}
	switch keywords[k].shape {
	case boolShape:
		if _, ok := source.Bool(n.Scalar); n.Kind != yaml.Scalar || !ok {
			return fail("bool")
		}
	case intShape:
		if _, ok := source.Int(n.Scalar); n.Kind != yaml.Scalar || !ok {
			return fail("int")
		}
	case numberShape:
		if _, ok := source.Float(n.Scalar); n.Kind != yaml.Scalar || !ok {
			return fail("float")
		}
	case stringShape:
		if n.Kind != yaml.Scalar {
			l.bad(n.Pos, k, "write one value", "the field '%s' should be a string, not a %s", k, source.KindName(n))
			return false
		}
	case dictShape:
		if n.Kind != yaml.Map {
			l.bad(n.Pos, k, "write name: value pairs", "the field '%s' must be a dictionary, not a %s", k, source.KindName(n))
			return false
		}
	case listShape:
		if n.Kind == yaml.Map && k != "notify" && k != "vars_prompt" {
			l.bad(n.Pos, k, "begin each entry with \"- \"", "the field '%s' must be a list, not a dictionary", k)
			return false
		}
		if n.Kind == yaml.Scalar && (k == "block" || k == "rescue" || k == "always" || k == "tasks" || k == "pre_tasks" || k == "post_tasks" || k == "handlers" || k == "roles") {
			l.bad(n.Pos, k, "begin each entry with \"- \"", "A malformed block was encountered while loading %s: %s must be a list", what, k)
			return false
		}
	}
	return true
}

// inherit begins a block or task below parent.
func (l *loader) inherit(n *yaml.Node, parent *common) common {
	c := common{at: n.Pos, play: l.play, role: l.role}
	if parent != nil {
		c.attrs, c.when, c.tags, c.env, c.defaults, c.vars, c.params, c.notify = parent.attrs, parent.when, parent.tags, parent.env, parent.defaults, parent.vars, parent.params, parent.notify
	}
	return c
}

// keyword takes one keyword that blocks and tasks have in common. It reports
// whether it was one.
func (l *loader) keyword(c *common, own map[string]*lit, k string, n *yaml.Node) bool {
	switch k {
	case "name":
		if n.Scalar != nil {
			c.name = value.Str(n.Scalar)
		}
	case "when":
		c.when = append(slices.Clone(c.when), l.conds(n)...)
	case "tags":
		c.tags = mergeTags(c.tags, l.tags(n))
	case "environment":
		for _, e := range l.list(n) {
			c.env = append(slices.Clone(c.env), e)
		}
	case "module_defaults":
		for _, e := range l.list(n) {
			c.defaults = append(slices.Clone(c.defaults), e)
		}
	case "vars":
		if v := l.dict(n, "vars"); v != nil && v.Len() > 0 {
			c.vars = append([]*value.Dict{v}, c.vars...)
		}
	case "notify":
		c.notify = append(slices.Clone(c.notify), l.list(n)...)
	case "collections":
	default:
		if keywords[k].where&inherits == 0 {
			return false
		}
		own[k] = l.lit(n)
	}
	return true
}

// overlay lays own keywords over the inherited ones.
func overlay(base, own map[string]*lit) map[string]*lit {
	if len(own) == 0 {
		return base
	}
	out := make(map[string]*lit, len(base)+len(own))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range own {
		if v.v == nil && k != "delegate_to" {
			continue // an empty value says nothing
		}
		out[k] = v
	}
	return out
}

// nodes loads a list of tasks and blocks.
func (l *loader) nodes(n *yaml.Node, parent *Block, what string) []node {
	if n == nil || n.Kind == yaml.Scalar && n.Scalar == nil {
		return nil
	}
	if n.Kind != yaml.Seq {
		l.bad(n.Pos, "", "begin each task with \"- \"", "%s must be a list of tasks, not a %s", what, source.KindName(n))
		return nil
	}
	var out []node
	for _, it := range n.Items {
		if it.Kind != yaml.Map {
			if it.Kind == yaml.Scalar && it.Scalar == nil {
				continue
			}
			l.bad(it.Pos, "", "write a task as a dictionary: \"- name: …\"", "Expected a task to be a dictionary, got a %s", source.KindName(it))
			continue
		}
		if it.Get("block") != nil {
			if b := l.block(it, parent); b != nil {
				out = append(out, b)
			}
			continue
		}
		out = append(out, l.task(it, parent)...)
	}
	return out
}

func (l *loader) block(n *yaml.Node, parent *Block) *Block {
	b := &Block{explicit: true}
	var pc *common
	if parent != nil {
		pc = &parent.common
	}
	b.common = l.inherit(n, pc)
	b.parent = parent
	own := map[string]*lit{}
	for _, pr := range n.Pairs {
		k := source.KeyText(pr.Key)
		if !allowed(k, onBlock) {
			l.bad(pr.Key.Pos, k, source.DidYouMean(k, keywordsAt(onBlock)), "'%s' is not a valid attribute for a Block", k)
			continue
		}
		if !l.shapeOK(k, pr.Value, "a block") {
			continue
		}
		l.keyword(&b.common, own, k, pr.Value)
	}
	b.attrs = overlay(b.attrs, own)
	b.body = l.nodes(n.Get("block"), b, "block")
	b.rescue = l.nodes(n.Get("rescue"), b, "rescue")
	b.always = l.nodes(n.Get("always"), b, "always")
	return b
}

// task loads one task; an import becomes the block of what it imports.
func (l *loader) task(n *yaml.Node, parent *Block) []node {
	t := &Task{dir: l.dir, handler: l.handlers, loopVar: "item"}
	var pc *common
	if parent != nil {
		pc = &parent.common
	}
	t.common = l.inherit(n, pc)
	t.parent = parent
	here := onTask
	what := "Task"
	if l.handlers {
		here, what = onHandler, "Handler"
	}
	own := map[string]*lit{}
	var actions []yaml.Pair
	var extra *yaml.Node
	ok := true
	for _, pr := range n.Pairs {
		k := source.KeyText(pr.Key)
		switch {
		case k == "action" || k == "local_action":
			actions = append(actions, pr)
			continue
		case k == "args":
			extra = pr.Value
			continue
		case strings.HasPrefix(k, "with_"):
			t.loopWith = strings.TrimPrefix(k, "with_")
			t.loop = l.lit(pr.Value)
			continue
		case allowed(k, here):
			if !l.shapeOK(k, pr.Value, "a task") {
				ok = false
				continue
			}
			if !l.keyword(&t.common, own, k, pr.Value) {
				l.taskKeyword(t, k, pr.Value)
			}
			continue
		}
		if keywords[k].where != 0 {
			l.bad(pr.Key.Pos, k, "", "'%s' is not a valid attribute for a %s", k, what)
			ok = false
			continue
		}
		actions = append(actions, pr)
	}
	t.attrs = overlay(t.attrs, own)
	l.pickAction(t, n, actions, extra)
	if t.action == "" || !ok {
		return nil
	}
	return l.finish(t, n)
}

func (l *loader) taskKeyword(t *Task, k string, n *yaml.Node) {
	switch k {
	case "loop":
		t.loop = l.lit(n)
	case "loop_control":
		l.loopControl(t, n)
	case "register":
		s, ok := value.StrOf(n.Scalar)
		if !ok || !source.IsIdentifier(s) && !jinja.HasTemplate(s) {
			l.bad(n.Pos, "register", "use letters, digits and '_', beginning with a letter or '_'", "Invalid variable name in 'register' specified: '%s'", value.Str(n.Scalar))
			return
		}
		t.register = s
	case "until":
		t.until = l.conds(n)
	case "retries":
		t.retries = l.lit(n)
	case "delay":
		t.delay = l.lit(n)
	case "async":
		t.async = l.lit(n)
	case "poll":
		t.poll = l.lit(n)
	case "changed_when":
		t.changedWhen, t.hasChanged = l.conds(n), true
	case "failed_when":
		t.failedWhen, t.hasFailed = l.conds(n), true
	case "listen":
		t.listen = l.list(n)
	}
}

func (l *loader) loopControl(t *Task, n *yaml.Node) {
	for _, pr := range n.Pairs {
		v, _ := value.StrOf(pr.Value.Scalar)
		switch k := source.KeyText(pr.Key); k {
		case "loop_var":
			t.loopVar = v
		case "index_var":
			t.indexVar = v
		case "label":
			t.label = l.lit(pr.Value)
		case "pause":
			t.loopPause = l.lit(pr.Value)
		case "extended":
			t.extended = l.lit(pr.Value)
		case "extended_allitems":
		case "break_when":
			t.breakWhen = l.conds(pr.Value)
		default:
			l.bad(pr.Key.Pos, "loop_control."+k, source.DidYouMean(k, []string{"loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"}), "'%s' is not a valid attribute for a LoopControl", k)
		}
	}
}

// pickAction finds the action among the keys that are no keywords.
func (l *loader) pickAction(t *Task, n *yaml.Node, actions []yaml.Pair, extra *yaml.Node) {
	if len(actions) > 1 {
		// One that is known, and a misspelt keyword beside it?
		var known, unknown []yaml.Pair
		for _, a := range actions {
			if k := source.KeyText(a.Key); k == "action" || k == "local_action" || isAction(k) {
				known = append(known, a)
			} else {
				unknown = append(unknown, a)
			}
		}
		if len(known) == 1 {
			for _, u := range unknown {
				k := source.KeyText(u.Key)
				l.bad(u.Key.Pos, k, source.DidYouMean(k, keywordsAt(onHandler)), "'%s' is not a valid attribute for a Task", k)
			}
			return
		}
		l.bad(actions[1].Key.Pos, source.KeyText(actions[1].Key), "make two tasks of it", "conflicting action statements: %s, %s", source.KeyText(actions[0].Key), source.KeyText(actions[1].Key))
		return
	}
	if len(actions) == 0 {
		l.bad(n.Pos, "", "name a module, for instance \"debug: {msg: hello}\"", "no module/action detected in task.")
		return
	}
	k, val := source.KeyText(actions[0].Key), actions[0].Value
	t.args = value.NewDict()
	t.argPlace = map[string]api.Place{}
	t.argsNode = val
	if k == "local_action" {
		t.local = true
		a := overlay(t.attrs, map[string]*lit{"delegate_to": {v: "localhost", at: n.Pos}, "connection": {v: "local", at: n.Pos}})
		t.attrs = a
	}
	if k == "action" || k == "local_action" {
		switch val.Kind {
		case yaml.Map:
			m := val.Get("module")
			if m == nil {
				l.bad(val.Pos, k, "say module: NAME", "'module' is missing from %s", k)
				return
			}
			t.written = source.KeyText(m)
			for _, pr := range val.Pairs {
				if source.KeyText(pr.Key) != "module" {
					l.arg(t, pr)
				}
			}
		default:
			s, _ := value.StrOf(val.Scalar)
			name, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
			t.written = name
			l.setAction(t, actions[0].Key)
			l.freeForm(t, rest, val.Pos)
			val = nil
		}
	} else {
		t.written = k
	}
	l.setAction(t, actions[0].Key)
	if t.action == "" {
		return
	}
	if val != nil && k != "action" && k != "local_action" {
		switch val.Kind {
		case yaml.Map:
			for _, pr := range val.Pairs {
				l.arg(t, pr)
			}
		case yaml.Seq:
			l.bad(val.Pos, k, "write name: value pairs", "unexpected parameter type in action: a list")
			return
		default:
			v := l.decode(val)
			if s, ok := v.(string); ok {
				l.freeForm(t, s, val.Pos)
			} else if v != nil {
				t.args.Set("_raw_params", value.Str(v))
			}
		}
	}
	l.extraArgs(t, extra)
}

func (l *loader) extraArgs(t *Task, n *yaml.Node) {
	if n == nil {
		return
	}
	switch {
	case n.Kind == yaml.Map:
		for _, pr := range n.Pairs {
			if !t.args.Has(source.KeyText(pr.Key)) {
				l.arg(t, pr)
			}
		}
	case n.Kind == yaml.Scalar && holdsTemplate(n.Scalar):
		t.argsLit = l.lit(n)
	case n.Kind == yaml.Scalar && n.Scalar != nil:
		s, _ := value.StrOf(n.Scalar)
		l.freeForm(t, s, n.Pos)
	}
}

func (l *loader) arg(t *Task, pr yaml.Pair) {
	k := source.KeyText(pr.Key)
	if k == "apply" && (t.action == "include_tasks" || t.action == "include_role") {
		t.apply = pr.Value
	}
	t.argPlace[k] = pr.Value.Pos
	if t.argKeys == nil {
		t.argKeys = map[string]api.Place{}
	}
	t.argKeys[k] = pr.Key.Pos
	t.args.Set(k, l.decode(pr.Value))
}

// setAction resolves the action's name.
func (l *loader) setAction(t *Task, key *yaml.Node) {
	name := t.written
	short := shortAction(name)
	if _, ok := ownActions[short]; ok {
		t.action, t.fqcn = short, "ansible.builtin."+short
		return
	}
	if m, ok := module.Lookup(name); ok {
		t.mod, t.action, t.fqcn = m, m.Name, name
		if !strings.Contains(name, ".") {
			t.fqcn = "ansible.builtin." + short
		}
		return
	}
	if jinja.HasTemplate(name) { // known when the task runs
		t.action = name
		return
	}
	t.action = ""
	l.bad(key.Pos, "", source.DidYouMean(short, actionNames()), "couldn't resolve module/action '%s'. This often indicates a misspelling, missing collection, or incorrect module path.", name)
}

func isAction(name string) bool {
	if _, ok := ownActions[shortAction(name)]; ok {
		return true
	}
	_, ok := module.Lookup(name)
	return ok
}

func actionNames() []string {
	out := module.Names()
	for n := range ownActions {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// title is the task's name as it is shown, templates unresolved.
func (t *Task) title() string {
	name := t.name
	if name == "" {
		name = t.actionName()
	}
	if t.role != nil {
		return t.role.name + " : " + name
	}
	return name
}
