package fleet_test

import (
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/fleet"
	"drover/internal/pki"
)

func TestPushReachesHosts(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1", "web-2", "odd")
	a1, a2 := w.connect("web-1", api.AssignmentSpec{}), w.connect("web-2", api.AssignmentSpec{})
	change := func(*api.Converge) *api.Report {
		return &api.Report{Changed: true, Sections: map[string]api.Result{"play": {Changed: true, Changes: 1, Tasks: []api.TaskResult{
			{Name: "Write motd", Module: "copy", Status: "changed", Duration: time.Since(time.Time{}), Diff: []api.Diff{{Before: "old\n", After: "new\n"}}},
			{Name: "Look", Module: "stat", Status: "ok"}}}}}
	}
	a1.check, a2.check = change, change

	commit := w.commit("Greet everybody", "inventory", "web-1 web\nweb-2 web\ndb-1 db\n", "site.yml", "- hosts: all\n")
	w.pushed("remote: main "+commit[:10]+": Greet everybody",
		"remote: Plan: 2 hosts checked: 2 change; for 1 host nothing is new.",
		"remote:   web-1, web-2 ", "remote:     ~ Write motd [copy]", "remote:         -old", "remote:         +new",
		"remote:   db-1: in the inventory, without an agent", "remote:   odd: with an agent, in no inventory",
		"remote: Accepted and sent to 2 hosts.")
	w.until("web-1 and web-2 are converged", func() bool {
		return w.host("web-1").Status.State == api.StateConverged && w.host("web-2").Status.State == api.StateConverged
	})
	h := w.host("web-1")
	if h.Status.Revision != commit || h.Status.Assigned != commit || !h.Status.Connected || strings.Join(h.Status.Groups, " ") != "web" || h.Status.Last == nil {
		t.Errorf("host: %+v", h.Status)
	}
	if s := w.host("odd").Status.State; s != api.StateNew {
		t.Errorf("a host in no inventory is %q", s)
	}
	rev := &api.Revision{}
	if err := w.call(w.token, "GET", "/v1/revisions/"+commit, nil, rev); err != nil || !rev.Status.Active || rev.Spec.Subject != "Greet everybody" || rev.Spec.Pusher == "" || rev.Spec.Bundle == "" {
		t.Errorf("revision: %+v, %v", rev, err)
	}

	// The same content again: a revision, and no host is touched.
	second := w.commit("Say nothing new", "README.md", "hello\n")
	w.pushed("remote: Plan: no host changes", "remote: Accepted. No host changes.")
	w.until("hosts are at the new revision", func() bool { return w.host("web-1").Status.Revision == second })
	if n := len(w.events("revision.accepted")); n != 2 {
		t.Errorf("%d revisions were accepted, want 2", n)
	}

	// One host changes.
	w.commit("Only one", "inventory", "web-1 web\ndb-1 db\n")
	w.pushed("remote: Plan: 1 host checked: 1 changes; for 2 hosts nothing is new.", "remote:   odd, web-2: with an agent, in no inventory")
	w.until("web-2 is left alone", func() bool { return w.host("web-2").Status.State == api.StateNew })
}

func TestPushWithErrorsIsRefused(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	a := w.connect("web-1", api.AssignmentSpec{})
	good := w.commit("good", "inventory", "web-1 web\n", "site.yml", "fine\n")
	w.pushed()
	w.until("it converged", func() bool { return w.host("web-1").Status.State == api.StateConverged })
	before := a.has.Hash

	w.commit("worse", "site.yml", "fine\n  x: BAD\n", "fleet.yml", "nam: x\n")
	out, err := w.push(w.token, "main")
	if err == nil {
		t.Errorf("it was accepted:\n%s", out)
	}
	w.says(out, `remote: fleet.yml:1:1: there is no setting "nam"`, "Nothing was accepted, and no host changes")
	w.commit("half", "fleet.yml", "name: x\n")
	out, err = w.push(w.token, "main")
	if err == nil {
		t.Errorf("it was accepted:\n%s", out)
	}
	w.says(out, "remote: 1 error:", "remote: site.yml:2:6: there is no module BAD; did you mean copy?", "! [remote rejected] main -> main (1 error, see above)")
	if h := w.host("web-1"); h.Status.Assigned != good || a.has.Hash != before {
		t.Errorf("the host moved: %+v", h.Status)
	}
	if n := len(w.events("revision.refused")); n != 2 {
		t.Errorf("%d refusals were recorded, want 2", n)
	}
	var audit struct{ Items []api.AuditEntry }
	if err := w.call(w.token, "GET", "/v1/audit?object=revision/*&limit=1", nil, &audit); err != nil || len(audit.Items) != 1 ||
		audit.Items[0].Result != string(api.CodeInvalid) || !strings.HasPrefix(audit.Items[0].Detail, "refused: 1 error: ") || !strings.Contains(audit.Items[0].Detail, "no module BAD") {
		t.Errorf("audit: %+v, %v", audit.Items, err)
	}
	// Another branch may hold anything, and says what main would say.
	out, err = w.push(w.token, "main:refs/heads/draft")
	if err != nil {
		t.Errorf("a branch was refused: %v\n%s", err, out)
	}
	w.says(out, "site.yml:2:6: there is no module BAD", "The branch is kept; main would refuse it.")
	// The plan of that branch is to be had by its name.
	p := &api.Plan{}
	if err := w.call(w.token, "POST", "/v1/plan", api.PlanRequest{Revision: "draft"}, p); err != nil || p.Errors != 1 {
		t.Errorf("plan: %+v, %v", p, err)
	}
}

