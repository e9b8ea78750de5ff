package engine

import (
	"drover/internal/play/source"
	"path"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// roleDirs are the folders that roles are looked for in.
func (p *Project) roleDirs(play *Play, within *roleRun) []string {
	var dirs []string
	if play != nil {
		dirs = append(dirs, path.Join(play.dir, "roles"))
	}
	for _, d := range p.opts.RolesPath {
		dirs = append(dirs, p.abs(d))
	}
	if within != nil {
		dirs = append(dirs, path.Dir(within.def.path))
	}
	if play != nil {
		dirs = append(dirs, play.dir)
	}
	return dirs
}

// findRole finds a role's folder by name, path or collection name.
func (p *Project) findRole(name string, play *Play, within *roleRun) (*roleDef, []string) {
	dirs := p.roleDirs(play, within)
	var candidates []string
	if parts := strings.Split(name, "."); len(parts) == 3 && !strings.Contains(name, "/") {
		bases := []string{"/usr/share/ansible/collections"}
		if play != nil {
			bases = append([]string{path.Join(play.dir, "collections")}, bases...)
		}
		for _, b := range bases {
			candidates = append(candidates, path.Join(b, "ansible_collections", parts[0], parts[1], "roles", parts[2]))
		}
	}
	for _, d := range dirs {
		candidates = append(candidates, source.Join(d, name))
	}
	for _, c := range candidates {
		if !source.IsDir(p.files, c) {
			continue
		}
		p.mu.Lock()
		def := p.roles[c]
		if def == nil {
			def = &roleDef{name: path.Base(c), path: c}
			p.roles[c] = def
		}
		p.mu.Unlock()
		return def, nil
	}
	return nil, dirs
}

func (p *Project) roleNames(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		list, _ := p.files.ReadDir(d)
		for _, e := range list {
			if e.IsDir() {
				out = append(out, e.Name())
			}
		}
	}
	return out
}

// mainFile finds NAME, NAME.yml, NAME.yaml or NAME.json in a folder of the role.
func (p *Project) mainFile(def *roleDef, sub, name string) (string, bool) {
	base := path.Join(def.path, sub, name)
	for _, c := range []string{base + ".yml", base + ".yaml", base + ".json", base} {
		if source.IsFile(p.files, c) {
			return c, true
		}
	}
	return "", false
}

// roleVars reads defaults/ or vars/: one file, or all of a folder main/.
func (l *loader) roleVars(def *roleDef, sub, name string, at api.Place) *value.Dict {
	out := value.NewDict()
	file, ok := l.p.mainFile(def, sub, name)
	files := []string{file}
	if !ok {
		files = source.VarFiles(l.p.files, path.Join(def.path, sub, name))
		if len(files) == 0 {
			if name != "main" {
				l.bad(at, sub+"_from", l.p.nearFile(path.Join(def.path, sub, name+".yml")), "Could not find specified file in role: %s/%s", sub, name)
			}
			return out
		}
	}
	for _, f := range files {
		d, err := l.p.varsFile(f)
		if err != nil {
			l.add(err)
			continue
		}
		out.Update(d)
	}
	return out
}

// varsFile reads a file of variables.
func (p *Project) varsFile(file string) (*value.Dict, error) {
	docs, err := p.read(file)
	if err != nil {
		return nil, err
	}
	return source.Vars(file, docs, p.opts.Vault)
}

// loadMeta reads meta/main.yml and meta/argument_specs.yml.
func (l *loader) loadMeta(def *roleDef) *roleMeta {
	l.p.mu.Lock()
	m := def.meta
	l.p.mu.Unlock()
	if m != nil {
		return m
	}
	m = &roleMeta{}
	if f, ok := l.p.mainFile(def, "meta", "main"); ok {
		docs, err := l.p.read(f)
		if err != nil {
			l.add(err)
		}
		if len(docs) > 0 && docs[0] != nil && docs[0].Kind == yaml.Map {
			if d := docs[0].Get("dependencies"); d != nil && d.Kind == yaml.Seq {
				m.dependencies = d.Items
			}
			if a := docs[0].Get("allow_duplicates"); a != nil {
				m.allowDup, _ = source.Bool(a.Scalar)
			}
			if s := docs[0].Get("argument_specs"); s != nil {
				m.specs, m.specFile = s, f
			}
		}
	}
	if f, ok := l.p.mainFile(def, "meta", "argument_specs"); ok {
		docs, err := l.p.read(f)
		if err != nil {
			l.add(err)
		}
		if len(docs) > 0 && docs[0] != nil {
			if s := docs[0].Get("argument_specs"); s != nil {
				m.specs, m.specFile = s, f
			}
		}
	}
	l.p.mu.Lock()
	def.meta = m
	l.p.mu.Unlock()
	return m
}

