package engine

import (
	"drover/internal/play/source"
	"fmt"
	"path"
	"slices"
	"strings"

	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// includeTasks prepares what include_tasks brings in.
func (r *run) includeTasks(s *scope, o *outcome, args *value.Dict) error {
	t := o.t
	raw, ok := args.GetString("file")
	if !ok {
		raw, ok = args.GetString("_raw_params")
	}
	if !ok || value.Str(raw) == "" {
		return fmt.Errorf("No file specified for include_tasks")
	}
	name := strings.TrimSpace(value.Str(raw))
	l := &loader{p: r.p, play: s.pr.play, role: t.role, dir: t.dir, late: true, handlers: t.handler}
	file, found := l.findTasks(name, t)
	if !found {
		return fmt.Errorf("Could not find or access '%s' to include tasks from (looked beside %s)", source.Join(t.dir, name), t.dir)
	}
	if n := strings.Count(t.parentFiles(), "\n"); n > r.p.opts.MaxInclude {
		return fmt.Errorf("tasks include each other without end: %s", file)
	}
	vars, err := r.includeVarsOf(s, t)
	if err != nil {
		return err
	}
	key := file + "\x00" + value.Repr(vars)
	o.include = append(o.include, &inclusion{file: file, key: key, vars: vars, label: r.labelOf(s, t, o.item), item: t.loop != nil, load: func(r *run, pr *playRun) ([]node, *roleRun, []*Task, error) {
		b := l.includeBlock(t, vars, nil)
		b.file = t.parentFiles() + "\n" + file
		docs, err := r.p.read(file)
		if err != nil {
			return nil, nil, nil, err
		}
		sub := *l
		sub.dir = path.Dir(file)
		if len(docs) > 0 {
			b.body = sub.nodes(docs[0], b, file)
		}
		if len(sub.errs) > 0 {
			return nil, nil, nil, Problems(sub.errs)
		}
		return b.body, nil, sub.newHandlers, nil
	}})
	o.res = value.DictOf("changed", false, "include", file)
	return nil
}

// parentFiles lists the files of includes around a task.
func (t *Task) parentFiles() string {
	for b := t.parent; b != nil; b = b.parent {
		if b.file != "" {
			return b.file
		}
	}
	return ""
}

// includeVarsOf are the variables that an include hands on: its vars: and the loop's.
func (r *run) includeVarsOf(s *scope, t *Task) (*value.Dict, error) {
	vars := value.NewDict()
	own := len(t.vars)
	if t.parent != nil {
		own -= len(t.parent.vars)
	} else if s.pr != nil {
		own -= len(s.pr.play.vars)
	}
	for i := 0; i < own; i++ {
		for _, it := range t.vars[i].Items() {
			vars.Set(it.Key, it.Value)
		}
	}
	if t.loop != nil {
		for _, k := range []string{t.loopVar, t.indexVar, "ansible_loop_var", "ansible_index_var", "ansible_loop"} {
			if k == "" {
				continue
			}
			if v, ok := s.over.GetString(k); ok {
				vars.Set(k, unsafeValue(v))
			}
		}
	}
	return vars, nil
}

// unsafeValue marks all text in v as never to be templated.
func unsafeValue(v value.Value) value.Value {
	switch v := v.(type) {
	case string:
		if holdsTemplate(v) {
			return value.Unsafe(v)
		}
	case *value.List:
		out := &value.List{Items: make([]value.Value, len(v.Items))}
		for i, x := range v.Items {
			out.Items[i] = unsafeValue(x)
		}
		return out
	case *value.Dict:
		out := value.NewDict()
		for _, it := range v.Items() {
			out.Set(it.Key, unsafeValue(it.Value))
		}
		return out
	}
	return v
}

// includeBlock is the block around what a dynamic include brings in: it
// inherits from what is around the include, not from the include itself.
func (l *loader) includeBlock(t *Task, vars *value.Dict, role *roleRun) *Block {
	b := &Block{}
	if t.parent != nil {
		b.common = l.inherit(&yaml.Node{Pos: t.at}, &t.parent.common)
		if !t.parent.explicit && t.parent.roleEntry == nil {
			b.common = l.inherit(&yaml.Node{Pos: t.at}, &t.parent.common)
		}
	} else {
		b.common = common{at: t.at, play: t.play, attrs: map[string]*lit{}}
	}
	b.parent, b.role = t.parent, t.role
	if t.handler {
		b.when = nil
	}
	// Conditions, tags and keywords of an enclosing static block hold as well.
	if vars.Len() > 0 {
		b.params = append([]*value.Dict{vars}, b.params...)
	}
	if t.apply != nil && t.apply.Kind == yaml.Map {
		own := map[string]*lit{}
		for _, pr := range t.apply.Pairs {
			k := source.KeyText(pr.Key)
			if !allowed(k, onBlock) || k == "block" {
				l.bad(pr.Key.Pos, "apply."+k, source.DidYouMean(k, keywordsAt(onBlock)), "'%s' is not a valid attribute for a Block", k)
				continue
			}
			l.keyword(&b.common, own, k, pr.Value)
		}
		b.attrs = overlay(b.attrs, own)
	}
	return b
}

// includeRole prepares what include_role brings in.
func (r *run) includeRole(s *scope, o *outcome, args *value.Dict) error {
	t := o.t
	l := &loader{p: r.p, play: s.pr.play, role: t.role, dir: t.dir, late: true}
	u := l.useOf(t, args)
	u.included, u.at = true, t.at
	if u.name == "" {
		return fmt.Errorf("'name' is a required field for include_role.")
	}
	if n := strings.Count(t.parentFiles(), "\n"); n > r.p.opts.MaxInclude {
		return fmt.Errorf("roles include each other without end: %s", u.name)
	}
	vars, err := r.includeVarsOf(s, t)
	if err != nil {
		return err
	}
	key := strings.Join([]string{u.name, u.tasksFrom, u.varsFrom, u.defaultsFrom, u.handlersFrom, value.Repr(vars)}, "\x00")
	o.include = append(o.include, &inclusion{file: u.name, key: key, vars: vars, label: r.labelOf(s, t, o.item), item: t.loop != nil, load: func(r *run, pr *playRun) ([]node, *roleRun, []*Task, error) {
		sub := *l
		b := sub.includeBlock(t, vars, nil)
		b.file = t.parentFiles() + "\nrole " + u.name
		nodes := sub.expandRole(u, b)
		if len(sub.errs) > 0 {
			return nil, nil, nil, Problems(sub.errs)
		}
		var role *roleRun
		for _, n := range nodes {
			if n.base().role != nil {
				role = n.base().role
			}
		}
		if role != nil {
			role.public = u.public
		}
		return nodes, role, sub.newHandlers, nil
	}})
	o.res = value.DictOf("changed", false, "include_variables", vars)
	return nil
}

// includeVars reads variables from files.
func (r *run) includeVars(s *scope, o *outcome, args *value.Dict) error {
	str := func(k string) string {
		if v, ok := args.GetString(k); ok && v != nil {
			return value.Str(v)
		}
		return ""
	}
	file, dir, name := str("file"), str("dir"), str("name")
	if file == "" {
		file = str("_raw_params")
	}
	out := value.NewDict()
	var read []string
	load := func(f string) error {
		d, err := r.p.varsFile(f)
		if err != nil {
			return err
		}
		out.Update(d)
		read = append(read, f)
		return nil
	}
	switch {
	case file != "":
		f, tried, ok := s.find("vars", file)
		if !ok {
			o.res = failure("Could not find or access '%s'\nSearched in:\n\t%s", file, strings.Join(tried, "\n\t"))
			o.res.Set("ansible_facts", value.NewDict())
			o.res.Set("ansible_included_var_files", &value.List{})
			o.res.Set("message", fmt.Sprintf("Could not find or access '%s'", file))
			return nil
		}
		if err := load(f); err != nil {
			o.res = failure("%s", reason(err))
			o.res.Set("ansible_facts", value.NewDict())
			o.res.Set("ansible_included_var_files", &value.List{})
			o.res.Set("message", reason(err))
			return nil
		}
	case dir != "":
		if err := r.includeVarsDir(s, o, args, dir, load); err != nil || o.res != nil {
			return err
		}
	default:
		return fmt.Errorf("include_vars needs a file or a dir")
	}
	facts := out
	if name != "" {
		facts = value.DictOf(name, out)
	}
	o.res = value.DictOf("ansible_facts", facts, "ansible_included_var_files", names(read), "changed", false)
	to := o.factsTo
	o.effects = append(o.effects, func(r *run, _ *playRun, h *hostState) {
		if to != nil {
			h = to
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		d := value.NewDict()
		d.Update(h.included)
		d.Update(facts)
		h.included = d
	})
	return nil
}

func (r *run) includeVarsDir(s *scope, o *outcome, args *value.Dict, dir string, load func(string) error) error {
	root, _, ok := s.find("vars", dir)
	if !ok || !source.IsDir(r.p.files, root) {
		o.res = failure("%s directory does not exist", dir)
		return nil
	}
	exts := []string{"yaml", "yml", "json"}
	if v, ok := args.GetString("extensions"); ok {
		exts = splitTags(v)
	}
	ignore := func(string) bool { return false }
	if v, ok := args.GetString("ignore_files"); ok {
		list := splitTags(v)
		ignore = func(n string) bool {
			return slices.ContainsFunc(list, func(p string) bool { return regexMatch(p, n) })
		}
	}
	match := ""
	if v, ok := args.GetString("files_matching"); ok && v != nil {
		match = value.Str(v)
	}
	depth := int64(0)
	if v, ok := args.GetString("depth"); ok {
		depth, _ = source.Int(v)
	}
	unknown := dictBool(args, "ignore_unknown_extensions")
	var walk func(d string, level int64) error
	walk = func(d string, level int64) error {
		list, err := r.p.files.ReadDir(d)
		if err != nil {
			return source.FileError(d, err)
		}
		slices.SortFunc(list, func(a, b dirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		var dirs []string
		for _, e := range list {
			f := path.Join(d, e.Name())
			if source.IsDir(r.p.files, f) {
				dirs = append(dirs, f)
				continue
			}
			if ignore(e.Name()) || match != "" && !regexMatch(match, e.Name()) {
				continue
			}
			if !slices.Contains(exts, strings.TrimPrefix(path.Ext(f), ".")) {
				if unknown || match != "" {
					continue
				}
				o.res = failure("%s does not have a valid extension: %s", f, strings.Join(exts, ", "))
				return nil
			}
			if err := load(f); err != nil {
				return err
			}
		}
		if depth == 0 || level < depth {
			for _, x := range dirs {
				if err := walk(x, level+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(root, 1)
}
