package observehost_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/observe/observehost"
)

// TestProcesses looks at this machine, with a child that is busy.
func TestProcesses(t *testing.T) {
	busy := exec.CommandContext(t.Context(), "/bin/sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer busy.Wait() //nolint:errcheck // it is killed
	defer busy.Process.Kill()
	var k observehost.Looker
	seen := k.Look(t.Context(), &api.Look{ID: "1", What: api.LookProcesses, Limit: 400})
	if seen.Error != "" || seen.Processes == nil {
		t.Fatalf("seen is %+v", seen)
	}
	l := seen.Processes
	if l.CPUs < 1 || l.CPUPercent <= 0 || l.CPUPercent > 100 || l.MemTotal < 1<<20 || l.MemUsed <= 0 || l.MemUsed > l.MemTotal || l.Uptime <= 0 || l.Total < 2 {
		t.Errorf("the list is %+v", l)
	}
	i := slices.IndexFunc(l.Items, func(p api.Process) bool { return p.PID == busy.Process.Pid })
	if i < 0 {
		t.Fatal("the busy process is not listed")
	}
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	p := l.Items[i]
	if p.CPUPercent <= 0 || p.CPUPercent > 150 || p.User != self.Username || !strings.Contains(p.Command, "while") || p.RSS <= 0 || time.Since(p.Start) > time.Hour {
		t.Errorf("the busy process is %+v", p)
	}
}

// host makes files of a machine: processes that used so many ticks and pages.
func host(t *testing.T, dir string, cpu int, procs map[int][2]int) {
	t.Helper()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/stat", fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\nbtime 1700000000\n", cpu, 1000-cpu))
	write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
	write("proc/loadavg", "0.75 0.5 0.4 1/100 77\n")
	write("proc/uptime", "3600.5 7000\n")
	write("etc/passwd", "root:x:0:0::/root:/bin/sh\n# no\nbroken\n")
	for pid, p := range procs {
		write(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (a ) (b) S 1 1 1 0 -1 0 0 0 0 0 %d 0 0 0 20 0 1 0 %d 1000 %d 0", pid, p[0], pid, p[1]))
		write(fmt.Sprintf("proc/%d/cmdline", pid), fmt.Sprintf("prog\x00--n\x00%d\x00%s", pid, strings.Repeat("x", 2000)))
	}
}

// TestMostNotable lists those that use the processor most since the look
// before, and those with the most memory.
func TestMostNotable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		before, after := map[int][2]int{}, map[int][2]int{}
		for pid := 100; pid < 200; pid++ {
			before[pid], after[pid] = [2]int{500, pid}, [2]int{500, pid}
		}
		host(t, dir, 100, before)
		k := observehost.Looker{Root: dir}
		k.Look(t.Context(), &api.Look{What: api.LookProcesses})
		time.Sleep(10 * time.Second)
		after[101] = [2]int{1000, 101} // 5 s in 10
		after[102] = [2]int{600, 102}
		after[300] = [2]int{300, 1} // new
		host(t, dir, 350, after)
		l := k.Look(t.Context(), &api.Look{What: api.LookProcesses, Limit: 6}).Processes
		var got []string
		for _, p := range l.Items {
			got = append(got, fmt.Sprintf("%d %.0f %s %s", p.PID, p.CPUPercent, p.User, p.Name))
			if len(p.Command) > 512 || !strings.HasPrefix(p.Command, "prog --n ") {
				t.Errorf("command is %q", p.Command)
			}
		}
		want := []string{"101 50 root a ) (b", "300 30 root a ) (b", "102 10 root a ) (b", "199 0 root a ) (b", "198 0 root a ) (b", "197 0 root a ) (b"}
		if !slices.Equal(got, want) {
			t.Errorf("listed are %q", got)
		}
		if l.Total != 101 || l.CPUs != 2 || l.Load1 != 0.75 || l.MemTotal != 1000<<10 || l.MemUsed != 600<<10 || l.Uptime != 3600500*time.Millisecond {
			t.Errorf("the host is %+v", l)
		}
		if l.Items[0].RSS != 101*int64(os.Getpagesize()) || l.Items[0].Start.Unix() != 1700000001 {
			t.Errorf("the first is %+v", l.Items[0])
		}
	})
}

func TestLookOfNothing(t *testing.T) {
	var k observehost.Looker
	if seen := k.Look(t.Context(), &api.Look{ID: "x", What: "weather"}); seen.Error == "" || seen.ID != "x" {
		t.Errorf("seen is %+v", seen)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if seen := k.Look(ctx, &api.Look{What: api.LookProcesses}); seen.Error == "" {
		t.Error("a look whose time is over says nothing of it")
	}
}
