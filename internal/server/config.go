// Package server is the control plane: it opens the store and the services,
// puts the rooms' kinds and routes behind one door, listens for people and for
// agents, and stops in order. Every route has an access rule; every mutation
// is audited; every error is an api.Error.
package server

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"drover/internal/domain"
	"drover/internal/store"
)

// OpenBackend opens the durable store: the embedded engine in dir, or with a
// URL the external cluster there. It is given from outside because the engine
// is heavy: what is tested without it must not link it.
type OpenBackend func(ctx context.Context, dir, url string, log *slog.Logger) (store.Backend, error)

// Ports of a server, unless told otherwise.
const (
	PortAPI  = "7440"
	PortLink = "7441"
)

// Config says what a server is and where. DataDir and Rooms are needed, and
// one of Backend and OpenBackend.
type Config struct {
	DataDir string // see layout.go for what is in it

	ListenAPI  string   // host:port of the API; ":7440" if empty
	ListenLink string   // host:port of the agents' door; ":7441" if empty
	Names      []string // further DNS names and addresses by which people and agents reach this server
	LinkNames  []string // host:port that agents are told to dial; made from Names and ListenLink if empty

	TLSCert, TLSKey string // PEM files for the API; both empty: the fleet's own CA

	MetricsRetention time.Duration // how long metrics are kept; 15 days if 0
	MetricsMaxBytes  int64         // the oldest metrics go when they take more; 0: no limit

	EtcdURL     string // external cluster; empty: the embedded engine
	Backend     store.Backend
	OpenBackend OpenBackend

	Console fs.FS // the web console's build; nil: the one that is linked in
	Rooms   []domain.Room
	Version string
	Log     *slog.Logger
	Now     func() time.Time
	// Announce gets what a person at the console should read: addresses, the
	// CA's fingerprint, the first administrator's link.
	Announce io.Writer
	// StopTimeout is how long requests may take to end; 10 s if 0.
	StopTimeout time.Duration
	// Ready, if set, is called with the addresses once both doors are open.
	Ready func(Addresses)
}

// Addresses are where a running server listens.
type Addresses struct {
	API  string // base URL, by a name that its certificate has
	Link string // host:port
}
