package api

import "time"

// RevisionDiff is what a revision changed in the fleet repository.
type RevisionDiff struct {
	Base      string     `json:"base,omitempty"` // the revision that it is compared with: the one accepted before it; left out for the first
	Files     []FileDiff `json:"files"`          // by path
	Truncated bool       `json:"truncated"`      // there was more than is shown: patches are missing, or even files
}

// Statuses of a file in a diff.
const (
	FileAdded   = "added"
	FileChanged = "changed"
	FileRemoved = "removed"
	FileRenamed = "renamed" // and perhaps changed
)

// FileDiff is one file of a diff.
type FileDiff struct {
	Path    string `json:"path"`
	From    string `json:"from,omitempty"` // of a renamed file: its path before
	Status  string `json:"status"`         // added, changed, removed or renamed
	Mode    string `json:"mode,omitempty"` // if the permissions or the kind of file changed: "100644 100755", as Git writes them
	Added   int    `json:"added"`          // lines
	Removed int    `json:"removed"`        // lines
	Binary  bool   `json:"binary,omitempty"`
	Patch   string `json:"patch,omitempty"` // unified diff without the file's head; none for a binary file
	Cut     bool   `json:"cut,omitempty"`   // the patch is cut off or left out, because it is too long
}

// RevisionHosts is what became of a revision on its hosts.
type RevisionHosts struct {
	Waves []RevisionWave `json:"waves"` // in order; one wave is all at once
	Items []RevisionHost `json:"items"` // by name
}

// RevisionWave is a set of hosts that get a revision together.
type RevisionWave struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"`
}

// States of a host on its way to a revision.
const (
	PartWaiting   = "waiting"   // it is paused
	PartApplying  = "applying"  // it has been told, and has not reported yet
	PartConverged = "converged" // it is there, and nothing had to change
	PartChanged   = "changed"   // it is there, and something was changed for it
	PartFailed    = "failed"
	PartAway      = "away" // it has not reported, and has no connection
)

// RevisionHost is one host on its way to a revision.
type RevisionHost struct {
	Host    string        `json:"host"`
	State   string        `json:"state"`             // waiting, applying, converged, changed, failed or away
	Run     string        `json:"run,omitempty"`     // id of the run by which it got there, of the kind apply
	Changed int           `json:"changed,omitempty"` // things that were changed
	Failed  int           `json:"failed,omitempty"`  // things that failed
	At      time.Time     `json:"at,omitzero"`       // end of that run
	Took    time.Duration `json:"took,omitempty"`    // nanoseconds
}
