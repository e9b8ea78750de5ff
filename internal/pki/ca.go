package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
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
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"drover/api"
)

// How long certificates live. Every certificate begins a little in the past,
// for clocks that are behind.
const (
	rootLife   = 10 * 365 * 24 * time.Hour
	serverLife = 30 * 24 * time.Hour
	hostLife   = 24 * time.Hour
	skew       = 10 * time.Minute
)

// Options of a CA; the zero value is right.
type Options struct {
	Now      func() time.Time
	HostLife time.Duration // of host certificates; 24 h if 0
}

// CA is the fleet's certificate authority, with its keys in a folder: roots.pem
// holds the roots to trust, the signing one first; root-ID.key their keys;
// cross.pem newer roots signed by older; signing.key the one for agent binaries.
type CA struct {
	dir     string
	o       Options
	signing ed25519.PrivateKey

	mu    sync.Mutex
	fleet string
	roots []*x509.Certificate // the signing one first
	cross []*x509.Certificate // roots' keys signed by the root before them, newest first
	key   *ecdsa.PrivateKey
	pool  *x509.CertPool
	certs map[string]*tls.Certificate // server certificates by their names
}

// OpenCA loads the CA in dir, or makes a new fleet's if there is none. Two
// processes that make it at once agree on one.
func OpenCA(dir string, o Options) (*CA, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HostLife == 0 {
		o.HostLife = hostLife
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open the certificate authority: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the certificate authority: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("cannot lock the certificate authority: %w", err)
	}
	c := &CA{dir: dir, o: o, certs: map[string]*tls.Certificate{}}
	if c.signing, err = loadSigning(filepath.Join(dir, "signing.key")); err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *CA) path(name string) string { return filepath.Join(c.dir, name) }

// load reads the roots and the key of the first, or makes them.
func (c *CA) load() error {
	raw, err := os.ReadFile(c.path("roots.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		var id [8]byte
		rand.Read(id[:])
		c.fleet = "fleet-" + hex.EncodeToString(id[:])
		return c.Rotate()
	}
	if err != nil {
		return fmt.Errorf("cannot read the fleet's roots: %w", err)
	}
	roots, err := parseCerts(raw)
	if err != nil {
		return damaged(c.path("roots.pem"), err)
	}
	// A rotation that was cut off has written its key, but not its root: the
	// key of the first root is under the root's own name.
	keyPath := c.path(keyName(roots[0]))
	rawKey, err := os.ReadFile(keyPath)
	if err != nil {
		return damaged(keyPath, err)
	}
	key, err := parseKey(rawKey)
	if err != nil {
		return damaged(keyPath, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(roots[0].PublicKey) {
		return damaged(keyPath, errors.New("it is not the key of the first root"))
	}
	if raw, err := os.ReadFile(c.path("cross.pem")); err == nil {
		if c.cross, err = parseCerts(raw); err != nil {
			return damaged(c.path("cross.pem"), err)
		}
	}
	c.fleet, c.key = roots[0].Subject.CommonName, ec
	c.trust(roots)
	return nil
}

func damaged(path string, err error) error {
	return api.Errorf(api.CodeInternal, "cannot use the certificate authority's %s: %v", path, err).
		WithRemedy("restore the folder from a backup; without its key, hosts must be enrolled again")
}

func keyName(root *x509.Certificate) string {
	return "root-" + hex.EncodeToString(root.SubjectKeyId)[:16] + ".key"
}

// trust takes over a list of roots, the signing one first.
func (c *CA) trust(roots []*x509.Certificate) {
	c.roots, c.pool = roots, x509.NewCertPool()
	for _, r := range roots {
		c.pool.AddCert(r)
	}
	c.certs = map[string]*tls.Certificate{}
}

// Rotate makes a new root and begins to sign with it. The old ones stay
// trusted until they expire, and the one before signs the new one's key as
// well: a host that knows only that goes on, and learns the new root when it
// next renews.
func (c *CA) Rotate() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("cannot make a root: %w", err)
	}
	id := sha256.Sum256(pub)
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: c.fleet, Organization: []string{"Drover"}},
		NotBefore: now.Add(-skew), NotAfter: now.Add(rootLife), SubjectKeyId: id[:20],
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cannot make a root: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("cannot make a root: %w", err)
	}
	roots := []*x509.Certificate{root}
	for _, r := range c.roots {
		if now.Before(r.NotAfter) {
			roots = append(roots, r)
		}
	}
	var cross []*x509.Certificate
	if len(c.roots) > 0 {
		x := *t
		x.SerialNumber, x.NotAfter = serial(), c.roots[0].NotAfter
		if der, err = x509.CreateCertificate(rand.Reader, &x, c.roots[0], key.Public(), c.key); err != nil {
			return fmt.Errorf("cannot sign the new root by the old: %w", err)
		}
		xc, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("cannot sign the new root by the old: %w", err)
		}
		cross = append([]*x509.Certificate{xc}, c.cross...)
		if err := writeFile(c.path("cross.pem"), encodeCerts(cross)); err != nil {
			return err
		}
	}
	if err := writeFile(c.path(keyName(root)), keyPEM); err != nil {
		return err
	}
	if err := writeFile(c.path("roots.pem"), encodeCerts(roots)); err != nil { // from here on it is so
		return err
	}
	c.key, c.cross = key, cross
	c.trust(roots)
	return nil
}

