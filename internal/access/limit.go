package access

import (
	"fmt"
	"sync"
	"time"

	"drover/api"
)

// limits slows the guessing of passwords: by person and address together, by
// address, and by person. The last is wide, so that a stranger can hardly lock anybody out.
type limits struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
	rule rule
}

type rule struct {
	burst float64
	every time.Duration // one more try
}

var (
	perPair   = rule{5, 10 * time.Second}
	perRemote = rule{30, 2 * time.Second}
	perPerson = rule{60, 5 * time.Second}
)

// maxBuckets bounds the memory; beyond it, those that are full again go.
const maxBuckets = 20_000

// TooMany is the error of a sign-in that was not tried because too many before
// were wrong. It is an *api.Error that also says for how long.
type TooMany struct {
	err  *api.Error
	wait time.Duration
}

func (e *TooMany) Error() string { return e.err.Error() }
func (e *TooMany) Unwrap() error { return e.err }

// RetryAfter is how long to wait before the next try, in whole seconds.
func (e *TooMany) RetryAfter() time.Duration { return e.wait }

func inWords(d time.Duration) string {
	if d <= time.Second {
		return "1 second"
	}
	return fmt.Sprintf("%d seconds", int(d.Seconds()))
}

func newLimits() *limits { return &limits{buckets: map[string]*bucket{}} }

func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(b.rule.burst, b.left+float64(d)/float64(b.rule.every))
		b.at = now
	}
}

// take counts one try; refund gives it back when it was right.
func (l *limits) take(person, remote string, now time.Time) (refund func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(person) > 253 {
		person = person[:253]
	}
	if len(l.buckets) > maxBuckets {
		l.drop(now)
	}
	if len(l.buckets) > maxBuckets {
		return nil, api.Errorf(api.CodeUnavailable, "cannot sign in: too many wrong passwords from too many places").WithRemedy("try again in a minute, or use a token")
	}
	var taken []*bucket
	for _, k := range []struct {
		key  string
		rule rule
	}{{"b/" + person + "/" + remote, perPair}, {"r/" + remote, perRemote}, {"p/" + person, perPerson}} {
		b := l.buckets[k.key]
		if b == nil {
			b = &bucket{left: k.rule.burst, at: now, rule: k.rule}
			l.buckets[k.key] = b
		}
		b.refill(now)
		if b.left < 1 {
			for _, t := range taken {
				t.left++
			}
			wait := time.Duration((1 - b.left) * float64(b.rule.every)).Round(time.Second)
			wait = max(wait, time.Second)
			return nil, &TooMany{err: api.Errorf(api.CodeUnavailable, "cannot sign in: too many wrong passwords").WithRemedy("try again in %s", inWords(wait)), wait: wait}
		}
		b.left--
		taken = append(taken, b)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, b := range taken {
			b.left = min(b.rule.burst, b.left+1)
		}
	}, nil
}

func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
}

func (l *limits) drop(now time.Time) {
	for k, b := range l.buckets {
		if b.refill(now); b.left >= b.rule.burst {
			delete(l.buckets, k)
		}
	}
}
