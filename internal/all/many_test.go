package all_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"drover/api"
	"drover/internal/link"
	"drover/internal/store"
)

var many = flag.Int("hosts", 500, "hosts of TestManyHosts")

// TestManyHosts pushes to many hosts at once and runs a command on all of
// them. -hosts=5000 is the size that the bars are about; their figures come
// from the simulator over the real protocol.
func TestManyHosts(t *testing.T) {
	h := newHouse(t)
	table := store.TableOf[api.Host](h.srv.Services().Store, "host")
	var names []string
	var objs []*api.Host
	var inv strings.Builder
	inv.WriteString("[all]\n")
	for i := range *many {
		names = append(names, fmt.Sprintf("h-%04d", i))
		objs = append(objs, &api.Host{Meta: api.Meta{Kind: "host", Name: names[i]}})
		fmt.Fprintln(&inv, names[i])
	}
	if err := table.PutMany(t.Context(), objs); err != nil {
		t.Fatal(err)
	}
	var reported, acked sync.WaitGroup
	reported.Add(*many)
	acked.Add(*many)
	var conns sync.WaitGroup
	for _, n := range names {
		c, err := link.Memory(h.srv.Hub(), n).Dial(t.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns.Go(func() {
			send := func(m *api.ToServer) { _ = c.Send(context.Background(), m) }
			for {
				m, err := c.Recv()
				switch {
				case err != nil:
					return
				case m.Assign != nil:
					send(&api.ToServer{Ack: &api.Ack{Commit: m.Assign.Commit, Hash: m.Assign.Hash}})
					send(&api.ToServer{Report: &api.Report{ID: "r-" + n, Start: time.Now(), Commit: m.Assign.Commit, Hash: m.Assign.Hash, Changed: true,
						Sections: map[string]api.Result{"play": {Changed: true, Changes: 1, Tasks: []api.TaskResult{{Name: "x", Module: "ping", Status: "changed"}}}}}})
					reported.Done()
				case m.ReportAck != nil:
					acked.Done()
				case m.Converge != nil:
					send(&api.ToServer{Done: &api.JobDone{ID: m.Converge.ID, Report: &api.Report{}}})
				case m.Job != nil:
					send(&api.ToServer{Output: &api.JobOutput{ID: m.Job.ID, Data: []byte("fine\n")}})
					send(&api.ToServer{Done: &api.JobDone{ID: m.Job.ID}})
				}
			}
		})
	}
	begin := time.Now()
	out, err := h.push("inventory", inv.String(), "site.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n  - ping:\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.says(out, fmt.Sprintf("Accepted and sent to %d hosts.", *many))
	t.Logf("pushed in %v", time.Since(begin))
	reported.Wait()
	t.Logf("all reported after %v", time.Since(begin))
	acked.Wait()
	t.Logf("all acknowledged after %v", time.Since(begin))
	states := map[string]int{}
	_ = table.Scan(t.Context(), func(h *api.Host) error { states[h.Status.State]++; return nil })
	if states[api.StateConverged] != *many {
		t.Errorf("states: %v", states)
	}

	begin = time.Now()
	var end *api.RunEnd
	said, messages := 0, 0
	if err := h.runs(h.api, api.RunRequest{Command: "true"}, func(e api.RunEvent) { end = e.End; said += len(e.Output); messages++ }); err != nil {
		t.Fatal(err)
	}
	t.Logf("ran on all in %v with %d messages", time.Since(begin), messages)
	if end == nil || end.OK != *many || said != *many {
		t.Errorf("end %+v, said %d", end, said)
	}
	if messages > *many/4 {
		t.Errorf("%d messages for %d hosts: they are not gathered", messages, *many)
	}
	h.srv.Hub().Close()
	conns.Wait()
}
