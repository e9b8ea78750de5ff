package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"drover/api"
	"drover/internal/journal"
	"drover/internal/store"
)

// intake is the one writer of hosts' statuses. What arrives is queued, and one
// goroutine writes all that gathered meanwhile in few transactions: so 5,000
// hosts may report at once. A report is first an event in the journal, which
// keeps its id, then a status, then acknowledged.
type intake struct {
	f    *Fleet
	wake chan struct{}

	mu    sync.Mutex
	queue []*item
	room  chan struct{} // closed when the queue was taken
	seen  map[string]*recent
}

// item is one change of one host's status.
type item struct {
	host   string
	report *api.Report
	facts  *api.Facts
	known  func(before *api.Host) bool         // there is nothing to write; nil: there is
	events func(before *api.Host) []*api.Event // nil: none
	mutate func(h *api.Host)                   // only the status; it replaces what is in it
	done   func(err error)                     // called once, when it is stored
}

const (
	maxQueue = 20_000 // items; more hold up the hosts that send them
	maxTake  = 2_000  // items written at once
	chunk    = 100    // hosts in a transaction
)

func newIntake(f *Fleet) *intake {
	return &intake{f: f, wake: make(chan struct{}, 1), room: make(chan struct{}), seen: map[string]*recent{}}
}

// recent remembers the ids of a host's last reports.
type recent struct{ ids []string }

const maxRecent = 512

func (r *recent) add(id string) {
	if len(r.ids) == maxRecent {
		r.ids = slices.Delete(r.ids, 0, maxRecent/2)
	}
	r.ids = append(r.ids, id)
}

// prime reads from the journal which reports were taken before this start.
func (in *intake) prime(events []api.Event) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, e := range events {
		if id, ok := e.Data["report"].(string); ok {
			in.of(e.Host).add(id)
		}
	}
}

func (in *intake) of(host string) *recent {
	r := in.seen[host]
	if r == nil {
		r = &recent{}
		in.seen[host] = r
	}
	return r
}

func (in *intake) put(it *item) {
	for {
		in.mu.Lock()
		if len(in.queue) < maxQueue {
			in.queue = append(in.queue, it)
			in.mu.Unlock()
			select {
			case in.wake <- struct{}{}:
			default:
			}
			return
		}
		room := in.room
		in.mu.Unlock()
		<-room // the writer takes from the queue as long as it lives, and empties it when it ends
	}
}

// update changes statuses and waits until they are stored.
func (in *intake) update(ctx context.Context, mutate map[string]func(*api.Host)) error {
	if len(mutate) == 0 {
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	wg.Add(len(mutate))
	for host, fn := range mutate {
		in.put(&item{host: host, mutate: fn, done: func(err error) {
			mu.Lock()
			failed = errors.Join(failed, err)
			mu.Unlock()
			wg.Done()
		}})
	}
	stored := make(chan struct{})
	go func() { wg.Wait(); close(stored) }() // ends with the items, each of which is done at the latest when the writer ends
	select {
	case <-stored:
		return failed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (in *intake) run(ctx context.Context) error {
	defer in.abandon()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-in.wake:
		}
		for {
			batch := in.take()
			if len(batch) == 0 {
				break
			}
			if err := in.write(ctx, batch); err != nil {
				return nil // ctx ended; agents send again what was not acknowledged
			}
		}
	}
}

func (in *intake) take() []*item {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(len(in.queue), maxTake)
	batch := in.queue[:n:n]
	in.queue = in.queue[n:]
	if len(in.queue) == 0 {
		in.queue = nil
	}
	close(in.room)
	in.room = make(chan struct{})
	return batch
}

// abandon lets nobody wait for a writer that has ended.
func (in *intake) abandon() {
	for {
		batch := in.take()
		if len(batch) == 0 {
			return
		}
		for _, it := range batch {
			it.finish(api.Errorf(api.CodeUnavailable, "the server is stopping"))
		}
	}
}

func (it *item) finish(err error) {
	if it.done != nil {
		it.done(err)
	}
}

// write stores a batch, again and again until it is stored or ctx ends.
func (in *intake) write(ctx context.Context, batch []*item) error {
	hosts := map[string]*api.Host{}
	by := map[string][]*item{}
	var events []*api.Event
	var applies []*api.Report
	var names []string
	for _, it := range batch {
		h, known := hosts[it.host]
		if !known {
			h = in.f.status(ctx, it.host) // nil: it was deleted
			hosts[it.host] = h
		}
		// A status may be in this very batch, so that only here is it known what is new.
		if h == nil || it.known != nil && it.known(h) {
			continue
		}
		if it.events != nil && (it.report == nil || in.isNew(it)) {
			events = append(events, it.events(h)...)
		}
		if it.report != nil && tells(h, it.report) {
			applies = append(applies, it.report)
		}
		it.mutate(h)
		if len(by[it.host]) == 0 {
			names = append(names, it.host)
		}
		by[it.host] = append(by[it.host], it)
	}
	for _, it := range batch {
		// Whoever reads in the status that a host has converged can read how.
		if h := hosts[it.host]; h != nil && it.report != nil && h.Status.Last.ID == it.report.ID {
			in.f.reports.keep(it.report)
		}
	}
	err := in.persist(ctx, events, applies, batch, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(4)
		for part := range slices.Chunk(names, chunk) {
			g.Go(func() error { return in.commit(ctx, part, hosts, by) })
		}
		return g.Wait()
	})
	for _, it := range batch {
		it.finish(err)
	}
	return err
}