func TestWhoMayPush(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.commit("first", "inventory", "")
	viewer := w.makeToken("viewer", api.TokenSpec{Role: api.RoleViewer})
	for token, want := range map[string]string{viewer: "403", "nonsense": "Authentication failed"} {
		out, err := w.push(token, "main")
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("push: %v\n%s", err, out)
		}
	}
	w.pushed()
	url := strings.Replace(w.http.URL, "http://", "http://git:"+viewer+"@", 1) + "/fleet.git"
	w.git("", "clone", "-q", url, t.TempDir()+"/c")
	if err := w.call(viewer, "POST", "/v1/plan", api.PlanRequest{Revision: "main"}, nil); err == nil || err.Code != api.CodeForbidden {
		t.Errorf("a viewer may plan: %v", err)
	}
}

func (w *world) makeToken(name string, spec api.TokenSpec) string {
	w.Helper()
	secret, err := w.srv.Services().Access.CreateToken(w.Context(), &api.Token{Meta: api.Meta{Name: name}, Spec: spec})
	if err != nil {
		w.Fatal(err)
	}
	return secret
}

func TestReportsCountOnce(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	w.commit("first", "inventory", "web-1\n", "site.yml", "x\n")
	w.pushed()
	a := w.connect("web-1", api.AssignmentSpec{})
	w.until("it converged", func() bool { return w.host("web-1").Status.State == api.StateConverged })

	// What the host did while no server answered arrives late, with its own
	// times, the newest last; its acknowledgements were lost, so it comes twice.
	old := time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Millisecond)
	drift := func() *api.Report {
		return &api.Report{ID: "outage-1", Start: old, Duration: time.Minute, Reason: "timer", Changed: true, Sections: map[string]api.Result{"play": {Changes: 2, Changed: true}}}
	}
	a.report(drift())
	w.until("it is acknowledged", func() bool { return a.acked("outage-1") })
	a.close()
	w.restart()
	a = w.connect("web-1", a.has)
	a.report(drift())
	fresh := a.report(&api.Report{Reason: "timer"})
	w.until("all are acknowledged", func() bool { return a.acked("outage-1") && a.acked(fresh) })
	drifts := w.events("host.drifted")
	if len(drifts) != 1 || !drifts[0].Time.Equal(old.Add(time.Minute)) {
		t.Errorf("events of the outage: %+v", drifts)
	}
	if got := w.host("web-1").Status.Last.ID; got != fresh {
		t.Errorf("the last report is %s, want %s", got, fresh)
	}

	// What another agent writes otherwise is no drift.
	other := a.report(&api.Report{Reason: "start", Agent: "v2", Changed: true, Sections: map[string]api.Result{"play": {Changed: true, Changes: 1}}})
	w.until("it is acknowledged", func() bool { return a.acked(other) })
	if n := len(w.events("host.drifted")); n != 1 {
		t.Errorf("%d drifts after an update of the agent, want 1", n)
	}

	bad := a.report(&api.Report{Reason: "timer", Failed: true, Message: "cannot install nginx", Sections: map[string]api.Result{"play": {Failed: true, Failures: 1,
		Tasks: []api.TaskResult{{Name: "web : Install", Module: "apt", Status: "failed", Message: "no such package", Place: &api.Place{File: "roles/web/tasks/main.yml", Line: 3}}}}}})
	w.until("it is acknowledged", func() bool { return a.acked(bad) })
	if s := w.host("web-1").Status; s.State != api.StateFailed || s.Last.Sections["play"].Tasks != nil {
		t.Errorf("status: %+v", s)
	}
	rep := &api.Report{}
	if err := w.call(w.token, "GET", "/v1/hosts/web-1/report", nil, rep); err != nil || len(rep.Sections["play"].Tasks) != 1 {
		t.Errorf("report: %+v, %v", rep, err)
	}
	if ev := w.events("host.failed"); len(ev) != 1 || !strings.Contains(ev[0].Message, "cannot install nginx") {
		t.Errorf("events: %+v", ev)
	}
}

