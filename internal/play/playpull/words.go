package playpull

import "regexp"

// wrapping is what a task's failure says around the reason, for those who read
// it alone: here task and place are named beside it.
var wrapping = regexp.MustCompile(`^(?:Task failed: )?(?:Finalization of task args for '[^']*' failed: )?(?:Error while resolving value for '([^']*)': )?`)

// reason is a failure's message without its wrapping; the argument stays.
func reason(msg string) string {
	m := wrapping.FindStringSubmatch(msg)
	rest := msg[len(m[0]):]
	if rest == "" {
		return msg
	}
	if m[1] != "" {
		return m[1] + ": " + rest
	}
	return rest
}