// status gives a host whose status may be replaced, field by field: what the
// fields refer to is shared.
func (f *Fleet) status(ctx context.Context, host string) *api.Host {
	h, err := f.hosts.Peek(ctx, host)
	if err != nil {
		return nil
	}
	own := *h
	return &own
}

// isNew reports whether a report comes for the first time, and remembers it.
func (in *intake) isNew(it *item) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	r := in.of(it.host)
	if slices.Contains(r.ids, it.report.ID) {
		return false
	}
	r.add(it.report.ID)
	return true
}

// tells reports whether a report is kept among the runs: it changed something
// or failed, the one before failed, or it is the first of a revision on that host.
// A host sends a report again that was not acknowledged; the log of runs takes
// each once.
func tells(before *api.Host, r *api.Report) bool {
	last := before.Status.Last
	return r.Changed || r.Failed || last == nil || last.Failed || last.Commit != r.Commit
}

// persist writes events, once, then the rest, with patience.
func (in *intake) persist(ctx context.Context, events []*api.Event, applies []*api.Report, batch []*item, statuses func(context.Context) error) error {
	steps := []func(context.Context) error{
		func(ctx context.Context) error {
			if len(events) == 0 {
				return nil
			}
			return in.f.s.Journal.Append(ctx, events...)
		},
		func(ctx context.Context) error { return in.f.s.Runs.Applied(ctx, applies...) },
		statuses,
		func(ctx context.Context) error { return in.details(ctx, batch) },
	}
	wait := 100 * time.Millisecond
	for len(steps) > 0 {
		err := steps[0](ctx)
		if err == nil {
			steps = steps[1:]
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		in.f.log.Error("cannot store what hosts reported; trying again", "items", len(batch), "error", err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 10*time.Second)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// commit writes the statuses of some hosts in one transaction; if one of them
// changed meanwhile or is gone, each by itself.
func (in *intake) commit(ctx context.Context, names []string, hosts map[string]*api.Host, by map[string][]*item) error {
	var changes []store.Change
	for _, n := range names {
		changes = append(changes, in.f.hosts.ToPutPart(hosts[n], store.Status).Silent())
	}
	err := in.f.s.Store.Commit(ctx, changes...)
	switch api.CodeOf(err) {
	case api.CodeConflict, api.CodeNotFound, api.CodeTooLarge:
	default:
		return err
	}
	for _, n := range names {
		_, err := in.f.hosts.UpdateStatus(ctx, n, func(h *api.Host) error {
			for _, it := range by[n] {
				it.mutate(h)
			}
			return nil
		})
		if err != nil && api.CodeOf(err) != api.CodeNotFound && api.CodeOf(err) != api.CodeTooLarge {
			return err
		}
	}
	return nil
}

// details keeps all facts, which are too much for a status.
func (in *intake) details(ctx context.Context, batch []*item) error {
	facts := map[string]*hostFacts{}
	for _, it := range batch {
		if it.facts == nil {
			continue
		}
		b, err := json.Marshal(it.facts.Facts)
		if err != nil || len(b) > maxFacts {
			in.f.log.Warn("the facts of a host are left out: too large", "host", it.host, "bytes", len(b))
			continue
		}
		o := &hostFacts{Meta: api.Meta{Kind: "hostfacts", Name: it.host}}
		o.Spec.Hash, o.Spec.Data, o.Spec.Time = it.facts.Hash, in.f.zip.EncodeAll(b, nil), in.f.s.Now().UTC()
		if len(o.Spec.Data) > store.MaxObject/2 {
			in.f.log.Warn("the facts of a host are left out: too large", "host", it.host, "bytes", len(b))
			continue
		}
		facts[it.host] = o
	}
	if len(facts) == 0 {
		return nil
	}
	all := make([]*hostFacts, 0, len(facts))
	for host, o := range facts {
		if _, err := in.f.hosts.Peek(ctx, host); err == nil {
			all = append(all, o)
		}
	}
	return in.f.facts.PutMany(ctx, all)
}

// remember reads what the journal knows from before this start.
func (f *Fleet) remember(ctx context.Context) error {
	events, err := f.s.Journal.List(ctx, journal.Filter{Type: "host.", Limit: 50_000})
	if err != nil {
		return err
	}
	f.intake.prime(events)
	f.presence.prime(events)
	return nil
}

func (in *intake) forget(host string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.seen, host)
}
