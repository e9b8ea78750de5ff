package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/internal/plan"
	"drover/internal/tree"
)

func newPlanCommand(a *app) *cobra.Command {
	var revision string
	var o plan.Options
	var exitCode bool
	cmd := &cobra.Command{
		Use: "plan [DIR]", GroupID: groupWork,
		Short: "Show what a working tree would change, before it is pushed",
		Long: `Send a working tree of the fleet repository to the server, which checks it as it
would check a push, and say which hosts would change and how. Connected hosts
are asked by a real check run; nothing is changed. Changes that are the same on
many hosts are shown once.`,
		Example: `  drover plan
  drover plan ~/fleet --exit-code
  drover plan --revision draft`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if revision != "" && len(args) > 0 {
				return usagef("drover plan takes a folder or --revision, not both")
			}
			p, err := a.plan(ctxOf(cmd), dir, revision)
			if err != nil {
				return err
			}
			return a.printPlan(p, o, exitCode)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&revision, "revision", "", "plan this `commit` or branch of the server's repository instead")
	fl.BoolVar(&exitCode, "exit-code", false, "exit with 1 when hosts would change")
	fl.IntVar(&o.Lines, "lines", 30, "`lines` of differences to show for each change")
	return cmd
}

func (a *app) plan(ctx context.Context, dir, revision string) (*api.Plan, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	show := a.progress("planning")
	defer show.End()
	out := &api.Plan{}
	if revision != "" {
		return out, c.Call(ctx, http.MethodPost, "/v1/plan", api.PlanRequest{Revision: revision}, out)
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, usagef("%s is not a folder", dir)
	}
	t, err := tree.ReadDir(dir, tree.Limits{})
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(t.Pack(pw)) }() // ends when the request does: it closes the reader
	defer pr.Close()
	resp, err := c.Do(ctx, http.MethodPost, "/v1/plan", pr, http.Header{"Content-Type": {"application/zstd"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return out, json.NewDecoder(resp.Body).Decode(out)
}

func (a *app) printPlan(p *api.Plan, o plan.Options, exitCode bool) error {
	if a.structured() {
		if err := a.printValue(p); err != nil {
			return err
		}
	} else {
		o.Color, o.Hosts, o.Tasks, o.Total = a.coloured(), 20, 1000, math.MaxInt
		plan.Print(a.Out, p, o)
	}
	switch {
	case p.Errors > 0:
		if !a.structured() {
			fmt.Fprintf(a.Err, "%s a push of this would be refused, see above\n", a.style(bad, "error:"))
		}
		return exit(ExitUsage)
	case plan.Failing(p) > 0, exitCode && len(p.Changed) > 0:
		return exit(ExitFailed)
	}
	return nil
}
