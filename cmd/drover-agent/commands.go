package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/observe/observehost"
	"drover/internal/play/facts"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/play/playpull"
	"drover/internal/version"
)

func say(text string) { fmt.Fprintln(os.Stderr, "drover-agent:", text) }

func join(ctx context.Context, args []string) error {
	cfg := agent.JoinConfig{Version: version.Version, Token: os.Getenv("DROVER_TOKEN")}
	var dir string
	var noInstall bool
	if err := flags("join", args, func(f *flag.FlagSet) {
		f.StringVar(&cfg.Server, "server", "", "the server's `URL`, https://HOST:7440")
		f.StringVar(&cfg.Token, "token", cfg.Token, "the join `token` (also DROVER_TOKEN, which other users of the machine cannot see)")
		f.StringVar(&cfg.Name, "name", "", "the host's `name` in the fleet; the machine's own if empty")
		f.StringVar(&cfg.Address, "address", "", "`address` that people reach the host by")
		f.StringVar(&cfg.Pin, "ca-fingerprint", "", "`SHA-256` of the fleet's root certificate; without it the machine's own roots are trusted")
		f.StringVar(&cfg.APIPin, "api-fingerprint", "", "`SHA-256` of the server's certificate, where that is not of the fleet's root")
		f.StringVar(&cfg.Pin, "pin", "", "the same as --ca-fingerprint")
		f.BoolVar(&cfg.Force, "force", false, "join although this host is in a fleet already")
		f.StringVar(&dir, "state", agent.DefaultDir, "`folder` of the agent's state")
		f.BoolVar(&noInstall, "no-install", false, "do not install and start the agent")
	}); err != nil {
		return err
	}
	// The running agent has the state open. It goes on as before if the join is refused.
	resume := func() {}
	if cfg.Force && agent.HasSystemd() && exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", agent.UnitName).Run() == nil {
		if err := agent.StopService(ctx); err != nil {
			return err
		}
		resume = func() {
			if err := agent.RestartService(context.WithoutCancel(ctx)); err != nil {
				say(err.Error())
			}
		}
	}
	id, err := agent.JoinIn(ctx, dir, cfg)
	if err != nil {
		resume()
		return err
	}
	say(fmt.Sprintf("joined fleet %s as host %s", id.Fleet, id.Host))
	switch {
	case noInstall:
		return nil
	case os.Geteuid() != 0 || !agent.HasSystemd():
		say("not installed as a service (that needs root and systemd): start it by `drover-agent run`")
		return nil
	}
	return installFrom(ctx, dir)
}

func install(ctx context.Context, args []string) error {
	var dir string
	var print bool
	if err := flags("install", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "state", agent.DefaultDir, "`folder` of the agent's state")
		f.BoolVar(&print, "print", false, "print the unit and do nothing")
	}); err != nil {
		return err
	}
	if print {
		fmt.Print(agent.Unit(dir))
		return nil
	}
	return installFrom(ctx, dir)
}

func installFrom(ctx context.Context, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := agent.Install(ctx, dir, program, say); err != nil {
		return err
	}
	say("running; see `systemctl status drover-agent` and `journalctl -u drover-agent`")
	return nil
}

func uninstall(ctx context.Context, args []string) error {
	var dir string
	var purge bool
	if err := flags("uninstall", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "state", agent.DefaultDir, "`folder` of the agent's state")
		f.BoolVar(&purge, "purge", false, "remove the state too: the host must join again then")
	}); err != nil {
		return err
	}
	return agent.Uninstall(ctx, dir, purge, say)
}

func printVersion(context.Context, []string) error {
	fmt.Printf("drover-agent %s (protocol %d)\n", version.Version, api.LinkVersion)
	return nil
}

func playSession(ctx context.Context, args []string) error {
	if err := flags("play-session", args, func(*flag.FlagSet) {}); err != nil {
		return err
	}
	return playhost.Serve(ctx, struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}, &module.Host{})
}

// guard is run before each start of the agent, by the version known to be good.
func guard(ctx context.Context, args []string) error {
	var dir string
	var expired bool
	if err := flags("guard", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "state", agent.DefaultDir, "`folder` of the agent's state")
		f.BoolVar(&expired, "expired", false, "only look whether an update's deadline is over, and start the service anew then")
	}); err != nil {
		return err
	}
	did, err := agent.Guard(dir, time.Now(), expired)
	if err != nil || did == "" {
		return err
	}
	say(did)
	if expired {
		return agent.RestartService(ctx)
	}
	return nil
}

