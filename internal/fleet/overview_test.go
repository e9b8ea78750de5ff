package fleet_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"drover/api"
	"drover/client"
	"drover/internal/fleet"
	"drover/internal/store"
)

// seen is what somebody knows who watches the overview.
type seen struct {
	snapshots, changes int
	rows               map[string]api.HostRow
	active             string
}

func (s *seen) take(m client.Message) error {
	switch m.Event {
	case "snapshot":
		var o api.Overview
		if err := json.Unmarshal(m.Data, &o); err != nil {
			return err
		}
		s.snapshots++
		s.rows, s.active = map[string]api.HostRow{}, o.Active
		for _, r := range o.Hosts {
			s.rows[r.Name] = r
		}
	case "hosts":
		var c api.OverviewChange
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return err
		}
		s.changes++
		s.active = c.Active
		for _, r := range c.Rows {
			s.rows[r.Name] = r
		}
		for _, name := range c.Removed {
			delete(s.rows, name)
		}
	}
	return nil
}

// watchOverview follows the overview until each of the conditions has come
// about, one after the other; then has the deed done that goes with it.
func (w *world) watchOverview(steps ...step) *seen {
	w.Helper()
	c, err := client.New(client.Config{URL: w.http.URL, Token: w.token})
	if err != nil {
		w.Fatal(err)
	}
	s := &seen{}
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	at := 0
	err = c.Stream(ctx, "GET", "/v1/overview?watch=true", nil, func(m client.Message) error {
		if err := s.take(m); err != nil {
			return err
		}
		for at < len(steps) && steps[at].until(s) {
			if do := steps[at].then; do != nil {
				do()
			}
			at++
		}
		if at == len(steps) {
			return client.ErrStop
		}
		return nil
	})
	if err != nil {
		w.Fatalf("step %d never came about: %v; seen %+v", at, err, s)
	}
	return s
}

type step struct {
	until func(*seen) bool
	then  func()
}

func TestTheOverviewFollowsTheFleet(t *testing.T) {
	w := newWorld(t, fleet.Options{Debounce: time.Hour})
	w.add("web-1", "web-2")
	w.commit("Greet", "inventory", "web-1 web eu\nweb-2 web\n", "site.yml", "x\n")
	w.pushed()
	var a *agent
	left := time.Time{}
	s := w.watchOverview(
		step{func(s *seen) bool { return s.rows["web-1"].State == api.StateConverging && s.active != "" }, func() { a = w.connect("web-1", api.AssignmentSpec{}) }},
		step{func(s *seen) bool {
			r := s.rows["web-1"]
			return r.Connected && r.State == api.StateConverged && r.Agent == "test"
		}, func() {
			if err := w.call(w.token, "PATCH", "/v1/hosts/web-1", map[string]any{"labels": map[string]string{"env": "prod"}, "spec": map[string]any{"paused": true}}, nil); err != nil {
				w.Error(err)
			}
		}},
		step{func(s *seen) bool { r := s.rows["web-1"]; return r.Paused && r.Labels["env"] == "prod" }, func() { left = time.Now(); a.conn.Close() }},
		// That a host is away is seen at once, long before it is an event.
		step{func(s *seen) bool {
			r := s.rows["web-1"]
			return !r.Connected && !r.LastSeen.Before(left.Truncate(time.Second))
		}, func() {
			if err := w.call(w.token, "DELETE", "/v1/hosts/web-2", nil, nil); err != nil {
				w.Error(err)
			}
		}},
		step{func(s *seen) bool { _, there := s.rows["web-2"]; return !there }, nil},
	)
	if s.snapshots != 1 || s.changes == 0 {
		t.Errorf("%d snapshots and %d changes", s.snapshots, s.changes)
	}
	// Who asks once is told the same.
	var o api.Overview
	if err := w.call(w.token, "GET", "/v1/overview", nil, &o); err != nil || o.Active != s.active || o.Fleet == "" || len(o.Hosts) != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	r := o.Hosts[0]
	if r.Name != "web-1" || r.Connected || !slices.Equal(r.Groups, []string{"eu", "web"}) || r.Changed != 1 || r.Converged.IsZero() {
		t.Errorf("the row is %+v", r)
	}
}

// What a host put right by itself leaves its time.
func TestADriftLeavesItsTime(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	w.commit("Greet", "inventory", "web-1 web\n", "site.yml", "x\n")
	w.pushed()
	a := w.connect("web-1", api.AssignmentSpec{})
	w.until("it converged", func() bool { return w.host("web-1").Status.State == api.StateConverged })
	if at := w.host("web-1").Status.DriftedAt; !at.IsZero() {
		t.Errorf("its first converge is a drift, %v", at)
	}
	start := time.Now().Add(-time.Minute).UTC()
	r := &api.Report{Reason: "timer", Start: time.Now(), Changed: true, Sections: map[string]api.Result{"play": {Changed: true, Changes: 2}}}
	id := a.report(r)
	w.until("the report is taken", func() bool { return a.acked(id) })
	drift := w.events("host.drifted")
	h := w.host("web-1")
	if len(drift) != 1 || !h.Status.DriftedAt.Equal(drift[0].Time) || h.Status.DriftedAt.Before(start) {
		t.Fatalf("drifted at %v, events %+v", h.Status.DriftedAt, drift)
	}
	// The same report again, and a quiet one, are none.
	w.until("it is taken again", func() bool {
		b := *r
		b.ID = id
		a.report(&b)
		return w.host("web-1").Status.Last.ID == id
	})
	quiet := a.report(&api.Report{Reason: "timer"})
	w.until("the quiet report is taken", func() bool { return a.acked(quiet) })
	if again := w.host("web-1").Status.DriftedAt; !again.Equal(h.Status.DriftedAt) {
		t.Errorf("drifted at %v, then at %v", h.Status.DriftedAt, again)
	}
	var o api.Overview
	if err := w.call(w.token, "GET", "/v1/overview", nil, &o); err != nil || !o.Hosts[0].Drifted.Equal(h.Status.DriftedAt.Truncate(time.Second)) {
		t.Errorf("the row is %+v, %v", o.Hosts, err)
	}
}

