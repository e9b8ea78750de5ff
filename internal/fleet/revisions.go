package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drover/api"
	"drover/internal/domain"
)

func (f *Fleet) revisionRoutes() []domain.Route {
	return []domain.Route{
		{Method: "GET", Path: "/v1/revisions/{name}/diff", Access: domain.Viewer(), Response: api.RevisionDiff{}, Handle: f.serveDiff,
			Doc:   "What a revision changed in the fleet repository, as unified diffs.\nBounded to 1000 files, 200 KB a file and 2 MB in all; what is left out is marked.",
			Query: []domain.Param{{Name: "base", Doc: "compare with this commit, branch or tag instead of the revision before"}}},
		{Method: "GET", Path: "/v1/revisions/{name}/plan", Access: domain.Viewer(), Doc: "The plan that was printed when the revision was pushed.\nKept for the last 500 revisions.", Response: api.Plan{}, Handle: f.serveKeptPlan},
		{Method: "GET", Path: "/v1/revisions/{name}/hosts", Access: domain.Viewer(), Doc: "What became of a revision on each host.", Response: api.RevisionHosts{}, Handle: f.serveRevisionHosts},
	}
}

// revision finds a revision by its whole name, a shortened one, a branch or a tag.
func (f *Fleet) revision(ctx context.Context, name string) (*api.Revision, error) {
	r, err := f.revisions.Get(ctx, name)
	if api.CodeOf(err) != api.CodeNotFound {
		return r, err
	}
	hash, rerr := f.repo.Resolve(ctx, name)
	if rerr != nil {
		return nil, rerr
	}
	if r, err = f.revisions.Get(ctx, hash); api.CodeOf(err) == api.CodeNotFound {
		return nil, api.Errorf(api.CodeNotFound, "commit %s never was the fleet's revision", short(hash)).WithRemedy("see `drover get revisions` for those that were")
	}
	return r, err
}

// before is the revision that was accepted before another, "" for the first.
func (f *Fleet) before(ctx context.Context, r *api.Revision) (string, error) {
	var last *api.Revision
	err := f.revisions.Scan(ctx, func(o *api.Revision) error {
		if o.Name != r.Name && o.Spec.When.Before(r.Spec.When) && (last == nil || last.Spec.When.Before(o.Spec.When)) {
			last = o
		}
		return nil
	})
	if err != nil || last == nil {
		return "", err
	}
	if _, err := f.repo.Resolve(ctx, last.Name); api.CodeOf(err) == api.CodeNotFound {
		return r.Spec.Parent, nil // it was pushed away by force long ago
	} else if err != nil {
		return "", err
	}
	return last.Name, nil
}

func (f *Fleet) serveDiff(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	rev, err := f.revision(ctx, r.PathValue("name"))
	if err != nil {
		return err
	}
	var out api.RevisionDiff
	if base := r.URL.Query().Get("base"); base != "" {
		out.Base, err = f.repo.Resolve(ctx, base)
	} else {
		out.Base, err = f.before(ctx, rev)
	}
	if err != nil {
		return err
	}
	if out.Files, out.Truncated, err = f.repo.Diff(ctx, out.Base, rev.Name); err != nil {
		return err
	}
	if out.Files == nil {
		out.Files = []api.FileDiff{}
	}
	return domain.WriteJSON(w, http.StatusOK, out)
}

// What is kept of plans.
const (
	keptPlans = 500
	maxPlan   = 4 << 20 // as JSON; of a larger one the differences are left out
)

func (f *Fleet) planDir() string { return filepath.Join(f.dir, "plans") }

func (f *Fleet) planFile(commit string) string {
	return filepath.Join(f.planDir(), commit+".json.zst")
}

// keepPlan keeps what a push printed. One that cannot be kept is missing from
// a page; the push itself stands.
func (f *Fleet) keepPlan(p *api.Plan) {
	if err := f.writePlan(p); err != nil {
		f.log.Warn("cannot keep the plan of a push", "commit", short(p.Commit), "error", err)
	}
}

func (f *Fleet) writePlan(p *api.Plan) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if len(b) > maxPlan {
		small := *p
		small.Groups = slices.Clone(p.Groups)
		for i := range small.Groups {
			tasks := slices.Clone(small.Groups[i].Tasks)
			for j := range tasks {
				tasks[j].Diff = nil
			}
			small.Groups[i].Tasks = tasks
		}
		if b, err = json.Marshal(small); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(f.planDir(), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.planDir(), ".plan-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(f.zip.EncodeAll(b, nil))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), f.planFile(p.Commit))
	}
	return errors.Join(err, f.prunePlans())
}

