package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"drover/api"
)

// spoolLimits bound what waits for a server that is away.
type spoolLimits struct {
	bytes   int64 // 64 MiB
	reports int   // 5,000
	report  int   // bytes of one report; 1 MiB
}

// spool keeps reports until the server has acknowledged them, oldest first.
type spool struct {
	dir    string
	limits spoolLimits

	mu      sync.Mutex
	entries []spooled
	bytes   int64
	held    int // bytes of reports in memory only
	next    uint64
	sending string        // ID of the report on the line, never merged away
	more    chan struct{} // one token: there may be something to send
}

type spooled struct {
	seq   uint64
	id    string
	hash  string // of the assignment
	size  int64
	quiet bool   // nothing changed, nothing failed
	held  []byte // the report itself, where the disk could not take it
}

// maxHeld bounds the reports, in bytes, that are kept in memory only: a host
// whose disk is full can still say so.
const maxHeld = 4 << 20

func openSpool(dir string, limits spoolLimits) (*spool, error) {
	if limits.bytes <= 0 {
		limits.bytes = 64 << 20
	}
	if limits.reports <= 0 {
		limits.reports = 5000
	}
	if limits.report <= 0 {
		limits.report = 1 << 20
	}
	s := &spool{dir: dir, limits: limits, more: make(chan struct{}, 1)}
	files, err := os.ReadDir(dir) // sorted by name, and so by number
	if err != nil {
		return nil, fmt.Errorf("cannot read the spool: %w", err)
	}
	for _, f := range files {
		seq, err := strconv.ParseUint(strings.TrimSuffix(f.Name(), ".json"), 10, 64)
		if err != nil {
			continue
		}
		r, size, err := s.read(spooled{seq: seq})
		if err != nil {
			// Written in one step, it can only have been damaged by the disk.
			if err := os.Rename(s.file(seq), filepath.Join(s.dir, f.Name()+".damaged")); err != nil {
				return nil, fmt.Errorf("cannot read the spool: %w", err)
			}
			continue
		}
		s.entries = append(s.entries, spooled{seq: seq, id: r.ID, hash: r.Hash, size: size, quiet: quiet(r)})
		s.bytes += size
		s.next = seq + 1
	}
	s.wake()
	return s, nil
}

func quiet(r *api.Report) bool { return !r.Changed && !r.Failed }

func (s *spool) file(seq uint64) string { return filepath.Join(s.dir, fmt.Sprintf("%020d.json", seq)) }

func (s *spool) read(e spooled) (*api.Report, int64, error) {
	data := e.held
	if data == nil {
		var err error
		if data, err = os.ReadFile(s.file(e.seq)); err != nil {
			return nil, 0, err
		}
	}
	r := new(api.Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, 0, err
	}
	return r, int64(len(data)), nil
}

func (s *spool) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// add puts r at the end. While no server answers, a host that stays as it is
// adds one report, not one every ten minutes: the newest of a row of quiet
// ones says all. Over the limits the oldest quiet one goes first. A report
// that the disk does not take is sent from memory; the error says that it would
// not survive the process.
func (s *spool) add(r *api.Report) error {
	data, err := fit(r, s.limits.report)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := spooled{seq: s.next, id: r.ID, hash: r.Hash, size: int64(len(data)), quiet: quiet(r)}
	notOnDisk := writeFile(s.file(e.seq), data, 0o600)
	if notOnDisk != nil {
		if s.held+len(data) > maxHeld {
			return notOnDisk
		}
		e.held = data
		s.held += len(data)
	}
	s.next++
	if n := len(s.entries); n > 0 && e.quiet {
		if last := s.entries[n-1]; last.quiet && last.hash == e.hash && last.id != s.sending {
			s.drop(n - 1)
		}
	}
	s.entries = append(s.entries, e)
	s.bytes += e.size
	for len(s.entries) > 1 && (s.bytes > s.limits.bytes || len(s.entries) > s.limits.reports) {
		oldest := 0
		for i, e := range s.entries[:len(s.entries)-1] {
			if e.quiet {
				oldest = i
				break
			}
		}
		s.drop(oldest)
	}
	s.wake()
	return notOnDisk
}

func (s *spool) drop(i int) {
	e := s.entries[i]
	// What cannot be removed is sent again after a restart, and taken once.
	if e.held == nil {
		_ = os.Remove(s.file(e.seq))
	}
	s.held -= len(e.held)
	s.bytes -= e.size
	s.entries = append(s.entries[:i], s.entries[i+1:]...)
}

// head is the oldest report, nil when there is none. It is marked as being sent.
func (s *spool) head() (*api.Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.entries) > 0 {
		r, _, err := s.read(s.entries[0])
		if err == nil {
			s.sending = r.ID
			return r, nil
		}
		if !os.IsNotExist(err) {
			return nil, fmt.Errorf("cannot read the spool: %w", err)
		}
		s.drop(0)
	}
	s.sending = ""
	return nil, nil
}

// acknowledged forgets a report.
func (s *spool) acknowledged(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.entries {
		if e.id == id {
			s.drop(i)
			return
		}
	}
}

func (s *spool) clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.entries) > 0 {
		s.drop(0)
	}
	return syncDir(s.dir)
}

// fit encodes r in at most limit bytes: it gives up return values, then diffs,
// then the tasks that changed nothing, then all tasks.
func fit(r *api.Report, limit int) ([]byte, error) {
	short := *r
	for step := 0; ; step++ {
		data, err := json.Marshal(&short)
		if err != nil {
			return nil, fmt.Errorf("cannot encode report %s: %w", r.ID, err)
		}
		if len(data) <= limit || step == 4 {
			return data, nil
		}
		sections := make(map[string]api.Result, len(short.Sections))
		for room, res := range short.Sections {
			var tasks []api.TaskResult
			for _, t := range res.Tasks {
				t.Result = nil
				if step >= 1 {
					t.Diff = nil
					t.Message = cut(t.Message, 2000)
				}
				if step >= 2 && t.Status != "changed" && t.Status != "failed" {
					continue
				}
				if step < 3 {
					tasks = append(tasks, t)
				}
			}
			res.Tasks = tasks
			res.Message = cut(res.Message, 10000)
			sections[room] = res
		}
		short.Sections = sections
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + " …"
}
