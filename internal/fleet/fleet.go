package fleet

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/link"
	"drover/internal/store"
)

// Deps is what the room stands on. Fields without a comment are needed.
type Deps struct {
	Dir       string // folder of the room's own: the repository is in it
	Store     *store.Store
	Blobs     Blobs
	Journal   *journal.Journal
	CA        CA
	Join      JoinTokens
	Compilers []domain.Compiler
	Inventory func(tree fs.FS) (Inventory, error) // reads a tree's inventory

	Audit    func(ctx context.Context, e api.AuditEntry) // nil: not kept
	Link     func() []string                             // addresses that agents dial
	Agents   []AgentBinary                               // agent programs to serve, by platform
	Version  string                                      // of the server
	URL      string                                      // of the API, as people reach it
	MaxPush  int64                                       // bytes of one push; 50 MiB if 0
	Now      func() time.Time                            // nil: time.Now
	Log      *slog.Logger                                // nil: slog.Default
	Debounce time.Duration                               // how long a host is away before that is an event; 10 s if 0
}

// Blobs keeps files by their hash.
type Blobs interface {
	PutBytes(b []byte) (hash string, err error)
	Put(r io.Reader) (hash string, size int64, err error)
	Has(hash string) bool
	Remove(hash string) error
}

// CA signs hosts' certificates.
type CA interface {
	Fleet() string
	Bundle() []byte
	Pin() string
	SignHost(csr []byte, host string) ([]byte, error)
	SigningKey() []byte
	SignBinary(version, sha256 string) []byte
}

// JoinTokens are spent by hosts that enrol.
type JoinTokens interface {
	CheckJoin(ctx context.Context, token, host string) (*api.Token, error)
	UseJoin(ctx context.Context, token, host string, with ...store.Change) error
}

// Inventory is what the room asks of a tree's inventory.
type Inventory interface {
	Hosts() []string
	Groups(host string) []string
}

// AgentBinary is an agent program beside the server's own.
type AgentBinary struct {
	OS, Arch string
	Version  string
	Path     string
}

// Hub sends to connected hosts.
type Hub interface {
	Send(host string, m *api.ToAgent) error
	Connected(host string) bool
	Hosts() []string
	Info(host string) (link.ConnInfo, bool)
	Disconnect(host string, why *api.Error)
}

// Fleet is the room. It is the link's Consumer, Authorizer and Renewer.
type Fleet struct{}

// Kinds are the kinds that the room keeps, for store.New.
func Kinds() []store.Kind { return nil }

// New opens the repository and makes the room. Attach gives it the hub.
func New(ctx context.Context, d Deps) (*Fleet, error) { return &Fleet{}, nil }

// Attach gives the room the hub to send by; it is called once, before the loops run.
func (f *Fleet) Attach(h Hub) {}

// Domain is what the room hands over.
func (f *Fleet) Domain() domain.Domain { return domain.Domain{Name: "fleet"} }

// Joined, Left and Message make the room a link.Consumer.
func (f *Fleet) Joined(host string, hello *api.Hello)                    {}
func (f *Fleet) Left(host string, undelivered []*api.ToAgent)            {}
func (f *Fleet) Message(host string, m *api.ToServer)                    {}
func (f *Fleet) Offer(host string, h *api.Hello) *api.AgentOffer         { return nil }
func (f *Fleet) MayFetch(ctx context.Context, host, sha256 string) error { return nil }
func (f *Fleet) Renew(ctx context.Context, host string, r *api.RenewRequest) (*api.RenewResponse, error) {
	return nil, nil
}
