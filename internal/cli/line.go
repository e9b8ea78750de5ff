package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// CheckLine says whether drover understands a command line, without running
// it: the command, its flags and the number of its arguments. It gives the
// command's path, such as "token create".
func CheckLine(args []string) (string, error) {
	a := &app{Options: Options{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}
	root := newRootCommand(a)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return "", err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return "", err
	}
	given := cmd.Flags().Args()
	if help, _ := cmd.Flags().GetBool("help"); help || cmd.Name() == "help" {
		return cmd.CommandPath(), nil
	}
	if cmd.HasSubCommands() && len(given) > 0 {
		return "", unknownCommand(cmd, given[0])
	}
	if err := cmd.ValidateArgs(given); err != nil {
		return "", err
	}
	return cmd.CommandPath(), a.checkFlags()
}

// Commands are the paths of all commands that help shows.
func Commands() []string {
	var list []string
	var walk func(*cobra.Command)
	walk = func(parent *cobra.Command) {
		for _, c := range parent.Commands() {
			if c.IsAvailableCommand() {
				list = append(list, c.CommandPath())
				walk(c)
			}
		}
	}
	walk(newRootCommand(&app{Options: Options{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}}))
	return list
}
