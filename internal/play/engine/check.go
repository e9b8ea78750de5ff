package engine

import (
	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"drover/api"
	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// checkArgs tells what is wrong with a task's arguments.
func (t *Task) checkArgs() []*api.Error {
	var errs []*api.Error
	place := func(k string) *api.Place {
		p := t.argAt(k)
		return &p
	}
	key := func(k string) *api.Place {
		if p, ok := t.argKeys[k]; ok {
			return &p
		}
		return place(k)
	}
	if params, own := ownActions[t.action]; own {
		any := slices.Contains(params, "*")
		for _, kv := range t.args.Keys() {
			k := value.Str(kv)
			if k == "_raw_params" {
				if !slices.Contains(params, "_") {
					errs = append(errs, &api.Error{Code: api.CodeInvalid, Place: place(k), Message: fmt.Sprintf("this task '%s' has extra params, which is only allowed in the following modules: command, shell, script, include_tasks …", t.written), Remedy: "write the arguments as key: value"})
				}
				continue
			}
			if !any && !slices.Contains(params, k) && !jinja.HasTemplate(k) {
				errs = append(errs, &api.Error{Code: api.CodeInvalid, Place: key(k), Field: k, Message: fmt.Sprintf("Invalid options for %s: %s", t.action, k), Remedy: source.DidYouMean(k, params)})
			}
		}
		if t.argsLit == nil && len(t.defaults) == 0 {
			for _, k := range required[t.action] {
				if !t.args.Has(k) {
					errs = append(errs, &api.Error{Code: api.CodeInvalid, Place: place(k), Field: k, Message: fmt.Sprintf("%s needs %s", t.action, k)})
				}
			}
		}
		if t.action == "meta" {
			what, _, _ := strings.Cut(t.rawOr("_raw_params"), " ")
			if !slices.Contains(metaActions, what) && !jinja.HasTemplate(what) {
				errs = append(errs, &api.Error{Code: api.CodeInvalid, Place: place("_raw_params"), Message: fmt.Sprintf("invalid meta action requested: %s", what), Remedy: source.DidYouMean(what, metaActions)})
			}
		}
		if (t.action == "include_tasks") && t.rawOr("file") == "" && t.argsLit == nil {
			errs = append(errs, &api.Error{Code: api.CodeInvalid, Place: place("file"), Message: "No file specified for include_tasks"})
		}
		return errs
	}
	if t.mod == nil || t.argsLit != nil {
		return errs
	}
	args := source.GoMap(dropUndefined(t.args))
	for k := range args {
		if jinja.HasTemplate(k) {
			return errs
		}
	}
	for _, e := range t.mod.CheckArgs(args) {
		c := *e
		if len(t.defaults) > 0 && strings.HasPrefix(c.Message, "missing required") || strings.HasPrefix(c.Message, "one of the following is required") && len(t.defaults) > 0 {
			continue
		}
		// What is not known is wrong at its name, anything else at its value.
		if strings.HasPrefix(c.Message, "Unsupported parameters") {
			c.Place = key(c.Field)
		} else {
			c.Place = place(t.writtenAs(c.Field))
		}
		errs = append(errs, &c)
	}
	return errs
}

// writtenAs is the name, or alias, by which a task gives a parameter.
func (t *Task) writtenAs(param string) string {
	if t.args.Has(param) {
		return param
	}
	for _, p := range t.mod.AllParams() {
		if p.Name == param {
			for _, a := range p.Aliases {
				if t.args.Has(a) {
					return a
				}
			}
		}
	}
	return param
}

// dropUndefined leaves out what could not be read, vaulted values without a password.
func dropUndefined(d *value.Dict) *value.Dict {
	out := value.NewDict()
	for _, it := range d.Items() {
		if _, bad := it.Value.(*value.Undefined); bad {
			out.Set(it.Key, "{{ vaulted }}")
			continue
		}
		out.Set(it.Key, it.Value)
	}
	return out
}

// checker goes over a project without running it.
type checker struct {
	p       *Project
	inv     *Inventory
	env     *jinja.Env
	lookups map[string]bool
	errs    []*api.Error
	seen    map[string]bool
	files   map[string]bool

	// Of the play at hand: what notifies, the handlers that includes bring, and
	// whether some include cannot be followed.
	notified []*common
	brought  []*Task
	unsure   bool
}

// Check is the compile step: it finds what would fail, or silently do
// nothing, before any host is touched. inv may be nil.
func (p *Project) Check(inv *Inventory) []*api.Error {
	r := &run{p: p, inv: inv, o: Options{}}
	if inv == nil {
		r.inv = inventory.New(p.files)
	}
	r.fopts = r.filterOptions()
	c := &checker{p: p, inv: inv, env: r.newEnv(), lookups: map[string]bool{}, seen: map[string]bool{}, files: map[string]bool{}}
	for _, n := range filter.Names(*r.fopts) {
		c.lookups[n] = true
	}
	c.errs = append(c.errs, p.problems...)
	for _, pl := range p.plays {
		c.play(pl)
	}
	if inv != nil {
		c.inventory(inv)
	}
	sort.SliceStable(c.errs, func(i, j int) bool {
		a, b := c.errs[i].Place, c.errs[j].Place
		if a == nil || b == nil || a.File != b.File {
			return false
		}
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return c.errs
}

func (c *checker) add(e *api.Error) {
	k := e.Error()
	if !c.seen[k] {
		c.seen[k] = true
		c.errs = append(c.errs, e)
	}
}

func (c *checker) play(pl *Play) {
	c.notified, c.brought, c.unsure, c.files = nil, nil, len(c.p.problems) > 0, map[string]bool{} // what was not loaded may hold handlers
	for _, s := range pl.program {
		c.nodes(pl, s.nodes)
	}
	for _, h := range pl.handlers {
		c.task(pl, h)
	}
	if !c.unsure {
		handlers := append(slices.Clone(pl.handlers), c.brought...)
		for _, n := range c.notified {
			c.notifies(handlers, n)
		}
	}
	c.dicts(pl.vars, pl.at)
	for _, r := range pl.roles {
		c.dicts([]*value.Dict{r.defaults, r.vars, r.params}, r.at)
	}
	for _, l := range pl.varsFiles {
		c.varsFile(pl, l)
	}
	if c.inv != nil {
		if _, err := c.inv.PlayVars(pl.dir); err != nil {
			for _, e := range source.ProblemsOf(err) {
				c.add(e)
			}
		}
	}
}

func (c *checker) varsFile(pl *Play, l *lit) {
	choices := []value.Value{l.v}
	if list, ok := l.v.(*value.List); ok {
		choices = list.Items
	}
	for _, v := range choices {
		name := value.Str(v)
		if holdsTemplate(v) {
			return
		}
		for _, file := range []string{source.Join(pl.dir, name), path.Join(pl.dir, "vars", name)} {
			if source.IsFile(c.p.files, file) {
				c.readable(file)
				return
			}
		}
	}
	at := l.at
	c.add(&api.Error{Code: api.CodeInvalid, Place: &at, Field: "vars_files", Message: fmt.Sprintf("Could not find or access vars file: %s", l.text()), Remedy: c.p.nearFile(source.Join(pl.dir, l.text()))})
}

// readable reports what is wrong with a file of variables.
func (c *checker) readable(file string) {
	if _, err := c.p.varsFile(file); err != nil {
		for _, e := range source.ProblemsOf(err) {
			c.add(e)
		}
	}
}

// includeVars finds vaulted files that a task would read. Whatever else is
// wrong with such a file is for the task to tell: it may never run.
func (c *checker) includeVars(pl *Play, t *Task) {
	name := t.rawOr("file")
	if name == "" || jinja.HasTemplate(name) || !c.p.opts.Vault.Refuses() {
		return
	}
	s := &scope{r: &run{p: c.p, inv: c.inv}, pr: &playRun{play: pl}, c: &t.common, t: t}
	if file, _, ok := s.find("vars", name); ok {
		c.readable(file)
	}
}

func (c *checker) dicts(list []*value.Dict, at api.Place) {
	for _, d := range list {
		if d != nil {
			c.value(d, at)
		}
	}
}

func (c *checker) nodes(pl *Play, ns []node) {
	for _, n := range ns {
		switch n := n.(type) {
		case *Block:
			c.conds(n.when)
			c.dicts(n.vars, n.at)
			if n.role != nil {
				c.dicts([]*value.Dict{n.role.defaults, n.role.vars}, n.at)
			}
			c.nodes(pl, n.body)
			c.nodes(pl, n.rescue)
			c.nodes(pl, n.always)
		case *Task:
			c.task(pl, n)
		}
	}
}

func (c *checker) task(pl *Play, t *Task) {
	for _, e := range t.checkArgs() {
		c.add(e)
	}
	c.conds(t.when)
	c.conds(t.until)
	c.conds(t.changedWhen)
	c.conds(t.failedWhen)
	for _, it := range t.args.Items() {
		k := value.Str(it.Key)
		at := t.argAt(k)
		switch {
		case t.action == "assert" && k == "that":
			list := []value.Value{it.Value}
			if l, ok := it.Value.(*value.List); ok {
				list = l.Items
			}
			for _, x := range list {
				c.cond(c.p.newCond(x, at))
			}
		case t.action == "debug" && k == "var":
			if s, ok := value.StrOf(it.Value); ok && !jinja.HasTemplate(s) {
				c.cond(c.p.newCond(s, at))
			}
		default:
			c.value(it.Value, at)
		}
	}
	for _, l := range t.attrs {
		c.value(l.v, l.at)
	}
	for _, l := range []*lit{t.argsLit, t.loop, t.retries, t.delay, t.label} {
		if l != nil {
			c.value(l.v, l.at)
		}
	}
	if t.loopWith != "" && !c.lookups[shortAction(t.loopWith)] {
		at := t.loop.at
		c.add(&api.Error{Code: api.CodeInvalid, Place: &at, Field: "with_" + t.loopWith, Message: fmt.Sprintf("'with_%s' is not a valid attribute for a Task: lookup '%s' was not found", t.loopWith, t.loopWith), Remedy: source.DidYouMean(t.loopWith, keysOf(c.lookups))})
	}
	c.notified = append(c.notified, &t.common)
	switch t.action {
	case "include_tasks":
		c.include(pl, t)
	case "include_role":
		c.includeRole(pl, t)
	case "include_vars":
		c.includeVars(pl, t)
	case "template", "copy", "script":
		c.source(pl, t)
	}
}

// include checks the file of an include whose name is known, and goes on in it.
func (c *checker) include(pl *Play, t *Task) {
	name := t.rawOr("file")
	if name == "" || jinja.HasTemplate(name) {
		c.unsure = true
		return
	}
	l := &loader{p: c.p, play: pl, role: t.role, dir: t.dir, late: true, handlers: t.handler}
	file, ok := l.findTasks(name, t)
	at := t.argAt("file")
	if !ok {
		c.add(&api.Error{Code: api.CodeInvalid, Place: &at, Field: "file", Message: fmt.Sprintf("Could not find or access '%s' to include tasks from", source.Join(t.dir, name)), Remedy: c.p.nearFile(source.Join(t.dir, name))})
		return
	}
	if c.files[file] {
		return
	}
	c.files[file] = true
	docs, err := c.p.read(file)
	if err != nil {
		for _, e := range source.ProblemsOf(err) {
			c.add(e)
		}
		return
	}
	if len(docs) == 0 {
		return
	}
	l.dir = path.Dir(file)
	b := l.includeBlock(t, value.NewDict(), nil)
	ns := l.nodes(docs[0], b, file)
	for _, e := range l.errs {
		c.add(e)
	}
	c.brought = append(c.brought, l.newHandlers...)
	c.nodes(pl, ns)
}

func (c *checker) includeRole(pl *Play, t *Task) {
	l := &loader{p: c.p, play: pl, role: t.role, dir: t.dir, late: true}
	u := l.useOf(t, t.args)
	if u.name == "" || jinja.HasTemplate(u.name) || jinja.HasTemplate(u.tasksFrom+u.varsFrom+u.defaultsFrom+u.handlersFrom) {
		c.unsure = true
		return
	}
	key := "role " + u.name + "\x00" + u.tasksFrom
	if c.files[key] {
		return
	}
	c.files[key] = true
	u.included, u.at = true, t.argAt("name")
	ns := l.expandRole(u, l.includeBlock(t, value.NewDict(), nil))
	for _, e := range l.errs {
		c.add(e)
	}
	c.brought = append(c.brought, l.newHandlers...)
	c.nodes(pl, ns)
	for _, h := range l.newHandlers {
		c.task(pl, h)
	}
}

// source checks that a file to be sent exists, where its name is known.
func (c *checker) source(pl *Play, t *Task) {
	v, ok := t.args.GetString("src")
	src, text := value.StrOf(v)
	if !ok || !text || src == "" || jinja.HasTemplate(src) {
		return
	}
	if rs, ok := t.args.GetString("remote_src"); ok {
		if b, known := source.Bool(rs); !known || b {
			return
		}
	}
	r := &run{p: c.p, inv: c.inv}
	s := &scope{r: r, pr: &playRun{play: pl}, c: &t.common, t: t}
	kind := "files"
	if t.action == "template" {
		kind = "templates"
	}
	file, tried, found := s.find(kind, src)
	at := t.argAt("src")
	if !found {
		if len(t.when) > 0 {
			return // it may be made by an earlier task
		}
		remedy := ""
		if len(tried) > 0 {
			remedy = c.p.nearFile(tried[0])
		}
		c.add(&api.Error{Code: api.CodeInvalid, Place: &at, Field: "src", Message: fmt.Sprintf("Could not find or access '%s' (looked in %s)", src, strings.Join(tried, ", ")), Remedy: remedy})
		return
	}
	if c.p.opts.Vault.Refuses() && c.vaulted(t, file) {
		c.add(c.p.opts.Vault.Closed("the file "+src, at, nil))
		return
	}
	if t.action != "template" || c.files[file] {
		return
	}
	for _, k := range []string{"variable_start_string", "block_start_string", "comment_start_string"} {
		if t.args.Has(k) {
			return
		}
	}
	c.files[file] = true
	body, err := c.p.files.ReadFile(file)
	if err != nil || source.IsVault(body) {
		return
	}
	opts := jinja.Options{TrimBlocks: true, KeepTrailingNewline: true, Place: api.Place{File: file, Line: 1, Column: 1}}
	text2, shifted := templateHeader(string(body), &opts)
	if shifted {
		opts.Place.Line++
	}
	tm, err := c.env.Template(text2, opts)
	if err != nil {
		c.templateError(err, opts.Place)
		return
	}
	c.uses(tm.Uses(), opts.Place)
}

// vaulted reports whether a file is opened before it is sent.
func (c *checker) vaulted(t *Task, file string) bool {
	if d, ok := t.args.GetString("decrypt"); ok {
		if b, known := source.Bool(d); known && !b {
			return false
		}
	}
	body, err := c.p.files.ReadFile(file)
	return err == nil && source.IsVault(body)
}

func (c *checker) templateError(err error, at api.Place) {
	for _, e := range source.ProblemsOf(err) {
		x := *e
		if x.Place == nil || x.Place.File == "" {
			x.Place = &at
		}
		c.add(&x)
	}
}

func (c *checker) conds(list []*cond) {
	for _, x := range list {
		c.cond(x)
	}
}

func (c *checker) cond(x *cond) {
	switch {
	case x.err != nil:
		c.templateError(relocate(x.err, x.at), x.at)
	case x.expr != nil:
		c.uses(x.expr.Uses(), x.at)
	case x.src != "":
		c.value(x.src, x.at)
	}
}

// relocate gives an error that counts from the begin of a text the place of
// that text.
func relocate(err error, at api.Place) error {
	e, ok := err.(*api.Error)
	if !ok {
		return &api.Error{Code: api.CodeInvalid, Message: err.Error(), Place: &at}
	}
	x := *e
	x.Place = &at
	return &x
}

// value parses every template in v.
func (c *checker) value(v value.Value, at api.Place) {
	switch v := v.(type) {
	case string:
		if !jinja.HasTemplate(v) {
			return
		}
		t, err := c.env.Template(v, inline)
		if err != nil {
			c.templateError(relocate(err, at), at)
			return
		}
		c.uses(t.Uses(), at)
	case *value.List:
		for _, x := range v.Items {
			c.value(x, at)
		}
	case *value.Dict:
		for _, it := range v.Items() {
			c.value(it.Key, at)
			c.value(it.Value, at)
		}
	}
}

func (c *checker) uses(u jinja.Uses, at api.Place) {
	where := func(x jinja.Use) *api.Place {
		if x.Place.File != "" {
			p := x.Place
			return &p
		}
		p := at
		return &p
	}
	for _, x := range u.Filters {
		if _, ok := c.env.Filters[short(x.Name)]; !ok {
			if _, ok := c.env.Filters[x.Name]; !ok {
				c.add(&api.Error{Code: api.CodeInvalid, Place: where(x), Message: fmt.Sprintf("No filter named '%s'.", x.Name), Remedy: source.DidYouMean(short(x.Name), keysOf(c.env.Filters))})
			}
		}
	}
	for _, x := range u.Tests {
		if _, ok := c.env.Tests[short(x.Name)]; !ok {
			if _, ok := c.env.Tests[x.Name]; !ok {
				c.add(&api.Error{Code: api.CodeInvalid, Place: where(x), Message: fmt.Sprintf("No test named '%s'.", x.Name), Remedy: source.DidYouMean(short(x.Name), keysOf(c.env.Tests))})
			}
		}
	}
	for _, x := range u.Lookups {
		if !c.lookups[short(x.Name)] && !c.lookups[x.Name] {
			c.add(&api.Error{Code: api.CodeInvalid, Place: where(x), Message: fmt.Sprintf("The lookup plugin '%s' was not found.", x.Name), Remedy: source.DidYouMean(short(x.Name), keysOf(c.lookups))})
		}
	}
}

func short(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// notifies finds notifications that no handler answers.
func (c *checker) notifies(handlers []*Task, t *common) {
	for _, l := range t.notify {
		name := l.text()
		if l.tmpl || name == "" || handled(handlers, name) {
			continue
		}
		var known []string
		unsure := false
		for _, h := range handlers {
			unsure = unsure || holdsTemplate(h.name)
			known = append(known, h.name)
			for _, x := range h.listen {
				unsure = unsure || x.tmpl
				known = append(known, x.text())
			}
		}
		if unsure {
			continue
		}
		at := l.at
		c.add(&api.Error{Code: api.CodeInvalid, Place: &at, Field: "notify", Message: fmt.Sprintf("The requested handler '%s' was not found in either the main handlers list nor in the listening handlers list", name), Remedy: source.DidYouMean(name, known)})
	}
}

func handled(handlers []*Task, name string) bool {
	return slices.ContainsFunc(handlers, func(h *Task) bool {
		if h.name == name || h.action == "include_tasks" {
			return true
		}
		if h.role != nil && (h.role.name+" : "+h.name == name || h.role.def.name+" : "+h.name == name) {
			return true
		}
		return slices.ContainsFunc(h.listen, func(l *lit) bool { return l.text() == name })
	})
}

// inventory checks the templates of the inventory's variables.
func (c *checker) inventory(inv *Inventory) {
	at := api.Place{File: strings.Join(inv.Sources(), ",")}
	for _, n := range inv.GroupNames() {
		g := inv.Group(n)
		c.value(g.Vars, at)
		c.value(g.Plugin, at)
	}
	for _, n := range inv.Hosts() {
		c.value(inv.Host(n).Vars, at)
		c.value(inv.Host(n).Plugin, at)
	}
}

func keysOf[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
