package engine

import (
	"drover/internal/play/source"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"

	"drover/api"
	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// ProjectOptions say what to load.
type ProjectOptions struct {
	Files      Files // OS or Bundle; nil is no files at all
	Playbooks  []string
	RolesPath  []string // further folders of roles, after roles/ beside the playbook
	ExtraVars  map[string]any
	Vault      *Vault
	Env        map[string]string // what lookup('env') sees on load; nil is none
	MaxInclude int               // nesting of includes and roles; 100 if zero
}

// Project is a set of playbooks with all that they import, ready to run. It
// is not changed by runs: any number may share it.
type Project struct {
	files    Files
	opts     ProjectOptions
	extra    *value.Dict
	plays    []*Play
	problems []*api.Error
	warnings []string // shown when a run begins

	mu    sync.Mutex
	docs  map[string]*parsed
	roles map[string]*roleDef

	// static is for names that must be known on load, by extra vars alone.
	static *jinja.Env
}

type parsed struct {
	docs []*yaml.Node
	err  error
}

// LoadProject reads playbooks and everything that they import. The error is
// Problems: every mistake that was found, with its place.
func LoadProject(o ProjectOptions) (*Project, error) {
	if o.Files == nil {
		o.Files = source.None()
	}
	if o.MaxInclude == 0 {
		o.MaxInclude = 100
	}
	p := &Project{files: o.Files, opts: o, docs: map[string]*parsed{}, roles: map[string]*roleDef{}, static: jinja.New()}
	filter.Install(p.static, p.reach(o.Env))
	p.extra = source.Dict(o.ExtraVars)
	for _, pb := range o.Playbooks {
		p.loadPlaybook(pb, nil)
	}
	if len(p.problems) > 0 {
		return p, p.sorted()
	}
	return p, nil
}

func (p *Project) sorted() Problems {
	slices.SortStableFunc(p.problems, func(a, b *api.Error) int {
		switch {
		case a.Place == nil || b.Place == nil || a.Place.File != b.Place.File:
			return 0
		case a.Place.Line != b.Place.Line:
			return a.Place.Line - b.Place.Line
		}
		return a.Place.Column - b.Place.Column
	})
	return Problems(p.problems)
}

// PlayInfo is a play for --list-hosts, --list-tasks and --list-tags.
type PlayInfo struct {
	Name    string
	Pattern string
	File    string
	Tags    []string
	Tasks   []TaskInfo
	tags    []string
}

// TaskInfo is a task for --list-tasks and --list-tags.
type TaskInfo struct {
	Name string
	Tags []string
}

func (p *Project) bad(at api.Place, field, remedy, format string, args ...any) {
	place := at
	p.problems = append(p.problems, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf(format, args...), Field: field, Place: &place, Remedy: remedy})
}

func (p *Project) add(err error) { p.problems = append(p.problems, source.ProblemsOf(err)...) }

// read parses a file once.
func (p *Project) read(file string) ([]*yaml.Node, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.docs[file]; d != nil {
		return d.docs, d.err
	}
	d := &parsed{}
	d.docs, d.err = source.ReadYAML(p.files, file, p.opts.Vault)
	p.docs[file] = d
	return d.docs, d.err
}

// abs is name as an absolute path of the project's files.
func (p *Project) abs(name string) string { return source.Join(p.files.Root(), name) }

func (p *Project) loadPlaybook(name string, from *common) {
	file := p.abs(name)
	if from == nil && !source.IsFile(p.files, file) {
		p.problems = append(p.problems, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("the playbook: %s could not be found", name)})
		return
	}
	docs, err := p.read(file)
	if err != nil {
		p.add(err)
		return
	}
	if len(docs) == 0 || docs[0] == nil || docs[0].Kind == yaml.Scalar && docs[0].Scalar == nil {
		p.bad(api.Place{File: file}, "", "begin with a play:\n- hosts: all\n  tasks: []", "A playbook must contain at least one play")
		return
	}
	if docs[0].Kind != yaml.Seq {
		p.bad(docs[0].Pos, "", "begin each play with \"- hosts: …\"", "a playbook must be a list of plays, got a %s instead", source.KindName(docs[0]))
		return
	}
	for _, n := range docs[0].Items {
		p.duplicates(n)
		p.loadEntry(file, n, from)
	}
}

func (p *Project) duplicates(n *yaml.Node) {
	for _, d := range n.AllDuplicates() {
		p.warn(d.Pos, "while constructing a mapping, found a duplicate dict key (%s): the last one counts", d.Key)
	}
}

func (p *Project) warn(at api.Place, format string, args ...any) {
	p.warnings = append(p.warnings, at.String()+": "+fmt.Sprintf(format, args...))
}

// loadEntry loads one entry of a playbook: a play, or an import of another playbook.
func (p *Project) loadEntry(file string, n *yaml.Node, from *common) {
	if n.Kind != yaml.Map {
		p.bad(n.Pos, "", "write it as a dictionary with hosts and tasks", "playbook entries must be either valid plays or 'import_playbook' statements")
		return
	}
	for _, k := range []string{"import_playbook", "ansible.builtin.import_playbook"} {
		if imp := n.Get(k); imp != nil {
			p.importPlaybook(file, n, imp, k, from)
			return
		}
	}
	if pl := p.loadPlay(file, n, from); pl != nil {
		p.plays = append(p.plays, pl)
	}
}

