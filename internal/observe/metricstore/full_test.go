package metricstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/prompb"
	"golang.org/x/sys/unix"

	"drover/api"
)

// smallDisk is a file system of its own of some MB; grow makes it larger.
func smallDisk(t *testing.T, mb int) (dir string, grow func(mb int)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mb)); err != nil {
		t.Skipf("cannot mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(mb int) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%dm", mb)); err != nil {
			t.Fatal(err)
		}
	}
}

// many are samples of many series at one time, so that the log grows fast.
func many(at time.Time, i int) []prompb.TimeSeries {
	var out []prompb.TimeSeries
	for n := range 500 {
		out = append(out, series(at, float64(i)*1.37+float64(n), "__name__", "many", "n", fmt.Sprint(n)))
	}
	return out
}

func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// fill writes until nothing more is taken; it gives the number of batches that were.
func fill(t *testing.T, s *Store, start time.Time, from int) int {
	t.Helper()
	for i := from; ; i++ {
		if i > from+100_000 {
			t.Fatal("the disk does not fill")
		}
		_, err := s.Write(t.Context(), "a", body(t, many(start.Add(time.Duration(i)*100*time.Millisecond), i)...))
		if err == nil {
			continue
		}
		if api.CodeOf(err) != api.CodeUnavailable {
			t.Fatalf("got %v, want unavailable, so that the host keeps it", err)
		}
		return i
	}
}

// TestFullDisk fills a disk twice: below the least that must be free, and,
// with nothing that must be, until the log itself cannot be written.
func TestFullDisk(t *testing.T) {
	for name, least := range map[string]int64{"the last megabytes are left": 8 << 20, "to the last byte": 1} {
		t.Run(name, func(t *testing.T) {
			disk, grow := smallDisk(t, 16)
			dir := filepath.Join(disk, "metrics")
			s, stop := open(t, Options{Dir: dir, MinFree: least})
			start := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
			// Others fill most of the disk.
			if err := os.WriteFile(filepath.Join(disk, "other"), make([]byte, 16<<20-least-6<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			taken := fill(t, s, start, 0)
			waitFor(t, "the problem to be said", func() bool { return len(s.Problems()) > 0 })
			if p := strings.Join(s.Problems(), "\n"); !strings.Contains(p, "disk of the metrics is full") && !strings.Contains(p, "no space left") {
				t.Errorf("problems: %s", p)
			}
			// A minute later the database would have found out by itself, and ended the process.
			s.mapWhole()
			last := start.Add(time.Duration(taken) * 100 * time.Millisecond)
			if n := count(t, s, `many{n="7"}`, last); n != taken {
				t.Errorf("queries have %d samples of %d", n, taken)
			}
			// Space again: it goes on by itself, with all that was taken.
			grow(64)
			waitFor(t, "it to go on", func() bool {
				_, err := s.Write(t.Context(), "a", body(t, many(last, taken)...))
				return err == nil
			})
			waitFor(t, "the problem to be over", func() bool { return len(s.Problems()) == 0 })
			if n := count(t, s, `many{n="7"}`, last); n < taken+1 {
				t.Errorf("after there was space: %d samples of %d", n, taken+1)
			}
			stop()
			again, _ := open(t, Options{Dir: dir, MinFree: 1})
			if n := count(t, again, `many{n="7"}`, last); n < taken+1 {
				t.Errorf("after a restart: %d samples of %d", n, taken+1)
			}
		})
	}
}

// TestStoppedOnAFullDisk stops a server whose disk is full; the next one, once
// there is space, has all that was taken.
func TestStoppedOnAFullDisk(t *testing.T) {
	disk, grow := smallDisk(t, 16)
	dir := filepath.Join(disk, "metrics")
	s, stop := open(t, Options{Dir: dir, MinFree: 1})
	start := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	taken := fill(t, s, start, 0)
	stop()
	grow(64)
	again, _ := open(t, Options{Dir: dir, MinFree: 1})
	if n := count(t, again, `many{n="7"}`, start.Add(time.Duration(taken)*100*time.Millisecond)); n < taken {
		t.Errorf("after a restart: %d samples of %d", n, taken)
	}
}
