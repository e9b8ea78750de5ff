package agent

import (
	"context"
	"sync"
	"time"

	"drover/api"
)

const (
	lookTime = 15 * time.Second // of one look
	looksMax = 4                // looks at once
	// writeTime is for one body of samples. When thousands catch up, most of it
	// is waiting for a turn.
	writeTime = 3 * time.Minute
)

// looker answers looks, a few at once: each is for somebody who waits.
type looker struct {
	agent *Agent

	mu      sync.Mutex
	looking int // under way
	running int // these, and answers being sent
	stopped bool
	wg      sync.WaitGroup
}

func newLooker(a *Agent) *looker { return &looker{agent: a} }

// start looks and answers; it returns at once.
func (l *looker) start(ctx context.Context, look *api.Look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.running >= 2*looksMax {
		return // whoever asked gives up by a timeout
	}
	busy := l.looking >= looksMax
	if !busy {
		l.looking++
	}
	l.running++
	l.wg.Go(func() {
		// An answer that a look ran out of time has time of its own.
		ctx, stop := context.WithTimeout(ctx, 2*lookTime)
		defer stop()
		seen := &api.Seen{Error: "the host is being looked at by many already; try again"}
		if !busy {
			seen = l.look(ctx, look)
		}
		seen.ID = look.ID
		if err := l.agent.send(ctx, &api.ToServer{Seen: seen}); err != nil && ctx.Err() == nil {
			l.agent.log.Warn("cannot answer a look", "what", look.What, "error", err)
		}
		l.mu.Lock()
		l.running--
		l.mu.Unlock()
	})
}

// look looks, and makes room before its answer is sent: whoever has the answer
// may ask again at once.
func (l *looker) look(ctx context.Context, look *api.Look) *api.Seen {
	defer func() {
		l.mu.Lock()
		l.looking--
		l.mu.Unlock()
	}()
	if l.agent.cfg.Look == nil {
		return &api.Seen{Error: "this agent does not look at the host"}
	}
	ctx, stop := context.WithTimeout(ctx, lookTime)
	defer stop()
	return l.agent.cfg.Look(ctx, look)
}

// stop waits for looks under way.
func (l *looker) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.wg.Wait()
}

// Write stores samples on the server, over the line of the moment: link.Writer
// says what body and error are. It waits for a line until ctx ends.
func (a *Agent) Write(ctx context.Context, body []byte) error {
	c, err := a.line.wait(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, writeTime)
	defer stop()
	return c.Write(ctx, body)
}
