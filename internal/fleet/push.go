package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleet/repo"
	"drover/internal/plan"
	"drover/internal/tree"
)

// judge decides on pushes to the fleet repository.
type judge struct {
	f       *Fleet
	failing int // hosts on which the check of main's new state fails
	plan    *api.Plan
}

// Judge reads a pushed branch. main must be without errors; other branches are
// told what main would be told.
func (j *judge) Judge(ctx context.Context, p *repo.Push, say io.Writer) (err error) {
	f := j.f
	defer func() {
		if err != nil {
			domain.NoteFailure(ctx, api.CodeOf(err))
		}
	}()
	hosts, err := f.hosts.Shared(ctx)
	if err != nil {
		return err
	}
	c := &compiled{commit: p.Commit.Hash, hosts: map[string]bool{}, inv: noInventory{}}
	t, err := p.Tree(ctx)
	if err == nil {
		c, err = f.compile(ctx, p.Commit.Hash, t, hosts, nil)
	} else {
		err = c.problem(err)
	}
	if err != nil {
		f.log.Error("cannot check a push", "commit", p.Commit.Hash, "error", err)
		return err
	}
	n, first := c.errors()
	fmt.Fprintf(say, "\n%s %s: %s\n", p.Branch(), short(p.Commit.Hash), p.Commit.Subject)
	if n > 0 {
		plan.Print(say, &api.Plan{Errors: n, Problems: c.problems}, plan.Options{})
		if !p.IsMain() {
			fmt.Fprintf(say, "The branch is kept; main would refuse it.\n\n")
			return nil
		}
		fmt.Fprintf(say, "Nothing was accepted, and no host changes.\n\n")
		f.event(ctx, &api.Event{Type: "revision.refused", Actor: p.Pusher, Message: fmt.Sprintf("push of %s was refused: %v", short(p.Commit.Hash), first),
			Data: map[string]any{"commit": p.Commit.Hash, "subject": p.Commit.Subject, "errors": n, "first": cutText(first.Error(), 500)}})
		domain.Note(ctx, "revision/"+p.Commit.Hash, fmt.Sprintf("refused: %s: %s", counted(n, "error", "errors"), cutText(first.Error(), 300)))
		if n == 1 {
			return api.Errorf(api.CodeInvalid, "1 error, see above")
		}
		return api.Errorf(api.CodeInvalid, "%d errors, see above", n)
	}
	if !p.IsMain() {
		fmt.Fprintf(say, "The branch is without errors. It becomes the fleet's state when it is merged into main.\n\n")
		return nil
	}
	if lost := f.lost(c, hosts); lost > 0 && !slices.Contains(p.Options, optionNoHosts) {
		fmt.Fprintf(say, "The inventory names none of the %s that it governs now. Is its file still where fleet.yml or the defaults\nlook for it? If all of them shall be let go: git push -o %s\nNothing was accepted, and no host changes.\n\n",
			counted(lost, "host", "hosts"), optionNoHosts)
		domain.Note(ctx, "revision/"+p.Commit.Hash, fmt.Sprintf("refused: it would let go of all %d hosts", lost))
		return api.Errorf(api.CodeInvalid, "it would let go of all hosts, see above")
	}
	pl, err := f.plan(ctx, c, hosts, true, f.o.PlanWait)
	if err != nil {
		return err
	}
	plan.Print(say, pl, plan.Options{})
	if t, doomed := plan.Doomed(pl); doomed && !slices.Contains(p.Options, optionUnchecked) {
		fmt.Fprintf(say, "Nothing was accepted, and no host changes. To have it rolled out all the same: git push -o %s\n\n", optionUnchecked)
		domain.Note(ctx, "revision/"+p.Commit.Hash, "refused: the check fails on every host asked: "+cutText(t.Message, 200))
		return api.Errorf(api.CodeInvalid, "the check fails on every host asked, see above")
	}
	j.failing, j.plan = plan.Failing(pl), pl
	f.assign.prepare(c)
	detail := ""
	if p.Rewind {
		detail = "rewound from " + p.Old
	}
	domain.Note(ctx, "revision/"+p.Commit.Hash, detail)
	return nil
}

