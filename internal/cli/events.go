package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

// followEvents prints the events behind after, and new ones, until Ctrl-C.
func (a *app) followEvents(ctx context.Context, c *client.Client, after int64, filter []string) error {
	path := "/v1/events" + urlQuery(append(filter, "watch", "true", "after", fmt.Sprint(after))...)
	lost := func(err error) {
		if !a.quiet {
			fmt.Fprintln(a.Err, a.style(dim, "connection lost, trying again: "+err.Error()))
		}
	}
	err := c.Follow(ctx, path, lost, func(m client.Message) error {
		var e api.Event
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return fmt.Errorf("cannot read an event: %w", err)
		}
		return a.printEvent(e)
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// printEvent prints one event as a line; with -o json, or yaml, as one of those.
func (a *app) printEvent(e api.Event) error {
	if a.structured() {
		if a.output == "yaml" {
			fmt.Fprintln(a.Out, "---")
			return a.printValue(e)
		}
		b, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(a.Out, "%s\n", b)
		}
		return err
	}
	_, what, _ := strings.Cut(e.Type, ".")
	line := a.style(dim, e.Time.Local().Format("2006-01-02 15:04:05")) + "  " + a.style(toneOf(what), fmt.Sprintf("%-18s", e.Type))
	if e.Host != "" {
		line += "  " + a.style(bold, oneLine(e.Host))
	}
	line += "  " + oneLine(e.Message)
	if e.Actor != "" {
		line += a.style(dim, " ("+oneLine(e.Actor)+")")
	}
	_, err := fmt.Fprintln(a.Out, line)
	return err
}

func newAuditCommand(a *app) *cobra.Command {
	var actor, object, action, sinceText string
	var limit int
	cmd := &cobra.Command{
		Use: "audit", GroupID: groupServer,
		Short: "Show who changed what, and check that the record is whole",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			when, err := sinceParam(sinceText, time.Now())
			if err != nil {
				return err
			}
			return a.audit(ctxOf(cmd), urlQuery("actor", actor, "object", object, "action", action, "since", when, "limit", fmt.Sprint(limit)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&actor, "actor", "", "by this `person` or token/NAME only")
	f.StringVar(&object, "object", "", "about this `object` only: host/web-1, 'token/*'")
	f.StringVar(&action, "action", "", "this `action` only: 'POST /v1/login*'")
	f.StringVar(&sinceText, "since", "", "not older than this `time`: 2h, 3d or 2006-01-02T15:04:05Z")
	f.IntVarP(&limit, "limit", "n", 50, "the newest so many")
	cmd.AddCommand(newAuditVerifyCommand(a))
	return cmd
}

func (a *app) audit(ctx context.Context, query string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var list server.AuditList
	if err := c.Call(ctx, "GET", "/v1/audit"+query, nil, &list); err != nil {
		return err
	}
	if a.structured() {
		return a.printValue(list.Items)
	}
	now := time.Now()
	t := newTable("SEQ", "WHEN", "WHO", "ACTION", "OBJECT", "RESULT", "FROM", "DETAIL")
	for _, e := range list.Items {
		t.row(fmt.Sprint(e.Seq), since(e.Time, now), e.Actor, e.Action, first(e.Object, "-"), e.Result, first(e.Remote, "-"), first(e.Detail, "-"))
	}
	a.printTable(t)
	return nil
}

func newAuditVerifyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check the audit's chain of hashes: exit status 1 if it was tampered with",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p := a.progress("checking the audit")
			defer p.End()
			var check server.AuditCheck
			err = c.Call(ctxOf(cmd), "GET", "/v1/audit/verify", nil, &check)
			p.End()
			if err != nil {
				return err
			}
			if a.structured() {
				err = a.printValue(check)
			} else if check.Intact {
				_, err = fmt.Fprintf(a.Out, "The audit is whole: %d entries, the last with hash %s.\n", check.Last, check.Hash)
			} else {
				_, err = fmt.Fprintf(a.Out, "%s %s\n", a.style(bad, "The audit is not whole:"), check.Problem)
			}
			if err == nil && !check.Intact {
				err = exit(ExitFailed)
			}
			return err
		},
	}
}
