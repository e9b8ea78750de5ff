package engine

import (
	"context"
	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/play/filter"
	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

// run is one run of a project. Its state is changed by the goroutine of Run
// alone, under mu; workers read it under mu and hand back outcomes.
type run struct {
	p     *Project
	inv   *Inventory
	o     Options
	ctx   context.Context
	env   *jinja.Env
	fopts *filter.Options
	extra *value.Dict
	tags  tagFilter
	limit map[string]bool
	recap *Recap

	mu      sync.RWMutex
	hosts   map[string]*hostState
	removed map[string]bool // failed or unreachable: in no later play
	custom  *value.Dict     // set_stats
	perHost map[string]*value.Dict
	groupsV *value.Dict
	pv      map[string]*inventory.PlayVars

	conns   connPool
	sources sources
	envs    envCache
	jobs    jobs
	slots   chan struct{} // forks
	started bool          // --start-at-task was reached
	step    StepAnswer
	abort   bool
	// announced is the task that was announced last.
	announced *Task
	owed      owed
}

// hostState is what a run knows about a host.
type hostState struct {
	name     string
	host     *inventory.Host
	inv      *value.Dict // inventory variables merged, without a playbook's
	byPlay   map[string]*value.Dict
	facts    *value.Dict // ansible_facts: names without prefix
	prefixed map[string]bool
	injected *value.Dict // facts of other modules than setup, by their own names
	set      *value.Dict // set_fact and register
	included *value.Dict // include_vars
}

// playRun is one play on one batch of hosts.
type playRun struct {
	r        *run
	play     *Play
	key      string       // the play's name as it is written
	hosts    []*hostState // of all batches
	batch    []*hostState
	gone     map[string]bool // failed or unreachable in this play
	ended    map[string]bool // by meta: end_host
	cursors  map[string]*cursor
	handlers []*Task
	notified map[*Task]map[string]bool
	roles    []*roleRun // whose variables the whole play sees
	roleRan  map[string]map[string]bool
	roleHad  map[string]map[string]bool
	fileVars map[string]*value.Dict
	prompted *value.Dict
	end      bool // meta: end_play, end_batch
	endPlay  bool
	program  []node
}

// Run runs the project's plays on the inventory's hosts. The error says why a
// run could not begin or was broken off; failed hosts are in the recap.
func (p *Project) Run(ctx context.Context, inv *Inventory, o Options) (*Recap, error) {
	r := &run{p: p, inv: inv.Clone(), o: o, recap: &Recap{Hosts: map[string]*HostStats{}, Facts: map[string]map[string]any{}}, hosts: map[string]*hostState{}, removed: map[string]bool{}, custom: value.NewDict(), perHost: map[string]*value.Dict{}, pv: map[string]*inventory.PlayVars{}}
	if len(p.problems) > 0 {
		return r.recap, p.sorted()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r.ctx = ctx
	if r.o.Forks <= 0 {
		r.o.Forks = 5
	}
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	r.slots = make(chan struct{}, r.o.Forks)
	r.started = o.StartAt == ""
	r.extra = value.NewDict()
	r.extra.Update(p.extra)
	r.extra.Update(source.Dict(o.ExtraVars))
	r.tags = newTagFilter(o.Tags, o.SkipTags)
	r.setup()
	r.setupOwed()
	defer r.conns.close()
	defer r.jobs.wait()
	var err error
	if r.limit, err = inv.Limit(o.Limit); err != nil {
		return r.recap, err
	}
	if o.FlushCache && o.Facts != nil {
		o.Facts.Flush()
	}
	for _, w := range append(slices.Clone(p.warnings), inv.Warnings()...) {
		r.warn("%s", w)
	}
	for _, pl := range p.plays {
		if r.abort || ctx.Err() != nil {
			break
		}
		if err := r.play(pl); err != nil {
			return r.recap, err
		}
	}
	if err := ctx.Err(); err != nil {
		return r.recap, fmt.Errorf("cannot finish the run: %w", context.Cause(ctx))
	}
	r.forgetCarried()
	r.finish()
	return r.recap, nil
}

func (r *run) finish() {
	for _, h := range r.hosts {
		if h.facts.Len() > 0 {
			r.recap.Facts[h.name] = source.GoMap(h.facts)
		}
	}
	if r.custom.Len() > 0 {
		r.recap.Custom = source.GoMap(r.custom)
		r.emit(Event{Kind: EventStats, Stats: r.recap.Custom})
	}
	for h, d := range r.perHost {
		if r.recap.Custom == nil {
			r.recap.Custom = map[string]any{}
		}
		r.recap.Custom["host:"+h] = source.GoMap(d)
	}
}

func (r *run) emit(e Event) {
	if r.o.Events != nil {
		if e.Time.IsZero() {
			e.Time = r.o.Now()
		}
		r.o.Events(e)
	}
}

func (r *run) warn(format string, args ...any) {
	r.emit(Event{Kind: EventWarning, Message: fmt.Sprintf(format, args...)})
}

// state makes or finds what is known about a host.
func (r *run) state(h *inventory.Host) *hostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stateLocked(h)
}

func (r *run) stateLocked(h *inventory.Host) *hostState {
	if s := r.hosts[h.Name]; s != nil {
		return s
	}
	s := &hostState{name: h.Name, host: h, inv: r.inv.Merge(h, nil), byPlay: map[string]*value.Dict{}, facts: value.NewDict(), prefixed: map[string]bool{}, injected: value.NewDict(), set: value.NewDict(), included: value.NewDict()}
	if r.o.Facts != nil {
		for k, v := range r.o.Facts.Load(h.Name) {
			s.facts.Set(k, value.FromGo(v))
			s.prefixed[k] = true
		}
	}
	r.hosts[h.Name] = s
	return s
}

// stateOf finds a host of the inventory by name; nil if there is none.
func (r *run) stateOf(name string) *hostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.hosts[name]; s != nil {
		return s
	}
	if h := r.inv.Host(name); h != nil {
		return r.stateLocked(h)
	}
	if inventory.IsLocalName(name) {
		return r.stateLocked(r.inv.Localhost(name))
	}
	return nil
}

