package api

import "time"

// Result is what one executor found or did for one section. Check and apply
// return the same, so that a plan is exactly what an apply would do.
type Result struct {
	Changed  bool         `json:"changed"`
	Failed   bool         `json:"failed"`
	Message  string       `json:"message,omitempty"` // why it failed: "cannot …: …"
	Tasks    []TaskResult `json:"tasks,omitempty"`
	OK       int          `json:"ok"`
	Changes  int          `json:"changes"`
	Failures int          `json:"failures"`
	Skipped  int          `json:"skipped"`
	Ignored  int          `json:"ignored,omitempty"`
	Rescued  int          `json:"rescued,omitempty"`
}

// TaskResult is one task on one host.
type TaskResult struct {
	Name     string         `json:"name"`             // "role : task name", or the module's name
	Module   string         `json:"module,omitempty"` // short name: "copy"
	Item     string         `json:"item,omitempty"`   // the loop item's label
	Status   string         `json:"status"`           // ok changed failed skipped ignored rescued unreachable unforeseen
	Message  string         `json:"message,omitempty"`
	Place    *Place         `json:"place,omitempty"`
	Diff     []Diff         `json:"diff,omitempty"`
	Changes  []Change       `json:"changes,omitempty"`
	Result   map[string]any `json:"result,omitempty"` // the module's return values; dropped under no_log
	Start    time.Time      `json:"start,omitzero"`
	Duration time.Duration  `json:"duration,omitempty"` // nanoseconds
}

// StatusUnforeseen is the status of a task that a check cannot judge: it fails
// behind tasks that would change something, and may need what they make.
const StatusUnforeseen = "unforeseen"

// Diff is the before and after of one thing, as text.
type Diff struct {
	BeforeHeader string `json:"before_header,omitempty"`
	AfterHeader  string `json:"after_header,omitempty"`
	Before       string `json:"before"`
	After        string `json:"after"`
	Prepared     string `json:"prepared,omitempty"` // a diff made by a tool, instead of Before and After
}

// Change is the typed record of one thing that a module changed or would change.
type Change struct {
	Type   string `json:"type"`             // file, directory, link, line, user, group, package, unit, cron, sysctl, command …
	ID     string `json:"id"`               // path, user name, package, unit …
	Action string `json:"action"`           // create update delete start stop restart enable disable run …
	Before any    `json:"before,omitempty"` // what it was: for a file {"mode","owner","group","sha256","size"}
	After  any    `json:"after,omitempty"`
}

// Report is one converge of one host. An agent makes it, keeps it until the
// server has acknowledged it, and the server takes each ID once.
type Report struct {
	ID       string            `json:"id"` // unique for ever
	Host     string            `json:"host"`
	Commit   string            `json:"commit"`
	Hash     string            `json:"hash"`            // of the assignment
	Reason   string            `json:"reason"`          // new timer start request
	Agent    string            `json:"agent,omitempty"` // the agent's version
	Start    time.Time         `json:"start"`
	Duration time.Duration     `json:"duration"`
	Changed  bool              `json:"changed"`
	Failed   bool              `json:"failed"`
	Message  string            `json:"message,omitempty"`
	Sections map[string]Result `json:"sections,omitempty"` // by room
}
