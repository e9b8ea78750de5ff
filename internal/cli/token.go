package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
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
	Server  string    `json:"server"` // as the host reaches it
	CA      string    `json:"ca"`     // fingerprint of the fleet's root
	Expires time.Time `json:"expires"`
	Command string    `json:"command"` // for the host
}

func newTokenJoinCommand(a *app) *cobra.Command {
	var host, reach string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Make a token that enrols one host, once, and print the line for it",
		Long: `Make a token that enrols one host, once, and print the line for it.

Run the line as root on the host; it needs nothing there but curl. It fetches the installer
from the server and runs it only if its SHA-256 is the one in the line; the installer in turn
holds the hash of the agent and the fingerprint of the fleet's root certificate.`,
		Example: "  drover token join --host web-7\n  ssh root@web-7 \"$(drover token join --host web-7 -q)\"",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := ctxOf(cmd)
			if host != "" {
				if err := api.ValidName(host); err != nil {
					return err
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			var info api.JoinInfo
			if err := c.Call(ctx, "GET", "/v1/join", nil, &info); err != nil {
				return err
			}
			server, err := serverForAny(c.URL(), reach, &info)
			if err != nil {
				return err
			}
			made, err := a.createToken(ctx, &api.Token{Meta: api.Meta{Kind: "token"}, Spec: api.TokenSpec{Join: true, Host: host}}, life)
			if err != nil {
				return err
			}
			out := joinLine(&info, server, made)
			if a.structured() {
				return a.printValue(out)
			}
			fmt.Fprintln(a.Out, out.Command)
			if !a.quiet {
				fmt.Fprintf(a.Err, "Run this as root on the host, until %s. It works once. The host must reach %s; name another address by --reach.\n", made.Spec.Expires.Local().Format("2 Jan 15:04"), server)
				if len(info.Agents) == 0 {
					fmt.Fprintln(a.Err, "warning: this server has no agent to give: put drover-agent beside the program drover there and restart it")
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "the only `name` it may enrol")
	cmd.Flags().StringVar(&reach, "reach", "", "`address` by which the host reaches the server, where it is not the one that you use")
	cmd.Flags().DurationVar(&life, "expires", time.Hour, "`time` until it expires")
	return cmd
}

// urlLetters are what may stand in a line of the shell as it is.
const urlLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_[]"

// serverForAny is the server's address as a host reaches it that nothing is
// known of: what people use, unless that means this machine; then what the
// server says, and if that is only a name of its own, an address of its own.
func serverForAny(own, reach string, info *api.JoinInfo) (string, error) {
	if reach != "" {
		s, err := serverFor(own, reach, "")
		if err == nil && strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(urlLetters, r) }) {
			return "", usagef("--reach %s is not an address: use HOST, HOST:PORT or https://HOST:PORT", reach)
		}
		return strings.TrimSuffix(s, "/"), err
	}
	for _, s := range []string{own, info.URL} {
		if u, err := url.Parse(s); err == nil && !onlyHere(u.Hostname()) {
			return strings.TrimSuffix(s, "/"), nil
		}
	}
	for _, l := range info.Link {
		if host, _, err := net.SplitHostPort(l); err == nil && !onlyHere(host) {
			return serverFor(own, host, "")
		}
	}
	return strings.TrimSuffix(info.URL, "/"), nil
}

// onlyHere reports whether a name or address may mean another machine elsewhere.
func onlyHere(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || ip.IsUnspecified()
	}
	return host == "" || host == "localhost" || isOwnName(host)
}

// joinLine is the server's line for hosts with this token and address in it.
func joinLine(info *api.JoinInfo, server string, t *server.NewToken) *joinAnswer {
	line := strings.ReplaceAll(info.Command, info.URL+"/join.sh", server+"/join.sh")
	line = strings.Replace(line, "DROVER_TOKEN=TOKEN", "DROVER_TOKEN="+t.Secret, 1)
	if server != info.URL {
		line = strings.Replace(line, "come from "+info.URL, "come from "+server, 1) + " --server " + server
	}
	if t.Spec.Host != "" {
		line += " --name " + t.Spec.Host
	}
	return &joinAnswer{Name: t.Name, Token: t.Secret, Server: server, CA: info.Pin, Expires: t.Spec.Expires, Command: line}
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
