package api

import "time"

// Alert is one thing that an alert rule found wrong.
type Alert struct {
	Name     string            `json:"name"` // of the rule: "DiskWillFill"
	Host     string            `json:"host,omitempty"`
	State    string            `json:"state"`    // pending (wrong, but not for long enough) or firing
	Severity string            `json:"severity"` // critical, warning or info
	Summary  string            `json:"summary"`  // one line: "db-2: / is full in about 9 hours"
	Detail   string            `json:"detail,omitempty"`
	Since    time.Time         `json:"since"`          // when it began to be wrong
	Value    float64           `json:"value"`          // of the expression; what it means the rule's text says
	Unit     string            `json:"unit,omitempty"` // of systemd, when it is about one
	Labels   map[string]string `json:"labels"`
	Expr     string            `json:"expr"` // PromQL
}

// States of an alert.
const (
	AlertPending = "pending"
	AlertFiring  = "firing"
)

// AlertList is the answer to /v1/alerts: the firing ones first, the most
// severe first, the newest first.
type AlertList struct {
	Items []Alert `json:"items"`
}

// MetricsStatus is the answer to /v1/metrics/status.
type MetricsStatus struct {
	Series           int64         `json:"series"`           // that are written to now
	SamplesPerSecond float64       `json:"samplesPerSecond"` // taken, over the last minute
	Bytes            int64         `json:"bytes"`            // on disk
	Free             int64         `json:"free"`             // bytes of that disk
	Oldest           time.Time     `json:"oldest,omitzero"`  // sample
	Newest           time.Time     `json:"newest,omitzero"`
	Retention        time.Duration `json:"retention"`          // nanoseconds a sample is kept
	MaxBytes         int64         `json:"maxBytes,omitempty"` // 0: no limit
	Hosts            int           `json:"hosts"`              // that sent in the last two minutes
	// Problems are what keeps the server from taking metrics, and what it
	// leaves out of what hosts send.
	Problems []string `json:"problems"`
}

// UnitList is the answer to /v1/hosts/NAME/units.
type UnitList struct {
	Items []Unit `json:"items"`
}
