package engine

import (
	"drover/api"
	"drover/internal/play/jinja"
	"drover/internal/play/module"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// lit is a keyword's value as it was written, and where.
type lit struct {
	v    value.Value
	at   api.Place
	tmpl bool // some text in v holds a template
}

// cond is one condition of when, until, changed_when, failed_when or that.
type cond struct {
	v    value.Value // a bool, or the source of an expression
	src  string
	at   api.Place
	expr *jinja.Expr // parsed on load; nil when src holds delimiters or v is no text
	err  error       // it cannot be parsed
}

// node is what a block holds: a *Block or a *Task.
type node interface{ base() *common }

// common is what blocks and tasks share. All but vars is effective already:
// what the parents say is merged in when the node is made.
type common struct {
	name     string
	at       api.Place
	parent   *Block
	play     *Play
	role     *roleRun
	attrs    map[string]*lit // inherited keywords, see keywords.go
	when     []*cond         // outermost first
	tags     []string
	env      []*lit        // outermost first
	defaults []*lit        // module_defaults, outermost first
	notify   []*lit        // of blocks and the task
	vars     []*value.Dict // innermost first
	params   []*value.Dict // include parameters, innermost first
}

func (c *common) base() *common { return c }

// Block is a group of tasks with what to do when one fails.
type Block struct {
	common
	body, rescue, always []node
	// entry of a role: skipped for a host that the role has already run on.
	roleEntry *roleRun
	// explicit: written with block:, rather than made for an import or a role.
	explicit bool
	file     string // of a dynamic include: the chain of files it came by
}

// Task is one task or handler.
type Task struct {
	common
	written  string // the action as it is written
	action   string // its short name
	fqcn     string
	args     *value.Dict // as written, without templates resolved
	argsLit  *lit        // `args: "{{ … }}"`
	argsNode *yaml.Node
	argPlace map[string]api.Place // of values
	argKeys  map[string]api.Place // of names, where they are keys of their own
	mod      *module.Module       // nil for the engine's own actions

	loop      *lit
	loopWith  string // name of the with_ lookup
	loopVar   string
	indexVar  string
	label     *lit
	loopPause *lit
	extended  *lit
	breakWhen []*cond

	register string
	until    []*cond
	retries  *lit
	delay    *lit
	async    *lit
	poll     *lit

	changedWhen []*cond
	failedWhen  []*cond
	hasChanged  bool
	hasFailed   bool

	handler  bool
	listen   []*lit
	implicit bool   // Gathering Facts, flush_handlers at the end of a section …
	dir      string // of the file it stands in
	local    bool   // local_action
	argsText bool   // the arguments were written as k=v text
	apply    *yaml.Node
}

// Play is one play of a playbook.
type Play struct {
	common
	file      string // playbook it stands in
	dir       string
	hosts     *lit
	kw        map[string]*lit // the play's own keywords, inheritable or not
	varsFiles []*lit
	prompts   []prompt
	roles     []*roleRun
	handlers  []*Task
	program   []section
}

// section is one stretch of a play: after each the handlers are flushed.
type section struct {
	name  string
	nodes []node
}

type prompt struct {
	name, text, def  string
	private, confirm bool
	encrypt          string
	salt             string
	saltSize         int
	unsafe           bool
	at               api.Place
}

// roleDef is a role's folder, read once.
type roleDef struct {
	name string // last part, or the name as it was asked for
	path string
	meta *roleMeta
}

type roleMeta struct {
	dependencies []*yaml.Node
	allowDup     bool
	specs        *yaml.Node // argument_specs
	specFile     string
}

// roleRun is one use of a role in a play.
type roleRun struct {
	def        *roleDef
	name       string // as asked for
	params     *value.Dict
	defaults   *value.Dict
	vars       *value.Dict
	parent     *roleRun // the role that depends on it or includes it
	deps       []*roleRun
	public     bool
	allowDup   bool
	key        string // the same for uses that count as one
	entry      string // tasks_from, for argument_specs
	at         api.Place
	included   bool
	dependency bool // parent depends on it, rather than including it
}
