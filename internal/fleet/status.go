package fleet

import (
	"fmt"
	"sort"
	"time"

	"drover/api"
)

// consumer is the room on the line to the hosts.
type consumer struct{ f *Fleet }

// Joined checks that the host is still one of ours and sends it what it should be.
func (c consumer) Joined(host string, hello *api.Hello) {
	f := c.f
	ctx, cancel := f.briefly()
	defer cancel()
	_, err := f.hosts.Peek(ctx, host)
	if err == nil {
		err = f.sameMachine(ctx, host)
	}
	if err != nil {
		if code := api.CodeOf(err); code == api.CodeNotFound || code == api.CodeForbidden {
			f.s.Hub.Disconnect(host, revoked(host))
			return
		}
		f.log.Error("cannot look up a host that connected", "host", host, "error", err)
		return
	}
	f.presence.joined(host)
	f.overview.touch(host)
	said := agentSaid{version: cutText(hello.AgentVersion, 100), putBack: hello.PutBack}
	if said.putBack != nil && !f.offered(said.putBack.SHA256) {
		said.putBack = nil // it is of no more interest
	}
	f.intake.put(&item{host: host, known: said.known, events: said.events, mutate: func(h *api.Host) {
		h.Status.AgentVersion, h.Status.PutBack = said.version, said.putBack
	}})
	f.assign.sendIfOther(ctx, host, hello.Hash)
}

func (c consumer) Left(host string, _ []*api.ToAgent) {
	// An assignment that was not delivered is sent at the next hello.
	c.f.presence.left(host)
	c.f.overview.touch(host)
	c.f.checks.left(host)
}

func (c consumer) Message(host string, m *api.ToServer) {
	switch {
	case m.Report != nil:
		c.f.takeReport(host, m.Report)
	case m.Facts != nil:
		facts := m.Facts
		c.f.intake.put(&item{host: host, facts: facts, mutate: func(h *api.Host) { h.Status.Facts = fewFacts(facts.Facts) }})
	case m.Done != nil:
		c.f.checks.done(host, m.Done)
	}
}

func samePutBack(a, b *api.PutBack) bool {
	return a == nil && b == nil || a != nil && b != nil && a.SHA256 == b.SHA256 && a.Time.Equal(b.Time)
}

// agentSaid is what a host says about its agent.
type agentSaid struct {
	version string
	putBack *api.PutBack
}

// known reports whether a host's status says it already.
func (a agentSaid) known(h *api.Host) bool {
	return h.Status.AgentVersion == a.version && samePutBack(h.Status.PutBack, a.putBack)
}

// events tell that a host runs another agent than before, or put one back.
func (a agentSaid) events(before *api.Host) []*api.Event {
	var out []*api.Event
	if was := before.Status.AgentVersion; was != "" && was != a.version {
		out = append(out, &api.Event{Type: "host.agent-updated", Host: before.Name, Message: fmt.Sprintf("%s runs agent %s, before %s", before.Name, a.version, was)})
	}
	if p := a.putBack; p != nil && !samePutBack(before.Status.PutBack, p) {
		out = append(out, &api.Event{Type: "host.agent-put-back", Host: before.Name,
			Message: fmt.Sprintf("agent %s (%.12s) did not come up on %s and was put back: %s", p.Version, p.SHA256, before.Name, p.Why)})
	}
	return out
}

func revoked(host string) *api.Error {
	return api.Errorf(api.CodeForbidden, "host %s is not a host of this fleet any more: its certificate is refused", host).
		WithRemedy("enrol it again with a new join token: drover-agent join")
}

// takeReport queues a report; it is acknowledged when it is stored.
func (f *Fleet) takeReport(host string, r *api.Report) {
	ack := func(err error) {
		if err == nil {
			// A host that left sends the report again.
			_ = f.s.Hub.Send(host, &api.ToAgent{ReportAck: &api.ReportAck{ID: r.ID}})
		}
	}
	if r.ID == "" || len(r.ID) > 128 {
		f.log.Warn("a report without an id is dropped", "host", host)
		return
	}
	r.Host = host // the certificate says who it is, not the message
	want, _ := f.assign.wanted(host)
	f.intake.put(&item{host: host, report: r, done: ack,
		events: func(before *api.Host) []*api.Event { return f.reportEvents(before, r) },
		mutate: func(h *api.Host) { applyReport(h, r, f.endOf(r), want) },
	})
}

// applyReport puts a report into a host's status, unless a later one is there.
func applyReport(h *api.Host, r *api.Report, at time.Time, want string) {
	if drifted(h.Status.Last, r) && at.After(h.Status.DriftedAt) {
		h.Status.DriftedAt = at
	}
	if h.Status.Last != nil && r.Start.Before(h.Status.Last.Start) {
		return
	}
	h.Status.Last = brief(r)
	h.Status.Revision = r.Commit
	if r.Hash == want && h.Status.Assigned != "" {
		h.Status.Revision = h.Status.Assigned
	}
	h.Status.State = stateOf(h, want)
}

