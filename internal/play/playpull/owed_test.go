package playpull_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"drover/api"
	"drover/internal/agent/agenttest"
	"drover/internal/play/module"
	"drover/internal/play/playpull"
)

const owing = `
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: /srv/app, state: directory, mode: "0755"}
    - copy: {content: hello, dest: /srv/app/page}
      notify: reload
    - copy: {content: more, dest: /srv/app/more}
  handlers:
    - name: reload
      copy: {content: reloaded, dest: /srv/app/reloaded}
`

// owes is a host with a state folder beside its root.
func owes(t *testing.T, h *module.Host) (*playpull.Executor, api.Section) {
	t.Helper()
	w, err := newWorld(map[string]string{"site.yml": owing, "inventory.yml": "all: {hosts: {web-1: {}}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(playpull.Section{Playbook: "site.yml", Bundle: "b", Slice: w.slice})
	if err != nil {
		t.Fatal(err)
	}
	return playpull.New(playpull.Config{Host: h, State: h.Root + "/state", Open: func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(w.bundle)), nil
	}}), agenttest.Section(playpull.Room, body)
}

// TestApplyAndDie is the agent that the next test kills.
func TestApplyAndDie(t *testing.T) {
	moment, err := strconv.Atoi(os.Getenv("DROVER_TEST_DIE_AT"))
	if err != nil {
		t.Skip("it is for another test")
	}
	n := 0
	e, section := owes(t, &module.Host{Root: os.Getenv("DROVER_TEST_DIE_IN"), Crash: func(string) {
		if n++; n > moment {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if _, err := e.CheckApply(t.Context(), section, true); err != nil {
		t.Fatal(err)
	}
}

// The agent is killed at every step of an apply. The next finds nothing to
// change where the first had been, and still runs the handler, once.
func TestHandlersRunAfterAKill(t *testing.T) {
	waited := 0
	for i := 0; ; i++ {
		root := newRoot(t)
		if err := os.Mkdir(filepath.Join(root, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestApplyAndDie$")
		cmd.Env = append(os.Environ(), "DROVER_TEST_DIE_IN="+root, "DROVER_TEST_DIE_AT="+strconv.Itoa(i))
		out, err := cmd.CombinedOutput()
		if err == nil {
			break // it was through before this step
		}
		if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || st.Signal() != syscall.SIGKILL {
			t.Fatalf("the apply failed: %v %s", err, out)
		}
		has := func(name string) bool {
			_, err := os.Stat(filepath.Join(root, "srv/app", name))
			return err == nil
		}
		waits := has("page") && !has("reloaded")
		if waits {
			waited++
		}
		e, section := owes(t, &module.Host{Root: root})
		if plan, err := e.CheckApply(t.Context(), section, false); err != nil || waits && !plan.Changed {
			t.Errorf("killed at %d: the plan does not show the handler: %v %+v", i, err, plan)
		}
		if res, err := e.CheckApply(t.Context(), section, true); err != nil || res.Failed {
			t.Fatalf("killed at %d: %v %+v", i, err, res)
		}
		if !has("reloaded") {
			t.Errorf("killed at %d: the handler was lost", i)
		}
		if res, err := e.CheckApply(t.Context(), section, true); err != nil || res.Changed || len(res.Tasks) != 3 {
			t.Errorf("killed at %d: the third time %v %+v", i, err, res)
		}
		if list, err := os.ReadDir(filepath.Join(root, "state")); err != nil || len(list) != 0 {
			t.Errorf("killed at %d: something is left in the state: %v, %v", i, list, err)
		}
	}
	if waited < 3 {
		t.Errorf("only %d kills came between the task and its handler", waited)
	}
}
