package api

import "time"

// Kinds of runs.
const (
	RunCommand  = "command"  // a shell command on many hosts
	RunConverge = "converge" // hosts were asked to converge, or to check, now
	RunPlay     = "play"     // a playbook through the agents
	RunApply    = "apply"    // one host brought itself to a revision
)

// States of a run, and of one host in it.
const (
	RunRunning   = "running"
	RunOK        = "ok"
	RunChanged   = "changed" // of a host: well, and something changed
	RunFailed    = "failed"
	RunPartial   = "partial"   // of a run: well on some hosts, not on others
	RunCancelled = "cancelled" // of a run: somebody ended it, or nobody waited for it any more
	RunLost      = "lost"      // of a run: the server ended under it; of a host: cut off, out of time or cancelled
	RunAway      = "away"      // of a host: not connected when the run began
)

// RunRecord is one run as the server keeps it: what ran where, and how it
// ended. GET /v1/runs lists them, the newest first.
type RunRecord struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`             // command, converge, play or apply
	Title   string    `json:"title"`            // the command, the playbooks, or why the host converged
	Actor   string    `json:"actor,omitempty"`  // who asked for it; none for an apply
	Hosts   string    `json:"hosts,omitempty"`  // the pattern that was asked for; empty: all, or an apply
	Check   bool      `json:"check,omitempty"`  // nothing was to be changed
	Start   time.Time `json:"start"`            // of an apply by the host's clock
	End     time.Time `json:"end,omitzero"`     // not there while it runs
	State   string    `json:"state"`            // running, ok, failed, partial, cancelled or lost
	Count   int       `json:"count"`            // hosts that it is about
	OK      int       `json:"ok"`               // hosts on which it went well
	Failed  int       `json:"failed"`           // hosts on which it failed
	Lost    int       `json:"lost"`             // hosts that were cut off, out of time or cancelled
	Away    int       `json:"away"`             // hosts that were not connected when it began
	Changed int       `json:"changed"`          // hosts on which it changed something, or a check would have
	Commit  string    `json:"commit,omitempty"` // of an apply: the fleet revision
	Host    string    `json:"host,omitempty"`   // of an apply: the host
	// Took is how long it ran, in nanoseconds; 0 while it runs.
	Took time.Duration `json:"took,omitempty"`
}

// RunList is a page of runs, the newest first.
type RunList struct {
	Items []RunRecord `json:"items"`
	Next  string      `json:"next,omitempty"` // ask again with before=NEXT for the next page; not there on the last
}

// RunDetail is one run with its hosts.
type RunDetail struct {
	RunRecord
	Command string      `json:"command,omitempty"` // in full, of a command
	User    string      `json:"user,omitempty"`    // as whom it ran on the hosts; root if empty
	Message string      `json:"message,omitempty"` // why it was broken off
	Results []RunResult `json:"results"`           // by name of the host
}

// RunResult is one host of a run.
type RunResult struct {
	Host      string        `json:"host"`
	State     string        `json:"state"`               // running, ok, changed, failed, lost or away
	Exit      int           `json:"exit"`                // of a command: as in JobDone
	Error     string        `json:"error,omitempty"`     // why it failed, never ran or was ended
	Took      time.Duration `json:"took,omitempty"`      // nanoseconds
	Bytes     int64         `json:"bytes,omitempty"`     // that it printed, also those that were not kept
	Truncated bool          `json:"truncated,omitempty"` // not all that it printed or returned was kept
	Tasks     *RunTasks     `json:"tasks,omitempty"`     // of all kinds but a command
	Report    string        `json:"report,omitempty"`    // ID of its report, which GET /v1/runs/ID/report?host=HOST gives
}

// RunTasks counts the tasks of one host.
type RunTasks struct {
	OK      int `json:"ok"` // well, changed ones among them
	Changed int `json:"changed"`
	Failed  int `json:"failed"` // with unreachable ones
	Skipped int `json:"skipped"`
}

// TaskList is what the tasks of a play came to on one host, in order.
type TaskList struct {
	Items     []TaskResult `json:"items"`
	Truncated bool         `json:"truncated,omitempty"` // not all was kept
}