// optionUnchecked is the push option that rolls out what fails in the check.
const optionUnchecked = "unchecked"

// optionNoHosts is the push option that lets go of all hosts.
const optionNoHosts = "no-hosts"

// lost counts the hosts that have something to do now, when a tree's inventory
// names none of them and no other enrolled one: a file that was moved looks
// like that.
func (f *Fleet) lost(c *compiled, hosts []*api.Host) int {
	declared := map[string]bool{}
	for _, h := range c.inv.Hosts() {
		declared[h] = true
	}
	n := 0
	for _, h := range hosts {
		if declared[h.Name] {
			return 0
		}
		if was, had := f.assign.wanted(h.Name); had && was != emptyHash && !h.Spec.Paused {
			n++
		}
	}
	return n
}

// acceptWait is how long a push waits to say what became of it. The work goes
// on without it.
const acceptWait = 30 * time.Second

// Accepted has the assignments written and says so.
func (j *judge) Accepted(ctx context.Context, p *repo.Push, say io.Writer) {
	f := j.f
	select {
	case f.tidy <- struct{}{}:
	default:
	}
	if !p.IsMain() {
		return
	}
	if j.plan != nil {
		f.keepPlan(j.plan)
	}
	ctx, cancel := context.WithTimeout(ctx, acceptWait)
	defer cancel()
	failing := ""
	if j.failing > 0 {
		failing = fmt.Sprintf("The check failed on %s, see above.\n", counted(j.failing, "host", "hosts"))
	}
	switch o := f.assign.accepted(ctx); {
	case errors.Is(o.err, context.DeadlineExceeded):
		fmt.Fprintf(say, "Accepted. The assignments are still being written: drover hosts shows where they are.\n\n")
	case o.err != nil:
		fmt.Fprintf(say, "Accepted, but not assigned yet: %v\n\n", o.err)
	case o.changed == 0:
		fmt.Fprintf(say, "Accepted. No host changes.\n\n")
	case o.sent == o.changed:
		fmt.Fprintf(say, "%sAccepted and sent to %s. Follow with: drover events -f\n\n", failing, counted(o.sent, "host", "hosts"))
	default:
		fmt.Fprintf(say, "%sAccepted and sent to %s; %d away get it when they are back. Follow with: drover events -f\n\n", failing, counted(o.sent, "host", "hosts"), o.changed-o.sent)
	}
}

func (f *Fleet) receive(w http.ResponseWriter, r *http.Request) error {
	return f.repo.Receive(w, r, domain.Actor(r.Context()), &judge{f: f})
}

// infoRefs answers the first question of a fetch and of a push. That of a push
// asks for the role already, so that nothing is uploaded in vain.
func (f *Fleet) infoRefs(w http.ResponseWriter, r *http.Request) error {
	service := r.URL.Query().Get("service")
	if service == repo.ReceivePack {
		if err := domain.Operator().Check(domain.WhoIs(r.Context())); err != nil {
			return err
		}
	}
	return f.repo.Advertise(w, r, service)
}

// servePlan is POST /v1/plan: a revision by name, or a working tree as a tar.
func (f *Fleet) servePlan(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	var t *tree.Tree
	commit := ""
	if r.Header.Get("Content-Type") == "application/json" {
		var req api.PlanRequest
		err := domain.Decode(r, &req)
		if err == nil {
			commit, err = f.repo.Resolve(ctx, req.Revision)
		}
		if err == nil {
			t, err = f.repo.Tree(ctx, commit)
		}
		if err != nil {
			return err
		}
	} else {
		var err error
		if t, err = tree.ReadTar(r.Body, tree.Limits{}); err != nil {
			return err
		}
	}
	hosts, err := f.hosts.Shared(ctx)
	if err != nil {
		return err
	}
	c, err := f.compile(ctx, commit, t, hosts, nil)
	if err != nil {
		return err
	}
	p, err := f.plan(ctx, c, hosts, true, max(f.o.PlanWait, 10*time.Second))
	if err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusOK, p)
}
