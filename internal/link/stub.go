package link

import (
	"context"
	"net"

	"drover/api"
)

func serve(ctx context.Context, h *Hub, l net.Listener, cfg ServerConfig) error { return nil }

type memoryDialer struct {
	hub  *Hub
	host string
}

func (d *memoryDialer) Dial(ctx context.Context, hello *api.Hello) (Conn, error) { return nil, nil }
func (d *memoryDialer) Renew(ctx context.Context, r *api.RenewRequest) (*api.RenewResponse, error) {
	return nil, nil
}
func newNetDialer(cfg DialConfig) Dialer { return &memoryDialer{} }