// roleEntry loads one entry of roles: or of dependencies: into blocks, its
// dependencies first.
func (l *loader) roleEntry(n *yaml.Node, root *Block, parent *roleRun, inherited *Block) []node {
	use := roleUse{at: n.Pos, node: n, parent: parent, dependency: parent != nil, params: value.NewDict(), public: true, tasksFrom: "main", varsFrom: "main", defaultsFrom: "main", handlersFrom: "main", validate: true}
	var c common
	above := root
	if inherited != nil {
		above = inherited
	}
	c = l.inherit(n, &above.common)
	own := map[string]*lit{}
	switch n.Kind {
	case yaml.Scalar:
		use.name, _ = value.StrOf(n.Scalar)
	case yaml.Map:
		for _, pr := range n.Pairs {
			k := source.KeyText(pr.Key)
			switch {
			case k == "role" || k == "name" && use.name == "":
				use.name = value.Str(l.decode(pr.Value))
			case k == "name":
			case k == "src" || k == "scm" || k == "version":
				if use.name == "" && k == "src" {
					use.name = value.Str(l.decode(pr.Value))
				}
			case allowed(k, onRole):
				if l.shapeOK(k, pr.Value, "a role") {
					l.keyword(&c, own, k, pr.Value)
				}
			default:
				use.params.Set(k, l.decode(pr.Value))
			}
		}
		if v := n.Get("vars"); v != nil {
			if d := l.dict(v, "vars"); d != nil {
				use.vars = d
			}
		}
	}
	if use.name == "" {
		l.bad(n.Pos, "role", "say role: NAME", "role definitions must contain a role name")
		return nil
	}
	name, err := l.p.staticName(use.name, append(slices.Clone(c.vars), l.play.vars...))
	if err != nil {
		l.bad(n.Pos, "role", "use include_role, or a variable given with -e", "cannot work out the name of the role %s: %v", use.name, err)
		return nil
	}
	use.name = name
	c.attrs = overlay(c.attrs, own)
	c.name = ""
	b := &Block{common: c}
	b.parent = above
	return l.expandRole(use, b)
}

// roleUse is a role about to be expanded.
type roleUse struct {
	name                                             string
	at                                               api.Place
	node                                             *yaml.Node
	parent                                           *roleRun
	params, vars                                     *value.Dict
	public, included, allowDup, validate, dependency bool
	tasksFrom, varsFrom, defaultsFrom, handlersFrom  string
}

// expandRole puts the tasks of a role and of what it depends on into blocks
// below b.
func (l *loader) expandRole(u roleUse, b *Block) []node {
	def, dirs := l.p.findRole(u.name, l.play, u.parent)
	if def == nil {
		l.bad(u.at, "role", source.DidYouMean(u.name, l.p.roleNames(dirs)), "the role '%s' was not found in %s", u.name, strings.Join(dirs, ":"))
		return nil
	}
	depth := 0
	for r := u.parent; r != nil; r = r.parent {
		if depth++; r.def == def && depth > 0 && sameEntry(r, u) && !u.included {
			l.bad(u.at, "role", "take one of the dependencies out", "A recursion loop was detected with the roles specified: %s depends on itself", u.name)
			return nil
		}
	}
	if depth > l.p.opts.MaxInclude {
		l.bad(u.at, "role", "", "roles include each other without end: %s", u.name)
		return nil
	}
	name := u.name
	if strings.Contains(name, "/") {
		name = def.name
	}
	run := &roleRun{def: def, name: name, params: u.params, parent: u.parent, public: u.public, entry: u.tasksFrom, at: u.at, included: u.included, dependency: u.dependency}
	meta := l.loadMeta(def)
	run.allowDup = meta.allowDup || u.allowDup
	run.key = roleKey(def, u, b)
	sub := *l
	sub.role, sub.dir = run, path.Join(def.path, "tasks")
	sub.newHandlers, sub.errs = nil, nil
	run.defaults = sub.roleVars(def, "defaults", u.defaultsFrom, u.at)
	run.vars = sub.roleVars(def, "vars", u.varsFrom, u.at)
	if u.public && !u.included {
		l.play.roles = append(l.play.roles, run)
	}
	var out []node
	for _, d := range meta.dependencies {
		out = append(out, sub.roleEntry(d, b.parent, run, b)...)
	}
	for _, nd := range out {
		if r := nd.base().role; r != nil {
			run.deps = append(run.deps, r)
		}
	}
	rb := &Block{common: b.common, roleEntry: run}
	rb.parent, rb.role = b, run
	if file, ok := sub.roleFile(def, "handlers", u.handlersFrom, u.at); ok {
		h := sub
		h.handlers, h.dir, h.newHandlers = true, path.Dir(file), nil
		hb := &Block{common: rb.common}
		hb.when = nil // a handler runs when it is notified
		if docs, err := l.p.read(file); err != nil {
			l.add(err)
		} else if len(docs) > 0 {
			sub.newHandlers = append(sub.newHandlers, flatten(h.nodes(docs[0], hb, file))...)
		}
		sub.errs = append(sub.errs, h.errs...)
	}
	if u.validate {
		if t := sub.argumentSpec(run, meta, rb); t != nil {
			rb.body = append(rb.body, t)
		}
	}
	if file, ok := sub.roleFile(def, "tasks", u.tasksFrom, u.at); ok {
		sub.dir = path.Dir(file)
		if docs, err := l.p.read(file); err != nil {
			l.add(err)
		} else if len(docs) > 0 {
			rb.body = append(rb.body, sub.nodes(docs[0], rb, file)...)
		}
	}
	l.newHandlers = append(l.newHandlers, sub.newHandlers...)
	l.errs = append(l.errs, sub.errs...)
	return append(out, rb)
}

