package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"drover/internal/lab"
)

// newLabCommand is `drover lab`: a throwaway fleet of real Debian hosts on
// this machine, to rehearse on.
func newLabCommand(a *app) *cobra.Command {
	l := &lab.Lab{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Throwaway Debian hosts on this machine, to rehearse on",
		Long: `Throwaway Debian hosts on this machine, to rehearse on.

Each has systemd, an address, sshd and apt of its own, and takes seconds to start. They live
on a bridge of their own and reach the outside through this machine. Root is needed.`,
		Args: cobra.NoArgs,
	}
	l.Progress = func(step string) {
		if !a.quiet {
			fmt.Fprintln(a.Err, a.style(dim, "… "+step))
		}
	}
	cmd.GroupID = groupServer
	cmd.PersistentFlags().StringVar(&l.Name, "name", "lab", "the lab's name; several can run beside each other")
	cmd.AddCommand(newLabUp(a, l), newLabDown(a, l), newLabList(a, l), newLabSSH(a, l), newLabPower(a, l), newLabCut(a, l))
	return cmd
}

func newLabUp(a *app, l *lab.Lab) *cobra.Command {
	var prefix string
	var spec lab.Spec
	cmd := &cobra.Command{
		Use:     "up [N | HOST...]",
		Short:   "Start hosts: N of them, or those named (the default is 3)",
		Example: "  drover lab up 4\n  drover lab up web-1 db-1 --name rehearsal",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"3"}
			}
			spec.Hosts = args
			if n, err := strconv.Atoi(args[0]); err == nil {
				if len(args) > 1 || n < 1 || n > 200 {
					return usagef("say either a number of hosts from 1 to 200, or their names")
				}
				spec.Hosts = lab.Names(prefix, n)
			}
			hosts, err := l.Up(ctxOf(cmd), spec)
			if err != nil {
				return err
			}
			return a.printLab(hosts)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "host", "names begin with this when only a number is given")
	cmd.Flags().IntVar(&spec.DiskMiB, "disk", 0, "give each new host a disk of so many MiB in memory, 0 for as much as there is")
	return cmd
}

func newLabDown(a *app, l *lab.Lab) *cobra.Command {
	return &cobra.Command{
		Use:   "down [HOST...]",
		Short: "Stop hosts and remove their disks; without names, the whole lab",
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.Down(ctxOf(cmd), args...)
		},
	}
}

func newLabList(a *app, l *lab.Lab) *cobra.Command {
	var key bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "The lab's hosts and their addresses",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if key {
				_, err := fmt.Fprintln(a.Out, l.KeyFile())
				return err
			}
			hosts, err := l.Hosts()
			if err != nil {
				return err
			}
			return a.printLab(hosts)
		},
	}
	cmd.Flags().BoolVar(&key, "key", false, "print the path of the private key that opens root's account")
	return cmd
}

func newLabSSH(a *app, l *lab.Lab) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh HOST [COMMAND...]",
		Short: "Sign in to a host as root, or run a command there",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			ssh, err := exec.LookPath("ssh")
			if err != nil {
				return fmt.Errorf("cannot sign in to %s: %w", h.Name, err)
			}
			// ssh takes over terminal, signals and exit status.
			return syscall.Exec(ssh, append(append([]string{"ssh"}, l.SSHArgs(h)...), args[1:]...), os.Environ())
		},
	}
}

func newLabPower(a *app, l *lab.Lab) *cobra.Command {
	return &cobra.Command{
		Use:   "unplug HOST",
		Short: "Stop a host at once, as without power; up starts it again with its disk",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return l.Stop(ctxOf(cmd), args[0]) },
	}
}

func newLabCut(a *app, l *lab.Lab) *cobra.Command {
	var heal bool
	cmd := &cobra.Command{
		Use:   "cut HOST",
		Short: "Take a host off the network; --heal puts it back",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return l.Cut(ctxOf(cmd), args[0], !heal) },
	}
	cmd.Flags().BoolVar(&heal, "heal", false, "put it back on the network")
	return cmd
}

func (a *app) printLab(hosts []lab.Host) error {
	if a.structured() {
		return a.printValue(hosts)
	}
	t := newTable("NAME", "ADDRESS", "STATE")
	for _, h := range hosts {
		state := "running"
		switch {
		case !h.Running:
			state = "stopped"
		case h.Cut:
			state = "cut off"
		}
		t.row(h.Name, h.Address.String(), state)
	}
	a.printTable(t)
	return nil
}
