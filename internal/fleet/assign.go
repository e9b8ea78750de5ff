package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"drover/api"
	"drover/internal/journal"
	"drover/internal/store"
)

// assigner is the loop that makes the fleet's assignments what the head of
// main says. It compares and writes what differs, so that it may be stopped
// anywhere and started again.
type assigner struct {
	f    *Fleet
	wake chan struct{}

	mu      sync.Mutex
	want    map[string]string // hash of each host's stored assignment
	dirty   map[string]bool   // hosts to look at; the rest is as it should be
	done    string            // commit that all hosts were brought to
	ready   *compiled         // of a push that is about to be accepted
	waiting []chan outcome
	over    bool // the loop has ended: nobody should wait for it
}

// outcome is what became of a revision.
type outcome struct {
	hosts, changed, sent int
	err                  error
}

func newAssigner(f *Fleet) *assigner {
	return &assigner{f: f, wake: make(chan struct{}, 1), want: map[string]string{}, dirty: map[string]bool{}}
}

// wanted is the hash of the assignment that a host should be at.
func (a *assigner) wanted(host string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.want[host]
	return h, ok
}

// kick asks for a look at a host that was made or changed.
func (a *assigner) kick(obj api.Object) {
	if obj == nil {
		return
	}
	a.mu.Lock()
	a.dirty[obj.Metadata().Name] = true
	a.mu.Unlock()
	a.nudge()
}

func (a *assigner) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *assigner) forget(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.want, host)
	delete(a.dirty, host)
}

// accepted tells the loop that main moved, and waits until the fleet is
// assigned what it is now.
func (a *assigner) accepted(ctx context.Context) outcome {
	ch := make(chan outcome, 1)
	a.mu.Lock()
	if a.over {
		ch <- outcome{err: errStopping}
	} else {
		a.waiting = append(a.waiting, ch)
	}
	a.mu.Unlock()
	a.nudge()
	select {
	case o := <-ch:
		return o
	case <-ctx.Done():
		return outcome{err: context.Cause(ctx)}
	}
}

// prepare hands over what a push compiled, so that it is not done twice.
func (a *assigner) prepare(c *compiled) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = c
}

var errStopping = errors.New("the server is stopping and goes on at its next start")

func (a *assigner) run(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	a.setOver(false)
	defer a.setOver(true)
	wait := 200 * time.Millisecond
	var retry <-chan time.Time
	a.nudge()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-retry:
		}
		retry = nil
		err := a.reconcile(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.f.log.Error("cannot assign the fleet's revision; trying again", "error", err, "in", wait)
			retry = time.After(wait)
			wait = min(2*wait, 30*time.Second)
			continue
		}
		wait = 200 * time.Millisecond
	}
}

func (a *assigner) setOver(over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = over
	if over {
		answer(a.waiting, outcome{err: errStopping})
		a.waiting = nil
	}
}