// TestAConvergeIsReadWithItsTasks also while its status is being written, and
// after one has arrived that is older.
func TestAConvergeIsReadWithItsTasks(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	s := w.slow()
	w.add("web-1")
	w.commit("first", "inventory", "web-1\n", "site.yml", "x\n")
	w.pushed()
	a := w.connect("web-1", api.AssignmentSpec{})
	w.until("it converged", func() bool { return w.host("web-1").Status.State == api.StateConverged })
	report := func(start time.Time) string {
		return a.report(&api.Report{Reason: "timer", Start: start, Sections: map[string]api.Result{"play": {Tasks: []api.TaskResult{{Name: "Install", Status: "ok"}}}}})
	}
	reads := func(id string) bool {
		rep := &api.Report{}
		if err := w.call(w.token, "GET", "/v1/hosts/web-1/report", nil, rep); err != nil {
			t.Fatal(err)
		}
		return rep.ID == id && len(rep.Sections["play"].Tasks) == 1
	}
	release := s.hold()
	defer release()
	id := report(time.Now())
	w.until("it is read before its status is written", func() bool { return reads(id) })
	release()
	w.until("it is acknowledged", func() bool { return a.acked(id) })
	if !reads(id) || w.host("web-1").Status.Last.ID != id {
		t.Error("it is not read with its tasks after its status was written")
	}
	old := report(time.Now().Add(-time.Hour))
	w.until("an older one is acknowledged", func() bool { return a.acked(old) })
	if !reads(id) {
		t.Error("an older one took its place")
	}
}

func TestJoinRenewAndRevoke(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	join := func(token, name string, csr []byte) (*api.JoinResponse, *api.Error) {
		r := &api.JoinResponse{}
		return r, w.call(token, "POST", "/v1/join", api.JoinRequest{Name: name, CSR: csr, AgentVersion: "1"}, r)
	}
	request := func(name string) []byte {
		key, _, err := pki.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		csr, err := pki.Request(name, key)
		if err != nil {
			t.Fatal(err)
		}
		return csr
	}
	token := w.makeToken("j1", api.TokenSpec{Join: true, Expires: time.Now().Add(time.Hour)})
	csr := request("web-1")
	for what, err := range map[string]func() *api.Error{
		"a name with a slash":    func() *api.Error { _, e := join(token, "a/b", csr); return e },
		"no certificate request": func() *api.Error { _, e := join(token, "web-1", []byte("x")); return e },
		"a wrong token":          func() *api.Error { _, e := join("drv_j1_wrong", "web-1", csr); return e },
	} {
		if e := err(); e == nil || e.Remedy == "" {
			t.Errorf("%s: %v", what, e)
		}
	}
	first, err := join(token, "web-1", csr)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Certificate) == 0 || len(first.SigningKey) == 0 || first.Fleet == "" {
		t.Errorf("identity: %+v", first)
	}
	// The answer was lost: the same again works, anything else does not.
	if _, err := join(token, "web-1", csr); err != nil {
		t.Errorf("the same join again: %v", err)
	}
	if _, err := join(token, "web-2", request("web-2")); err == nil || err.Code != api.CodeUnauthorized {
		t.Errorf("a used token: %v", err)
	}
	if _, err := join(token, "web-1", request("web-1")); err == nil {
		t.Errorf("a used token with another key was taken")
	}
	other := w.makeToken("j2", api.TokenSpec{Join: true, Expires: time.Now().Add(time.Hour)})
	if _, err := join(other, "web-1", request("web-1")); err == nil || err.Code != api.CodeExists {
		t.Errorf("a taken name: %v", err)
	}
	if _, err := join(other, "web-2", request("web-2")); err != nil {
		t.Errorf("the token is not spent by a refusal: %v", err)
	}
	if n := len(w.events("host.enrolled")); n != 2 {
		t.Errorf("%d hosts were enrolled, want 2", n)
	}

	a := w.connect("web-1", api.AssignmentSpec{})
	if _, err := a.conn.Renew(t.Context(), &api.RenewRequest{CSR: csr}); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := w.call(w.token, "DELETE", "/v1/hosts/web-1", nil, nil); err != nil {
		t.Fatal(err)
	}
	<-a.over
	if _, err := a.conn.Renew(t.Context(), &api.RenewRequest{CSR: csr}); api.CodeOf(err) != api.CodeForbidden {
		t.Errorf("a deleted host renews: %v", err)
	}
	b := w.connect("web-1", api.AssignmentSpec{})
	<-b.over
	if b.err == nil || !strings.Contains(b.err.Error(), "not a host of this fleet") {
		t.Errorf("a deleted host connects: %v", b.err)
	}
	if _, err := join(w.makeToken("j3", api.TokenSpec{Join: true, Expires: time.Now().Add(time.Hour)}), "web-1", request("web-1")); err != nil {
		t.Errorf("the name is free again: %v", err)
	}
}

