package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

func newTokenCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", GroupID: groupServer, Aliases: []string{"tokens"},
		Short: "Make, list and revoke tokens of programs, and join tokens of hosts",
		RunE:  subcommands(),
	}
	cmd.AddCommand(newTokenCreateCommand(a), newTokenJoinCommand(a), newTokenListCommand(a), newTokenRevokeCommand(a))
	return cmd
}

// subcommands is the action of a command that only holds others.
func subcommands() func(cmd *cobra.Command, args []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
}

func newTokenCreateCommand(a *app) *cobra.Command {
	var t api.Token
	var role string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token for a program; its secret is shown this once",
		Example: `  drover token create ci --role operator --expires 720h
  export DROVER_TOKEN=$(drover token create grafana --role viewer -q)`,
		Args: exactArgs("the token's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Kind, t.Name, t.Spec.Role = "token", args[0], api.Role(role)
			out, err := a.createToken(ctxOf(cmd), &t, life)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.printValue(out)
			}
			fmt.Fprintln(a.Out, out.Secret)
			if !a.quiet {
				fmt.Fprintf(a.Err, "This is the only time it is shown. Use it as DROVER_TOKEN, or revoke it by `drover token revoke %s`.\n", out.Name)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "viewer", "what it may do: `role` admin, operator or viewer")
	f.DurationVar(&life, "expires", 0, "`time` until it expires (never)")
	f.StringVar(&t.Spec.Person, "person", "", "sign-in `name` of the person whose it is (a program's own)")
	f.StringVar(&t.Spec.Note, "note", "", "what it is for")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"admin", "operator", "viewer"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) createToken(ctx context.Context, t *api.Token, life time.Duration) (*server.NewToken, error) {
	if life < 0 {
		return nil, usagef("--expires must be a time to come, such as 24h")
	}
	if life > 0 {
		t.Spec.Expires = time.Now().Add(life).UTC().Truncate(time.Second)
	}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	var out server.NewToken
	return &out, c.Create(ctx, "tokens", t, &out)
}

// joinAnswer is what `drover token join -o json` prints.
type joinAnswer struct {
	Name    string    `json:"name"`
	Token   string    `json:"token"`
	Server  string    `json:"server"`
	CA      string    `json:"ca"` // fingerprint of the fleet's root
	Expires time.Time `json:"expires"`
	Command string    `json:"command"` // for the host
}

func newTokenJoinCommand(a *app) *cobra.Command {
	var host string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Make a token that enrols one host, once, and print the command for it",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := ctxOf(cmd)
			t := &api.Token{Meta: api.Meta{Kind: "token"}, Spec: api.TokenSpec{Join: true, Host: host}}
			made, err := a.createToken(ctx, t, life)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			out, err := joinCommand(ctx, c, made)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.printValue(out)
			}
			fmt.Fprintln(a.Out, out.Command)
			if !a.quiet {
				fmt.Fprintf(a.Err, "Run this as root on the host, within %s. It works once.\n", life)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "the only `name` it may enrol")
	cmd.Flags().DurationVar(&life, "expires", time.Hour, "`time` until it expires")
	return cmd
}

func joinCommand(ctx context.Context, c *client.Client, t *server.NewToken) (*joinAnswer, error) {
	var ca server.CA
	if err := c.Call(ctx, "GET", "/v1/ca", nil, &ca); err != nil {
		return nil, err
	}
	out := &joinAnswer{Name: t.Name, Token: t.Secret, Server: c.URL(), CA: ca.Fingerprint, Expires: t.Spec.Expires}
	parts := []string{"drover-agent", "join", "--server", out.Server, "--ca-fingerprint", out.CA, "--token", out.Token}
	if t.Spec.Host != "" {
		parts = append(parts, "--name", t.Spec.Host)
	}
	out.Command = strings.Join(parts, " ")
	return out, nil
}

func newTokenListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List tokens, without their secrets",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.get(ctxOf(cmd), getFlags{}, "tokens", nil)
		},
	}
}

func newTokenRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME…",
		Aliases: []string{"delete"},
		Short:   "Revoke tokens, at once and for ever",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.deleteObjects(ctxOf(cmd), "tokens", args, deleteFlags{done: "revoked"})
		},
	}
}
