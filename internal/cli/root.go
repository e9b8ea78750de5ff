package cli

import (
	"github.com/spf13/cobra"

	"drover/api"
)

// newRootCommand is the one list of all commands.
func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "drover",
		Short: "Manage a fleet of Linux servers",
		Long: `Drover brings a fleet of Linux servers to what a Git repository of Ansible
content declares, keeps it there, and says what happened.

Begin with:
  drover server --data /var/lib/drover     start a server on this machine
  drover enroll ssh://root@HOST            add a host
  git push                                 to the server's repository: the deploy
  drover hosts                             see where the fleet is`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error { return a.checkFlags() },
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "", "`form` of the output: wide, json, yaml")
	f.BoolVar(&a.noColor, "no-color", false, "print without colour (also NO_COLOR=1)")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress")
	f.StringVar(&a.contextName, "context", "", "use this `name` of the context file (also DROVER_CONTEXT)")
	f.StringVar(&a.serverURL, "server", "", "`URL` of the server (also DROVER_SERVER)")
	f.StringVar(&a.token, "token", "", "`token` to show (also DROVER_TOKEN, which other users of the machine cannot see)")
	f.StringVar(&a.caFile, "ca", "", "PEM `file` of the CA to trust (also DROVER_CA)")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"wide", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddGroup(
		&cobra.Group{ID: groupFleet, Title: "The fleet:"},
		&cobra.Group{ID: groupWork, Title: "Change and run:"},
		&cobra.Group{ID: groupObjects, Title: "Any kind of object:"},
		&cobra.Group{ID: groupServer, Title: "Server and access:"},
	)
	root.SetHelpCommandGroupID(groupServer)
	root.SetCompletionCommandGroupID(groupServer)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v\nusage: %s", err, cmd.UseLine())
	})
	root.AddCommand(
		newHostsCommand(a), newHostCommand(a), newEventsCommand(a), newAlertsCommand(a), newQueryCommand(a), newEnrollCommand(a), newLabCommand(a),
		newCloneCommand(a), newGitCredentialCommand(a), newPlanCommand(a), newRunCommand(a), newRunsCommand(a), newConvergeCommand(a), newPlayCommand(a), newSimCommand(a),
		newGetCommand(a), newApplyCommand(a), newDiffCommand(a), newDeleteCommand(a), newWaitCommand(a),
		newServerCommand(a), newLoginCommand(a), newLogoutCommand(a), newPersonCommand(a), newTokenCommand(a), newAuditCommand(a), newOpenAPICommand(a),
		newVersionCommand(a), newExitCodesTopic(),
	)
	for _, cmd := range root.Commands() {
		cmd.SuggestionsMinimumDistance = 2
	}
	return root
}

// The groups of `drover help`.
const (
	groupFleet   = "fleet"
	groupWork    = "work"
	groupObjects = "objects"
	groupServer  = "server"
)

// checkFlags refuses what no command understands.
func (a *app) checkFlags() error {
	switch a.output {
	case "", "wide", "json", "yaml":
		return nil
	}
	return api.Errorf(api.CodeInvalid, "-o %s is not a form of output", a.output).WithRemedy("use wide, json or yaml")
}

// unknownCommand says which command of parent was meant.
func unknownCommand(parent *cobra.Command, name string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
			names = append(names, c.Aliases...)
		}
	}
	path := parent.CommandPath()
	e := api.Errorf(api.CodeInvalid, "there is no command `%s %s`", path, name).WithRemedy("see `%s --help`", path)
	if near := nearest(name, names); near != "" {
		e = e.WithRemedy("did you mean `%s %s`?", path, near)
	}
	return e
}

// newExitCodesTopic is `drover help exit-codes`.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What exit statuses mean", Long: exitHelp}
}