// Fleet is the fleet's id.
func (c *CA) Fleet() string { return c.fleet }

// Bundle is the PEM of all roots to trust, the signing one first.
func (c *CA) Bundle() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return encodeCerts(c.roots)
}

// Pool is the roots to trust.
func (c *CA) Pool() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pool.Clone()
}

// Pin names the signing root: "sha256:HEX", what a join command carries.
func (c *CA) Pin() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return pinOf(c.roots[0])
}

// SignHost checks a certificate request (PKCS #10, DER) and signs a client
// certificate for host. What the request asks for beside its key is ignored.
// The result is PEM.
func (c *CA) SignHost(csr []byte, host string) ([]byte, error) {
	if err := api.ValidName(host); err != nil {
		return nil, err
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = req.CheckSignature()
	}
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot sign a certificate for host %q: the request is not valid: %v", host, err).
			WithRemedy("send a PKCS #10 request in DER, signed by its own key")
	}
	switch k := req.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			err = errors.New("P-224 is too weak")
		}
	case ed25519.PublicKey:
	default:
		err = fmt.Errorf("a key of type %s", req.PublicKeyAlgorithm)
	}
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot sign a certificate for host %q: %v", host, err).WithRemedy("use an ECDSA P-256 or Ed25519 key")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	der, err := c.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: host}, URIs: []*url.URL{identityURI(c.fleet, roleHost, host)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, req.PublicKey, c.o.HostLife)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a certificate for host %q: %w", host, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// sign fills in what all certificates share. The caller holds mu.
func (c *CA) sign(t *x509.Certificate, key crypto.PublicKey, life time.Duration) ([]byte, error) {
	now := c.o.Now()
	t.SerialNumber = serial()
	t.NotBefore, t.NotAfter = now.Add(-min(skew, life/2)), now.Add(life)
	if end := c.roots[0].NotAfter; t.NotAfter.After(end) {
		t.NotAfter = end
	}
	t.KeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	return x509.CreateCertificate(rand.Reader, t, c.roots[0], key, c.key)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	return n.Add(n, big.NewInt(1))
}

// serverCert is the server's certificate for names, made anew after two
// thirds of its life, and in memory only: every process makes its own.
func (c *CA) serverCert(names []string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := strings.Join(names, ",")
	if k := c.certs[id]; k != nil && c.o.Now().Before(renewAt(k.Leaf)) {
		return k, nil
	}
	key, _, err := newKey()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "drover server"},
		URIs:        []*url.URL{identityURI(c.fleet, roleServer, "drover")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if n != "" {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := c.sign(t, key.Public(), serverLife)
	if err != nil {
		return nil, fmt.Errorf("cannot make the server's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot make the server's certificate: %w", err)
	}
	k := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	for _, x := range c.cross { // for those who know only an older root
		if c.o.Now().Before(x.NotAfter) {
			k.Certificate = append(k.Certificate, x.Raw)
		}
	}
	for _, r := range c.roots { // for those who know only a pin
		k.Certificate = append(k.Certificate, r.Raw)
	}
	c.certs[id] = k
	return k, nil
}

// APITLS is the TLS configuration of the API: a server certificate for names
// (DNS names and addresses), renewed by itself, and no client certificate.
func (c *CA) APITLS(names ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.serverCert(names)
		},
	}
}

// LinkTLS is the TLS configuration of the agents' door: the server
// certificate, and client certificates of this fleet's hosts required. A
// refused certificate is told apart (another fleet, expired, no host's) in the handshake's error.
func (c *CA) LinkTLS(names ...string) *tls.Config {
	t := c.APITLS(names...)
	t.NextProtos = []string{"h2"}
	// The verification is ours, over the roots of this moment: VerifyConnection
	// runs on every handshake, resumed ones too.
	t.ClientAuth = tls.RequireAnyClientCert
	t.VerifyConnection = func(s tls.ConnectionState) error {
		return c.VerifyHost(s.PeerCertificates)
	}
	return t
}

// VerifyHost checks a client's certificate chain, leaf first: a host of this fleet, valid now.
func (c *CA) VerifyHost(chain []*x509.Certificate) error {
	c.mu.Lock()
	pool, fleet := c.pool, c.fleet
	c.mu.Unlock()
	return verify(chain, pool, fleet, roleHost, c.o.Now())
}

// parseCerts reads all certificates of a PEM file.
func parseCerts(raw []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return out, nil
}

func encodeCerts(cs []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range cs {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a Buffer does not fail
	}
	return b.Bytes()
}

// writeFile replaces a private file, whole or not at all.
func writeFile(path string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		var d *os.File
		if d, err = os.Open(filepath.Dir(path)); err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
