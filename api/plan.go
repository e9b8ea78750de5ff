package api

// Plan says what a revision or a working tree would change, before anything
// is changed: which hosts' assignments differ, and for the hosts that were
// asked what a real check run found.
type Plan struct {
	Commit   string   `json:"commit,omitempty"` // empty for a working tree
	Base     string   `json:"base,omitempty"`   // the active revision that it is compared with
	Problems []*Error `json:"problems,omitempty"`
	Errors   int      `json:"errors"` // how many of Problems refuse it; the others are warnings

	Declared  int         `json:"declared"`  // hosts in the inventory
	Changed   []string    `json:"changed"`   // enrolled hosts whose assignment changes
	Unchanged int         `json:"unchanged"` // enrolled hosts whose assignment stays
	Groups    []PlanGroup `json:"groups,omitempty"`
	NotAsked  []string    `json:"notAsked,omitempty"` // changed, but away, too slow or over the number of hosts asked

	NotEnrolled []string `json:"notEnrolled,omitempty"` // in the inventory, without an agent
	NotDeclared []string `json:"notDeclared,omitempty"` // with an agent, in no inventory
}

// PlanGroup is what hosts have in common that would change in the same way.
type PlanGroup struct {
	Hosts  []string     `json:"hosts"`
	Failed bool         `json:"failed,omitempty"`
	Error  string       `json:"error,omitempty"` // why the check failed
	Tasks  []TaskResult `json:"tasks,omitempty"` // those that change or fail; none: nothing would change
}

// PlanRequest asks for the plan of a revision that is in the fleet repository.
// A working tree is sent as a tar instead.
type PlanRequest struct {
	Revision string `json:"revision"`
}
