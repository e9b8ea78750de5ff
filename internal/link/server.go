package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"
)

// ServerConfig is the network side of a Hub.
type ServerConfig struct {
	// Certificate is the server's own, with ServerName among its names and
	// usage "server"; it is asked at each handshake, so that it may rotate.
	Certificate func() (*tls.Certificate, error)
	// Roots are the fleet's, asked at each handshake.
	Roots func() *x509.CertPool
	// Identify reads the host's name from a verified certificate.
	Identify Identify
	// Fleet is the fleet's id, to say in errors.
	Fleet string
	// Grace is how long after its end a certificate may still be renewed; 30 days.
	Grace time.Duration

	Handshakes       int           // TLS handshakes at once; 32
	Waiting          int           // connections that may wait for one; 10,000
	HandshakeTimeout time.Duration // for one handshake; 10 s
	Log              *slog.Logger
}

// Serve accepts agents on l until ctx ends, then closes all connections.
func (h *Hub) Serve(ctx context.Context, l net.Listener, cfg ServerConfig) error {
	return serve(ctx, h, l, cfg)
}
