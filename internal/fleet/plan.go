package fleet

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/plan"
)

// checks are the check runs that hosts were asked for and have not answered.
type checks struct {
	mu      sync.Mutex
	waiting map[string]*check
	blobs   map[string]int // "host sha256" that a host may fetch for a check
}

type check struct {
	host   string
	answer chan *api.JobDone
}

func (c *checks) done(host string, d *api.JobDone) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[d.ID]; w != nil && w.host == host {
		delete(c.waiting, d.ID)
		w.answer <- d
	}
}

// left answers for a host that went away.
func (c *checks) left(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, w := range c.waiting {
		if w.host == host {
			delete(c.waiting, id)
			w.answer <- nil
		}
	}
}

func (c *checks) mayFetch(host, sha string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blobs[host+" "+sha] > 0
}

func (c *checks) allow(as *api.Assignment, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range as.Spec.Sections {
		for _, sha := range s.Blobs {
			key := as.Name + " " + sha
			if c.blobs[key] += n; c.blobs[key] == 0 {
				delete(c.blobs, key)
			}
		}
	}
}

// checkRun asks one host what an assignment would do to it. nil: no answer.
func (f *Fleet) checkRun(ctx context.Context, as *api.Assignment, deadline time.Time) *api.JobDone {
	c := f.checks
	id := "check-" + rand.Text()
	w := &check{host: as.Name, answer: make(chan *api.JobDone, 1)}
	c.mu.Lock()
	c.waiting[id] = w
	c.mu.Unlock()
	c.allow(as, 1)
	defer func() {
		c.allow(as, -1)
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	spec := as.Spec
	if f.s.Hub.Send(as.Name, &api.ToAgent{Converge: &api.Converge{ID: id, Check: true, Assignment: &spec, Deadline: deadline}}) != nil {
		return nil
	}
	select {
	case d := <-w.answer:
		return d
	case <-ctx.Done():
		_ = f.s.Hub.Send(as.Name, &api.ToAgent{Cancel: &api.Cancel{ID: id}})
		return nil
	}
}

// plan says what a compiled tree would change. With ask, connected hosts that
// change are asked by a check run, for at most wait.
func (f *Fleet) plan(ctx context.Context, c *compiled, hosts []*api.Host, ask bool, wait time.Duration) (*api.Plan, error) {
	p := &api.Plan{Commit: c.commit, Problems: c.problems, Declared: len(c.inv.Hosts()), Changed: []string{}}
	p.Errors, _ = c.errors()
	if base, err := f.active(ctx); err != nil {
		return nil, err
	} else if base != nil {
		p.Base = base.Name
	}
	if p.Errors > 0 {
		return p, nil
	}
	p.NotEnrolled, p.NotDeclared = c.strangers()
	changed := map[string]*api.Assignment{}
	for _, h := range hosts {
		as := c.assignment(h)
		if was, had := f.assign.wanted(h.Name); !differs(had, was, as.Spec.Hash) {
			p.Unchanged++
			continue
		}
		changed[h.Name] = as
		p.Changed = append(p.Changed, h.Name)
	}
	sort.Strings(p.Changed)
	if !ask {
		p.NotAsked = p.Changed
		return p, nil
	}
	asked := f.pick(c, p.Changed)
	// What they need to look at is not in any assignment yet.
	var extra []string
	if len(asked) > 0 {
		var err error
		if extra, err = f.lend(c); err != nil {
			return nil, err
		}
	}
	answers := f.askAll(ctx, asked, changed, wait)
	f.takeBack(ctx, extra)
	p.Groups = collapse(answers)
	for _, h := range p.Changed {
		if answers[h] == nil {
			p.NotAsked = append(p.NotAsked, h)
		}
	}
	return p, nil
}

// pick chooses the hosts to ask: connected ones, in turn from each set of
// groups, so that every kind of host has a say.
func (f *Fleet) pick(c *compiled, changed []string) []string {
	kinds := map[string][]string{}
	var order []string
	for _, h := range changed {
		if !f.s.Hub.Connected(h) {
			continue
		}
		k := strings.Join(c.groups(h), ",")
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], h)
	}
	var out []string
	for round := 0; len(out) < f.o.PlanHosts; round++ {
		any := false
		for _, k := range order {
			if round < len(kinds[k]) && len(out) < f.o.PlanHosts {
				out = append(out, kinds[k][round])
				any = true
			}
		}
		if !any {
			break
		}
	}
	return out
}

