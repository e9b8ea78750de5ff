package observehost

import (
	"context"
	"sync"
	"time"

	"drover/api"
)

const (
	lookLimit = 50  // processes that are listed unless asked otherwise
	lookMost  = 500 // and at most
)

// Looker answers looks at this host.
type Looker struct {
	// Root stands in front of /proc and /etc/passwd; empty for this machine.
	Root string

	mu     sync.Mutex
	before *procSnapshot
}

// Look answers one look; agent.Config.Look.
func (k *Looker) Look(ctx context.Context, l *api.Look) *api.Seen {
	seen := &api.Seen{ID: l.ID}
	var err error
	switch l.What {
	case api.LookProcesses:
		seen.Processes, err = k.processes(ctx, l.Limit)
	case api.LookUnits:
		seen.Units, err = units(ctx)
	default:
		seen.Error = "this agent cannot look at " + l.What
	}
	if err != nil {
		seen.Error = err.Error()
	}
	return seen
}

const (
	freshAge = time.Minute            // until then the look before tells what was used since
	sampling = 500 * time.Millisecond // else two looks so far apart do
)

// processes lists the processes that used the processor most since the look
// before, or in half a second if there was none lately, and those with the
// most memory: half of the limit is for each.
func (k *Looker) processes(ctx context.Context, limit int) (*api.ProcessList, error) {
	if limit <= 0 {
		limit = lookLimit
	}
	limit = min(limit, lookMost)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.before == nil || time.Since(k.before.taken) > freshAge {
		s, err := snapshot(k.Root)
		if err != nil {
			return nil, err
		}
		k.before = s
	}
	if wait := sampling - time.Since(k.before.taken); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	now, err := snapshot(k.Root)
	if err != nil {
		return nil, err
	}
	list, err := now.since(k.before, limit)
	k.before = now
	return list, err
}