// prunePlans removes the oldest plans over the number that is kept, and what
// an interrupted write left.
func (f *Fleet) prunePlans() error {
	entries, err := os.ReadDir(f.planDir())
	if err != nil {
		return err
	}
	type kept struct {
		name string
		at   time.Time
	}
	var all []kept
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // somebody was faster
		}
		if strings.HasPrefix(e.Name(), ".plan-") && time.Since(info.ModTime()) < time.Hour {
			continue
		}
		all = append(all, kept{e.Name(), info.ModTime()})
	}
	slices.SortFunc(all, func(a, b kept) int { return b.at.Compare(a.at) })
	var errs []error
	for _, k := range all[min(keptPlans, len(all)):] {
		errs = append(errs, os.Remove(filepath.Join(f.planDir(), k.name)))
	}
	return errors.Join(errs...)
}

func (f *Fleet) serveKeptPlan(w http.ResponseWriter, r *http.Request) error {
	rev, err := f.revision(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	b, err := os.ReadFile(f.planFile(rev.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return api.Errorf(api.CodeNotFound, "no plan was kept of revision %s", short(rev.Name)).
			WithRemedy("see what it would change now by `drover plan --revision %s`", short(rev.Name))
	}
	if err == nil {
		b, err = f.unzip.DecodeAll(b, nil)
	}
	p := &api.Plan{}
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if err != nil {
		return err
	}
	return domain.WriteJSON(w, http.StatusOK, p)
}

func (f *Fleet) serveRevisionHosts(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	rev, err := f.revision(ctx, r.PathValue("name"))
	if err != nil {
		return err
	}
	runs := map[string]api.RunRecord{}
	applies, err := f.s.Runs.Applies(ctx, rev.Name)
	if err != nil {
		return err
	}
	for _, a := range applies {
		runs[a.Host] = a
	}
	out := api.RevisionHosts{Waves: []api.RevisionWave{}, Items: []api.RevisionHost{}}
	err = f.hosts.Scan(ctx, func(h *api.Host) error {
		if item, ok := f.part(rev.Name, h, runs[h.Name]); ok {
			out.Items = append(out.Items, item)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(out.Items) > 0 {
		// There is no order among hosts: each gets a revision when it is accepted.
		all := api.RevisionWave{Name: "all hosts"}
		for _, i := range out.Items {
			all.Hosts = append(all.Hosts, i.Host)
		}
		out.Waves = append(out.Waves, all)
	}
	return domain.WriteJSON(w, http.StatusOK, out)
}

// part is what one host has to do with a revision. run is its last apply of
// it, if it has reported one.
func (f *Fleet) part(revision string, h *api.Host, run api.RunRecord) (api.RevisionHost, bool) {
	item := api.RevisionHost{Host: h.Name}
	if run.ID != "" {
		item.Run, item.At, item.Took = run.ID, run.End, run.Took
		item.Changed, item.Failed = run.Changed, run.Failed
		item.State = api.PartConverged
		switch {
		case run.State == api.RunFailed:
			item.State = api.PartFailed
		case run.Changed > 0:
			item.State = api.PartChanged
		}
	}
	if last := h.Status.Last; last != nil && last.Commit == revision && run.ID != "" && !last.Start.Before(run.Start) {
		item.Changed, item.Failed = 0, 0
		for _, s := range last.Sections {
			item.Changed += s.Changes
			item.Failed += s.Failures
		}
	}
	if h.Status.Assigned != revision {
		return item, run.ID != ""
	}
	// It is what the host should be now: its status knows best.
	switch h.Status.State {
	case api.StateNew, "":
		return item, run.ID != ""
	case api.StatePaused:
		item.State = api.PartWaiting
	case api.StateFailed:
		item.State = api.PartFailed
	case api.StateConverging:
		if item.State = api.PartApplying; !f.s.Hub.Connected(h.Name) {
			item.State = api.PartAway
		}
	case api.StateConverged:
		if item.State == "" || item.State == api.PartFailed {
			item.State = api.PartConverged
		}
	}
	return item, true
}