func sameEntry(r *roleRun, u roleUse) bool { return r.entry == u.tasksFrom }

// roleKey is the same for uses of a role that count as one.
func roleKey(def *roleDef, u roleUse, b *Block) string {
	parts := []string{def.path, u.tasksFrom, value.Repr(u.params)}
	if u.vars != nil {
		parts = append(parts, value.Repr(u.vars))
	}
	for _, c := range b.when {
		parts = append(parts, c.src)
	}
	if u.included {
		parts = append(parts, "included", u.at.String())
	}
	parts = append(parts, strings.Join(b.tags, ","))
	return strings.Join(parts, "\x00")
}

func (l *loader) roleFile(def *roleDef, sub, name string, at api.Place) (string, bool) {
	if f, ok := l.p.mainFile(def, sub, name); ok {
		return f, true
	}
	if name != "main" {
		l.bad(at, sub+"_from", l.p.nearFile(path.Join(def.path, sub, name+".yml")), "Could not find specified file in role: %s/%s", sub, name)
	}
	return "", false
}

// useOf reads the parameters of import_role and include_role.
func (l *loader) useOf(t *Task, args *value.Dict) roleUse {
	u := roleUse{at: t.at, parent: t.role, params: value.NewDict(), tasksFrom: "main", varsFrom: "main", defaultsFrom: "main", handlersFrom: "main", validate: true, allowDup: true}
	str := func(k, def string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			s := value.Str(v)
			if k != "name" {
				s = strings.TrimSuffix(strings.TrimSuffix(s, ".yml"), ".yaml")
			}
			return s
		}
		return def
	}
	flag := func(k string, def bool) bool {
		if v, ok := args.GetString(k); ok {
			if b, ok := source.Bool(v); ok {
				return b
			}
		}
		return def
	}
	u.name = str("name", str("role", ""))
	u.tasksFrom, u.varsFrom = str("tasks_from", "main"), str("vars_from", "main")
	u.defaultsFrom, u.handlersFrom = str("defaults_from", "main"), str("handlers_from", "main")
	u.public, u.allowDup, u.validate = flag("public", t.action == "import_role"), flag("allow_duplicates", true), flag("rolespec_validate", true)
	return u
}

// importRole puts a role in place of the task.
func (l *loader) importRole(t *Task, n *yaml.Node) []node {
	if t.loop != nil {
		l.bad(t.at, "loop", "use include_role", "You cannot use loops on 'import_role' statements. You should use 'include_role' instead.")
		return nil
	}
	u := l.useOf(t, t.args)
	if u.name == "" {
		l.bad(t.at, "name", "say name: ROLE", "'name' is a required field for import_role.")
		return nil
	}
	name, err := l.p.staticName(u.name, l.staticVars(t))
	if err != nil {
		l.bad(t.argAt("name"), "name", "use include_role, or a variable given with -e", "cannot work out the name of the role %s: %v", u.name, err)
		return nil
	}
	u.name, u.at = name, t.argAt("name")
	b := &Block{common: t.common}
	b.name = ""
	nodes := l.expandRole(u, b)
	if len(nodes) == 1 {
		return nodes
	}
	b.body = nodes
	return []node{b}
}

// argumentSpec makes the task that validates a role's arguments.
func (l *loader) argumentSpec(run *roleRun, meta *roleMeta, b *Block) *Task {
	if meta.specs == nil {
		return nil
	}
	spec := meta.specs.Get(run.entry)
	if spec == nil {
		return nil
	}
	opts := value.Value(value.NewDict())
	if o := spec.Get("options"); o != nil {
		opts = l.decode(o)
	}
	name := "Validating arguments against arg spec '" + run.entry + "'"
	if s := spec.Get("short_description"); s != nil {
		name += " - " + strings.TrimSpace(value.Str(l.decode(s)))
	}
	t := &Task{common: l.inherit(spec, &b.common), written: "ansible.builtin.validate_argument_spec", action: "validate_argument_spec", loopVar: "item", dir: l.dir}
	t.parent, t.name = b, name
	t.tags = mergeTags(t.tags, []string{"always"})
	t.args = value.DictOf("argument_spec", opts)
	t.argPlace = map[string]api.Place{}
	return t
}