func (p *Project) importPlaybook(file string, n, imp *yaml.Node, key string, from *common) {
	c := &common{at: n.Pos, attrs: map[string]*lit{}}
	l := &loader{p: p, dir: path.Dir(file)}
	if from != nil {
		c.tags, c.vars, c.when = from.tags, from.vars, from.when
	}
	for _, pr := range n.Pairs {
		k := source.KeyText(pr.Key)
		switch k {
		case key, "name":
		case "vars":
			if v := l.dict(pr.Value, "vars"); v != nil {
				c.vars = append([]*value.Dict{v}, c.vars...)
			}
		case "tags":
			c.tags = mergeTags(c.tags, l.tags(pr.Value))
		case "when":
			c.when = append(slices.Clone(c.when), l.conds(pr.Value)...)
		default:
			p.bad(pr.Key.Pos, k, source.DidYouMean(k, []string{"name", "vars", "tags", "when"}), "%q is not a valid attribute for a PlaybookInclude", k)
		}
	}
	name, ok := value.StrOf(imp.Scalar)
	if imp.Kind != yaml.Scalar || !ok {
		p.bad(imp.Pos, key, "name a playbook file", "import_playbook wants a file name")
		return
	}
	name, err := p.staticName(name, c.vars)
	if err != nil {
		p.bad(imp.Pos, key, "use a variable that is given with -e", "cannot work out the name of the imported playbook: %v", err)
		return
	}
	target := source.Join(path.Dir(file), name)
	if !source.IsFile(p.files, target) {
		p.bad(imp.Pos, key, p.nearFile(target), "Unable to retrieve file contents: could not find or access %s", target)
		return
	}
	if l.depth++; strings.Count(chain(from), "\n") > p.opts.MaxInclude {
		p.bad(imp.Pos, key, "", "playbooks import each other without end")
		return
	}
	c.name = chain(from) + "\n" + target
	if strings.Count(c.name, "\n"+target+"\n")+boolInt(strings.HasSuffix(c.name, "\n"+target)) > 1 {
		p.bad(imp.Pos, key, "take one of the imports out", "%s imports itself", target)
		return
	}
	p.loadPlaybook(target, c)
}

func chain(c *common) string {
	if c == nil {
		return ""
	}
	return c.name
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nearFile suggests a file beside name with a similar one.
func (p *Project) nearFile(name string) string {
	list, err := p.files.ReadDir(path.Dir(name))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return source.DidYouMean(path.Base(name), names)
}

// staticName resolves templates in a name that must be known on load.
func (p *Project) staticName(name string, vars []*value.Dict) (string, error) {
	if !jinja.HasTemplate(name) {
		return name, nil
	}
	s := &staticScope{p: p, vars: vars}
	v, err := p.static.Value(bg, name, s, inline)
	if err != nil {
		return "", err
	}
	if u, ok := v.(*value.Undefined); ok {
		return "", u.Use()
	}
	return value.Str(v), nil
}

// staticScope sees what is known before any host is: extra vars and the
// variables of plays, imports and roles.
type staticScope struct {
	p     *Project
	vars  []*value.Dict
	depth int
}

// Var looks name up and templates it.
func (s *staticScope) Var(name string) (value.Value, bool, error) {
	v, ok := s.p.extra.GetString(name)
	for i := 0; !ok && i < len(s.vars); i++ {
		v, ok = s.vars[i].GetString(name)
	}
	if !ok || s.depth > 20 {
		return nil, false, nil
	}
	v, err := s.p.static.Value(bg, v, &staticScope{s.p, s.vars, s.depth + 1}, inline)
	return v, err == nil, err
}

// List describes the plays for --list-tasks, --list-tags and --list-hosts.
func (p *Project) List(tags, skip []string) []PlayInfo {
	sel := newTagFilter(tags, skip)
	var out []PlayInfo
	for _, pl := range p.plays {
		info := PlayInfo{Name: pl.name, File: pl.file, Tags: pl.tags, Pattern: pl.hosts.text()}
		var walk func(ns []node)
		walk = func(ns []node) {
			for _, n := range ns {
				switch n := n.(type) {
				case *Block:
					walk(n.body)
					walk(n.rescue)
					walk(n.always)
				case *Task:
					if n.implicit || n.action == "meta" {
						continue
					}
					info.tags = append(info.tags, n.tags...)
					if sel.wants(n.tags) {
						info.Tasks = append(info.Tasks, TaskInfo{Name: n.title(), Tags: n.tags})
					}
				}
			}
		}
		for _, s := range pl.program {
			walk(s.nodes)
		}
		out = append(out, info)
	}
	return out
}

// AllTags lists the tags of a play, sorted.
func (i PlayInfo) AllTags() []string {
	seen := map[string]bool{}
	for _, n := range i.tags {
		seen[n] = true
	}
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}