// stateOf is the state that spec, assignment and last report add up to.
func stateOf(h *api.Host, want string) string {
	last := h.Status.Last
	switch {
	case h.Spec.Paused:
		return api.StatePaused
	case want == "" || want == emptyHash:
		return api.StateNew
	case last == nil || last.Hash != want:
		return api.StateConverging
	case last.Failed:
		return api.StateFailed
	}
	return api.StateConverged
}

// brief is a report without its tasks.
func brief(r *api.Report) *api.Report {
	b := *r
	b.Message = cutText(b.Message, 1000)
	b.Sections = make(map[string]api.Result, len(r.Sections))
	for room, res := range r.Sections {
		res.Tasks = nil
		res.Message = cutText(res.Message, 1000)
		b.Sections[room] = res
	}
	return &b
}

func cutText(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// maxListed bounds the changes that an event names.
const maxListed = 50

// endOf is when a converge ended.
func (f *Fleet) endOf(r *api.Report) time.Time {
	at := r.Start.Add(r.Duration).UTC()
	if now := f.s.Now().UTC(); at.After(now) || at.Before(now.AddDate(-1, 0, 0)) {
		return now // a host's clock may be wrong
	}
	return at
}

// drifted reports whether what a converge changed had been right before: the
// same agent had brought the host to the same state. last is the report
// before; a report that comes again is not news.
func drifted(last, r *api.Report) bool {
	return r.Changed && r.Reason != "new" && last != nil && last.ID != r.ID && last.Hash == r.Hash && !last.Failed && last.Agent == r.Agent
}

// reportEvents says what a report means: something changed or failed, or the
// host is where it should be and was not before. A quiet one means nothing.
func (f *Fleet) reportEvents(before *api.Host, r *api.Report) []*api.Event {
	at := f.endOf(r)
	data := map[string]any{"report": r.ID, "commit": r.Commit, "reason": r.Reason}
	changes, failures := listed(r)
	if len(changes) > 0 {
		data["changes"] = changes
	}
	if len(failures) > 0 {
		data["failures"] = failures
	}
	var out []*api.Event
	add := func(typ, format string, args ...any) {
		out = append(out, &api.Event{Time: at, Type: typ, Host: r.Host, Message: fmt.Sprintf(format, args...), Data: data})
	}
	last := before.Status.Last
	if r.Changed {
		n := 0
		for _, s := range r.Sections {
			n += s.Changes
		}
		switch {
		case drifted(last, r):
			add("host.drifted", "%s had drifted: %s", r.Host, counted(n, "thing was put right", "things were put right"))
		case r.Reason != "new" && last != nil && last.Hash == r.Hash && !last.Failed:
			// Another agent may write the same state otherwise.
			add("host.changed", "%s changed with agent %s: %s", r.Host, firstOf(r.Agent, "of another version"), counted(n, "thing", "things"))
		default:
			add("host.changed", "%s changed: %s", r.Host, counted(n, "thing", "things"))
		}
	}
	switch {
	case r.Failed:
		add("host.failed", "%s failed: %s", r.Host, firstOf(cutText(r.Message, 500), firstFailure(failures), "see drover host "+r.Host))
	case last == nil || last.Hash != r.Hash || last.Failed:
		add("host.converged", "%s is converged at %s", r.Host, short(r.Commit))
	}
	return out
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func firstFailure(list []map[string]any) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("%v: %v", list[0]["task"], list[0]["message"])
}

// listed names what a report changed and what failed in it.
func listed(r *api.Report) (changes, failures []map[string]any) {
	rooms := make([]string, 0, len(r.Sections))
	for room := range r.Sections {
		rooms = append(rooms, room)
	}
	sort.Strings(rooms)
	for _, room := range rooms {
		for _, t := range r.Sections[room].Tasks {
			e := map[string]any{"task": cutText(t.Name, 200)}
			if t.Module != "" {
				e["module"] = t.Module
			}
			switch {
			case t.Status == "changed" && len(changes) < maxListed:
				if len(t.Changes) > 0 {
					e["what"] = t.Changes[0].Type + " " + cutText(t.Changes[0].ID, 200)
					e["action"] = t.Changes[0].Action
				}
				changes = append(changes, e)
			case (t.Status == "failed" || t.Status == "unreachable") && len(failures) < maxListed:
				e["message"] = cutText(t.Message, 500)
				if t.Place != nil {
					e["place"] = t.Place.String()
				}
				failures = append(failures, e)
			}
		}
	}
	return changes, failures
}

func short(commit string) string {
	if len(commit) > 10 {
		return commit[:10]
	}
	return commit
}

// skew is how much a certificate's end may lie before that of the first one.
const skew = 2 * time.Second
