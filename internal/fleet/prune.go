package fleet

import (
	"context"
	"slices"
	"time"

	"drover/api"
)

// What is kept of bundles: those that hosts are assigned, and those of the
// last revisions, to which people go back soonest.
const (
	keepRevisions = 5
	pruneAge      = time.Hour // younger ones may be about to be assigned
	pruneEvery    = time.Hour
)

// tidyLoop packs the repository after pushes, when it is due, and removes
// bundles that nothing names any more.
func (f *Fleet) tidyLoop(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		if err := f.prune(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("cannot remove old bundles", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-f.tidy:
			if err := f.repo.Tidy(ctx); err != nil && ctx.Err() == nil {
				f.log.Warn("cannot pack the fleet repository", "error", err)
			}
		}
	}
}

// prune removes blobs that nothing names. A revision that comes back later is
// packed again.
func (f *Fleet) prune(ctx context.Context) error {
	f.bundles.Lock()
	defer f.bundles.Unlock()
	named, err := f.named(ctx)
	if err != nil {
		return err
	}
	won, err := f.s.Blobs.Prune(pruneAge, func(hash string) bool { return named[hash] || f.offered(hash) })
	if won > 0 {
		f.log.Info("old bundles are removed", "bytes", won)
	}
	return err
}

// named are the blobs that assignments and the last revisions name.
func (f *Fleet) named(ctx context.Context) (map[string]bool, error) {
	named := map[string]bool{}
	all, err := f.revisions.Shared(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *api.Revision) int { return b.Spec.When.Compare(a.Spec.When) })
	for i, r := range all {
		if i < keepRevisions || r.Status.Active {
			named[r.Spec.Bundle] = true
		}
	}
	return named, f.assignments.Scan(ctx, func(as *api.Assignment) error {
		for _, s := range as.Spec.Sections {
			for _, b := range s.Blobs {
				named[b] = true
			}
		}
		return nil
	})
}