func TestFactsAndPausing(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	w.commit("first", "inventory", "web-1\n", "site.yml", "x\n")
	w.pushed()
	a := w.connect("web-1", api.AssignmentSpec{})
	if err := a.conn.Send(t.Context(), &api.ToServer{Facts: &api.Facts{Hash: "1", Facts: map[string]any{"kernel": "6.1", "architecture": "x86_64", "secret": strings.Repeat("x", 4096)}}}); err != nil {
		t.Fatal(err)
	}
	w.until("facts are known", func() bool { return w.host("web-1").Status.Facts["kernel"] == "6.1" })
	all := map[string]any{}
	w.until("all facts are stored", func() bool {
		return w.call(w.token, "GET", "/v1/hosts/web-1/facts", nil, &all) == nil && all["secret"] != nil
	})
	h := w.host("web-1")
	h.Spec.Paused, h.Revision = true, 0 // reports may write its status meanwhile
	if err := w.call(w.token, "PUT", "/v1/hosts/web-1", h, nil); err != nil {
		t.Fatal(err)
	}
	w.until("the host is paused", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.has.Sections) == 0 && a.has.Hash != "" && w.host("web-1").Status.State == api.StatePaused
	})
	h = w.host("web-1")
	h.Spec.Paused, h.Revision = false, 0
	if err := w.call(w.token, "PUT", "/v1/hosts/web-1", h, nil); err != nil {
		t.Fatal(err)
	}
	w.until("the host goes on", func() bool { return w.host("web-1").Status.State == api.StateConverged })
}

func TestComingAndGoing(t *testing.T) {
	w := newWorld(t, fleet.Options{Debounce: 300 * time.Millisecond})
	w.add("web-1")
	a := w.connect("web-1", api.AssignmentSpec{})
	w.until("it is connected", func() bool { return len(w.events("host.connected")) == 1 })
	a.close()
	b := w.connect("web-1", api.AssignmentSpec{}) // a blink is no event
	b.close()
	w.until("it is away", func() bool { return len(w.events("host.disconnected")) == 1 })
	w.until("when it was seen last is kept", func() bool {
		h := w.host("web-1")
		return !h.Status.Connected && !h.Status.LastSeen.IsZero()
	})
	w.restart()
	w.connect("web-1", api.AssignmentSpec{})
	w.until("it is back", func() bool { return len(w.events("host.connected")) == 2 })
	if n := len(w.events("host.disconnected")); n != 1 {
		t.Errorf("%d times away, want 1", n)
	}
}

func TestLosingAllHostsNeedsAWord(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1", "web-2")
	w.commit("good", "inventory", "web-1 web\nweb-2 web\n", "site.yml", "fine\n")
	w.pushed()
	w.commit("lost", "inventory", "")
	out, err := w.push(w.token, "main")
	if err == nil {
		t.Errorf("it was accepted:\n%s", out)
	}
	w.says(out, "The inventory names none of the 2 hosts", "git push -o no-hosts")
	if out, err = w.push(w.token, "-o", "no-hosts", "main"); err != nil {
		t.Errorf("it was refused: %v\n%s", err, out)
	}
	w.until("they are let go", func() bool { return w.host("web-1").Status.State == api.StateNew })
}

func TestAnUndefinedVariableEverywhereIsRefused(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1")
	a := w.connect("web-1", api.AssignmentSpec{})
	a.check = func(*api.Converge) *api.Report {
		return &api.Report{Failed: true, Sections: map[string]api.Result{"play": {Failed: true, Failures: 1, Tasks: []api.TaskResult{
			{Name: "Greet", Module: "debug", Status: "failed", Message: "'greetin' is undefined"}}}}}
	}
	w.commit("misspelt", "inventory", "web-1 web\n", "site.yml", "- hosts: all\n")
	out, err := w.push(w.token, "main")
	if err == nil {
		t.Errorf("it was accepted:\n%s", out)
	}
	w.says(out, "Plan: 1 host checked: 1 fails.", "Every host asked fails at this: 'greetin' is undefined.", "git push -o unchecked")
	out, err = w.push(w.token, "-o", "unchecked", "main")
	if err != nil {
		t.Errorf("it was refused: %v", err)
	}
	w.says(out, "The check failed on 1 host, see above.", "Accepted and sent to 1 host.")
}
