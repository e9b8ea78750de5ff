package api

import "time"

// Overview is the whole fleet at a glance: GET /v1/overview. With watch=true it
// is the first event of a stream, named "snapshot".
type Overview struct {
	Fleet  string    `json:"fleet"`            // the fleet's id
	Active string    `json:"active,omitempty"` // name of the active revision; left out while there is none
	Hosts  []HostRow `json:"hosts"`            // by name
}

// OverviewChange is what is new since the event before: the stream's events
// named "hosts", four a second at most.
type OverviewChange struct {
	Rows    []HostRow `json:"rows"`             // hosts that are new or changed, whole
	Removed []string  `json:"removed"`          // names of hosts that are no more
	Active  string    `json:"active,omitempty"` // as in Overview
}

// HostRow is one host in a list of thousands: what is empty is left out, times
// are whole seconds.
type HostRow struct {
	Name      string            `json:"name"`
	State     string            `json:"state,omitempty"`    // new converging converged failed paused
	Connected bool              `json:"connected"`          // its agent is on the line
	LastSeen  time.Time         `json:"lastSeen,omitzero"`  // when the agent was last on the line; left out while it is
	Revision  string            `json:"revision,omitempty"` // commit that it is at
	Assigned  string            `json:"assigned,omitempty"` // commit that it should be at
	Groups    []string          `json:"groups,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Address   string            `json:"address,omitempty"`  // where it was enrolled from, or else its own by its facts
	OS        string            `json:"os,omitempty"`       // distribution and version: "Debian 12"
	Kernel    string            `json:"kernel,omitempty"`   // release
	CPUs      int               `json:"cpus,omitempty"`     // threads
	MemoryMB  int               `json:"memoryMB,omitempty"` // MiB
	Agent     string            `json:"agent,omitempty"`    // version
	Converged time.Time         `json:"converged,omitzero"` // end of the last converge, also of one that failed
	Took      time.Duration     `json:"took,omitempty"`     // of the last converge, nanoseconds
	Changed   int               `json:"changed,omitempty"`  // things that the last converge changed
	Failed    int               `json:"failed,omitempty"`   // things that failed in it
	Message   string            `json:"message,omitempty"`  // why the last converge failed, shortened
	Drifted   time.Time         `json:"drifted,omitzero"`   // when a converge last put something right that somebody had changed
	Paused    bool              `json:"paused,omitempty"`
}
