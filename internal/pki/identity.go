package pki

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// NewKey makes a private key (ECDSA P-256) and its PEM.
func NewKey() (crypto.Signer, []byte, error) { return nil, nil, nil }

// Request makes a certificate request (PKCS #10, DER) for host.
func Request(host string, key crypto.Signer) ([]byte, error) { return nil, nil }

// Identity is what a host proves itself with.
type Identity struct {
	Fleet, Host string
	Certificate tls.Certificate
	NotBefore   time.Time
	NotAfter    time.Time
}

// ParseIdentity reads a host's certificate, key and roots, all PEM, and checks that they belong together.
func ParseIdentity(cert, key, roots []byte) (*Identity, error) { return nil, nil }

// RenewAt is when two thirds of the certificate's life are over.
func (i *Identity) RenewAt() time.Time { return time.Time{} }

// TLS is the configuration to dial the fleet's servers with: mTLS, TLS 1.3;
// the server must be one of this fleet, under whatever name it was dialled.
func (i *Identity) TLS() *tls.Config { return nil }

// PinnedTLS dials a server before any root is known: its chain must contain the root that pin names.
func PinnedTLS(pin string) (*tls.Config, error) { return nil, nil }

// PinOf names a root certificate (PEM, the first in it).
func PinOf(root []byte) (string, error) { return "", nil }

// HostFromCert is the host that a verified client certificate is for.
func HostFromCert(c *x509.Certificate) (string, error) { return "", nil }

// FleetFromCert is the fleet that a certificate says it is of.
func FleetFromCert(c *x509.Certificate) (string, error) { return "", nil }

// VerifyBinary checks the signature of an agent binary.
func VerifyBinary(key ed25519.PublicKey, version, sha256 string, signature []byte) error { return nil }

// Sealer seals secrets at rest with a key kept in a file (0600).
type Sealer struct{}

// OpenSealer loads the key in path, or makes one.
func OpenSealer(path string) (*Sealer, error) { return nil, nil }

// Seal encrypts and binds to context: what the secret is for ("token/x").
func (s *Sealer) Seal(plain []byte, context string) []byte { return nil }

// Open decrypts what Seal made with the same context.
func (s *Sealer) Open(sealed []byte, context string) ([]byte, error) { return nil, nil }
