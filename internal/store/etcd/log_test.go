package etcd

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

func ptr[T any](v T) *T { return &v }

// A store whose process was killed has a log to apply at its next start. The
// engine applies it and forgets it on one goroutine and elects itself on
// another, and where the first is ahead the second gives up: seen once, on a
// busy machine. Here the raft of the engine is brought to that very point.
func TestElectsItselfAfterAKill(t *testing.T) {
	s := raft.NewMemoryStorage()
	if err := s.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: ptr(uint64(1)), Term: ptr(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}}); err != nil {
		t.Fatal(err)
	}
	log := make([]*raftpb.Entry, 124)
	for i := range log {
		log[i] = &raftpb.Entry{Index: ptr(uint64(i + 2)), Term: ptr(uint64(1))}
	}
	if err := errors.Join(s.Append(log), s.SetHardState(&raftpb.HardState{Term: ptr(uint64(1)), Commit: ptr(uint64(125))})); err != nil {
		t.Fatal(err)
	}
	var failed error
	logger := zap.New(slogCore{}, zap.WithPanicHook(stopHook{func(err error) { failed = err }}))
	done := make(chan raft.StateType, 1)
	go func() { // the hook may end it
		defer close(done)
		n, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: s, Applied: 1, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 1, Logger: etcdserver.NewRaftLoggerZap(logger)})
		if err != nil {
			t.Error(err)
			return
		}
		rd := n.Ready() // what is to be applied
		if err := s.Compact(114); err != nil {
			t.Error(err)
			return
		}
		for range 20 {
			n.Tick()
		}
		n.Advance(rd)
		for n.HasReady() { // its vote for itself
			rd = n.Ready()
			_ = s.Append(rd.Entries)
			n.Advance(rd)
		}
		done <- n.Status().RaftState
	}()
	if state := <-done; failed != nil || state != raft.StateLeader {
		t.Fatalf("it is %v, and failed: %v", state, failed)
	}
	// What else it gives up on is a fault.
	ended := make(chan bool)
	go func() {
		defer close(ended)
		logger.Sugar().Panicf("error scanning unapplied entries [%d, %d): %v", 1, 125, errors.New("the disk is gone"))
		t.Error("it went on")
	}()
	if <-ended; failed == nil {
		t.Error("a fault is no failure")
	}
}
