package agent_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/link"
)

// TestTimer holds the converges of an idle host to their interval, give or
// take a tenth.
func TestTimer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		e := &executor{}
		h := begin(t, s, dir, e, nil)
		synctest.Wait()
		s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
		synctest.Wait()
		if _, n := e.get(); n != 1 {
			t.Fatalf("applied %d times at once", n)
		}
		time.Sleep(8*time.Minute + 59*time.Second)
		if _, n := e.get(); n != 1 {
			t.Errorf("applied %d times before the interval", n)
		}
		time.Sleep(2*time.Minute + 2*time.Second)
		synctest.Wait()
		if _, n := e.get(); n != 2 {
			t.Errorf("applied %d times after the interval", n)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if _, n := e.get(); n < 130 || n > 162 {
			t.Errorf("applied %d times in a day", n)
		}
		if last := s.reports[len(s.reports)-1]; last.Reason != "timer" || last.Changed {
			t.Errorf("the last report is %+v", last)
		}
		h.stop()
	})
}

// TestRetry holds a host that fails to tries that come soon, then rarely.
func TestRetry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		var at []time.Duration
		var start time.Time
		e := &executor{fail: func(string, int) error {
			at = append(at, time.Since(start))
			if len(at) == 12 {
				return nil
			}
			return errors.New("no")
		}}
		h := begin(t, s, dir, e, nil)
		synctest.Wait()
		start = time.Now()
		s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if len(at) < 12 {
			t.Fatalf("tried at %v", at)
		}
		for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			if got := at[i+1] - at[i]; got < want*9/10-time.Second || got > want*11/10+time.Second {
				t.Errorf("pause %d was %v, want about %v", i+1, got, want)
			}
		}
		// A new assignment is tried at once, and its failures begin anew.
		n := len(at)
		e.mu.Lock()
		e.is = ""
		e.mu.Unlock()
		s.send(t, &api.ToAgent{Assign: assignment("c2", "two")})
		synctest.Wait()
		if len(at) != n+1 {
			t.Error("the new assignment was not tried at once")
		}
		h.stop()
	})
}

// TestReportsAreSentAgainUntilAcknowledged covers a server that takes a report
// and cannot keep it.
func TestReportsAreSentAgainUntilAcknowledged(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.silent = true
		h := begin(t, s, dir, &executor{}, nil)
		synctest.Wait()
		s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
		time.Sleep(95 * time.Second)
		synctest.Wait()
		if len(s.reports) != 1 || s.sent != 4 {
			t.Errorf("%d reports were sent %d times", len(s.reports), s.sent)
		}
		s.change(func() { s.silent = false })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if s.sent != 5 {
			t.Errorf("after the acknowledgement it was sent %d times", s.sent)
		}
		h.stop()
	})
}

// TestWithoutServer covers a day on which no server answers: the host
// converges on, and what it did arrives afterwards, quiet ones summed up.
func TestWithoutServer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		e := &executor{}
		h := begin(t, s, dir, e, nil)
		synctest.Wait()
		s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
		synctest.Wait()
		h.stop()
		n := len(s.reports)

		away := newFakeServer(t)
		away.hub.Close()
		h = begin(t, away, dir, e, nil)
		for range 3 { // somebody changes the host three times
			time.Sleep(8 * time.Hour)
			e.mu.Lock()
			e.is = "drifted"
			e.mu.Unlock()
		}
		time.Sleep(time.Hour)
		h.stop()
		if is, _ := e.get(); is != "one" {
			t.Errorf("the host is %q", is)
		}
		h = begin(t, s, dir, e, nil)
		synctest.Wait()
		changed := 0
		for _, r := range s.reports[n:] {
			if r.Changed {
				changed++
			}
		}
		if got := len(s.reports) - n; changed != 3 || got > 9 {
			t.Errorf("%d reports arrived, %d of changes", got, changed)
		}
		for i := n + 1; i < len(s.reports); i++ {
			if s.reports[i].Start.Before(s.reports[i-1].Start) {
				t.Error("reports came out of order")
			}
		}
		h.stop()
	})
}

// TestBlobThatCannotBeFetched keeps the old assignment until the new one's
// blobs are here.
func TestBlobThatCannotBeFetched(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		e := &executor{}
		h := begin(t, s, dir, e, nil)
		synctest.Wait()
		s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
		synctest.Wait()
		content := []byte("late")
		s.send(t, &api.ToAgent{Assign: assignment("c2", "two", hash(content))})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if h.state.Assignment().Commit != "c1" || s.acks[len(s.acks)-1].Commit != "c1" {
			t.Error("an assignment without its blobs was taken")
		}
		if last := s.reports[len(s.reports)-1]; !last.Failed || last.Commit != "c2" {
			t.Errorf("the report is %+v", last)
		}
		s.addBlob(content)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if is, _ := e.get(); is != "two" || s.acks[len(s.acks)-1].Commit != "c2" {
			t.Errorf("the host is %q", is)
		}
		h.stop()
	})
}

// TestFacts are sent at start and when they changed, restless ones aside.
func TestFacts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		facts := map[string]any{"hostname": "web-1", "loadavg": 1.0}
		h := begin(t, s, dir, &executor{}, func(c *agent.Config) {
			c.Facts = func(context.Context) map[string]any {
				s.mu.Lock()
				defer s.mu.Unlock()
				copied := map[string]any{}
				for k, v := range facts {
					copied[k] = v
				}
				return copied
			}
		})
		synctest.Wait()
		if len(s.facts) != 1 {
			t.Fatalf("facts came %d times", len(s.facts))
		}
		s.change(func() { facts["loadavg"] = 2.0 })
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.facts) != 1 {
			t.Errorf("restless facts were sent: %d", len(s.facts))
		}
		s.change(func() { facts["hostname"] = "web-2" })
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if len(s.facts) != 2 || s.facts[1].Facts["hostname"] != "web-2" {
			t.Errorf("changed facts came as %+v", s.facts)
		}
		h.stop()
	})
}

// TestReconnect spreads the attempts of agents that lost their server.
func TestReconnect(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		h := begin(t, s, dir, &executor{}, func(c *agent.Config) { c.Backoff = link.Backoff{First: time.Second, Most: time.Minute} })
		synctest.Wait()
		for range 5 {
			s.hub.Disconnect("web-1", api.Errorf(api.CodeUnavailable, "go"))
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if !s.hub.Connected("web-1") {
				t.Fatal("it did not come back")
			}
		}
		if len(s.hellos) != 6 {
			t.Errorf("it connected %d times", len(s.hellos))
		}
		h.stop()
	})
}
