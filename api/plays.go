package api

import "time"

// PlayOptionsFile is the name of the file in the tar sent to POST /v1/plays
// that holds the PlayRequest as JSON. It comes first and is not part of the tree.
const PlayOptionsFile = ".drover-play.json"

// PlayRequest says how to run an uploaded playbook through the agents.
type PlayRequest struct {
	Playbooks []string       `json:"playbooks"`           // paths in the tree
	Inventory []string       `json:"inventory,omitempty"` // paths in the tree, or "host1,host2,"; empty: the tree's fleet.yml says, else every enrolled host with its groups
	Limit     string         `json:"limit,omitempty"`
	Tags      []string       `json:"tags,omitempty"`
	SkipTags  []string       `json:"skipTags,omitempty"`
	ExtraVars map[string]any `json:"extraVars,omitempty"`
	Check     bool           `json:"check,omitempty"`
	Diff      bool           `json:"diff,omitempty"`
	Forks     int            `json:"forks,omitempty"` // 50 if 0
	StartAt   string         `json:"startAt,omitempty"`
	Verbosity int            `json:"verbosity,omitempty"`

	Become         bool   `json:"become,omitempty"`
	BecomeUser     string `json:"becomeUser,omitempty"`
	BecomeMethod   string `json:"becomeMethod,omitempty"`
	BecomePassword string `json:"becomePassword,omitempty"`

	Timeout time.Duration `json:"timeout,omitempty"` // nanoseconds; a day if 0
}

// PlayEnd is the last event of a play's stream, named "end"; the events before
// are named "play" and hold the interpreter's own events as JSON.
type PlayEnd struct {
	Recap map[string]map[string]int `json:"recap"`           // by host: ok changed unreachable failed skipped rescued ignored
	Order []string                  `json:"order,omitempty"` // hosts in order of their first play
	Exit  int                       `json:"exit"`            // what ansible-playbook would exit with
	Error *Error                    `json:"error,omitempty"` // why the run could not begin or was broken off
}
