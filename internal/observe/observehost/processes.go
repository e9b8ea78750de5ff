package observehost

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover/api"
)

// tick is the unit of times in /proc: USER_HZ is 100 wherever Linux runs (proc(5)).
const tick = time.Second / 100

// procSnapshot is what /proc says of all processes at a moment.
type procSnapshot struct {
	root  string
	taken time.Time
	list  map[int]procStat
	busy  uint64 // of the whole host, in ticks
	all   uint64
	cpus  int
	boot  time.Time
}

// procStat is what is taken from /proc/PID/stat.
type procStat struct {
	name  string
	used  uint64 // ticks on a processor
	start uint64 // ticks after boot
	rss   int64  // bytes
}

func snapshot(root string) (*procSnapshot, error) {
	s := &procSnapshot{root: root, taken: time.Now(), list: map[int]procStat{}}
	stat, err := os.ReadFile(filepath.Join(root, "/proc/stat"))
	if err != nil {
		return nil, fmt.Errorf("cannot look at the processes: %w", err)
	}
	s.busy, s.all, s.cpus, s.boot = parseCPU(stat)
	if s.cpus == 0 {
		s.cpus = runtime.NumCPU()
	}
	dir, err := os.Open(filepath.Join(root, "/proc"))
	if err != nil {
		return nil, fmt.Errorf("cannot look at the processes: %w", err)
	}
	defer dir.Close()
	buf := make([]byte, 4096)
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			data, err := readInto(buf, filepath.Join(root, "/proc", name, "stat"))
			if err != nil {
				continue // it has ended
			}
			if p, ok := parseStat(data); ok {
				s.list[pid] = p
			}
		}
		if errors.Is(err, io.EOF) || len(names) == 0 {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look at the processes: %w", err)
		}
	}
}

func readInto(buf []byte, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:n], nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The name is in brackets
// and may hold anything, also brackets.
func parseStat(data []byte) (procStat, bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return procStat{}, false
	}
	f := bytes.Fields(data[end+1:]) // from the third field on
	if len(f) < 22 {
		return procStat{}, false
	}
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(string(f[i-3]), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return procStat{name: strings.ToValidUTF8(string(data[open+1:end]), "�"), used: number(14) + number(15), start: number(22),
		rss: int64(number(24)) * int64(os.Getpagesize())}, true
}

// parseCPU reads /proc/stat (proc_stat(5)).
func parseCPU(data []byte) (busy, all uint64, cpus int, boot time.Time) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue
		}
		switch {
		case f[0] == "cpu":
			for i, v := range f[1:min(len(f), 9)] { // guest time is in user time
				n, err := strconv.ParseUint(v, 10, 64)
				if err != nil {
					continue
				}
				all += n
				if i != 3 && i != 4 { // idle and waiting for disks
					busy += n
				}
			}
		case strings.HasPrefix(f[0], "cpu"):
			cpus++
		case f[0] == "btime":
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				boot = time.Unix(n, 0).UTC()
			}
		}
	}
	return busy, all, cpus, boot
}

// since is what was used from before to now, of the limit most notable.
func (s *procSnapshot) since(before *procSnapshot, limit int) (*api.ProcessList, error) {
	took := s.taken.Sub(before.taken)
	list := &api.ProcessList{Time: s.taken.UTC(), CPUs: s.cpus, Total: len(s.list), Items: []api.Process{}}
	if all := s.all - before.all; s.all > before.all && s.busy >= before.busy {
		list.CPUPercent = 100 * float64(s.busy-before.busy) / float64(all)
	}
	s.machine(list)
	type row struct {
		pid int
		cpu float64
		procStat
	}
	rows := make([]row, 0, len(s.list))
	for pid, p := range s.list {
		r := row{pid: pid, procStat: p}
		// A process that was not there before has used all it has since then.
		was := before.list[pid]
		if was.start != p.start {
			was = procStat{}
		}
		if took > 0 && p.used >= was.used {
			r.cpu = 100 * float64(p.used-was.used) * float64(tick) / float64(took)
		}
		rows = append(rows, r)
	}
	byCPU := func(a, b row) int { return cmp.Or(-cmp.Compare(a.cpu, b.cpu), -cmp.Compare(a.rss, b.rss), a.pid-b.pid) }
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(-cmp.Compare(a.rss, b.rss), a.pid-b.pid) })
	if len(rows) > limit {
		most := rows[:limit/2]
		rest := rows[limit/2:]
		slices.SortFunc(rest, byCPU)
		rows = append(most, rest[:limit-limit/2]...)
	}
	slices.SortFunc(rows, byCPU)
	names := users(s.root)
	for _, r := range rows {
		p := api.Process{PID: r.pid, Name: r.name, CPUPercent: r.cpu, RSS: r.rss}
		if !s.boot.IsZero() {
			p.Start = s.boot.Add(time.Duration(r.start) * tick)
		}
		dir := filepath.Join(s.root, "/proc", strconv.Itoa(r.pid))
		st, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok {
				p.User = names[sys.Uid]
				if p.User == "" {
					p.User = strconv.FormatUint(uint64(sys.Uid), 10)
				}
			}
		}
		p.Command = command(filepath.Join(dir, "cmdline"))
		list.Items = append(list.Items, p)
	}
	return list, nil
}

// commandMost is how much of a command line is shown.
const commandMost = 512

func command(path string) string {
	data, err := readInto(make([]byte, commandMost), path)
	if err != nil {
		return ""
	}
	words := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	return strings.TrimSpace(strings.ToValidUTF8(strings.Join(words, " "), "�"))
}

// machine fills in what is about the whole host. What cannot be read stays zero.
func (s *procSnapshot) machine(l *api.ProcessList) {
	if data, err := os.ReadFile(filepath.Join(s.root, "/proc/loadavg")); err == nil {
		if f := strings.Fields(string(data)); len(f) > 0 {
			l.Load1, _ = strconv.ParseFloat(f[0], 64)
		}
	}
	if data, err := os.ReadFile(filepath.Join(s.root, "/proc/uptime")); err == nil {
		if f := strings.Fields(string(data)); len(f) > 0 {
			if seconds, err := strconv.ParseFloat(f[0], 64); err == nil {
				l.Uptime = time.Duration(seconds * float64(time.Second))
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(s.root, "/proc/meminfo"))
	if err != nil {
		return
	}
	var available int64
	l.MemTotal, available = parseMemory(data)
	l.MemUsed = max(0, l.MemTotal-available)
}

func parseMemory(data []byte) (total, available int64) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue
		}
		kilobytes, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			total = kilobytes << 10
		case "MemAvailable:":
			available = kilobytes << 10
		}
	}
	return total, available
}

// users are the names of user ids in /etc/passwd (passwd(5)).
func users(root string) map[uint32]string {
	f, err := os.Open(filepath.Join(root, "/etc/passwd"))
	if err != nil {
		return nil
	}
	defer f.Close()
	names := map[uint32]string{}
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		p := strings.SplitN(lines.Text(), ":", 4)
		if len(p) < 4 {
			continue
		}
		if id, err := strconv.ParseUint(p[2], 10, 32); err == nil && names[uint32(id)] == "" {
			names[uint32(id)] = p[0]
		}
	}
	return names
}
