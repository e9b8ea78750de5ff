package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/sim"
)

// newSimCommand is `drover sim`.
func newSimCommand(a *app) *cobra.Command {
	var n, parallel, metrics int
	var prefix string
	var keep bool
	var last time.Duration
	cmd := &cobra.Command{
		Use:     "sim",
		GroupID: groupServer,
		Short:   "Connect simulated hosts, for load",
		Long: `Connect simulated hosts to the server: real certificates, real connections and
the real protocol, all in this process. Nothing is applied: an assignment is
acknowledged and reported at once, and so are commands (true, false, echo and
hostname do what they say). Each host sends as many series of metrics as a real
one, every 15 s, and shows processes and units when it is looked at. It needs an operator's token, runs until Ctrl-C or
for the time given, and takes its hosts out of the fleet again.

  drover sim -n 5000                     a fleet of 5,000, until Ctrl-C
  drover sim -n 500 --for 1m --keep      the hosts stay, as disconnected ones`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 1 {
				return usagef("-n must be at least 1")
			}
			if metrics < 0 {
				return usagef("--metrics must not be negative")
			}
			return a.simulate(ctxOf(cmd), sim.Config{N: n, Prefix: prefix, Parallel: parallel, Metrics: metrics, Version: "sim-" + a.Version}, keep, last)
		},
	}
	f := cmd.Flags()
	f.IntVarP(&n, "hosts", "n", 100, "`number` of hosts")
	f.StringVar(&prefix, "prefix", "", "`text` of the hosts' names, before -1, -2 …")
	f.IntVar(&parallel, "parallel", 64, "joins and connection attempts at once")
	f.IntVar(&metrics, "metrics", 670, "`series` of metrics that each host sends; 0 for none")
	f.BoolVar(&keep, "keep", false, "leave the hosts in the fleet at the end")
	f.DurationVar(&last, "for", 0, "end after this `time` of all being connected")
	return cmd
}

func (a *app) simulate(ctx context.Context, cfg sim.Config, keep bool, last time.Duration) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Max < uint64(cfg.N)+100 {
		return api.Errorf(api.CodeInvalid, "cannot hold %d connections: this process may have %d files open", cfg.N, limit.Max).
			WithRemedy("run `ulimit -n %d` first, or take fewer hosts", cfg.N+1000)
	}
	t, err := a.target()
	if err != nil {
		return err
	}
	if cfg.Client, err = a.client(); err != nil {
		return err
	}
	if cfg.Joiner, err = client.New(client.Config{URL: t.Server, CA: []byte(t.CA), UserAgent: "drover/" + a.Version}); err != nil {
		return err
	}
	cfg.Server = t.Server
	ready := make(chan struct{}, 1)
	var shown string
	cfg.Progress = func(s sim.Stats) {
		if s.Step == "running" {
			select {
			case ready <- struct{}{}:
			default:
			}
		}
		// A fleet at rest is said once.
		if line := a.simLine(s); line != shown {
			shown = line
			a.simPrint(s, line)
		}
	}
	f := sim.New(cfg)
	err = f.Join(ctx)
	if err == nil {
		runCtx, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f.Run(runCtx)
		}()
		err = waitSim(ctx, ready, last)
		stop()
		<-ended
	}
	if !keep {
		// Also after Ctrl-C: what was made is taken back.
		cleanCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer stop()
		if removeErr := f.Remove(cleanCtx); err == nil {
			err = removeErr
		}
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// waitSim waits for Ctrl-C, or until the fleet has been complete for a while.
func waitSim(ctx context.Context, ready <-chan struct{}, last time.Duration) error {
	if last > 0 {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		timer := time.NewTimer(last)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return nil
	}
	<-ctx.Done()
	return nil
}

func (a *app) simLine(s sim.Stats) string {
	ms := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s joined %d/%d  connected %d", s.Step, s.Joined, s.Hosts, s.Connected)
	if s.DialP99 > 0 {
		fmt.Fprintf(&b, "  dial p50 %s p99 %s", ms(s.DialP50), ms(s.DialP99))
	}
	if s.ConnectedIn > 0 {
		fmt.Fprintf(&b, "  all in %s (%.0f/s)", ms(s.ConnectedIn), float64(s.Hosts)/s.ConnectedIn.Seconds())
	}
	fmt.Fprintf(&b, "  assignments %d  reports %d  jobs %d", s.Assigned, s.Acked, s.Jobs)
	if s.Failed != "" && s.Step != "running" {
		fmt.Fprintf(&b, "  last error: %s", oneLine(s.Failed))
	}
	return b.String()
}

func (a *app) simPrint(s sim.Stats, line string) {
	if a.output == "json" {
		if b, err := json.Marshal(s); err == nil {
			fmt.Fprintf(a.Out, "%s\n", b)
		}
		return
	}
	if s.Samples > 0 {
		line += fmt.Sprintf("  samples %d", s.Samples)
	}
	if s.Unwritten > 0 {
		line += fmt.Sprintf("  batches of samples not taken %d", s.Unwritten)
	}
	if !a.quiet {
		fmt.Fprintf(a.Out, "%7s  %s\n", s.Elapsed.Round(time.Second), line)
	}
}
