package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"drover/api"
)

// Filter picks entries; the zero value picks all.
type Filter struct {
	Actor, Action, Object string // exact, or a prefix that ends in "*"
	Since                 time.Time
	After                 int64 // Seq greater than this
	Limit                 int   // the newest so many, oldest first; 1,000 if 0
}

// Match reports whether an entry passes; Limit is not its matter.
func (f Filter) Match(e api.AuditEntry) bool {
	return match(f.Actor, e.Actor) && match(f.Action, e.Action) && match(f.Object, e.Object) &&
		!e.Time.Before(f.Since) && e.Seq > f.After
}

func match(want, have string) bool {
	if p, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(have, p)
	}
	return want == "" || want == have
}

// hint is a piece of every matching line, to skip the others without parsing; nil for none.
func (f Filter) hint() []byte {
	if f.Object == "" || strings.HasSuffix(f.Object, "*") {
		return nil
	}
	v, err := json.Marshal(f.Object)
	if err != nil {
		return nil
	}
	return append([]byte(`"object":`), v...)
}

// List gives the entries that match, oldest first.
func (l *Log) List(ctx context.Context, f Filter) ([]api.AuditEntry, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 1000
	}
	l.mu.Lock()
	size := l.size
	l.mu.Unlock()
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the audit: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(io.LimitReader(file, size), 1<<20)
	hint := f.hint()
	var out []api.AuditEntry
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		raw, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the audit: %w", err)
		}
		if hint != nil && !bytes.Contains(raw, hint) {
			continue
		}
		var e api.AuditEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("cannot read the audit: line %d: %w", n+1, err)
		}
		if !f.Match(e) {
			continue
		}
		if out = append(out, e); len(out) >= 2*limit { // keep the newest
			out = append(out[:0], out[len(out)-limit:]...)
		}
	}
	return out[max(0, len(out)-limit):], nil
}
