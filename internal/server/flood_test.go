package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/client"
)

// Ten thousand events a second for five seconds: the journal keeps all of
// them, whoever watches gets all of them in order, and one who stops reading
// for the whole time holds up nobody and misses nothing.
func TestAFloodOfEventsReachesEveryReader(t *testing.T) {
	w := start(t)
	const events, sides, batch = 50_000, 4, 100
	journal := w.Services().Journal
	first := journal.Last()
	path := fmt.Sprintf("/v1/events?watch=true&after=%d", first)
	over := make(chan struct{}) // nothing is appended any more
	watch := func(pause bool) error {
		next := first
		err := w.as(w.AdminToken()).Follow(t.Context(), path, nil, func(m client.Message) error {
			var e api.Event
			if err := json.Unmarshal(m.Data, &e); err != nil {
				return err
			}
			if next++; e.Seq != next {
				return fmt.Errorf("event %d came, not %d", e.Seq, next)
			}
			if pause && next == first+1 {
				<-over
			}
			if next == first+events {
				return client.ErrStop
			}
			return nil
		})
		if err == nil && next != first+events {
			err = errors.New("the stream ended early")
		}
		return err
	}
	var readers sync.WaitGroup
	for _, pause := range []bool{false, true} {
		readers.Go(func() {
			if err := watch(pause); err != nil {
				t.Errorf("a reader (pausing: %v): %v", pause, err)
			}
		})
	}
	begun := time.Now()
	var work sync.WaitGroup
	for range sides {
		work.Go(func() {
			for range events / sides / batch {
				list := make([]*api.Event, batch)
				for k := range list {
					list[k] = &api.Event{Type: "host.changed", Host: fmt.Sprint("host-", k), Message: "changed: 3 things"}
				}
				if err := journal.Append(context.Background(), list...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	appended := time.Since(begun)
	close(over)
	readers.Wait()
	t.Logf("%d events kept in %v (%.0f/s), with both readers after %v", events, appended.Round(time.Millisecond), events/appended.Seconds(), time.Since(begun).Round(time.Millisecond))
	if got := journal.Last() - first; got < events {
		t.Errorf("%d of %d events are kept", got, events)
	}
}
