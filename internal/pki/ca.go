package pki

import (
	"crypto/ed25519"
	"crypto/tls"
	"time"
)

// Options of a CA; the zero value is right.
type Options struct {
	Now      func() time.Time
	HostLife time.Duration // of host certificates; 24 h if 0
}

// CA is the fleet's certificate authority, with its keys in a folder.
type CA struct{}

// OpenCA loads the CA in dir, or makes a new fleet's if there is none.
func OpenCA(dir string, o Options) (*CA, error) { return nil, nil }

// Fleet is the fleet's id.
func (c *CA) Fleet() string { return "" }

// Bundle is the PEM of all roots to trust, the signing one first.
func (c *CA) Bundle() []byte { return nil }

// Pin names the signing root: "sha256:HEX", what a join command carries.
func (c *CA) Pin() string { return "" }

// SignHost checks a certificate request (PKCS #10, DER) and signs a client
// certificate for host. What the request asks for beside its key is ignored. The result is PEM.
func (c *CA) SignHost(csr []byte, host string) ([]byte, error) { return nil, nil }

// LinkTLS is the TLS configuration of the agents' door: a server certificate
// for names (DNS names and addresses), renewed by itself, and client
// certificates of hosts of this fleet required.
func (c *CA) LinkTLS(names ...string) *tls.Config { return nil }

// APITLS is the TLS configuration of the API: the same server certificate, no client certificate.
func (c *CA) APITLS(names ...string) *tls.Config { return nil }

// Rotate makes a new root and begins to sign with it; the old ones stay trusted until they expire.
func (c *CA) Rotate() error { return nil }

// SigningKey is the public key that agent binaries are verified with.
func (c *CA) SigningKey() ed25519.PublicKey { return nil }

// SignBinary signs an agent binary by version and SHA-256 (hex): api.AgentOffer.Signature.
func (c *CA) SignBinary(version, sha256 string) []byte { return nil }
