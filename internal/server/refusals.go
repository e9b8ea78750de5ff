package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"drover/internal/domain"
)

// maxAuditText bounds each text of an audit entry: what a request says may be long.
const maxAuditText = 500

// What those who are not signed in may have written into one route's audit by
// being refused: so many at once, and one more in so long. The audit is for
// ever, and anybody who reaches the port could fill the disk with it.
const (
	refusalBurst = 100
	refusalEvery = 10 * time.Second
)

// refusals counts them. The zero value has told nothing yet.
type refusals struct {
	mu      sync.Mutex
	told    float64 // how much of the burst is used up
	at      time.Time
	skipped int
}

// tell reports whether a refusal goes into the audit. The one that does says
// how many did not.
func (f *refusals) tell(ctx context.Context, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := now.Sub(f.at); d > 0 {
		f.told = max(0, f.told-float64(d)/float64(refusalEvery))
		f.at = now
	}
	if f.told+1 > refusalBurst {
		f.skipped++
		return false
	}
	f.told++
	if f.skipped > 0 {
		object, detail := domain.Noted(ctx)
		domain.Note(ctx, object, strings.TrimSpace(fmt.Sprintf("%s %d more were refused before and are not listed", cutText(detail, maxAuditText/2), f.skipped)))
		f.skipped = 0
	}
	return true
}

// cutText is at most n bytes of s.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
