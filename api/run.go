package api

import "time"

// RunRequest runs one command on many hosts, now: POST /v1/runs.
type RunRequest struct {
	Command string        `json:"command"`           // by /bin/sh -c
	Hosts   string        `json:"hosts,omitempty"`   // inventory pattern, "label:KEY=VALUE" or both; empty or "all": every enrolled host
	User    string        `json:"user,omitempty"`    // as whom; root if empty
	Timeout time.Duration `json:"timeout,omitempty"` // nanoseconds; a minute if 0
	ID      string        `json:"id,omitempty"`      // the same ID is not run twice; made if empty
	Detach  bool          `json:"detach,omitempty"`  // answer with the RunRecord at once; the run goes on without a reader, see GET /v1/runs/ID/events
}

// RunEvent is one event of a run's stream.
type RunEvent struct {
	Start  *RunStart   `json:"start,omitempty"`
	Output []RunOutput `json:"output,omitempty"`
	Done   []RunDone   `json:"done,omitempty"`
	End    *RunEnd     `json:"end,omitempty"`
}

// RunStart opens the stream.
type RunStart struct {
	ID    string   `json:"id"`
	Hosts []string `json:"hosts"`          // that were asked
	Away  []string `json:"away,omitempty"` // that match and have no connection
}

// RunOutput is a piece of one host's output.
type RunOutput struct {
	Host   string `json:"host"`
	Stderr bool   `json:"stderr,omitempty"`
	Data   []byte `json:"data"`
}

// RunDone ends the run on one host.
type RunDone struct {
	Host  string `json:"host"`
	Exit  int    `json:"exit"`            // as in JobDone
	Error string `json:"error,omitempty"` // why it never ran or was ended

	Report *Report `json:"report,omitempty"` // of a converge: with the tasks that changed or failed
}

// ConvergeRequest has hosts converge now: POST /v1/converge. The stream is
// that of a run.
type ConvergeRequest struct {
	Hosts   string        `json:"hosts,omitempty"`   // as in RunRequest
	Check   bool          `json:"check,omitempty"`   // only say what would change
	Timeout time.Duration `json:"timeout,omitempty"` // nanoseconds; an hour if 0
	Detach  bool          `json:"detach,omitempty"`  // as in RunRequest
}

// RunEnd ends the run.
type RunEnd struct {
	OK     int           `json:"ok"`
	Failed int           `json:"failed"` // exited with other than 0
	Lost   int           `json:"lost"`   // away, cut off or out of time
	Took   time.Duration `json:"took"`   // nanoseconds
}
