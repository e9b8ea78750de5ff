package cli

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/server"
	"drover/internal/version"
)

func newServerCommand(a *app) *cobra.Command {
	var cfg server.Config
	var level, format string
	var metrics metricsLimits
	cmd := &cobra.Command{
		Use: "server", GroupID: groupServer,
		Short: "Run a server",
		Long: `Run a Drover server: the store, the fleet's certificate authority, the API for
people and programs, and the door for agents.

All it keeps is in the data directory. While there is no administrator, it
prints a command that makes one, once. As root on this machine, drover works
without signing in, by the credential in DIR/admin.yml.

Without certificates of your own, the API uses one of the fleet's own CA for
this machine's names and addresses and those given by --name. SIGTERM and
Ctrl-C stop it gracefully.`,
		Example: `  drover server --data /var/lib/drover
  drover server --data /srv/drover --name drover.example.org
  drover server --etcd https://etcd-1:2379,https://etcd-2:2379`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := a.logger(level, format)
			if err != nil {
				return err
			}
			if cfg.MetricsRetention, cfg.MetricsMaxBytes, err = metrics.read(); err != nil {
				return err
			}
			cfg.Log, cfg.Rooms, cfg.OpenBackend, cfg.Version, cfg.Announce = log, a.Rooms, a.OpenBackend, a.Version, a.Out
			if cfg.Version == "" {
				cfg.Version = version.Version
			}
			if err := server.Run(ctxOf(cmd), cfg); err != nil {
				// What is wrong is here, not with the reach of a server.
				return &exitError{code: ExitFailed, err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data", first(a.Getenv("DROVER_DATA"), server.DefaultDataDir), "`directory` of all the server keeps (also DROVER_DATA)")
	f.StringVar(&cfg.ListenAPI, "listen", ":"+server.PortAPI, "`address` of the API, HOST:PORT")
	f.StringVar(&cfg.ListenLink, "link", ":"+server.PortLink, "`address` of the agents' door, HOST:PORT")
	f.StringVar(&cfg.EtcdURL, "etcd", "", "use the etcd cluster at these `URLs`, joined by commas, instead of the embedded one; user and password in DROVER_ETCD_USER and DROVER_ETCD_PASSWORD")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM `file` of a certificate for the API, instead of the fleet's own CA")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "PEM `file` of its key")
	f.StringSliceVar(&cfg.Names, "name", nil, "DNS `name` or address by which people and agents reach this server; may be repeated")
	f.StringSliceVar(&cfg.LinkNames, "link-name", nil, "`address` HOST:PORT that agents are told to dial, if it is another than --name with the port of --link")
	f.StringVar(&metrics.retention, "metrics-retention", "15d", "how long metrics are kept: a `time` such as 15d, 8w or 1y")
	f.StringVar(&metrics.maxSize, "metrics-max-size", "0", "the oldest metrics go when they take more than this `size`, such as 50GB; 0: no limit")
	f.DurationVar(&cfg.StopTimeout, "stop-timeout", 0, "how long requests may take to end at a stop (10s)")
	f.StringVar(&level, "log-level", "info", "least `level` to log: debug, info, warn, error")
	f.StringVar(&format, "log-format", "text", "`form` of the log on standard error: text, json")
	return cmd
}

func (a *app) logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s is not a level: use debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.Err, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.Err, o)), nil
	}
	return nil, usagef("--log-format %s is not a form: use text or json", format)
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", GroupID: groupServer,
		Short: "Print the versions of this program and of the server",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := struct {
				Client string          `json:"client"`
				Server *server.Version `json:"server,omitempty"`
				URL    string          `json:"url,omitempty"`
				Error  string          `json:"error,omitempty"`
			}{Client: a.Version}
			c, err := a.client()
			if err == nil {
				out.URL = c.URL()
				var v server.Version
				if err = c.Call(ctxOf(cmd), "GET", "/v1/version", nil, &v); err == nil {
					out.Server = &v
				}
			}
			if err != nil {
				out.Error = err.Error()
			}
			if a.structured() {
				return a.printValue(out)
			}
			fmt.Fprintf(a.Out, "drover  %s\n", out.Client)
			if out.Server != nil {
				fmt.Fprintf(a.Out, "server  %s (%s, fleet %s)\n", out.Server.Version, out.URL, out.Server.Fleet)
			} else if out.URL != "" {
				fmt.Fprintf(a.Out, "server  unknown: %s\n", strings.TrimSpace(out.Error))
			}
			return nil
		},
	}
}
