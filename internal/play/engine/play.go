package engine

import (
	"drover/internal/play/source"
	"path"

	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// loadPlay loads one play; from carries what an import of its playbook adds.
func (p *Project) loadPlay(file string, n *yaml.Node, from *common) *Play {
	pl := &Play{file: file, dir: path.Dir(file), kw: map[string]*lit{}}
	l := &loader{p: p, play: pl, dir: pl.dir}
	pl.common = common{at: n.Pos, play: pl}
	if from != nil {
		pl.tags, pl.vars = from.tags, from.vars
	}
	own := map[string]*lit{}
	before := len(p.problems)
	for _, pr := range n.Pairs {
		k := source.KeyText(pr.Key)
		if k == "user" {
			k = "remote_user"
		}
		if !allowed(k, onPlay) {
			remedy := source.DidYouMean(k, keywordsAt(onPlay))
			if isAction(k) {
				remedy = "tasks belong under tasks:"
			}
			p.bad(pr.Key.Pos, k, remedy, "'%s' is not a valid attribute for a Play", k)
			continue
		}
		if !l.shapeOK(k, pr.Value, "a play") {
			continue
		}
		switch k {
		case "hosts":
			pl.hosts = l.lit(pr.Value)
			if pl.hosts.v == nil || pl.hosts.text() == "" {
				p.bad(pr.Value.Pos, "hosts", "name a host, a group, or all", "Hosts list cannot be empty. Please check your playbook")
			}
		case "vars_files":
			pl.varsFiles = l.varsFiles(pr.Value)
		case "vars_prompt":
			pl.prompts = l.prompts(pr.Value)
		case "tasks", "pre_tasks", "post_tasks", "handlers", "roles":
		case "strategy":
			pl.kw[k] = l.lit(pr.Value)
			if s := shortAction(pl.kw[k].text()); !pl.kw[k].tmpl && s != "linear" && s != "free" && s != "host_pinned" && s != "debug" {
				p.bad(pr.Value.Pos, k, source.DidYouMean(s, []string{"linear", "free", "host_pinned"}), "Invalid play strategy specified: %s", s)
			}
		case "order":
			pl.kw[k] = l.lit(pr.Value)
			orders := []string{"inventory", "sorted", "reverse_sorted", "reverse_inventory", "shuffle"}
			if s := pl.kw[k].text(); !pl.kw[k].tmpl && !contains(orders, s) {
				p.bad(pr.Value.Pos, k, source.DidYouMean(s, orders), "Invalid order specified for inventory hosts: %s", s)
			}
		default:
			if !l.keyword(&pl.common, own, k, pr.Value) {
				pl.kw[k] = l.lit(pr.Value)
			}
		}
	}
	if pl.hosts == nil {
		p.bad(n.Pos, "hosts", "name a host, a group, or all", "the field 'hosts' is required but was not set")
		return nil
	}
	if pl.name == "" {
		pl.name = pl.hosts.text()
	}
	pl.attrs = own
	for k, v := range own {
		pl.kw[k] = v
	}
	root := &Block{common: pl.common}
	root.name = ""
	if from != nil {
		root.when = append(root.when, from.when...)
	}
	root.play = pl
	// Handlers first: notifications are checked against them.
	rolesNode := n.Get("roles")
	pre := l.nodes(n.Get("pre_tasks"), root, "pre_tasks")
	var roles []node
	if rolesNode != nil {
		roles = l.playRoles(rolesNode, root)
	}
	tasks := l.nodes(n.Get("tasks"), root, "tasks")
	post := l.nodes(n.Get("post_tasks"), root, "post_tasks")
	pl.handlers = append(pl.handlers, l.newHandlers...)
	l.handlers = true
	pl.handlers = append(pl.handlers, flatten(l.nodes(n.Get("handlers"), root, "handlers"))...)
	pl.program = []section{{"pre_tasks", pre}, {"tasks", append(roles, tasks...)}, {"post_tasks", post}}
	if len(p.problems) > before {
		return pl
	}
	return pl
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// flatten gives the tasks of a list of nodes in order, blocks opened.
func flatten(ns []node) []*Task {
	var out []*Task
	for _, n := range ns {
		switch n := n.(type) {
		case *Task:
			out = append(out, n)
		case *Block:
			out = append(out, flatten(n.body)...)
		}
	}
	return out
}

// varsFiles keeps nested lists: the first file of such a list that exists is taken.
func (l *loader) varsFiles(n *yaml.Node) []*lit {
	if n.Kind != yaml.Seq {
		x := l.lit(n)
		if x.v == nil {
			return nil
		}
		return []*lit{x}
	}
	var out []*lit
	for _, it := range n.Items {
		out = append(out, l.lit(it))
	}
	return out
}

func (l *loader) prompts(n *yaml.Node) []prompt {
	items := n.Items
	if n.Kind == yaml.Map {
		items = []*yaml.Node{n}
	}
	var out []prompt
	for _, it := range items {
		q := prompt{private: true, at: it.Pos}
		for _, pr := range it.Pairs {
			v := l.decode(pr.Value)
			s := ""
			if v != nil {
				s = value.Str(v)
			}
			b, _ := source.Bool(v)
			switch k := source.KeyText(pr.Key); k {
			case "name":
				q.name = s
			case "prompt":
				q.text = s
			case "default":
				q.def = s
			case "private":
				q.private = b
			case "confirm":
				q.confirm = b
			case "encrypt":
				q.encrypt = s
			case "salt":
				q.salt = s
			case "unsafe":
				q.unsafe = b
			case "salt_size":
				if i, ok := source.Int(v); ok {
					q.saltSize = int(i)
				}
			default:
				l.bad(pr.Key.Pos, "vars_prompt."+k, source.DidYouMean(k, []string{"name", "prompt", "default", "private", "confirm", "encrypt", "salt", "salt_size", "unsafe"}), "Invalid vars_prompt data structure, found unsupported key '%s'", k)
			}
		}
		if q.name == "" {
			l.bad(it.Pos, "vars_prompt", "give each prompt a name", "Invalid vars_prompt data structure, missing 'name' key")
			continue
		}
		if q.text == "" {
			q.text = q.name
		}
		out = append(out, q)
	}
	return out
}

// playRoles loads the roles: of a play.
func (l *loader) playRoles(n *yaml.Node, root *Block) []node {
	var out []node
	for _, it := range n.Items {
		out = append(out, l.roleEntry(it, root, nil, nil)...)
	}
	return out
}
