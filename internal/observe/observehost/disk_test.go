package observehost_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"drover/internal/observe/observehost"
)

// fill takes all the room there is on the disk of dir, and returns how to give it back.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "junk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); ; {
		if _, err := f.Write(chunk); err != nil {
			break
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk has a host be heard while its disk is full, and keep on its
// disk again what it reads once there is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, rec := newStore(), &record{}
		var said strings.Builder
		r := start(observehost.Config{Dir: dir, Source: counters(300), Write: s.write, Record: rec, Log: slog.New(slog.NewTextHandler(&locked{w: &said}, nil))})
		time.Sleep(time.Minute)
		empty := fill(t, dir)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m := rec.missing(s); len(m) > 0 {
			t.Errorf("with a full disk %d gathers are missing: %q", len(m), m[0])
		}
		// What memory holds is bounded: of twenty minutes the newest half is kept.
		s.set(func() { s.away = errAway })
		time.Sleep(20 * time.Minute)
		s.set(func() { s.away = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(rec.missing(s)); n < 30 || n > 50 {
			t.Errorf("%d gathers are lost", n)
		}
		empty()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(rec.missing(s))
		s.set(func() { s.away = errAway })
		time.Sleep(20*time.Minute + time.Second) // so that the next agent does not read at a time of this one's
		synctest.Wait()
		r.stop(t)
		r = start(observehost.Config{Dir: dir, Source: counters(300), Write: s.write})
		s.set(func() { s.away = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.stop(t)
		if n := len(rec.missing(s)); n != before {
			t.Errorf("with room on the disk %d gathers are lost", n-before)
		}
		if text := said.String(); strings.Count(text, "metrics are kept in memory only") != 1 || strings.Count(text, "metrics are kept on the disk again") != 1 {
			t.Errorf("the log says:\n%s", text)
		}
		most := 0.0
		for _, v := range s.of("__name__\xffdrover_agent_metrics_dropped_samples_total\xffreason\xffdisk") {
			most = max(most, v)
		}
		if most < 30*300 {
			t.Errorf("%v samples are said to be dropped", most)
		}
	})
}
