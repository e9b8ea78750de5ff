package api

import "time"

// Host is one enrolled server.
type Host struct {
	Meta
	Spec   HostSpec   `json:"spec"`
	Status HostStatus `json:"status"`
}

// HostSpec is what people decide about a host. Its name is its name in the inventory.
type HostSpec struct {
	Address string `json:"address,omitempty"` // where it was enrolled from; for people, Drover never dials it
	Paused  bool   `json:"paused,omitempty"`  // keep the link, converge nothing
}

// Host states, as `drover hosts` and the console show them.
const (
	StateNew        = "new"        // enrolled, nothing assigned yet
	StateConverging = "converging" // working towards its assignment
	StateConverged  = "converged"  // is what its assignment says
	StateFailed     = "failed"     // the last converge failed; it is tried again
	StatePaused     = "paused"
)

// HostStatus is what is known about a host.
type HostStatus struct {
	State        string         `json:"state,omitempty"`
	Connected    bool           `json:"connected"`         // served from memory, never stored
	LastSeen     time.Time      `json:"lastSeen,omitzero"` // stored on disconnect only
	AgentVersion string         `json:"agentVersion,omitempty"`
	PutBack      *PutBack       `json:"putBack,omitempty"`          // an agent that did not come up there
	Revision     string         `json:"fleetRevision,omitempty"`    // commit of the last assignment it applied
	Assigned     string         `json:"assignedRevision,omitempty"` // commit it should be at
	CertExpires  time.Time      `json:"certExpires,omitzero"`
	Groups       []string       `json:"groups,omitempty"`
	DriftedAt    time.Time      `json:"driftedAt,omitzero"` // when a converge last put something right that somebody had changed
	Last         *Report        `json:"last,omitempty"`     // the last converge, without task details
	Facts        map[string]any `json:"facts,omitempty"`    // a few by Ansible's names; all are behind /v1/hosts/NAME/facts
}

// Validate checks what people may set.
func (h *Host) Validate() error { return ValidName(h.Name) }

// Columns of the host table.
func (*Host) Columns() []Column {
	return []Column{
		{Head: "NAME", Path: "name"}, {Head: "STATE", Path: "status.state"},
		{Head: "CONNECTED", Path: "status.connected"}, {Head: "REVISION", Path: "status.fleetRevision"},
		{Head: "SEEN", Path: "status.lastSeen"}, {Head: "GROUPS", Path: "status.groups"},
		{Head: "AGENT", Path: "status.agentVersion", Wide: true}, {Head: "ADDRESS", Path: "spec.address", Wide: true},
	}
}

// Revision is one validated commit of the fleet repository. Its name is the commit's hash.
type Revision struct {
	Meta
	Spec   RevisionSpec   `json:"spec"`
	Status RevisionStatus `json:"status"`
}

// RevisionSpec says what the commit is.
type RevisionSpec struct {
	Parent  string    `json:"parent,omitempty"`
	Subject string    `json:"subject"`
	Author  string    `json:"author"` // "Name <mail>" of the commit
	Pusher  string    `json:"pusher"` // who was signed in
	When    time.Time `json:"when"`
	Bundle  string    `json:"bundle,omitempty"` // SHA-256 of the blob that hosts fetch
}

// RevisionStatus says how far it got.
type RevisionStatus struct {
	Active   bool     `json:"active"`             // the fleet's desired state now
	Hosts    int      `json:"hosts"`              // hosts it was compiled for
	Problems []string `json:"problems,omitempty"` // what the compile warned of
}

// Validate accepts every revision: only the server makes them.
func (r *Revision) Validate() error { return ValidName(r.Name) }

// Columns of the revision table.
func (*Revision) Columns() []Column {
	return []Column{{Head: "REVISION", Path: "name"}, {Head: "ACTIVE", Path: "status.active"}, {Head: "HOSTS", Path: "status.hosts"},
		{Head: "SUBJECT", Path: "spec.subject"}, {Head: "AUTHOR", Path: "spec.author"}, {Head: "PUSHED", Path: "spec.when"}}
}

// Assignment is everything one host should be. Its name is the host's.
// It is under 64 KB: larger content is in blobs, named by hash.
type Assignment struct {
	Meta
	Spec AssignmentSpec `json:"spec"`
}

// AssignmentSpec is a revision and its sections.
type AssignmentSpec struct {
	Commit   string    `json:"commit"`   // the fleet revision it was compiled from
	Hash     string    `json:"hash"`     // SHA-256 over the sections' names and hashes
	Sections []Section `json:"sections"` // in the order they are applied
}

// Section is one room's part of an assignment, for the executor of that name.
type Section struct {
	Room  string   `json:"room"`            // "play"
	Hash  string   `json:"hash"`            // SHA-256 of Body
	Body  []byte   `json:"body"`            // the room's own JSON
	Blobs []string `json:"blobs,omitempty"` // SHA-256 of each blob the body needs, fetched and verified before it is applied
}

// Validate accepts every assignment: only the server makes them.
func (a *Assignment) Validate() error { return ValidName(a.Name) }

// Columns of the assignment table.
func (*Assignment) Columns() []Column {
	return []Column{{Head: "HOST", Path: "name"}, {Head: "COMMIT", Path: "spec.commit"}, {Head: "HASH", Path: "spec.hash"}}
}

// Event is one thing that happened, newest last, never changed.
type Event struct {
	Seq     int64          `json:"seq"` // the server's order, without gaps
	Time    time.Time      `json:"time"`
	Type    string         `json:"type"` // "host.enrolled", "host.converged", "host.changed", "host.failed", "host.drifted", "host.connected", "host.disconnected", "revision.accepted", "revision.refused", …
	Host    string         `json:"host,omitempty"`
	Actor   string         `json:"actor,omitempty"` // who caused it
	Message string         `json:"message"`
	Data    map[string]any `json:"data,omitempty"`
}
