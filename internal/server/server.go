package server

import (
	"context"
	"net/http"

	"drover/internal/domain"
	"drover/internal/link"
)

// Server is one control plane with its services open and its routes
// assembled. It listens to nothing by itself, so that a test can use it in
// process: Handler is the whole API, Hub takes agents in memory.
type Server struct{}

// New opens everything in cfg.DataDir and assembles the rooms.
func New(ctx context.Context, cfg Config) (*Server, error) { return nil, nil }

// Handler is the API: every route behind its access rule.
func (s *Server) Handler() http.Handler { return nil }

// Hub is where agents connect: link.Memory(s.Hub(), host).
func (s *Server) Hub() *link.Hub { return nil }

// Services are what the rooms stand on.
func (s *Server) Services() domain.Services { return domain.Services{} }

// AdminToken is the secret of the credential for this machine's root user.
func (s *Server) AdminToken() string { return "" }

// Start starts the rooms' loops. They end with Close.
func (s *Server) Start(ctx context.Context) error { return nil }

// Serve listens on both doors until ctx ends, then stops gracefully.
func (s *Server) Serve(ctx context.Context) error { return nil }

// Close ends streams, loops and agents' connections, and closes the services, the store last.
func (s *Server) Close() error { return nil }

// Run is New, Start and Serve.
func Run(ctx context.Context, cfg Config) error { return nil }
