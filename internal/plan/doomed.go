package plan

import (
	"regexp"

	"drover/api"
)

// undefinedName is what a template says of a variable that nobody defines. A
// missing attribute is no such thing: in a check, results of commands have none.
var undefinedName = regexp.MustCompile(`'[^' ]+' is undefined`)

// Doomed is the failure of a plan whose tree cannot work anywhere: every host
// that was asked fails, and at a variable that nobody defines. Other failures
// may be the hosts' own.
func Doomed(p *api.Plan) (api.TaskResult, bool) {
	var first api.TaskResult
	for i, g := range p.Groups {
		found := false
		for _, t := range g.Tasks {
			if t.Status == "failed" && undefinedName.MatchString(t.Message) {
				if found = true; i == 0 {
					first = t
				}
				break
			}
		}
		if !g.Failed || !found {
			return api.TaskResult{}, false
		}
	}
	return first, len(p.Groups) > 0
}

// Failing counts the hosts on which the check fails.
func Failing(p *api.Plan) int {
	n := 0
	for _, g := range p.Groups {
		if g.Failed {
			n += len(g.Hosts)
		}
	}
	return n
}
