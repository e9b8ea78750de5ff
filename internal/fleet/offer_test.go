package fleet_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/fleet"
	"drover/internal/link"
	"drover/internal/pki"
)

// TestOffers names the agent beside the server to each host that runs another
// one, from its first hello on, and tells of those that were put back.
func TestOffers(t *testing.T) {
	program := filepath.Join(t.TempDir(), "drover-agent")
	if err := os.WriteFile(program, []byte("an agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("an agent"))
	hash := hex.EncodeToString(sum[:])
	w := newWorld(t, fleet.Options{Agents: []fleet.AgentBinary{{OS: "linux", Arch: "arm64", Path: program},
		{OS: "linux", Arch: "riscv64", Path: program + "-is-not-there"}}})
	w.add("web-1")
	other := strings.Repeat("0", 64)
	for _, c := range []struct {
		name  string
		hello api.Hello
		want  bool
	}{
		{"another agent", api.Hello{AgentHash: other, Platform: "linux/arm64"}, true},
		{"the same version with another hash", api.Hello{AgentVersion: w.srv.Services().Version, AgentHash: other, Platform: "linux/arm64"}, true},
		{"this agent", api.Hello{AgentHash: hash, Platform: "linux/arm64"}, false},
		{"another platform", api.Hello{AgentHash: other, Platform: "linux/amd64"}, false},
		{"no hash, as in a simulation", api.Hello{Platform: "linux/arm64"}, false},
		{"neither platform nor facts", api.Hello{AgentHash: other}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.hello.Version = api.LinkVersion
			conn, err := link.Memory(w.srv.Hub(), "web-1").Dial(t.Context(), &c.hello)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			o := conn.Welcome().Update
			if (o != nil) != c.want {
				t.Fatalf("offered %+v", o)
			}
			if o == nil {
				return
			}
			if o.SHA256 != hash || o.Size != 8 {
				t.Errorf("offered %+v", o)
			}
			if err := pki.VerifyBinary(w.srv.Services().CA.SigningKey(), o.Version, o.SHA256, o.Signature); err != nil {
				t.Error(err)
			}
		})
	}

	back := &api.PutBack{Version: "2", SHA256: hash, Why: "it ended without reaching a server", Time: time.Now().UTC().Truncate(time.Second)}
	say := func(p *api.PutBack) {
		t.Helper()
		conn, err := link.Memory(w.srv.Hub(), "web-1").Dial(t.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: "1", AgentHash: other, Platform: "linux/arm64", PutBack: p})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	say(back)
	say(back)
	w.until("it is known", func() bool { p := w.host("web-1").Status.PutBack; return p != nil && p.Why == back.Why })
	gone := *back
	gone.SHA256 = other // no more beside the server
	say(&gone)
	w.until("it is forgotten", func() bool { return w.host("web-1").Status.PutBack == nil })
	if n := len(w.events("host.agent-put-back")); n != 1 {
		t.Errorf("it is told %d times", n)
	}
}

// TestTheLastHelloCounts also where the one before is not stored yet.
func TestTheLastHelloCounts(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	s := w.slow()
	w.add("web-1")
	say := func(version string) {
		t.Helper()
		conn, err := link.Memory(w.srv.Hub(), "web-1").Dial(t.Context(), &api.Hello{Version: api.LinkVersion, AgentVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The rooms hear of a connection before anything is sent over it.
		if err := w.srv.Hub().Send("web-1", &api.ToAgent{ReportAck: &api.ReportAck{ID: version}}); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := conn.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if m.ReportAck != nil && m.ReportAck.ID == version {
				return
			}
		}
	}
	say("1")
	w.until("the first is stored", func() bool { return w.host("web-1").Status.AgentVersion == "1" })
	release := s.hold()
	defer release()
	say("2")
	say("1")
	release()
	w.until("it went and came back", func() bool { return len(w.events("host.agent-updated")) == 2 })
	w.until("the first is stored again", func() bool { return w.host("web-1").Status.AgentVersion == "1" })
}
