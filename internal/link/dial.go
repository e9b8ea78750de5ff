package link

import (
	"crypto/tls"
	"crypto/x509"
)

// DialConfig is the network side of an agent.
type DialConfig struct {
	// Servers are tried in order, host:port each; the one that worked last comes first.
	Servers func() []string
	// Certificate is the host's, asked at each handshake.
	Certificate func() (*tls.Certificate, error)
	// Roots are the fleet's, asked at each handshake.
	Roots func() *x509.CertPool
	// Fleet is the fleet's id, to say in errors.
	Fleet string
}

// NewDialer returns a Dialer over the network.
func NewDialer(cfg DialConfig) Dialer { return newNetDialer(cfg) }
