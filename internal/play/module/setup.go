package module

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"drover/internal/play/facts"
)

var setupModule = &Module{
	Name: "setup",
	Params: []Param{
		{Name: "gather_subset", Type: List, Default: []any{"all"}},
		{Name: "gather_timeout", Type: Int, Default: 10},
		{Name: "filter", Type: List, Default: []any{}},
		{Name: "fact_path", Type: Path, Default: "/etc/ansible/facts.d"},
	},
	Run: runSetup,
}

func runSetup(ctx context.Context, c *Call) *Result {
	h := &facts.Host{Root: c.Host.Root, Now: c.Host.Now, Env: c.Host.Env,
		Exec: func(ctx context.Context, argv ...string) ([]byte, error) {
			out, err := c.Host.Run(ctx, Cmd{Argv: argv})
			if err == nil && out.Code != 0 {
				err = fmt.Errorf("exit status %d: %s", out.Code, strings.TrimSpace(string(out.Stderr)))
			}
			return out.Stdout, err
		}}
	if len(c.Env) > 0 { // the task's own environment shows in the facts
		env := map[string]string{}
		for _, kv := range c.Host.Environ(Cmd{Env: c.Env}) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		h.Env = env
	}
	for _, p := range c.List("filter") {
		if _, err := filepath.Match(p, ""); err != nil {
			return Fail("cannot use the filter %q: %v", p, err)
		}
	}
	got, warnings, err := facts.Gather(ctx, h, facts.Options{Subset: c.List("gather_subset"), Filter: c.List("filter"),
		FactPath: c.Str("fact_path"), Timeout: time.Duration(c.Int("gather_timeout")) * time.Second})
	if err != nil {
		return Fail("%v", err)
	}
	return &Result{Facts: got, Warnings: warnings}
}