// inventoryVars are a host's inventory variables together with those beside
// the play's playbook. The caller holds mu.
func (r *run) inventoryVars(pr *playRun, h *hostState) *value.Dict {
	pv := r.pv[pr.play.dir]
	if pv.Empty() {
		return h.inv
	}
	// byPlay is filled when the play begins, see prepare.
	if d := h.byPlay[pr.play.dir]; d != nil {
		return d
	}
	return r.inv.Merge(h.host, pv)
}

func (r *run) inventoryDir() value.Value {
	if len(r.inv.Sources()) == 0 {
		return nil
	}
	f := source.Join(r.inv.Files().Root(), r.inv.Sources()[0])
	if source.IsDir(r.inv.Files(), f) {
		return f
	}
	return path.Dir(f)
}

func (r *run) inventoryFile() value.Value {
	if len(r.inv.Sources()) == 0 {
		return nil
	}
	return source.Join(r.inv.Files().Root(), r.inv.Sources()[0])
}

// groupsDict is the variable groups.
func (r *run) groupsDict() *value.Dict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.groupsV == nil {
		d := value.NewDict()
		gs := r.inv.Groups()
		for _, n := range r.inv.GroupNames() {
			d.Set(n, names(gs[n]))
		}
		r.groupsV = d
	}
	return r.groupsV
}

