package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
)

// Exit statuses, as `drover help exit-codes` tells them.
const (
	ExitOK          = 0
	ExitFailed      = 1   // it was done and the outcome is bad, or an error of another kind
	ExitUsage       = 2   // wrong flags, arguments or input; nothing was done
	ExitUnreachable = 3   // no answer from the server or from hosts, or not now
	ExitForbidden   = 4   // not signed in, or not permitted
	ExitTimeout     = 5   // what was waited for did not come in time
	ExitNotFound    = 6   // there is no such thing
	ExitConflict    = 7   // it exists already, or changed meanwhile
	ExitInterrupted = 130 // stopped by Ctrl-C
)

// exitHelp is the text of `drover help exit-codes`.
const exitHelp = `What the exit status of every command says:

  0    done, and the outcome is good
  1    done, and the outcome is bad (a host failed, a difference with --exit-code), or an unexpected error
  2    wrong flags, arguments or input; nothing was done
  3    no answer from the server, or it cannot do it now: retry later
  4    not signed in, or not permitted
  5    what was waited for did not come in time
  6    there is no such object
  7    it exists already, or it changed meanwhile: read again and retry
  130  stopped by Ctrl-C

drover play also uses the exit statuses of ansible-playbook: see drover help play.
`

// exitError carries an exit status. Without err, all that is to be said has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// exit ends a command with a status, silently: everything has been printed.
func exit(code int) error { return &exitError{code: code} }

// usagef is a mistake in flags or arguments.
func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// timedOut says that something did not come in time.
func timedOut(format string, args ...any) error {
	return &exitError{code: ExitTimeout, err: fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var own *exitError
	if errors.As(err, &own) {
		return own.code
	}
	var gone *client.UnreachableError
	if errors.As(err, &gone) {
		return ExitUnreachable
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ExitTimeout
	}
	var e *api.Error
	if !errors.As(err, &e) {
		return ExitFailed
	}
	switch e.Code {
	case api.CodeInvalid, api.CodeTooLarge:
		return ExitUsage
	case api.CodeUnauthorized, api.CodeForbidden:
		return ExitForbidden
	case api.CodeNotFound:
		return ExitNotFound
	case api.CodeExists, api.CodeConflict:
		return ExitConflict
	case api.CodeUnavailable:
		return ExitUnreachable
	}
	return ExitFailed
}

func printErrorJSON(w io.Writer, err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		e = api.Errorf(api.CodeInternal, "%v", err)
	}
	b, _ := json.Marshal(map[string]any{"error": e})
	fmt.Fprintf(w, "%s\n", b)
}

// exactArgs is cobra.ExactArgs with an error that says what is wanted.
func exactArgs(what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(what) {
			return nil
		}
		return usagef("%s takes %s\nusage: %s", cmd.CommandPath(), wanted(what), cmd.UseLine())
	}
}

func wanted(what []string) string {
	switch len(what) {
	case 0:
		return "no arguments"
	case 1:
		return "one argument: " + what[0]
	}
	s := fmt.Sprintf("%d arguments: %s", len(what), what[0])
	for _, w := range what[1:] {
		s += " and " + w
	}
	return s
}
