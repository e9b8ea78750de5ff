package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

func newPersonCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "person", GroupID: groupServer, Aliases: []string{"people"},
		Short: "Make, list and remove people who sign in, and set passwords",
		RunE:  subcommands(),
	}
	cmd.AddCommand(newPersonCreateCommand(a), newPersonListCommand(a), newPersonPasswordCommand(a),
		newPersonRoleCommand(a), newPersonAbleCommand(a, "disable", true), newPersonAbleCommand(a, "enable", false), newPersonDeleteCommand(a))
	return cmd
}

const passwordRemedy = "give --password-stdin and the password on standard input"

// newPassword asks for a password twice, or reads a line of standard input.
func (a *app) newPassword(stdin bool, question string) (string, error) {
	if stdin {
		return a.passwordLine()
	}
	password, err := a.askSecret(question+": ", passwordRemedy)
	if err != nil {
		return "", err
	}
	again, err := a.askSecret(question+" again: ", passwordRemedy)
	if err == nil && again != password {
		err = api.Errorf(api.CodeInvalid, "the two passwords differ").WithRemedy("try again")
	}
	return password, err
}

func (a *app) passwordLine() (string, error) {
	line, err := a.in.ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", api.Errorf(api.CodeInvalid, "cannot read the password: standard input has ended").WithRemedy("give one password a line")
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// completePeople completes names of people.
func (a *app) completePeople(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.completeKinds(cmd, append([]string{"people"}, args...), word)
}

func completeRole(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"admin", "operator", "viewer"}, cobra.ShellCompDirectiveNoFileComp))
}

func newPersonCreateCommand(a *app) *cobra.Command {
	var in server.NewPerson
	var role string
	var stdin bool
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a person who signs in with a password",
		Example: "  drover person create bob --role operator\n  printf %s \"$PASSWORD\" | drover person create ann --role admin --full-name 'Ann Lee' --password-stdin",
		Args:    exactArgs("the sign-in name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Kind, in.Name, in.Spec.Role = "person", args[0], api.Role(role)
			if err := in.Validate(); err != nil { // before somebody types a password
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if in.Password, err = a.newPassword(stdin, "Password of "+in.Name); err != nil {
				return err
			}
			var out api.Person
			if err := c.Create(ctxOf(cmd), "people", &in, &out); err != nil {
				return err
			}
			if a.structured() {
				return a.printValue(out)
			}
			a.say("person/%s created\n", out.Name)
			if !a.quiet {
				fmt.Fprintf(a.Err, "%s signs in by: drover login %s --person %s\n", out.Name, c.URL(), out.Name)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "viewer", "what they may do: `role` admin, operator or viewer")
	f.StringVar(&in.Spec.FullName, "full-name", "", "their full `name`")
	f.BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	completeRole(cmd)
	return cmd
}

func newPersonListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the people who may sign in", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.get(ctxOf(cmd), getFlags{}, "people", nil)
		},
	}
}

func newPersonPasswordCommand(a *app) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "password [NAME]",
		Short: "Change your password, or as an administrator somebody's",
		Long: `Change your password, or as an administrator somebody's. It ends all that the
person has signed in with, in browsers and by drover login; tokens that were
made for programs stay, see drover token list.

For your own you are asked for the old one too. With --password-stdin each
password is a line of standard input: the old one, where it is needed, first.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completePeople,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return a.changePassword(ctxOf(cmd), name, stdin)
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the passwords from standard input")
	return cmd
}

func (a *app) changePassword(ctx context.Context, name string, stdin bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var me api.Me
	if err := c.Call(ctx, "GET", "/v1/whoami", nil, &me); err != nil {
		return err
	}
	if name = first(name, me.Person); name == "" {
		return api.Errorf(api.CodeInvalid, "%s has no password: it is no person", me.Actor).WithRemedy("name somebody: drover person password NAME")
	}
	var in server.NewPassword
	if name == me.Person {
		if stdin {
			in.Old, err = a.passwordLine()
		} else {
			in.Old, err = a.askSecret("Old password: ", passwordRemedy)
		}
		if err != nil {
			return err
		}
	}
	if in.New, err = a.newPassword(stdin, "New password of "+name); err != nil {
		return err
	}
	if err := c.Call(ctx, "POST", client.Path("v1", "people", name, "password"), &in, nil); err != nil {
		return err
	}
	a.say("person/%s has a new password\n", name)
	if name == me.Person && api.CodeOf(c.Call(ctx, "GET", "/v1/whoami", nil, nil)) == api.CodeUnauthorized {
		return a.signInAgain(ctx, name, in.New)
	}
	return nil
}

// signInAgain replaces the token of the context file that a new password has
// ended: who knows the password stays signed in here, and only here.
func (a *app) signInAgain(ctx context.Context, person, password string) error {
	t, err := a.target()
	if err != nil {
		return err
	}
	conf, err := a.readConfig()
	if err != nil {
		return err
	}
	for name, cred := range conf.Contexts {
		if cred.Token != t.Token || cred.Server != t.Server {
			continue
		}
		c, err := client.New(client.Config{URL: cred.Server, CA: []byte(cred.CA), UserAgent: "drover/" + a.Version})
		if err != nil {
			return err
		}
		out, err := a.signInWith(ctx, c, loginFlags{person: person}, password)
		if err != nil {
			return err
		}
		cred.Token = out.Token
		conf.Contexts[name] = cred
		return a.writeConfig(conf)
	}
	a.say("You are signed out everywhere: sign in again by drover login %s\n", t.Server)
	return nil
}

// changePeople patches the spec of each person named.
func (a *app) changePeople(ctx context.Context, names []string, spec map[string]any, done string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.Patch(ctx, "people", n, map[string]any{"spec": spec}, nil); err != nil {
			return err
		}
		a.say("person/%s %s\n", n, done)
	}
	return nil
}

func newPersonRoleCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "role NAME ROLE", Short: "Change what somebody may do: admin, operator or viewer",
		Args: exactArgs("the sign-in name", "the role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changePeople(ctxOf(cmd), args[:1], map[string]any{"role": args[1]}, "is "+args[1])
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return []string{"admin", "operator", "viewer"}, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completePeople(cmd, args, word)
	}
	return cmd
}

func newPersonAbleCommand(a *app, verb string, disabled bool) *cobra.Command {
	short := "Let people sign in again"
	if disabled {
		short = "Let people do nothing any more, also by their tokens, until they are enabled"
	}
	return &cobra.Command{
		Use: verb + " NAME…", Short: short, Args: minArgs("a sign-in name"), ValidArgsFunction: a.completePeople,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changePeople(ctxOf(cmd), args, map[string]any{"disabled": disabled}, verb+"d")
		},
	}
}

func newPersonDeleteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME…", Short: "Remove people, with their tokens and sessions", Args: minArgs("a sign-in name"), ValidArgsFunction: a.completePeople,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.deleteObjects(ctxOf(cmd), "people", args, deleteFlags{done: "deleted"})
		},
	}
}