// play runs one play, batch after batch.
func (r *run) play(pl *Play) error {
	pr := &playRun{r: r, play: pl, key: pl.name, gone: map[string]bool{}, ended: map[string]bool{}, prompted: value.NewDict(), fileVars: map[string]*value.Dict{}}
	// The play's own keywords may use extra vars and play vars.
	static := &staticScope{p: r.p, vars: append([]*value.Dict{r.extra}, pl.vars...)}
	str := func(l *lit) (string, error) {
		if l == nil {
			return "", nil
		}
		v, err := r.env.Value(r.ctx, l.v, static, inline)
		if err != nil {
			return "", err
		}
		if v, err = settled(v, 0); err != nil {
			return "", err
		}
		return (&lit{v: v}).text(), nil
	}
	pattern, err := str(pl.hosts)
	if err != nil {
		at := pl.hosts.at
		return &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf("cannot tell the play's hosts: %v", err), Remedy: "only extra vars and the play's own vars can be used here"}
	}
	name := pl.name
	if holdsTemplate(name) {
		if n, err := str(&lit{v: name, tmpl: true}); err == nil {
			name = n
		}
	}
	r.groupsV = nil
	hosts, unmatched, err := r.inv.Match(pattern)
	if err != nil {
		return err
	}
	for _, u := range unmatched {
		r.warn("Could not match supplied host pattern, ignoring: %s", u)
	}
	r.emit(Event{Kind: EventPlay, Play: name, Place: &pl.at})
	if pr.play.name != name {
		c := *pl
		c.name = name
		pr.play = &c
	}
	hosts = slices.DeleteFunc(hosts, func(h *inventory.Host) bool {
		return r.limit != nil && !r.limit[h.Name] || r.o.Only != "" && h.Name != r.o.Only
	})
	if len(hosts) == 0 {
		r.emit(Event{Kind: EventNoHosts, Play: name, Message: "skipping: no hosts matched"})
		return nil
	}
	if err := r.orderHosts(hosts, pl); err != nil {
		return err
	}
	if r.pv[pl.dir] == nil {
		if r.pv[pl.dir], err = r.inv.PlayVars(pl.dir); err != nil {
			return err
		}
	}
	for _, h := range hosts {
		st := r.state(h)
		pr.hosts = append(pr.hosts, st)
	}
	r.mergePlayVars(pl.dir)
	if err := r.ask(pr); err != nil {
		return err
	}
	batches, err := r.batches(pl, pr.hosts, str)
	if err != nil {
		return err
	}
	for i, b := range batches {
		// Batches are cut from all hosts; those that failed earlier sit theirs out.
		pr.batch = slices.DeleteFunc(slices.Clone(b), func(h *hostState) bool { return r.removed[h.name] })
		if i > 0 {
			r.emit(Event{Kind: EventPlay, Play: name, Place: &pl.at})
		}
		if len(pr.batch) == 0 {
			continue
		}
		broken := r.runBatch(pr, len(b))
		if pr.endPlay || r.ctx.Err() != nil {
			break
		}
		if broken {
			r.abort = true
			break
		}
	}
	r.emit(Event{Kind: EventPlayEnd, Play: name})
	return nil
}

// mergePlayVars merges group_vars and host_vars beside the playbook, once a host.
func (r *run) mergePlayVars(dir string) {
	pv := r.pv[dir]
	if pv.Empty() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.inv.Hosts() {
		h := r.stateLocked(r.inv.Host(n))
		if h.byPlay[dir] == nil {
			h.byPlay[dir] = r.inv.Merge(h.host, pv)
		}
	}
	for _, h := range r.hosts {
		if h.byPlay[dir] == nil {
			h.byPlay[dir] = r.inv.Merge(h.host, pv)
		}
	}
}

func (r *run) orderHosts(hosts []*inventory.Host, pl *Play) error {
	byName := func(a, b *inventory.Host) int { return strings.Compare(a.Name, b.Name) }
	switch o := pl.kw["order"].text(); o {
	case "", "inventory":
	case "sorted":
		slices.SortFunc(hosts, byName)
	case "reverse_sorted":
		slices.SortFunc(hosts, func(a, b *inventory.Host) int { return byName(b, a) })
	case "reverse_inventory":
		slices.Reverse(hosts)
	case "shuffle":
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	}
	return nil
}

// batches cuts the hosts by serial: a number, a percentage, or a list of them
// whose last entry is repeated.
func (r *run) batches(pl *Play, hosts []*hostState, str func(*lit) (string, error)) ([][]*hostState, error) {
	l := pl.kw["serial"]
	if l == nil || l.v == nil {
		return [][]*hostState{hosts}, nil
	}
	text, err := str(l)
	if err != nil {
		return nil, err
	}
	var sizes []int
	for _, s := range strings.Split(strings.Trim(text, "[]"), ",") {
		s = strings.Trim(strings.TrimSpace(s), "'\"")
		f, ok := source.Float(s)
		if !ok || s == "" {
			at := l.at
			return nil, &api.Error{Code: api.CodeInvalid, Place: &at, Field: "serial", Message: fmt.Sprintf("serial: %q is not a number or a percentage", s)}
		}
		n := int(f)
		if strings.HasSuffix(s, "%") {
			n = int(f / 100 * float64(len(hosts)))
			if n == 0 {
				n = 1
			}
		}
		sizes = append(sizes, n)
	}
	var out [][]*hostState
	for i := 0; len(hosts) > 0; i++ {
		n := sizes[min(i, len(sizes)-1)]
		if n <= 0 || n > len(hosts) {
			n = len(hosts)
		}
		out = append(out, hosts[:n])
		hosts = hosts[n:]
	}
	return out, nil
}

