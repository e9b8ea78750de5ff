package play

import (
	"context"
	"log/slog"
	"time"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/journal"
	"drover/internal/store"
)

// Deps is what the room stands on.
type Deps struct {
	Store   *store.Store
	Journal *journal.Journal
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: slog.Default
}

// Hub sends to connected hosts.
type Hub interface {
	Send(host string, m *api.ToAgent) error
	SendWait(ctx context.Context, host string, m *api.ToAgent) error
	Broadcast(hosts []string, m *api.ToAgent) map[string]error
	Connected(host string) bool
}

// Play is the room. It takes the link's Output, Done and Session messages.
type Play struct{}

// New makes the room. Attach gives it the hub.
func New(d Deps) *Play { return &Play{} }

// Attach gives the room the hub to send by; it is called once, before requests come.
func (p *Play) Attach(h Hub) {}

// Domain is what the room hands over.
func (p *Play) Domain() domain.Domain { return domain.Domain{Name: "play"} }

// Message takes a host's message; Left ends what the host was doing.
func (p *Play) Message(host string, m *api.ToServer)         {}
func (p *Play) Left(host string, undelivered []*api.ToAgent) {}

// Section is the body of the section "play" of an assignment.
type Section struct {
	Playbook string `json:"playbook"` // path in the bundle
	Bundle   string `json:"bundle"`   // SHA-256 of a tar.zst
	Slice    any    `json:"slice"`    // the host's part of the inventory, as the engine reads it back
}
