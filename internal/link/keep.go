package link

import (
	"context"
	"math/rand/v2"
	"time"

	"drover/api"
)

// Backoff is how long Keep waits before it dials again. Waits are drawn evenly
// between zero and a bound that doubles from First to Most, so that thousands
// of agents that lost one server do not come back at the same moment.
type Backoff struct {
	First time.Duration // 1 s
	Most  time.Duration // 60 s
	Good  time.Duration // a line that stood this long starts at First again; 30 s
}

func (b Backoff) filled() Backoff {
	if b.First <= 0 {
		b.First = time.Second
	}
	if b.Most < b.First {
		b.Most = max(time.Minute, b.First)
	}
	if b.Good <= 0 {
		b.Good = 30 * time.Second
	}
	return b
}

// wait is the time before attempt n, which counts from zero.
func (b Backoff) wait(n int) time.Duration {
	bound := b.Most
	if n < 30 {
		bound = min(b.Most, b.First<<n)
	}
	return rand.N(bound) + bound/20
}

// KeepConfig says how a line is kept open.
type KeepConfig struct {
	Dialer  Dialer
	Backoff Backoff
	// Hello is asked before each dial: it says what the host keeps now.
	Hello func() *api.Hello
	// Before is called before each dial, for a certificate that needs renewing;
	// its error counts as a failed dial. May be nil.
	Before func(ctx context.Context) error
	// Use works with the line until it breaks or ctx ends; Keep closes it.
	Use func(ctx context.Context, c Conn) error
	// Failed hears of each failed dial and broken line, and the wait. May be nil.
	Failed func(err error, wait time.Duration)
}

// Keep holds a line open until ctx ends: it dials, uses, waits and dials again.
func Keep(ctx context.Context, cfg KeepConfig) {
	b := cfg.Backoff.filled()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		stood, err := once(ctx, cfg)
		if ctx.Err() != nil {
			return
		}
		if stood >= b.Good {
			attempt = 0
		}
		wait := b.wait(attempt)
		if cfg.Failed != nil {
			cfg.Failed(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// once opens one line and uses it; stood is how long it was open.
func once(ctx context.Context, cfg KeepConfig) (stood time.Duration, err error) {
	if cfg.Before != nil {
		if err := cfg.Before(ctx); err != nil {
			return 0, err
		}
	}
	c, err := cfg.Dialer.Dial(ctx, cfg.Hello())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	err = cfg.Use(ctx, c)
	return time.Since(began), err
}