func (f *Fleet) askAll(ctx context.Context, hosts []string, as map[string]*api.Assignment, wait time.Duration) map[string]*api.JobDone {
	deadline := time.Now().Add(wait)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := map[string]*api.JobDone{}
	for _, h := range hosts {
		wg.Go(func() {
			if d := f.checkRun(ctx, as[h], deadline); d != nil {
				mu.Lock()
				answers[h] = d
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

// collapse puts hosts together that would change in the same way.
func collapse(answers map[string]*api.JobDone) []api.PlanGroup {
	groups := map[string]*api.PlanGroup{}
	for _, host := range slices.Sorted(maps.Keys(answers)) {
		g := groupOf(answers[host])
		key := plan.Same(g)
		if have := groups[key]; have != nil {
			have.Hosts = append(have.Hosts, host)
			continue
		}
		for i := range g.Tasks {
			plan.Trim(&g.Tasks[i])
		}
		g.Hosts = []string{host}
		groups[key] = &g
	}
	out := make([]api.PlanGroup, 0, len(groups))
	for _, g := range groups {
		out = append(out, *g)
	}
	// Those that change first, large ones first, so that the common case leads.
	slices.SortFunc(out, func(a, b api.PlanGroup) int {
		switch {
		case (len(a.Tasks) == 0 && !a.Failed) != (len(b.Tasks) == 0 && !b.Failed):
			if len(a.Tasks) == 0 && !a.Failed {
				return 1
			}
			return -1
		case len(a.Hosts) != len(b.Hosts):
			return len(b.Hosts) - len(a.Hosts)
		}
		return strings.Compare(a.Hosts[0], b.Hosts[0])
	})
	return out
}

// groupOf is what a check found, without what differs between hosts that do
// the same: times and return values.
func groupOf(d *api.JobDone) api.PlanGroup {
	g := api.PlanGroup{Failed: d.Error != "", Error: d.Error}
	if d.Report == nil {
		return g
	}
	if d.Report.Failed {
		g.Failed = true
		g.Error = firstOf(g.Error, d.Report.Message)
	}
	rooms := make([]string, 0, len(d.Report.Sections))
	for room := range d.Report.Sections {
		rooms = append(rooms, room)
	}
	sort.Strings(rooms)
	for _, room := range rooms {
		res := d.Report.Sections[room]
		if res.Failed {
			g.Failed, g.Error = true, firstOf(g.Error, res.Message)
		}
		for _, t := range res.Tasks {
			switch t.Status {
			case "changed", "failed", "unreachable", api.StatusUnforeseen:
				t.Start, t.Duration, t.Result = time.Time{}, 0, nil
				g.Tasks = append(g.Tasks, t)
			}
		}
	}
	return g
}

// lend stores the blobs of a plan; it gives the hashes of those that were new.
func (f *Fleet) lend(c *compiled) ([]string, error) {
	f.bundles.Lock()
	defer f.bundles.Unlock()
	var extra []string
	for _, b := range c.blobs {
		if !f.s.Blobs.Has(b.SHA256) {
			extra = append(extra, b.SHA256)
		}
	}
	return extra, c.store(f.s.Blobs)
}

// takeBack removes what a plan stored, unless something refers to it by now. A
// host that still reads one has it open and reads on.
func (f *Fleet) takeBack(ctx context.Context, blobs []string) {
	if len(blobs) == 0 {
		return
	}
	f.bundles.Lock()
	defer f.bundles.Unlock()
	used, err := f.named(context.WithoutCancel(ctx))
	for _, b := range blobs {
		if err == nil && !used[b] {
			err = f.s.Blobs.Remove(b)
		}
	}
	if err != nil {
		f.log.Warn("cannot remove the bundle of a plan", "error", err)
	}
}
