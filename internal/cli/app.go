// Package cli is the drover command: one file for each group of verbs, and the
// frame that they stand in: where the server is, how things are printed, how
// long things show that they go on, and what exit status an error has.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"drover/api"
	"drover/client"
	"drover/internal/domain"
	"drover/internal/server"
)

// Options are what the program is made of, so that a test can be the world.
type Options struct {
	Args     []string // without the program's name
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Version  string
	// Rooms and OpenBackend are for `drover server`: the one list of rooms, and
	// the store's durable engine, which few packages link.
	Rooms       []domain.Room
	OpenBackend server.OpenBackend
}

// app is what a command works with: every command file has a function
// newXCommand(a *app) *cobra.Command, listed in root.go.
type app struct {
	Options
	in *bufio.Reader

	// Flags of every command.
	output      string // "", wide, json, yaml
	noColor     bool
	quiet       bool
	contextName string
	serverURL   string
	token       string
	caFile      string
}

// Main runs one command and returns its exit status.
func Main(ctx context.Context, o Options) int {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	a := &app{Options: o, in: bufio.NewReader(o.In)}
	root := newRootCommand(a)
	root.SetArgs(o.Args)
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	return a.fail(ctx, err)
}

// fail prints an error once, in words, and gives its exit status.
func (a *app) fail(ctx context.Context, err error) int {
	var quiet *exitError
	if errors.As(err, &quiet) && quiet.err == nil {
		return quiet.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.Err, a.style(dim, "stopped"))
		return ExitInterrupted
	}
	if a.output == "json" {
		printErrorJSON(a.Err, err)
	} else {
		a.printError(err)
	}
	return exitCode(err)
}

func (a *app) printError(err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(a.Err, "%s %v\n", a.style(bad, "error:"), err)
		return
	}
	where := ""
	if e.Place != nil {
		where = e.Place.String() + ": "
	}
	if e.Field != "" {
		where += "field " + e.Field + ": "
	}
	msg := e.Message
	// What a caller wrapped around the error comes first.
	if full := err.Error(); strings.HasSuffix(full, e.Error()) && full != e.Error() {
		msg = strings.TrimSuffix(full, e.Error()) + msg
	}
	fmt.Fprintf(a.Err, "%s %s%s\n", a.style(bad, "error:"), where, msg)
	if e.Remedy != "" {
		fmt.Fprintf(a.Err, "%s %s\n", a.style(dim, "→"), e.Remedy)
	}
}

// client is the client of the server that flags, environment, the context
// file or this machine's own server name.
func (a *app) client() (*client.Client, error) {
	t, err := a.target()
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URL: t.Server, Token: t.Token, CA: []byte(t.CA), UserAgent: "drover/" + a.Version})
}

// structured reports whether output is for programs.
func (a *app) structured() bool { return a.output == "json" || a.output == "yaml" }

// outTerminal reports whether output goes to a person's terminal.
func (a *app) outTerminal() bool { return isTerminal(a.Out) }
func (a *app) errTerminal() bool { return isTerminal(a.Err) }

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ask asks a person a question; without a terminal it fails with remedy.
func (a *app) ask(question, remedy string) (string, error) {
	if !isTerminal(a.In) {
		return "", api.Errorf(api.CodeInvalid, "cannot ask %q: this is not a terminal", strings.TrimSpace(question)).WithRemedy("%s", remedy)
	}
	fmt.Fprint(a.Err, question)
	line, err := a.in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// askSecret is ask without showing what is typed.
func (a *app) askSecret(question, remedy string) (string, error) {
	f, ok := a.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", api.Errorf(api.CodeInvalid, "cannot ask %q: this is not a terminal", strings.TrimSpace(question)).WithRemedy("%s", remedy)
	}
	fmt.Fprint(a.Err, question)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.Err)
	if err != nil {
		return "", fmt.Errorf("cannot read the answer: %w", err)
	}
	return string(b), nil
}

// ctxOf is a command's context, which ends at an interrupt.
func ctxOf(cmd *cobra.Command) context.Context { return cmd.Context() }
