// Command drover-agent is what runs on every host of a fleet: it joins, keeps
// the host what its fleet declares, and serves play sessions.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"drover/api"
)

const usage = `drover-agent keeps this host what its fleet declares.

  drover-agent join --server https://SERVER:7440 --token TOKEN --ca-fingerprint SHA256   enrol this host, install and start the agent
  drover-agent install          write the systemd unit and start the agent
  drover-agent run              run the agent in the foreground
  drover-agent uninstall        stop the agent and remove it (--purge: its state too)
  drover-agent play-session     serve a play session on standard input and output
  drover-agent version          print the version

Each takes --help.`

// command is one verb.
type command struct {
	name string
	run  func(ctx context.Context, args []string) error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := dispatch(ctx, os.Args[1:])
	stop()
	var exit exitCode
	switch {
	case err == nil:
	case errors.As(err, &exit):
		os.Exit(int(exit))
	default:
		printError(err)
		os.Exit(codeOf(err))
	}
}

// printError says what is wrong and, on a line of its own, what to do.
func printError(err error) {
	var e *api.Error
	if !errors.As(err, &e) || e.Remedy == "" {
		fmt.Fprintln(os.Stderr, "drover-agent:", err)
		return
	}
	wrong := *e
	wrong.Remedy = ""
	fmt.Fprintf(os.Stderr, "drover-agent: %v\n→ %s\n", &wrong, e.Remedy)
}

func dispatch(ctx context.Context, args []string) error {
	commands := []command{{"join", join}, {"install", install}, {"run", run}, {"uninstall", uninstall}, {"guard", guard},
		{"play-session", playSession}, {"version", printVersion}}
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		fmt.Println(usage)
		return nil
	}
	name := strings.TrimLeft(args[0], "-")
	for _, c := range commands {
		if c.name == name {
			return c.run(ctx, args[1:])
		}
	}
	return api.Errorf(api.CodeInvalid, "there is no command %q", args[0]).WithRemedy("see `drover-agent help`")
}

// exitCode ends the program with a status, and nothing printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// codeOf is the exit status of an error, as drover's own.
func codeOf(err error) int {
	switch api.CodeOf(err) {
	case api.CodeInvalid:
		return 2
	case api.CodeUnavailable:
		return 3
	case api.CodeUnauthorized, api.CodeForbidden:
		return 4
	case api.CodeNotFound:
		return 6
	case api.CodeExists, api.CodeConflict:
		return 7
	}
	return 1
}

// flags parses args, which are flags only.
func flags(name string, args []string, define func(*flag.FlagSet)) error {
	f := flag.NewFlagSet("drover-agent "+name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	define(f)
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.SetOutput(os.Stdout)
		fmt.Printf("drover-agent %s takes:\n", name)
		f.PrintDefaults()
		return exitCode(0)
	}
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("there is no argument %q", f.Arg(0))
	}
	if err != nil {
		return api.Errorf(api.CodeInvalid, "cannot understand the command: %v", err).WithRemedy("see `drover-agent %s --help`", name)
	}
	return nil
}