// ask asks the play's vars_prompt, once a run and variable.
func (r *run) ask(pr *playRun) error {
	for _, q := range pr.play.prompts {
		if _, given := r.extra.GetString(q.name); given {
			continue
		}
		answer := q.def
		if r.o.Prompt != nil {
			a, err := r.o.Prompt(r.ctx, Prompt{Text: q.text, Private: q.private, Confirm: q.confirm, Default: q.def})
			if err != nil {
				at := q.at
				return &api.Error{Code: api.CodeInvalid, Place: &at, Message: fmt.Sprintf("cannot ask for %s: %v", q.name, err), Remedy: fmt.Sprintf("give it with -e %s=…", q.name)}
			}
			if a != "" {
				answer = a
			}
		}
		var v value.Value = answer
		if q.encrypt != "" {
			kw := value.NewDict()
			if q.salt != "" {
				kw.Set("salt", q.salt)
			}
			h, err := r.env.Filters["password_hash"](&jinja.Call{Ctx: r.ctx, Args: []value.Value{answer, q.encrypt}, Kwargs: kw, Name: "password_hash", Env: r.env})
			if err != nil {
				return err
			}
			v = h
		}
		pr.prompted.Set(q.name, v)
	}
	return nil
}

// runBatch runs a play on one batch of all hosts; it reports whether each of
// them failed in it, which ends the run.
func (r *run) runBatch(pr *playRun, all int) (broken bool) {
	pl := pr.play
	pr.cursors = map[string]*cursor{}
	pr.notified = map[*Task]map[string]bool{}
	pr.handlers = slices.Clone(pl.handlers)
	pr.roles = slices.Clone(pl.roles)
	pr.roleRan, pr.roleHad = map[string]map[string]bool{}, map[string]map[string]bool{}
	pr.end, r.announced = false, nil
	program := r.program(pr)
	pr.program = program
	for _, h := range pr.batch {
		pr.cursors[h.name] = newCursor(program)
	}
	r.readVarsFiles(pr, pr.batch)
	r.carry(pr)
	st := shortAction(pl.kw["strategy"].text())
	if st == "free" || st == "host_pinned" {
		r.free(pr)
	} else {
		r.linear(pr)
	}
	r.batchOver(pr)
	failed := 0
	for _, h := range pr.batch {
		if pr.gone[h.name] {
			failed++
		}
	}
	return failed == all && !pr.end
}

// program lines the play's sections up, with fact gathering before and
// handlers between.
func (r *run) program(pr *playRun) []node {
	pl := pr.play
	var out []node
	if t := r.gatherTask(pr); t != nil {
		out = append(out, t)
	}
	for _, s := range pl.program {
		if len(s.nodes) == 0 {
			continue
		}
		out = append(out, s.nodes...)
		out = append(out, flushTask(pl))
	}
	return out
}

func flushTask(pl *Play) *Task {
	return &Task{common: common{play: pl, attrs: map[string]*lit{}, tags: []string{"always"}}, action: "meta", written: "meta", args: value.DictOf("_raw_params", "flush_handlers"), implicit: true, loopVar: "item"}
}

// gatherTask is the implicit first task of a play.
func (r *run) gatherTask(pr *playRun) *Task {
	pl := pr.play
	want := r.o.Gathering != "explicit"
	if l := pl.kw["gather_facts"]; l != nil && l.v != nil {
		v := l.v
		if l.tmpl {
			static := &staticScope{p: r.p, vars: append([]*value.Dict{r.extra}, pl.vars...)}
			if x, err := r.env.Value(r.ctx, l.v, static, inline); err == nil {
				v = x
			}
		}
		want, _ = source.Bool(v)
	}
	if !want {
		return nil
	}
	root := common{play: pl, attrs: pl.attrs, tags: []string{"always"}, env: pl.env, defaults: pl.defaults, vars: pl.vars, at: pl.at}
	if len(pl.tags) > 0 {
		root.tags = mergeTags(root.tags, pl.tags)
	}
	t := &Task{common: root, action: "gather_facts", written: "gather_facts", fqcn: "ansible.builtin.gather_facts", args: value.NewDict(), loopVar: "item", implicit: true, dir: pl.dir}
	t.name = "Gathering Facts"
	attrs := overlay(pl.attrs, nil)
	delete(attrs, "run_once")
	t.attrs = attrs
	for _, k := range []string{"gather_subset", "gather_timeout", "fact_path"} {
		if l := pl.kw[k]; l != nil && l.v != nil {
			t.args.Set(k, l.v)
		}
	}
	return t
}

