package change

import (
	"context"
	"sync"
	"time"
)

// queue holds keys that wait for work. A key is in it once; one that comes
// while it is worked on is handed out again afterwards.
type queue struct {
	mu      sync.Mutex
	ready   []string
	state   map[string]keyState
	delayed map[string]*time.Timer
	when    map[string]time.Time
	more    chan struct{} // closed at the next change
	closed  bool
}

type keyState int

const (
	waiting keyState = iota + 1
	working
	workingAgain // asked for again while it is worked on
)

func newQueue() *queue {
	return &queue{state: map[string]keyState{}, delayed: map[string]*time.Timer{}, when: map[string]time.Time{}, more: make(chan struct{})}
}

// add queues keys, and gives up their delays.
func (q *queue) add(keys ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range keys {
		q.undelay(k)
		q.addLocked(k)
	}
}

func (q *queue) addLocked(k string) {
	if q.closed {
		return
	}
	switch q.state[k] {
	case 0:
		q.state[k] = waiting
		q.ready = append(q.ready, k)
		close(q.more)
		q.more = make(chan struct{})
	case working:
		q.state[k] = workingAgain
	}
}

func (q *queue) undelay(k string) {
	if t := q.delayed[k]; t != nil {
		t.Stop()
		delete(q.delayed, k)
		delete(q.when, k)
	}
}

// addAfter queues a key later, unless it is due earlier already.
func (q *queue) addAfter(k string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := time.Now().Add(d)
	if q.closed || q.state[k] == waiting || q.delayed[k] != nil && !at.Before(q.when[k]) {
		return
	}
	q.undelay(k)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.delayed[k] == t { // not given up meanwhile
			q.undelay(k)
			q.addLocked(k)
		}
	})
	q.delayed[k], q.when[k] = t, at
}

// take hands out a key to one worker, which calls done afterwards; false when ctx has ended.
func (q *queue) take(ctx context.Context) (string, bool) {
	for {
		q.mu.Lock()
		if ctx.Err() == nil && len(q.ready) > 0 {
			k := q.ready[0]
			q.ready[0] = ""
			q.ready = q.ready[1:]
			q.state[k] = working
			q.mu.Unlock()
			return k, true
		}
		more := q.more
		q.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return "", false
		}
	}
}

func (q *queue) done(k string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := q.state[k] == workingAgain
	delete(q.state, k)
	if again {
		q.addLocked(k)
	}
}

// depth is how many keys wait.
func (q *queue) depth() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready)
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for k := range q.delayed {
		q.undelay(k)
	}
}
