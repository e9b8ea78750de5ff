package play

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/playpull"
	"drover/internal/play/playwire"
	"drover/internal/runlog"
)

// keeper keeps the events of a play in its record, many in one piece.
type keeper struct {
	run *runlog.Run

	mu    sync.Mutex
	wait  [][]byte
	seen  []runlog.Seen
	bytes int
	timer *time.Timer // runs when something waits
}

const (
	keepAt    = 256 << 10              // bytes that are kept together
	keepAfter = 200 * time.Millisecond // whoever follows sees events so late at most
	small     = 1 << 10                // bytes of a result that are not counted
)

func newKeeper(run *runlog.Run) *keeper {
	k := &keeper{run: run}
	k.timer = time.AfterFunc(time.Hour, k.flush)
	k.timer.Stop()
	return k
}

// close keeps what still waits.
func (k *keeper) close() {
	k.timer.Stop()
	k.flush()
}

func (k *keeper) event(e engine.Event) error {
	if k.run == nil {
		return nil
	}
	b, err := playwire.Encode(k.lasting(e))
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wait) == 0 {
		k.timer.Reset(keepAfter)
	}
	k.wait = append(k.wait, b)
	k.bytes += len(b)
	if e.Kind == engine.EventResult && e.Result != nil && e.Host != "" {
		s := runlog.Seen{Host: e.Host, Status: e.Result.Status, Message: e.Result.Message}
		if e.Ignored {
			s.Status = "ignored"
		}
		k.seen = append(k.seen, s)
	}
	if k.bytes >= keepAt {
		k.hand()
	}
	return nil
}

func (k *keeper) flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hand()
}

func (k *keeper) hand() {
	if len(k.wait) == 0 {
		return
	}
	k.run.Play(playwire.Join(k.wait), k.seen)
	k.wait, k.seen, k.bytes = nil, nil, 0
}

// lasting is what is kept of an event: what no_log hides is not in it at all,
// facts are kept elsewhere, and of very long texts the beginning.
func (k *keeper) lasting(e engine.Event) engine.Event {
	if e.Result == nil {
		return e
	}
	r := *e.Result
	r.Diff = playpull.Discreet(r.Diff, r.Changes)
	switch {
	case e.Loop || e.Action == "setup" || strings.HasSuffix(e.Action, ".setup") || e.Action == "gather_facts":
		r.Result = nil // of a loop the items are there
	case r.Result != nil:
		r.Result = maps.Clone(r.Result)
		delete(r.Result, "invocation")
		for _, stream := range []string{"stdout", "stderr"} { // as lines they are there twice
			if _, text := r.Result[stream].(string); text {
				delete(r.Result, stream+"_lines")
			}
		}
	}
	n := texts(r.Result) + len(r.Message)
	for _, d := range r.Diff {
		n += len(d.Before) + len(d.After) + len(d.Prepared)
	}
	if n > small {
		if left := k.run.Take(e.Host, int64(n)); left < int64(n) {
			c := &cutter{left: int(left)}
			r.Message = c.text(r.Message)
			r.Result, _ = c.value(r.Result).(map[string]any)
			r.Diff = c.diffs(r.Diff)
		}
	}
	e.Result = &r
	return e
}

// texts counts the bytes of all texts in a value.
func texts(v any) (n int) {
	switch v := v.(type) {
	case string:
		return len(v)
	case map[string]any:
		for k, x := range v {
			n += len(k) + texts(x)
		}
	case []any:
		for _, x := range v {
			n += 8 + texts(x)
		}
	default:
		return 8
	}
	return n
}

// cutter leaves so many bytes of texts, and says where it cut.
type cutter struct{ left int }

func (c *cutter) text(s string) string {
	if len(s) <= c.left || len(s) <= 64 {
		c.left = max(c.left-len(s), 0)
		return s
	}
	cut := strings.ToValidUTF8(s[:c.left], "")
	c.left = 0
	return cut + fmt.Sprintf("… cut: there were %d bytes", len(s))
}

func (c *cutter) value(v any) any {
	switch v := v.(type) {
	case string:
		return c.text(v)
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if n := len(k) + 8; c.left >= n {
				c.left -= n
				out[k] = c.value(x)
			} else if s, ok := x.(string); !ok || len(s) > 64 {
				continue
			} else {
				out[k] = s
			}
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			if c.left < 8 {
				return append(out, fmt.Sprintf("… cut: there were %d items", len(v)))
			}
			c.left -= 8
			out = append(out, c.value(x))
		}
		return out
	}
	return v
}

func (c *cutter) diffs(list []api.Diff) []api.Diff {
	var out []api.Diff
	for _, d := range list {
		if c.left == 0 {
			return append(out, api.Diff{Prepared: "… cut: too much was kept of this host already\n"})
		}
		d.Before, d.After, d.Prepared = c.text(d.Before), c.text(d.After), c.text(d.Prepared)
		out = append(out, d)
	}
	return out
}
