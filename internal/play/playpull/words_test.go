package playpull

import "testing"

func TestReason(t *testing.T) {
	for msg, want := range map[string]string{
		"Task failed: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for 'msg': 'x' is undefined": "msg: 'x' is undefined",
		"Task failed: Error while evaluating conditional: 'x' is undefined":                                                                  "Error while evaluating conditional: 'x' is undefined",
		"no package foo": "no package foo",
		"Task failed: ":  "Task failed: ",
	} {
		if got := reason(msg); got != want {
			t.Errorf("%q: %q, want %q", msg, got, want)
		}
	}
}
