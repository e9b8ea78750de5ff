package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"drover/api"
)

// The roles in a certificate's URI.
const (
	roleHost   = "host"
	roleServer = "server"
)

func identityURI(fleet, role, name string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: fleet, Path: "/" + role + "/" + name}
}

// parseURI finds the identity in a certificate.
func parseURI(c *x509.Certificate) (fleet, role, name string, err error) {
	for _, u := range c.URIs {
		if u.Scheme != "spiffe" {
			continue
		}
		role, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if ok && u.Host != "" && name != "" && !strings.Contains(name, "/") {
			return u.Host, role, name, nil
		}
	}
	return "", "", "", api.Errorf(api.CodeUnauthorized, "the certificate of %q is not one of Drover's", c.Subject.CommonName)
}

// NewKey makes a private key (ECDSA P-256) and its PEM.
func NewKey() (crypto.Signer, []byte, error) {
	k, pem, err := newKey()
	return k, pem, err
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return k, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads a private key's PEM.
func ParseKey(raw []byte) (crypto.Signer, error) { return parseKey(raw) }

func parseKey(raw []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(raw)
	if b == nil {
		return nil, errors.New("cannot read the private key: it is no PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot read the private key: %w", err)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("cannot read the private key: a %T cannot sign", k)
	}
	return s, nil
}

// Request makes a certificate request (PKCS #10, DER) for host.
func Request(host string, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}}, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate request: %w", err)
	}
	return der, nil
}

// Identity is what a host proves itself with, and whom it trusts.
type Identity struct {
	Fleet, Host         string
	Certificate         tls.Certificate
	NotBefore, NotAfter time.Time

	roots *x509.CertPool
	now   func() time.Time
}

// ParseIdentity reads a host's certificate, key and roots, all PEM, and
// checks that they belong together. One that has expired is read all the same: see NotAfter.
func ParseIdentity(cert, key, roots []byte) (*Identity, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's identity: %w", err)
	}
	leaf := pair.Leaf
	fleet, role, host, err := parseURI(leaf)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's identity: %w", err)
	}
	if role != roleHost {
		return nil, fmt.Errorf("cannot read the host's identity: the certificate is a %s's", role)
	}
	rs, err := parseCerts(roots)
	if err != nil {
		return nil, fmt.Errorf("cannot read the fleet's roots: %w", err)
	}
	i := &Identity{Fleet: fleet, Host: host, Certificate: pair, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, roots: x509.NewCertPool(), now: time.Now}
	for _, r := range rs {
		i.roots.AddCert(r)
	}
	if err := verify([]*x509.Certificate{leaf}, i.roots, rs[0].Subject.CommonName, roleHost, leaf.NotAfter.Add(-time.Second)); err != nil {
		return nil, fmt.Errorf("cannot read the host's identity: %w", err)
	}
	return i, nil
}

// RenewAt is when two thirds of the certificate's life are over.
func (i *Identity) RenewAt() time.Time { return renewAt(i.Certificate.Leaf) }

func renewAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

// TLS is the configuration to dial the fleet's servers with: mTLS, TLS 1.3.
// The server must be one of this fleet, under whatever name it was dialled.
func (i *Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.Certificate},
		NextProtos:   []string{"h2"},
		// Servers are known by fleet and role, not by name; VerifyConnection does it all.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verify(s.PeerCertificates, i.roots, i.Fleet, roleServer, i.now())
		},
	}
}

// verify checks a chain, leaf first, against the roots of a fleet, and says
// clearly what is wrong with it.
func verify(chain []*x509.Certificate, roots *x509.CertPool, fleet, want string, now time.Time) error {
	refuse := func(remedy, format string, args ...any) error {
		return api.Errorf(api.CodeUnauthorized, format, args...).WithRemedy("%s", remedy)
	}
	if len(chain) == 0 {
		return refuse("enrol the host", "there is no certificate")
	}
	leaf := chain[0]
	of, role, name, err := parseURI(leaf)
	if err != nil {
		return err
	}
	if of != fleet {
		remedy := "dial a server of this fleet"
		if want == roleHost {
			remedy = "enrol the host in this fleet"
		}
		return refuse(remedy, "the certificate of %s %q is of another fleet (%s; this is %s)", role, name, of, fleet)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	usage := x509.ExtKeyUsageClientAuth
	if want == roleServer {
		usage = x509.ExtKeyUsageServerAuth
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil && role != want:
		return refuse("use the right certificate", "the certificate of %q is a %s's, not a %s's", name, role, want)
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(leaf.NotBefore):
		return refuse("set the clock right on both machines", "the certificate of %s %q is valid only from %s, and it is %s", role, name, utc(leaf.NotBefore), utc(now))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		remedy := "restart the server, and set the clock right on both machines"
		if want == roleHost {
			remedy = "enrol the host again (its name and history stay), and set the clock right on both machines"
		}
		return refuse(remedy, "the certificate of %s %q expired at %s, and it is %s", role, name, utc(leaf.NotAfter), utc(now))
	}
	return refuse("enrol the host again", "the certificate of %s %q is not signed by this fleet (%s): %v", role, name, fleet, err)
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// HostFromCert is the host that a verified client certificate is for.
func HostFromCert(c *x509.Certificate) (string, error) {
	_, role, name, err := parseURI(c)
	if err == nil && role != roleHost {
		err = api.Errorf(api.CodeUnauthorized, "the certificate of %q is a %s's, not a host's", name, role)
	}
	if err == nil && c.Subject.CommonName != name {
		err = api.Errorf(api.CodeUnauthorized, "the certificate names two hosts, %q and %q", name, c.Subject.CommonName)
	}
	if err != nil {
		return "", err
	}
	return name, nil
}

// FleetFromCert is the fleet that a certificate says it is of.
func FleetFromCert(c *x509.Certificate) (string, error) {
	fleet, _, _, err := parseURI(c)
	return fleet, err
}

func pinOf(root *x509.Certificate) string {
	sum := sha256.Sum256(root.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// PinOf names a root certificate (PEM, the first in it) as join commands do.
func PinOf(root []byte) (string, error) {
	cs, err := parseCerts(root)
	if err != nil {
		return "", fmt.Errorf("cannot read the root: %w", err)
	}
	return pinOf(cs[0]), nil
}

// PinnedTLS dials a server of a fleet whose root is known only by its pin:
// the server's chain must end in that root.
func PinnedTLS(pin string) (*tls.Config, error) {
	if !isPin(pin) {
		return nil, api.Errorf(api.CodeInvalid, "%.80q is no pin of a root", pin).WithRemedy("copy it whole from the join command: sha256: and 64 hex digits")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection does it all
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates[1:] {
				if pinOf(c) != pin {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(c)
				return verify(s.PeerCertificates, roots, c.Subject.CommonName, roleServer, time.Now())
			}
			return api.Errorf(api.CodeUnauthorized, "the server's root is not the one named (%s)", pin).
				WithRemedy("check the address; if the fleet's root was rotated, make a new join command")
		},
	}, nil
}
