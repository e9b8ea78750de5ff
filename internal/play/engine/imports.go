package engine

import (
	"path"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/source"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// finish checks the action's arguments and expands imports.
func (l *loader) finish(t *Task, n *yaml.Node) []node {
	switch t.action {
	case "import_tasks":
		return l.importTasks(t, n)
	case "import_role":
		return l.importRole(t, n)
	case "import_playbook":
		l.bad(t.at, "import_playbook", "put it at the top of the playbook, beside the plays", "import_playbook cannot be a task")
		return nil
	}
	if l.late {
		l.errs = append(l.errs, t.checkArgs()...)
	}
	return []node{t}
}

// importTasks reads the tasks of another file in place of the task.
func (l *loader) importTasks(t *Task, n *yaml.Node) []node {
	if t.loop != nil {
		l.bad(t.at, "loop", "use include_tasks", "You cannot use loops on 'import_tasks' statements. You should use 'include_tasks' instead.")
		return nil
	}
	name := t.rawOr("file")
	if name == "" {
		l.bad(t.at, "file", "name a file of tasks", "No file specified for import_tasks")
		return nil
	}
	resolved, err := l.p.staticName(name, l.staticVars(t))
	if err != nil {
		l.bad(t.at, "file", "use include_tasks, or a variable that is given with -e", "Error when evaluating the dynamic path in import_tasks: %s: %v", name, err)
		return nil
	}
	file, ok := l.findTasks(resolved, t)
	if !ok {
		l.bad(t.argAt("file"), "file", l.p.nearFile(source.Join(l.dir, resolved)), "Could not find or access '%s' to import tasks from (looked beside %s)", resolved, l.dir)
		return nil
	}
	b := &Block{common: t.common}
	b.name = ""
	sub := *l
	sub.dir = path.Dir(file)
	if sub.depth++; sub.depth > l.p.opts.MaxInclude {
		l.bad(t.at, "file", "take one of the imports out", "%s imports itself", file)
		return nil
	}
	docs, err := l.p.read(file)
	if err != nil {
		l.add(err)
		return nil
	}
	if len(docs) > 0 {
		b.body = sub.nodes(docs[0], b, file)
	}
	l.errs, l.newHandlers = sub.errs, sub.newHandlers
	if l.handlers {
		return b.body // a flat list keeps handlers findable by name
	}
	return []node{b}
}

func (l *loader) staticVars(t *Task) []*value.Dict {
	vars := slices.Clone(t.vars)
	for r := t.role; r != nil; r = r.parent {
		vars = append(vars, r.params, r.vars)
	}
	if l.play != nil {
		vars = append(vars, l.play.vars...)
	}
	for r := t.role; r != nil; r = r.parent {
		vars = append(vars, r.defaults)
	}
	return slices.DeleteFunc(vars, func(d *value.Dict) bool { return d == nil })
}

// rawOr is the free text of a task, or the named argument.
func (t *Task) rawOr(name string) string {
	for _, k := range []string{name, "_raw_params"} {
		if v, ok := t.args.GetString(k); ok && v != nil {
			return strings.TrimSpace(value.Str(v))
		}
	}
	return ""
}

func (t *Task) argAt(name string) api.Place {
	if p, ok := t.argPlace[name]; ok {
		return p
	}
	if t.argsNode != nil && t.argsNode.Pos.Line > 0 {
		return t.argsNode.Pos
	}
	return t.at
}

// findTasks finds a task file beside the including file, in the role's tasks
// folder, or beside the playbook.
func (l *loader) findTasks(name string, t *Task) (string, bool) {
	var dirs []string
	if t.role != nil {
		dirs = append(dirs, l.dir, path.Join(t.role.def.path, "tasks"), t.role.def.path)
	} else {
		dirs = append(dirs, l.dir)
	}
	if l.play != nil {
		dirs = append(dirs, path.Join(l.play.dir, "tasks"), l.play.dir)
	}
	for _, d := range dirs {
		if f := source.Join(d, name); source.IsFile(l.p.files, f) {
			return f, true
		}
	}
	return "", false
}