func run(ctx context.Context, args []string) error {
	var dir string
	var debug bool
	var interval, confirm time.Duration
	var record string
	if err := flags("run", args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "state", agent.DefaultDir, "`folder` of the agent's state")
		f.DurationVar(&interval, "interval", 10*time.Minute, "`time` between converges, give or take a tenth")
		f.DurationVar(&confirm, "confirm", 3*time.Minute, "`time` that a new version of the agent has to reach a server, else the one before is put back")
		f.StringVar(&record, "record-metrics", "", "append a line to `FILE` for each time that metrics were read: milliseconds, samples, hash; for tests")
		f.BoolVar(&debug, "debug", false, "log more")
	}); err != nil {
		return err
	}
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if os.Getenv("DROVER_GUARDED") == "" {
		// Without systemd nobody looked before; this version has to do.
		did, err := agent.Guard(dir, time.Now(), false)
		if err != nil {
			return err
		}
		if did != "" {
			log.Info(did)
		}
	}
	err := runOn(ctx, log, dir, record, agent.Config{Interval: interval, Confirm: confirm})
	if !errors.Is(err, agent.ErrRestart) {
		return err
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		return nil // systemd starts what bin/current names, with its guard
	}
	return syscall.Exec(agent.Current(dir), append([]string{os.Args[0]}, os.Args[1:]...), os.Environ())
}

func runOn(ctx context.Context, log *slog.Logger, dir, record string, cfg agent.Config) error {
	state, err := agent.OpenState(dir)
	if err != nil {
		return err
	}
	defer state.Close()
	id := state.Identity()
	if id == nil {
		return api.Errorf(api.CodeInvalid, "this host has not joined a fleet").WithRemedy("run `drover-agent join` first; `drover enroll` does it all over SSH")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	hash, err := agent.HashFile("/proc/self/exe")
	if err != nil {
		return err
	}
	ctx, restart := context.WithCancelCause(ctx)
	defer restart(nil)
	host := &module.Host{}
	sessions := playhost.Options{Command: []string{program, "play-session"}, Stderr: os.Stderr}
	cfg.State, cfg.Version, cfg.Hash, cfg.Log = state, version.Version, hash, log
	cfg.Executors = map[string]agent.Executor{
		playpull.Room: playpull.New(playpull.Config{Host: host, Play: sessions, Open: playpull.Files(state.Blobs().Path), State: state.Dir()}),
	}
	cfg.Session = func(ctx context.Context, rw agent.Stream, j *api.Job) error {
		return session(ctx, rw, j, host, sessions)
	}
	cfg.Facts = func(ctx context.Context) map[string]any {
		known, warnings, err := facts.Gather(ctx, &facts.Host{}, facts.Options{})
		for _, w := range warnings {
			log.Debug("facts", "warning", w)
		}
		if err != nil {
			log.Error("cannot gather the facts", "error", err)
		}
		return known
	}
	cfg.Look = new(observehost.Looker).Look
	metrics, err := metricsOf(log, dir, record)
	if err != nil {
		return err
	}
	cfg.Metrics = metrics
	// Only what stands in the state folder can be replaced by a newer one.
	if real, err := filepath.EvalSymlinks(agent.Current(dir)); err == nil && same(real, program) {
		cfg.Restart = func() { restart(agent.ErrRestart) }
		if agent.HasSystemd() {
			cfg.Watchdog = agent.Watchdog(dir)
		}
	}
	log.Info("agent starts", "version", version.Version, "host", id.Host, "fleet", id.Fleet)
	a := agent.New(cfg)
	if err := agent.Notify("READY=1"); err != nil {
		log.Warn("cannot tell systemd that the agent is ready", "error", err)
	}
	go keepAlive(ctx)
	err = a.Run(ctx)
	_ = agent.Notify("STOPPING=1")
	return err
}

// metricsOf reads the host's metrics by node_exporter's collectors. A host
// whose metrics cannot be read or kept is still kept what it should be.
func metricsOf(log *slog.Logger, dir, record string) (func(context.Context, func(context.Context, []byte) error), error) {
	textfiles := filepath.Join(dir, "textfile")
	if err := os.MkdirAll(textfiles, 0o755); err != nil {
		log.Error("cannot make the folder for metrics in text files", "error", err)
	}
	cfg := observehost.Config{Dir: filepath.Join(dir, "metrics"), Version: version.Version, Log: log}
	if record != "" {
		f, err := os.OpenFile(record, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		cfg.Record = f // open as long as the process is
	}
	source, err := observehost.NodeCollectors(log, textfiles)
	if err != nil {
		return nil, err
	}
	cfg.Source = source
	return func(ctx context.Context, write func(context.Context, []byte) error) {
		cfg.Write = write
		if err := observehost.Run(ctx, cfg); err != nil {
			log.Error("there are no metrics of this host", "error", err)
		}
	}, nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// keepAlive tells systemd's watchdog that the process still turns.
func keepAlive(ctx context.Context) {
	tick := time.NewTicker(40 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = agent.Notify("WATCHDOG=1") // the watchdog itself says what follows
		case <-ctx.Done():
			return
		}
	}
}

// session serves a play session: in this process, or for another user in a
// program that is theirs.
func session(ctx context.Context, rw agent.Stream, j *api.Job, host *module.Host, o playhost.Options) error {
	self, err := user.Current()
	if err != nil {
		return err
	}
	if j.User == "" || j.User == self.Username {
		return playhost.ServeOptions(ctx, rw, host, o)
	}
	return agent.SessionAs(ctx, rw, j.User, o.Command)
}
