package api

import "time"

// What a Look asks for.
const (
	LookProcesses = "processes"
	LookUnits     = "units"
)

// Look asks a host what is there at this moment. It changes nothing there.
type Look struct {
	ID    string `json:"id"`
	What  string `json:"what"`            // LookProcesses or LookUnits
	Limit int    `json:"limit,omitempty"` // of processes that are listed; 50 if 0
}

// Seen answers a Look.
type Seen struct {
	ID        string       `json:"id"`
	Error     string       `json:"error,omitempty"` // why the host cannot tell
	Processes *ProcessList `json:"processes,omitempty"`
	Units     []Unit       `json:"units,omitempty"`
}

// ProcessList is what runs on a host: the busiest processes, and those with
// the most memory.
type ProcessList struct {
	Time       time.Time     `json:"time"`
	CPUs       int           `json:"cpus"`
	CPUPercent float64       `json:"cpuPercent"` // of the whole host, 0 to 100
	MemTotal   int64         `json:"memTotal"`   // bytes
	MemUsed    int64         `json:"memUsed"`    // bytes that are not available
	Load1      float64       `json:"load1"`
	Uptime     time.Duration `json:"uptime"` // nanoseconds
	Total      int           `json:"total"`  // processes on the host; Items has some of them
	Items      []Process     `json:"items"`  // the busiest first
}

// Process is one process of a host.
type Process struct {
	PID        int       `json:"pid"`
	User       string    `json:"user"`
	Name       string    `json:"name"`
	Command    string    `json:"command,omitempty"` // with its arguments, cut at 512 bytes; empty for the kernel's own
	CPUPercent float64   `json:"cpuPercent"`        // of one core
	RSS        int64     `json:"rss"`               // bytes
	Start      time.Time `json:"start"`
}

// Unit is one unit of a host's systemd.
type Unit struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Load        string    `json:"load"`   // loaded, not-found, masked …
	Active      string    `json:"active"` // active, inactive, failed …
	Sub         string    `json:"sub"`    // running, exited, dead …
	Since       time.Time `json:"since,omitzero"`
}
