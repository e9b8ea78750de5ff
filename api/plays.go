package api

import "time"

// PlayOptionsFile is the name of the file in the tar sent to POST /v1/plays
// that holds the PlayRequest as JSON. It comes first and is not part of the tree.
const PlayOptionsFile = ".drover-play.json"

// PlayRequest says how to run an uploaded playbook through the agents. The
// tree's root is "/": `drover play` puts each file at the absolute path that it
// has on its own machine, so that places, playbook_dir and the like say the
// same there and here.
type PlayRequest struct {
	Playbooks []string       `json:"playbooks"`           // paths in the tree
	Inventory []string       `json:"inventory,omitempty"` // paths in the tree, or "host1,host2,"; empty: the tree's fleet.yml says, else every enrolled host with its groups
	Dir       string         `json:"dir,omitempty"`       // folder of the tree from which relative paths start; "/" if empty
	RolesPath []string       `json:"rolesPath,omitempty"` // where roles are beside those next to the playbook; "roles" if empty
	Limit     string         `json:"limit,omitempty"`
	Tags      []string       `json:"tags,omitempty"`
	SkipTags  []string       `json:"skipTags,omitempty"`
	ExtraVars map[string]any `json:"extraVars,omitempty"`
	Check     bool           `json:"check,omitempty"`
	Diff      bool           `json:"diff,omitempty"`
	Forks     int            `json:"forks,omitempty"` // 50 if 0
	StartAt   string         `json:"startAt,omitempty"`
	Verbosity int            `json:"verbosity,omitempty"`

	User           string `json:"user,omitempty"` // whom the sessions on the hosts run as; root if empty
	Become         bool   `json:"become,omitempty"`
	BecomeUser     string `json:"becomeUser,omitempty"`
	BecomeMethod   string `json:"becomeMethod,omitempty"`
	BecomePassword string `json:"becomePassword,omitempty"`

	ForceHandlers      bool   `json:"forceHandlers,omitempty"`
	Gathering          string `json:"gathering,omitempty"`
	BrokenConditionals bool   `json:"brokenConditionals,omitempty"`

	Env     map[string]string `json:"env,omitempty"`     // what lookups of the environment see
	Vault   []PlayVault       `json:"vault,omitempty"`   // passwords that open vaulted files; kept for the play only
	Modes   map[string]uint32 `json:"modes,omitempty"`   // permissions of files that are neither 0644 nor 0755, by path
	Scripts map[string]string `json:"scripts,omitempty"` // what inventory scripts printed, by their command line: the server runs none

	Timeout time.Duration `json:"timeout,omitempty"` // nanoseconds; a day if 0
}

// PlayVault is one vault password.
type PlayVault struct {
	ID       string `json:"id"`
	Password []byte `json:"password"`
}

// PlayEnd is the last event of a play's stream, named "end"; the events before
// are named "play" and hold the interpreter's own events as JSON.
type PlayEnd struct {
	Recap map[string]map[string]int `json:"recap"`           // by host: ok changed unreachable failed skipped rescued ignored
	Order []string                  `json:"order,omitempty"` // hosts in order of their first play
	Exit  int                       `json:"exit"`            // what ansible-playbook would exit with
	Error *Error                    `json:"error,omitempty"` // why the run could not begin or was broken off
}
