package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/agent"
)

func TestStateIsOpenedOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.OpenState(dir); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("a second agent opened it: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestStateIsPrivate keeps keys from other users and programs open to them.
func TestStateIsPrivate(t *testing.T) {
	dir := t.TempDir()
	s, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetIdentity(&agent.Identity{Host: "a", Fleet: "f", Key: []byte("secret")}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"": 0o711, "bin": 0o755, "blobs": 0o700, "spool": 0o700, "identity.json": 0o600, "jobs.log": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
}

// TestCrashLeftovers covers what a kill can leave in the folder, and what a
// failing disk can.
func TestCrashLeftovers(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	h := begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	blob := s.addBlob([]byte(strings.Repeat("content", 1000)))
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one", blob)})
	s.until(func() bool { return len(s.reports) == 1 })
	s.job(t, &api.Job{ID: "j1", Command: "exit 4"})
	h.stop()

	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".new-123", "half")
	write("blobs/.new-9", "half")
	write("blobs/"+strings.Repeat("0", 64)+".part", "half")
	write("spool/.new-1", "half")
	write("spool/00000000000000000001.json", `{"id": "torn`)
	log, err := os.OpenFile(filepath.Join(dir, "jobs.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(log, `{"id":"j2","dead`)
	log.Close()
	write("blobs/"+blob, "damaged by the disk")

	begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 2 })
	if d := s.job(t, &api.Job{ID: "j1", Command: "exit 5"}); d.Exit != 4 {
		t.Errorf("a job ran again: %+v", d)
	}
	if d := s.job(t, &api.Job{ID: "j2", Command: "exit 6"}); d.Exit != 6 {
		t.Errorf("a job whose record was torn did not run: %+v", d)
	}
	if d := s.job(t, &api.Job{ID: "j2", Command: "exit 7"}); d.Exit != 6 {
		t.Errorf("a job ran again: %+v", d)
	}
	// The damaged blob is fetched anew before the next converge.
	s.send(t, &api.ToAgent{Converge: &api.Converge{ID: "now"}})
	s.until(func() bool { return s.done["now"].Report != nil })
	if got, err := os.ReadFile(filepath.Join(dir, "blobs", blob)); err != nil || len(got) != 7000 {
		t.Errorf("the damaged blob has %d bytes, %v", len(got), err)
	}
	s.send(t, &api.ToAgent{Assign: assignment("c2", "two", blob)})
	s.until(func() bool { return s.acks[len(s.acks)-1].Commit == "c2" })
	for _, name := range []string{".new-123", "blobs/.new-9", "spool/.new-1", "blobs/" + strings.Repeat("0", 64) + ".part"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// TestBlobsAreResumedAndCollected covers what a broken line left of a blob,
// and blobs that nothing names any more.
func TestBlobsAreResumedAndCollected(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	content := []byte(strings.Repeat("content", 10000))
	blob := s.addBlob(content)
	h := begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	path := filepath.Join(dir, "blobs", blob)
	if err := os.WriteFile(path+".part", content[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one", blob)})
	s.until(func() bool { return len(s.acks) == 1 })
	if got, err := os.ReadFile(path); err != nil || string(got) != string(content) {
		t.Errorf("the blob has %d bytes, %v", len(got), err)
	}
	other := s.addBlob([]byte("other"))
	s.send(t, &api.ToAgent{Assign: assignment("c2", "two", other)})
	s.until(func() bool { return len(s.reports) > 0 && s.reports[len(s.reports)-1].Commit == "c2" })
	h.stop()
	if _, err := os.Stat(path); err == nil {
		t.Error("a blob that nothing needs is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "blobs", other)); err != nil {
		t.Error("the blob that is needed is gone")
	}
}

// TestAnotherFleet drops what the old one wanted.
func TestAnotherFleet(t *testing.T) {
	s := newFakeServer(t)
	dir := t.TempDir()
	h := begin(t, s, dir, &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	s.send(t, &api.ToAgent{Assign: assignment("c1", "one")})
	s.until(func() bool { return len(s.reports) == 1 })
	h.stop()
	state, err := agent.OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if err := state.SetIdentity(&agent.Identity{Host: "web-1", Fleet: "other"}); err != nil {
		t.Fatal(err)
	}
	if state.Assignment() != nil {
		t.Error("the old fleet's assignment is still kept")
	}
}

func TestUnit(t *testing.T) {
	u := agent.Unit("/srv/agent")
	for _, want := range []string{"ExecStart=/srv/agent/bin/current run --state /srv/agent\n", "ExecStartPre=-/srv/agent/bin/previous guard --state /srv/agent\n",
		"Restart=always\n", "StartLimitIntervalSec=0\n", "KillMode=mixed\n", "WantedBy=multi-user.target\n"} {
		if !strings.Contains(u, want) {
			t.Errorf("the unit does not have %q:\n%s", want, u)
		}
	}
	if strings.Contains(u, "@") {
		t.Errorf("the unit has an unfilled place:\n%s", u)
	}
}
