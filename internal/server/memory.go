package server

import (
	"context"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// collectAt is the garbage, in percent of what lives, at which the runtime
// collects. Of a large fleet's server most memory lives as long as the hosts'
// connections, and the more garbage lies between, the less of it can be given
// back afterwards.
const collectAt = 30

// frugal sets how this process collects garbage, unless somebody says otherwise.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
}

// When to give memory back: work for thousands of hosts comes in bursts, and
// what it took would stay with the process until the next one.
const (
	trimEvery = time.Second // how often to look
	trimAfter = 64 << 20    // bytes allocated since the last time
	trimQuiet = 8 << 20     // bytes a look at which the burst is over
	trimRest  = 5           // looks between two times, at least
)

// trim returns memory to the system after each burst of work.
func (s *Server) trim(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocated := func() uint64 {
		runtimemetrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	last := allocated()
	trimmed, rest := last, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := allocated()
		if rest--; rest <= 0 && now-trimmed > trimAfter && now-last < trimQuiet {
			debug.FreeOSMemory()
			trimmed, rest = now, trimRest
		}
		last = now
	}
}
