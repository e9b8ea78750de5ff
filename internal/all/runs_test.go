package all_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

// finished follows a run to its end and gives what is kept of it.
func (h *house) finished(id string) *api.RunDetail {
	h.Helper()
	if err := h.api.FollowRun(h.Context(), id, func(api.RunEvent) error { return nil }); err != nil {
		h.Fatal(err)
	}
	d, err := h.api.Run(h.Context(), id)
	if err != nil {
		h.Fatal(err)
	}
	return d
}

func (h *house) output(id, host string) string {
	h.Helper()
	r, _, err := h.api.RunOutput(h.Context(), id, host)
	if err != nil {
		h.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		h.Fatal(err)
	}
	return string(b)
}

func TestARunGoesOnWithoutAReader(t *testing.T) {
	h := newHouse(t)
	release := make(chan struct{})
	slow := func(x *host, j *api.Job) {
		x.send(&api.ToServer{Output: &api.JobOutput{ID: j.ID, Data: []byte("begun\n")}})
		<-release
		x.send(&api.ToServer{Output: &api.JobOutput{ID: j.ID, Data: []byte("done\n")}})
		x.send(&api.ToServer{Done: &api.JobDone{ID: j.ID}})
	}
	h.add("web-1", nil, slow)
	h.add("web-2", nil, slow)
	rec, err := h.api.Detached(t.Context(), api.RunRequest{Command: "make it so", Detach: true})
	if err != nil || rec.State != api.RunRunning || rec.Count != 2 || rec.Kind != api.RunCommand || rec.Title != "make it so" || rec.Actor == "" {
		t.Fatalf("%+v, %v", rec, err)
	}
	begun := 0
	err = h.api.FollowRun(t.Context(), rec.ID, func(e api.RunEvent) error {
		if begun += len(e.Output); begun == 2 {
			return client.ErrStop // the reader goes, the run does not
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := h.api.Runs(t.Context(), client.RunQuery{State: api.RunRunning, Host: "web-2"}); err != nil || len(list.Items) != 1 || list.Items[0].ID != rec.ID {
		t.Errorf("under way: %+v, %v", list, err)
	}
	close(release)
	if d := h.finished(rec.ID); d.State != api.RunOK || d.OK != 2 || d.Command != "make it so" || d.Actor != rec.Actor {
		t.Errorf("%+v", d)
	}
	if got := h.output(rec.ID, "web-2"); got != "begun\ndone\n" {
		t.Errorf("web-2 printed %q", got)
	}
	var e *api.Error
	if err := h.runs(h.api, api.RunRequest{Command: "again", ID: rec.ID}, func(api.RunEvent) {}); !asError(err, &e) || e.Code != api.CodeExists {
		t.Errorf("the same ID again: %v", err)
	}
}

func TestARunIsCancelledByAnother(t *testing.T) {
	h := newHouse(t)
	h.add("web-1", nil, func(*host, *api.Job) {}) // never answers
	h.add("web-2", nil, func(x *host, j *api.Job) { x.send(&api.ToServer{Done: &api.JobDone{ID: j.ID}}) })
	rec, err := h.api.Detached(t.Context(), api.RunRequest{Command: "sleep 1d", Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	answered := errors.New("web-2 has answered")
	if err := h.api.FollowRun(t.Context(), rec.ID, func(e api.RunEvent) error {
		if len(e.Done) > 0 {
			return answered
		}
		return nil
	}); !errors.Is(err, answered) {
		t.Fatal(err)
	}
	if _, err := h.api.CancelRun(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	d := h.finished(rec.ID)
	if d.State != api.RunCancelled || d.Lost != 1 || d.OK != 1 || !strings.HasPrefix(d.Message, "cancelled by ") || !strings.HasPrefix(d.Results[0].Error, "cancelled by ") {
		t.Errorf("%+v", d)
	}
	if _, err := h.api.CancelRun(t.Context(), rec.ID); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("cancelled twice: %v", err)
	}

	// Whoever may only look sees that it ran, but neither what was printed nor a way to end it.
	var token server.NewToken
	if err := h.api.Create(t.Context(), "tokens", &api.Token{Meta: api.Meta{Kind: "token", Name: "looker"}, Spec: api.TokenSpec{Role: api.RoleViewer}}, &token); err != nil {
		t.Fatal(err)
	}
	looker := h.as(token.Secret)
	if d, err := looker.Run(t.Context(), rec.ID); err != nil || d.State != api.RunCancelled {
		t.Errorf("a viewer: %+v, %v", d, err)
	}
	if _, _, err := looker.RunOutput(t.Context(), rec.ID, "web-2"); api.CodeOf(err) != api.CodeForbidden {
		t.Errorf("a viewer read output: %v", err)
	}
	if _, err := looker.CancelRun(t.Context(), rec.ID); api.CodeOf(err) != api.CodeForbidden {
		t.Errorf("a viewer cancelled: %v", err)
	}
}

func TestAConvergeKeepsWholeReports(t *testing.T) {
	h := newHouse(t)
	h.add("web-1", nil, nil)
	var id string
	err := h.api.Stream(t.Context(), "POST", "/v1/converge", api.ConvergeRequest{Check: true}, func(m client.Message) error {
		var e api.RunEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return err
		}
		if e.Start != nil {
			id = e.Start.ID
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := h.finished(id); d.Kind != api.RunConverge || !d.Check || d.State != api.RunOK || len(d.Results) != 1 || d.Results[0].Tasks == nil {
		t.Errorf("%+v", d)
	}
	if r, err := h.api.RunReport(t.Context(), id, "web-1"); err != nil || r.Host != "web-1" {
		t.Errorf("report %+v, %v", r, err)
	}
}

// A task that prints five million bytes is kept whole; beyond the limit it is
// cut and says so. What no_log hides is kept nowhere.
func TestAPlayIsKeptWithLargeResults(t *testing.T) {
	h := newHouse(t)
	h.add("web-1", nil, nil)
	h.add("web-2", nil, nil)
	play := "- hosts: all\n  gather_facts: false\n  tasks:\n" +
		"  - name: text\n    shell: head -c {{ bytes }} /dev/zero | tr '\\0' 'x'\n    when: inventory_hostname == 'web-1'\n" +
		"  - name: secret\n    command: echo top-secret-word\n    no_log: true\n" +
		"  - name: file\n    copy:\n      content: private-content\n      dest: /secret\n      mode: '0600'\n"
	run := func(size int) (id string, end *api.PlayEnd) {
		t.Helper()
		body := upload(t, api.PlayRequest{Playbooks: []string{"p.yml"}, Inventory: []string{"web-1,web-2,"}, ExtraVars: map[string]any{"bytes": fmt.Sprint(size)}, Verbosity: 1}, "p.yml", play)
		resp, err := h.api.Do(t.Context(), http.MethodPost, "/v1/plays", body, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		err = client.ReadEvents(resp.Body, func(m client.Message) error {
			if m.Event == "end" {
				return json.Unmarshal(m.Data, &end)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.Get("X-Run-Id"), end
	}
	id, end := run(5_000_000)
	if end == nil || end.Exit != 0 {
		t.Fatalf("end %+v", end)
	}
	d, err := h.api.Run(t.Context(), id)
	if err != nil || d.Kind != api.RunPlay || d.State != api.RunOK || d.Count != 2 || d.Changed != 2 || d.Title != "p.yml" {
		t.Fatalf("%+v, %v", d, err)
	}
	list, err := h.api.RunTasks(t.Context(), id, "web-1")
	if err != nil || len(list.Items) != 3 || list.Truncated {
		t.Fatalf("%d tasks, truncated %v, %v", len(list.Items), list.Truncated, err)
	}
	if out, _ := list.Items[0].Result["stdout"].(string); len(out) != 5_000_000 {
		t.Errorf("%d bytes of five million are kept", len(out))
	}
	raw, err := json.Marshal(list.Items[1:])
	if err != nil || bytes.Contains(raw, []byte("top-secret-word")) || bytes.Contains(raw, []byte("private-content")) {
		t.Errorf("kept: %s", raw)
	}
	if list, err := h.api.RunTasks(t.Context(), id, "web-2"); err != nil || len(list.Items) != 3 || list.Items[0].Status != "skipped" {
		t.Errorf("%+v, %v", list, err)
	}

	id, _ = run(7_000_000)
	if list, err = h.api.RunTasks(t.Context(), id, "web-1"); err != nil || len(list.Items) != 3 || !list.Truncated {
		t.Fatalf("%+v, %v", list, err)
	}
	if out, _ := list.Items[0].Result["stdout"].(string); len(out) < 5_000_000 || len(out) > 6_000_000 || !strings.HasSuffix(out, "… cut: there were 7000000 bytes") {
		t.Errorf("%d bytes are kept", len(out))
	}
	d, err = h.api.Run(t.Context(), id)
	if err != nil || !d.Results[0].Truncated || d.Results[1].Truncated {
		t.Errorf("%+v, %v", d, err)
	}

	// Followed later, the events are those of the play.
	kinds := map[string]int{}
	over := false
	err = h.api.Follow(t.Context(), client.Path("v1", "runs", id, "events"), nil, func(m client.Message) error {
		if m.Event == "end" {
			over = true
			return client.ErrStop
		}
		var list []struct{ Kind string }
		if err := json.Unmarshal(m.Data, &list); err != nil {
			return err
		}
		for _, e := range list {
			kinds[e.Kind]++
		}
		return nil
	})
	if err != nil || !over || kinds["result"] != 6 || kinds["task"] != 3 {
		t.Errorf("events %v, over %v, %v", fmt.Sprint(kinds), over, err)
	}
}