// load reads what the store holds.
func (a *assigner) load(ctx context.Context) error {
	want := map[string]string{}
	err := a.f.assignments.Scan(ctx, func(as *api.Assignment) error {
		want[as.Name] = as.Spec.Hash
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.want = want
	return err
}

// reconcile brings every host that needs it to the head of main.
func (a *assigner) reconcile(ctx context.Context) error {
	// Who waits now has moved main already; who comes later waits for the next round.
	a.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	out, err := a.round(ctx)
	if err == nil {
		answer(waiting, out)
		return nil
	}
	// A revision that does not compile will not do so the next time: its
	// pusher is told, and the hosts stay what they are.
	var e *api.Error
	if errors.As(err, &e) && e.Code == api.CodeInvalid {
		answer(waiting, outcome{err: err})
		return err
	}
	a.mu.Lock()
	a.waiting = append(waiting, a.waiting...)
	a.mu.Unlock()
	return err
}

func (a *assigner) round(ctx context.Context) (outcome, error) {
	head, err := a.f.repo.Head(ctx)
	if err != nil || head == "" {
		return outcome{}, err
	}
	a.mu.Lock()
	full := head != a.done
	dirty := a.dirty
	a.dirty = map[string]bool{}
	ready := a.ready
	if a.ready = nil; ready != nil && ready.commit != head {
		ready = nil
	}
	a.mu.Unlock()
	if !full && len(dirty) == 0 {
		return outcome{}, nil
	}
	out, err := a.bring(ctx, head, full, dirty, ready)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		for h := range dirty {
			a.dirty[h] = true
		}
		return outcome{}, err
	}
	a.done = head
	return out, nil
}

// answer tells those who waited before this round began.
func answer(waiting []chan outcome, o outcome) {
	for _, ch := range waiting {
		ch <- o
	}
}

func (a *assigner) bring(ctx context.Context, head string, full bool, dirty map[string]bool, ready *compiled) (outcome, error) {
	begun := time.Now()
	hosts, err := a.f.hosts.Shared(ctx)
	if err != nil {
		return outcome{}, err
	}
	var only []string // nil: all
	if !full {
		only = make([]string, 0, len(dirty))
		for _, h := range hosts {
			if dirty[h.Name] {
				only = append(only, h.Name)
			}
		}
	}
	if ready == nil || !full || !ready.covers(hosts) {
		tree, err := a.f.repo.Tree(ctx, head)
		if err != nil {
			return outcome{}, fmt.Errorf("cannot read revision %s: %w", short(head), err)
		}
		if ready, err = a.f.compile(ctx, head, tree, hosts, only); err != nil {
			return outcome{}, err
		}
		if n, first := ready.errors(); n > 0 {
			return outcome{}, api.Errorf(api.CodeInvalid, "cannot compile revision %s: %v", short(head), first)
		}
	}
	compiled := time.Now()
	out, status, err := a.write(ctx, head, full, hosts, only, ready)
	if err != nil {
		return outcome{}, err
	}
	sent := time.Now()
	if err := a.f.intake.update(ctx, status); err != nil {
		return out, fmt.Errorf("cannot store the hosts' statuses: %w", err)
	}
	if full {
		err = a.f.activate(ctx, head)
		a.f.log.Info("a revision is assigned", "commit", short(head), "hosts", out.hosts, "changed", out.changed, "sent", out.sent,
			"compiling", compiled.Sub(begun).Round(time.Millisecond), "sending", sent.Sub(compiled).Round(time.Millisecond), "recording", time.Since(sent).Round(time.Millisecond))
	}
	return out, err
}

// write stores and sends the assignments that differ: first what they refer
// to, then the revision, then they themselves.
func (a *assigner) write(ctx context.Context, head string, full bool, hosts []*api.Host, only []string, c *compiled) (outcome, map[string]func(*api.Host), error) {
	a.f.bundles.Lock()
	defer a.f.bundles.Unlock()
	if err := c.store(a.f.s.Blobs); err != nil {
		return outcome{}, nil, err
	}
	if full {
		if err := a.f.record(ctx, c, len(hosts)); err != nil {
			return outcome{}, nil, err
		}
	}
	touched := map[string]bool{}
	for _, n := range only {
		touched[n] = true
	}
	var puts []*api.Assignment
	out := outcome{}
	status := map[string]func(*api.Host){}
	for _, h := range hosts {
		if only != nil && !touched[h.Name] {
			continue
		}
		out.hosts++
		as := c.assignment(h)
		was, had := a.wanted(h.Name)
		if differs(had, was, as.Spec.Hash) {
			puts = append(puts, as)
		}
		hash, groups := as.Spec.Hash, c.groups(h.Name)
		status[h.Name] = func(h *api.Host) {
			h.Status.Assigned, h.Status.Groups = head, groups
			if h.Status.Last != nil && h.Status.Last.Hash == hash {
				h.Status.Revision = head // what it is already is what it should be
			}
			h.Status.State = stateOf(h, hash)
		}
	}
	out.changed = len(puts)
	if err := a.f.assignments.PutMany(ctx, puts); err != nil {
		return out, nil, fmt.Errorf("cannot store the assignments: %w", err)
	}
	a.mu.Lock()
	for _, as := range puts {
		a.want[as.Name] = as.Spec.Hash
	}
	a.mu.Unlock()
	for _, as := range puts {
		if a.f.s.Hub.Send(as.Name, &api.ToAgent{Assign: &as.Spec}) == nil {
			out.sent++
		} // else it gets it with its next hello
	}
	return out, status, nil
}

// differs reports whether an assignment is to be written. A host that never
// had one is not told to be nothing.
func differs(had bool, was, hash string) bool {
	if !had {
		return hash != emptyHash
	}
	return was != hash
}

// sendIfOther sends a host what it should be, unless it says it has that.
func (a *assigner) sendIfOther(ctx context.Context, host, has string) {
	want, ok := a.wanted(host)
	if ok && want == has {
		return
	}
	as, err := a.f.assignments.Get(ctx, host)
	if err != nil {
		if api.CodeOf(err) != api.CodeNotFound {
			a.f.log.Error("cannot read an assignment", "host", host, "error", err)
		}
		return
	}
	if as.Spec.Hash != has {
		_ = a.f.s.Hub.Send(host, &api.ToAgent{Assign: &as.Spec}) // if it left, its next hello brings us here again
	}
}

// record writes the revision before the first assignment of it.
func (f *Fleet) record(ctx context.Context, c *compiled, hosts int) error {
	info, err := f.repo.Commit(ctx, c.commit)
	if err != nil {
		return err
	}
	r := &api.Revision{Meta: api.Meta{Kind: "revision", Name: c.commit}}
	if old, err := f.revisions.Get(ctx, c.commit); err == nil {
		r = old
	}
	r.Spec = api.RevisionSpec{Parent: info.Parent, Subject: info.Subject, Author: info.Author, Pusher: f.repo.Pusher(ctx), When: r.Spec.When, Bundle: c.bundle()}
	if r.Spec.When.IsZero() {
		r.Spec.When = f.s.Now().UTC()
	}
	r.Status.Hosts = hosts
	r.Status.Problems = nil
	for _, p := range c.problems {
		if len(r.Status.Problems) == maxListed {
			break
		}
		r.Status.Problems = append(r.Status.Problems, cutText(p.Error(), 500))
	}
	return f.revisions.Put(ctx, r)
}

// activate makes a revision the active one, and says so once.
func (f *Fleet) activate(ctx context.Context, commit string) error {
	var changes []store.Change
	var now *api.Revision
	all, _, err := f.revisions.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Name == commit {
			if r.Status.Active {
				return nil
			}
			now = r
		}
		if (r.Name == commit) != r.Status.Active {
			r.Status.Active = r.Name == commit
			changes = append(changes, f.revisions.ToPut(r))
		}
	}
	if now == nil {
		return api.Errorf(api.CodeInternal, "cannot activate revision %s: it is not stored", short(commit))
	}
	said, err := f.s.Journal.List(ctx, journal.Filter{Type: "revision.accepted", Limit: 20})
	if err != nil {
		return err
	}
	told := false
	for _, e := range said {
		told = e.Data["commit"] == commit // the last one counts: a revert may come back to an older commit
	}
	if !told {
		err := f.s.Journal.Append(ctx, &api.Event{Type: "revision.accepted", Actor: now.Spec.Pusher,
			Message: fmt.Sprintf("revision %s is active: %s", short(commit), now.Spec.Subject),
			Data:    map[string]any{"commit": commit, "subject": now.Spec.Subject, "author": now.Spec.Author, "hosts": now.Status.Hosts}})
		if err != nil {
			return err
		}
	}
	return f.s.Store.Commit(ctx, changes...)
}

// active is the active revision, nil while there is none.
func (f *Fleet) active(ctx context.Context) (*api.Revision, error) {
	var found *api.Revision
	err := f.revisions.Scan(ctx, func(r *api.Revision) error {
		if r.Status.Active {
			c := *r
			found = &c
		}
		return nil
	})
	return found, err
}

// hashOf names a list of sections: what they are and what is in them.
func hashOf(sections []api.Section) string {
	h := sha256.New()
	for _, s := range sections {
		fmt.Fprintf(h, "%d:%s %s\n", len(s.Room), s.Room, s.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// emptyHash is that of an assignment without sections: be left alone.
var emptyHash = hashOf(nil)
