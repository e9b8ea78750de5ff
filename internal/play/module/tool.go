package module

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// tool runs a program of the host's with the task's environment, which wins
// over what the module sets.
func (c *Call) tool(ctx context.Context, cmd Cmd) (Output, error) {
	if len(c.Env) > 0 {
		env := maps.Clone(cmd.Env)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, c.Env)
		cmd.Env = env
	}
	return c.Host.Run(ctx, cmd)
}

// toolOK is tool for programs whose failure is an error.
func (c *Call) toolOK(ctx context.Context, argv ...string) (Output, error) {
	out, err := c.tool(ctx, Cmd{Argv: argv})
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("cannot run %q: exit status %d: %s", strings.Join(argv, " "), out.Code, sayError(out, nil))
	}
	return out, err
}
