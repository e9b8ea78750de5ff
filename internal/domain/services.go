package domain

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drover/api"
	"drover/internal/access"
	"drover/internal/audit"
	"drover/internal/blob"
	"drover/internal/journal"
	"drover/internal/link"
	"drover/internal/pki"
	"drover/internal/runlog"
	"drover/internal/store"
)

// Room is how the server gets to know a room. What it stores must be known
// before the store opens; New is called once, with the store open and nothing
// served yet. It must not block: what takes time belongs into a loop.
type Room struct {
	Name  string
	Kinds []store.Kind // all it stores, also what the API never serves
	New   func(Services) (Domain, error)
}

// Services are what every room stands on. Tests make them from store.Memory
// and temporary folders.
type Services struct {
	Store   *store.Store
	Blobs   *blob.Store
	Journal *journal.Journal
	Audit   *audit.Log
	Access  *access.Access
	CA      *pki.CA
	Runs    *runlog.Log
	Hub     *link.Hub // takes agents once all rooms are made

	Log     *slog.Logger
	Now     func() time.Time
	DataDir string // the room's own files go under DataDir/ROOM
	Version string // of this server
	// Own gives the server's own metrics.
	Own prometheus.Gatherer
	// MetricsRetention and MetricsMaxBytes bound the metrics that are kept; 0 is the usual.
	MetricsRetention time.Duration
	MetricsMaxBytes  int64

	// Links are the addresses, host:port, where agents reach this server, and
	// API the base URL where people do. Both are called after the start.
	Links func() []string
	API   func() string
	// APIPin names the certificate that the API shows, if that is not of the
	// fleet's CA; else it is empty.
	APIPin func() string
}

// Link is what a room does on the line to the hosts. Each part may be nil.
type Link struct {
	// Consumer hears of every host and every message; each room takes what is
	// its own and leaves the rest alone.
	Consumer link.Consumer
	// MayFetch allows a blob to a host by returning nil; one room that allows it is enough.
	MayFetch func(ctx context.Context, host, sha256 string) error
	// Renew answers a certificate request; one room at most has it.
	Renew func(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error)
	// Offer names the agent a host should run instead, or nil. It must not block.
	Offer func(host string, hello *api.Hello) *api.AgentOffer
	// Write stores a host's samples (link.Writer says what body and error
	// are); one room at most has it.
	Write func(ctx context.Context, host string, body []byte) error
}