// loadVarsFiles reads vars_files for hosts. Files whose names hold variables
// that are not known yet are tried again after facts were gathered.
func (r *run) loadVarsFiles(pr *playRun, hosts []*hostState) []hostError {
	if len(pr.play.varsFiles) == 0 {
		return nil
	}
	var failed []hostError
	for _, h := range hosts {
		out := value.NewDict()
		s := r.hostScope(r.ctx, pr, h)
		for _, l := range pr.play.varsFiles {
			choices := []value.Value{l.v}
			if list, ok := l.v.(*value.List); ok {
				choices = list.Items
			}
			found := false
			var tried []string
			var lastErr error
			for _, c := range choices {
				v, err := s.template(c)
				if err != nil {
					lastErr = err
					continue
				}
				file := source.Join(pr.play.dir, value.Str(v))
				if !source.IsFile(r.p.files, file) {
					if alt := path.Join(pr.play.dir, "vars", value.Str(v)); source.IsFile(r.p.files, alt) {
						file = alt
					} else {
						tried = append(tried, file)
						continue
					}
				}
				d, err := r.p.varsFile(file)
				if err != nil {
					lastErr = err
					break
				}
				out.Update(d)
				found = true
				break
			}
			if !found && len(tried) > 0 && lastErr == nil {
				lastErr = fmt.Errorf("Could not find or access vars file: %s", strings.Join(tried, ", "))
			}
			if !found && lastErr != nil {
				var ue *value.UndefinedError
				if !errors.As(lastErr, &ue) {
					failed = append(failed, hostError{h, lastErr})
				}
			}
		}
		r.mu.Lock()
		pr.fileVars[h.name] = out
		r.mu.Unlock()
	}
	return failed
}

// readVarsFiles reads vars_files for hosts; one that cannot be read fails its host.
func (r *run) readVarsFiles(pr *playRun, hosts []*hostState) {
	for _, e := range r.loadVarsFiles(pr, hosts) {
		t := &Task{common: common{play: pr.play, attrs: map[string]*lit{}, at: pr.play.at, name: "vars_files"}, action: "vars_files", written: "vars_files", args: value.NewDict(), loopVar: "item", implicit: true}
		o := &outcome{h: e.h, t: t, status: "failed", res: failure("%s", reason(e.err)), place: pr.play.at, module: "vars_files"}
		r.report(pr, t, o)
		c := pr.cursors[e.h.name]
		c.frames = nil
		r.failHost(pr, e.h, t, o, true)
	}
}

type hostError struct {
	h   *hostState
	err error
}

func (pr *playRun) roleIsDone(role *roleRun, host string) bool {
	return !role.allowDup && pr.roleRan[role.key][host]
}

func (pr *playRun) roleDone(role *roleRun, host string) {
	if !pr.roleHad[role.key][host] {
		return
	}
	if pr.roleRan[role.key] == nil {
		pr.roleRan[role.key] = map[string]bool{}
	}
	pr.roleRan[role.key][host] = true
}

func (pr *playRun) roleTaskRan(role *roleRun, host string) {
	if pr.roleHad[role.key] == nil {
		pr.roleHad[role.key] = map[string]bool{}
	}
	pr.roleHad[role.key][host] = true
}

// live lists the hosts of the batch that go on.
func (pr *playRun) live() []*hostState {
	var out []*hostState
	for _, h := range pr.batch {
		if c := pr.cursors[h.name]; c != nil && (!pr.gone[h.name] || c.forcing) {
			out = append(out, h)
		}
	}
	return out
}

// maxFailed reports whether more hosts failed than max_fail_percentage allows.
func (pr *playRun) maxFailed() bool {
	l := pr.play.kw["max_fail_percentage"]
	if l == nil || l.v == nil {
		return false
	}
	v := l.v
	if l.tmpl {
		s := pr.r.hostScope(pr.r.ctx, pr, pr.batch[0])
		x, err := s.template(l.v)
		if err != nil {
			return false
		}
		v = x
	}
	limit, ok := source.Float(v)
	if !ok {
		return false
	}
	n := 0
	for _, h := range pr.batch {
		if pr.gone[h.name] {
			n++
		}
	}
	return float64(n)/math.Max(1, float64(len(pr.batch)))*100 > limit
}

// sources keeps what requests name by hash: files too large to travel inside.
type sources struct {
	mu sync.Mutex
	m  map[string]func() (io.ReadCloser, error)
}

func (s *sources) put(sum string, open func() (io.ReadCloser, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]func() (io.ReadCloser, error){}
	}
	s.m[sum] = open
}

func (s *sources) open(sum string) (io.ReadCloser, error) {
	s.mu.Lock()
	f := s.m[sum]
	s.mu.Unlock()
	if f == nil {
		return nil, api.Errorf(api.CodeNotFound, "cannot open the source %s: no task of this run brought it", sum)
	}
	return f()
}
