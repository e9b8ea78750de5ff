// Package agenttest is the suite that every executor of a section passes: a
// check changes nothing and says what an apply would do, an apply does it, and
// a second apply has nothing left to do, also after a kill in between.
package agenttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"drover/api"
	"drover/internal/agent"
)

// Case is one section on one host.
type Case struct {
	Name string
	// Host makes a host as it is before, and the executor on it. Snapshot tells
	// all of the host's state that the section is about, as text.
	Host func(t *testing.T) (e agent.Executor, snapshot func() string)
	// Section is what the host should be.
	Section api.Section
	// Kill, if set, makes a host on which an apply was killed at the i-th
	// moment, and is false when there are no more moments.
	Kill func(t *testing.T, i int) (e agent.Executor, snapshot func() string, more bool)
	// Fails is set when the section cannot be applied; the host stays as it is then.
	Fails bool
	// AlreadySo is set when the host is what the section says from the start.
	AlreadySo bool
}

// Section makes a section of room with its hash.
func Section(room string, body []byte, blobs ...string) api.Section {
	sum := sha256.Sum256(body)
	return api.Section{Room: room, Hash: hex.EncodeToString(sum[:]), Body: body, Blobs: blobs}
}

// Conformance runs the suite.
func Conformance(t *testing.T, cases ...Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.run(t) })
	}
}

func (c Case) run(t *testing.T) {
	e, snapshot := c.Host(t)
	before := snapshot()

	plan := c.do(t, e, false)
	if after := snapshot(); after != before {
		t.Errorf("a check changed the host:\n%s\nbecame\n%s", before, after)
	}
	if plan.Failed != c.Fails {
		t.Errorf("the check says failed=%v: %s", plan.Failed, plan.Message)
	}
	done := c.do(t, e, true)
	if done.Failed != c.Fails {
		t.Fatalf("the apply says failed=%v: %s", done.Failed, done.Message)
	}
	if c.Fails {
		if done.Message == "" {
			t.Error("a failed apply says nothing")
		}
		return
	}
	goal := snapshot()
	if done.Changed == c.AlreadySo || plan.Changed != done.Changed {
		t.Errorf("check says changed=%v, apply says changed=%v; already so: %v", plan.Changed, done.Changed, c.AlreadySo)
	}
	if plan.Changes != done.Changes || plan.OK != done.OK {
		t.Errorf("the plan counts %d changes of %d, the apply %d of %d", plan.Changes, plan.OK, done.Changes, done.OK)
	}
	if (goal != before) != done.Changed {
		t.Errorf("apply says changed=%v, the host went from\n%s\nto\n%s", done.Changed, before, goal)
	}
	for _, apply := range []bool{false, true, true} {
		if again := c.do(t, e, apply); again.Changed || again.Failed {
			t.Errorf("once applied, apply=%v says changed=%v failed=%v: %s", apply, again.Changed, again.Failed, again.Message)
		}
		if now := snapshot(); now != goal {
			t.Fatalf("once applied, apply=%v changed the host:\n%s\nbecame\n%s", apply, goal, now)
		}
	}
	for i := 0; c.Kill != nil; i++ {
		e, snapshot, more := c.Kill(t, i)
		if !more {
			break
		}
		if healed := c.do(t, e, true); healed.Failed {
			t.Errorf("after a kill at moment %d the apply failed: %s", i, healed.Message)
		}
		if now := snapshot(); now != goal {
			t.Errorf("after a kill at moment %d the host became\n%s\ninstead of\n%s", i, now, goal)
		}
	}
}

func (c Case) do(t *testing.T, e agent.Executor, apply bool) api.Result {
	t.Helper()
	res, err := e.CheckApply(context.Background(), c.Section, apply)
	if err != nil {
		res.Failed, res.Message = true, err.Error()
	}
	return res
}
