// The drover command: the server, and everything people do with a fleet.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"drover/internal/all"
	"drover/internal/cli"
	"drover/internal/store"
	"drover/internal/store/etcd"
	"drover/internal/version"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, cli.Options{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Version: version.Version, Rooms: all.Rooms(all.Agents()...), OpenBackend: openStore,
	})
}

// openStore opens the embedded engine, or the cluster at url.
func openStore(ctx context.Context, dir, url string, log *slog.Logger) (store.Backend, error) {
	if url == "" {
		return etcd.Open(ctx, etcd.Config{Dir: dir, Log: log})
	}
	// A password has no place among the arguments, which every user can see.
	return etcd.Dial(ctx, etcd.External{Endpoints: []string{url}, Username: os.Getenv("DROVER_ETCD_USER"), Password: os.Getenv("DROVER_ETCD_PASSWORD")})
}
