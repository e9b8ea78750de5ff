package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"drover/api"
	"drover/internal/link"
)

// restless facts change all the time and do not count as a change.
var restless = []string{"date_time", "uptime_seconds", "memfree_mb", "memory_mb", "swapfree_mb", "loadavg", "env"}

// factsLoop sends the facts when they differ from those sent before.
func (a *Agent) factsLoop(ctx context.Context) {
	if a.cfg.Facts == nil {
		return
	}
	var sent string // hash of the last facts that were sent
	var over link.Conn
	var at time.Time
	for {
		facts := a.cfg.Facts(ctx)
		hash, err := factsHash(facts)
		if err != nil {
			a.log.Error("cannot read the facts", "error", err)
		}
		c, err := a.line.wait(ctx)
		if err != nil {
			return
		}
		// What was sent just before a line broke may not have arrived.
		doubtful := c != over && time.Since(at) < time.Minute
		if hash != sent || doubtful {
			if err := c.Send(ctx, &api.ToServer{Facts: &api.Facts{Hash: hash, Facts: facts}}); err == nil {
				over, at = c, time.Now()
			}
			sent = hash
		}
		// For a minute after facts were sent, the line's end is a reason to look again.
		var gone <-chan struct{}
		if time.Since(at) < time.Minute {
			gone = a.line.gone(c)
		}
		timer := time.NewTimer(spread(a.cfg.FactsAge))
		select {
		case <-timer.C:
		case <-a.changed:
		case <-gone:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func factsHash(facts map[string]any) (string, error) {
	still := make(map[string]any, len(facts))
	for k, v := range facts {
		still[k] = v
	}
	for _, k := range restless {
		delete(still, k)
	}
	if mounts, ok := still["mounts"].([]any); ok {
		still["mounts"] = stillMounts(mounts)
	}
	data, err := json.Marshal(still)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// stillMounts leaves out how full file systems are.
func stillMounts(mounts []any) []any {
	out := make([]any, len(mounts))
	for i, m := range mounts {
		fields, ok := m.(map[string]any)
		if !ok {
			out[i] = m
			continue
		}
		still := make(map[string]any)
		for _, k := range []string{"device", "fstype", "mount", "options", "uuid", "size_total"} {
			if v, ok := fields[k]; ok {
				still[k] = v
			}
		}
		out[i] = still
	}
	return out
}