// A snapshot of 3,000 hosts is under 100 KB on the wire, asked for once or watched.
func TestTheOverviewOfThousandsIsSmall(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	hosts := make([]*api.Host, 3000)
	begun := time.Now().Add(-time.Hour)
	for i := range hosts {
		h := &api.Host{Meta: api.Meta{Kind: "host", Name: fmt.Sprintf("web-%d.eu.example.org", i), Labels: map[string]string{"env": []string{"prod", "test"}[i%2], "rack": fmt.Sprint("r", i%40)}}}
		h.Spec.Address = fmt.Sprintf("10.%d.%d.%d", i%7, i/200, i%250+1)
		h.Status = api.HostStatus{State: api.StateConverged, AgentVersion: "1.4.2", LastSeen: begun.Add(time.Duration(i) * 137 * time.Millisecond),
			Revision: sum([]byte("revision"))[:40], Assigned: sum([]byte("revision"))[:40], Groups: []string{"all", "eu", []string{"web", "db", "cache"}[i%3]},
			Facts: map[string]any{"distribution": "Debian", "distribution_version": "12.5", "kernel": "6.1.0-18-amd64", "processor_vcpus": 4 << (i % 3), "memtotal_mb": 7954 + i%5},
			Last: &api.Report{ID: fmt.Sprint(i), Start: begun.Add(time.Duration(i) * 571 * time.Millisecond), Duration: time.Duration(1200+i%977) * time.Millisecond,
				Sections: map[string]api.Result{"play": {OK: 40, Changes: i % 3}}}}
		hosts[i] = h
	}
	if err := store.TableOf[api.Host](w.srv.Services().Store, "host").PutMany(t.Context(), hosts); err != nil {
		t.Fatal(err)
	}
	get := func(path, accept string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.token)
		req.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp.Status, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	resp := get("/v1/overview", "gzip")
	packed, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" || len(packed) > 100<<10 {
		t.Errorf("%d bytes, coding %q, %v", len(packed), resp.Header.Get("Content-Encoding"), err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var o api.Overview
	if err := json.NewDecoder(z).Decode(&o); err != nil || len(o.Hosts) != 3000 || o.Hosts[0].OS != "Debian 12" {
		t.Fatalf("%d hosts, %v", len(o.Hosts), err)
	}
	plain, err := io.ReadAll(get("/v1/overview", "identity").Body)
	if err != nil || !json.Valid(plain) {
		t.Fatal(err)
	}
	t.Logf("%d bytes, compressed %d", len(plain), len(packed))

	// Watched, the stream is compressed too, and ends as a whole when the server stops.
	w.until("the watch knows all hosts", func() bool { return len(w.watchOverview(step{func(s *seen) bool { return true }, nil}).rows) == 3000 })
	resp = get("/v1/overview?watch=true", "gzip")
	counted := &countReader{r: resp.Body}
	if z, err = gzip.NewReader(counted); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, len("event: snapshot\n"))
	if _, err := io.ReadFull(z, head); err != nil || string(head) != "event: snapshot\n" {
		t.Fatalf("%q, %v", head, err)
	}
	w.http.Config.SetKeepAlivesEnabled(false)
	go w.srv.Close() //nolint:errcheck // the world's own Close tells
	rest, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(rest, []byte("web-2999.eu.example.org")) {
		t.Errorf("the stream ended with %v after %d bytes", err, len(rest))
	}
	if counted.n > 100<<10 {
		t.Errorf("the watch began with %d bytes", counted.n)
	}
}

type countReader struct {
	r io.Reader
	n int
}

func (c *countReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// Who falls behind is not told everything that was missed, but how it is now.
func TestManyWatchersShareOneView(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	const watchers = 20
	got := make(chan error, watchers)
	for range watchers {
		go func() {
			c, err := client.New(client.Config{URL: w.http.URL, Token: w.token})
			if err == nil {
				s := &seen{}
				err = c.Stream(w.Context(), "GET", "/v1/overview?watch=true", nil, func(m client.Message) error {
					if err := s.take(m); err != nil {
						return err
					}
					if s.rows["web-1"].Labels["n"] == "49" {
						return client.ErrStop
					}
					return nil
				})
				if err == nil && s.rows["web-1"].Labels["n"] != "49" {
					err = errors.New("the stream ended too early")
				}
				if s.changes > 40 {
					err = fmt.Errorf("%d changes were sent for fifty writes at once", s.changes)
				}
			}
			got <- err
		}()
	}
	for i := range 50 {
		if err := w.call(w.token, "PATCH", "/v1/hosts/web-1", map[string]any{"labels": map[string]string{"n": fmt.Sprint(i)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range watchers {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
}
