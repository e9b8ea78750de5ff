// Package etcd is the store's durable backend: an etcd member embedded in this
// process, or a client of an external cluster. It alone links etcd.
package etcd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"

	"drover/internal/store"
)

// Config of an embedded member. The zero value but for Dir is right for one server.
type Config struct {
	Dir    string // data directory, made if missing, 0700
	Quota  int64  // bytes; 8 GiB if 0
	NoSync bool   // tests only: acknowledged writes may be lost
	// Listen, if set, also serves clients there: "http://127.0.0.1:2379" or
	// "unix:///path". By default nothing listens at all.
	Listen string
	Log    *slog.Logger // etcd's warnings and errors; nil drops them
}

// External is a cluster run elsewhere.
type External struct {
	Endpoints []string    // "https://etcd-1:2379"; may also be one comma-separated URL list
	TLS       *tls.Config // nil for plain
	Username  string
	Password  string
	Prefix    string // before every key; "drover/" if empty
}

// Backend is a store.Backend over etcd.
type Backend struct{}

var _ store.Backend = (interface{ store.Backend })(nil)

// Open starts the embedded member and waits until it answers.
func Open(ctx context.Context, c Config) (*Backend, error) { return nil, nil }

// Dial connects to an external cluster and checks that it answers.
func Dial(ctx context.Context, c External) (*Backend, error) { return nil, nil }

// Failed is closed when the embedded engine can go on no more (a disk error);
// the process should stop and be started again. Err says why.
func (b *Backend) Failed() <-chan struct{} { return nil }

// Err is why the engine failed.
func (b *Backend) Err() error { return nil }

// Snapshot writes a consistent backup of everything to w.
func (b *Backend) Snapshot(ctx context.Context, w io.Writer) (int64, error) { return 0, nil }
