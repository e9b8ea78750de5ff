package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// jobRecord is a job that was started, and how it ended.
type jobRecord struct {
	ID       string    `json:"id"`
	Deadline time.Time `json:"deadline"`
	Done     bool      `json:"done,omitempty"`
	Exit     int       `json:"exit,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// jobLog remembers jobs beyond a crash, so that none is started twice. A job
// past its deadline is refused anyway, so its record is forgotten then.
type jobLog struct {
	path string

	mu    sync.Mutex
	file  *os.File
	jobs  map[string]jobRecord
	lines int
}

// forgetAfter is the slack between a deadline and forgetting the job: clocks differ.
const forgetAfter = time.Hour

func openJobLog(path string) (*jobLog, error) {
	l := &jobLog{path: path, jobs: make(map[string]jobRecord)}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the log of jobs: %w", err)
	}
	for line := range bytes.Lines(data) {
		var r jobRecord
		// A line that a crash tore was not acted on: the job starts only after it is flushed.
		if json.Unmarshal(line, &r) == nil && r.ID != "" {
			l.jobs[r.ID] = r
		}
	}
	return l, l.compact(time.Now())
}

// compact writes the log anew with what still matters.
func (l *jobLog) compact(now time.Time) error {
	var buf bytes.Buffer
	for id, r := range l.jobs {
		if now.After(r.Deadline.Add(forgetAfter)) {
			delete(l.jobs, id)
			continue
		}
		if err := json.NewEncoder(&buf).Encode(r); err != nil {
			return err
		}
	}
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if err := writeFile(l.path, buf.Bytes(), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("cannot open the log of jobs: %w", err)
	}
	l.file, l.lines = f, len(l.jobs)
	return nil
}

// start records that a job begins. It is false, with the record, when it began before.
func (l *jobLog) start(id string, deadline time.Time) (bool, jobRecord, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.jobs[id]; ok {
		return false, r, nil
	}
	r := jobRecord{ID: id, Deadline: deadline}
	if err := l.append(r); err != nil {
		return false, r, err
	}
	return true, r, nil
}

// finish records how a job ended.
func (l *jobLog) finish(id string, exit int, problem string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.jobs[id]
	r.ID, r.Done, r.Exit, r.Error = id, true, exit, problem
	return l.append(r)
}

func (l *jobLog) append(r jobRecord) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if l.lines > 2000+2*len(l.jobs) {
		if err := l.compact(time.Now()); err != nil {
			return err
		}
	}
	// The line begins with a newline too: what a full disk tore before stays alone.
	_, err = l.file.Write(append(append([]byte{'\n'}, data...), '\n'))
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot write the log of jobs: %w", err)
	}
	l.lines++
	l.jobs[r.ID] = r
	return nil
}

func (l *jobLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
}
