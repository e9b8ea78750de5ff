package pki_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drover/api"
	"drover/internal/pki"
)

func openCA(t *testing.T, dir string, o pki.Options) *pki.CA {
	t.Helper()
	c, err := pki.OpenCA(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enrol makes an identity as an agent and a server do together.
func enrol(t *testing.T, c *pki.CA, host string) *pki.Identity {
	t.Helper()
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.Request(host, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.SignHost(csr, host)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.ParseIdentity(cert, keyPEM, c.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake does one handshake with a byte each way and gives both ends' errors.
func shake(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer raw.Close()
		s := tls.Server(raw, server)
		if err = s.HandshakeContext(t.Context()); err == nil {
			seen = s.ConnectionState()
			_, err = s.Write([]byte("x"))
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	if clientErr = c.HandshakeContext(t.Context()); clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	} else {
		raw.Close()
	}
	return seen, <-done, clientErr
}

func wantRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeUnauthorized || e.Remedy == "" {
		t.Fatalf("got %v, want a refusal with a remedy", err)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("%q does not say %q", e.Message, w)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ca := openCA(t, dir, pki.Options{})
	id := enrol(t, ca, "web-1")
	if id.Fleet != ca.Fleet() || id.Host != "web-1" {
		t.Fatalf("identity %s of %s", id.Host, id.Fleet)
	}
	seen, serr, cerr := shake(t, ca.LinkTLS("drover.example"), id.TLS())
	if serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	host, err := pki.HostFromCert(seen.PeerCertificates[0])
	if err != nil || host != "web-1" || seen.Version != tls.VersionTLS13 {
		t.Fatal(host, err, seen.Version)
	}
	// The same CA after a restart.
	if _, serr, cerr = shake(t, openCA(t, dir, pki.Options{}).LinkTLS(), id.TLS()); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	// Without a certificate there is no way in.
	bare := id.TLS()
	bare.Certificates = nil
	if _, serr, _ = shake(t, ca.LinkTLS(), bare); serr == nil {
		t.Fatal("a client without a certificate was let in")
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if i, err := e.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), i.Mode())
		}
	}
}

func TestOtherFleet(t *testing.T) {
	ours, theirs := openCA(t, t.TempDir(), pki.Options{}), openCA(t, t.TempDir(), pki.Options{})
	stranger := enrol(t, theirs, "web-1")
	_, _, cerr := shake(t, ours.LinkTLS(), stranger.TLS())
	wantRefused(t, cerr, "another fleet", ours.Fleet(), theirs.Fleet())
	naive := stranger.TLS() // takes any server
	naive.VerifyConnection = nil
	_, serr, _ := shake(t, ours.LinkTLS(), naive)
	wantRefused(t, serr, `host "web-1"`, "another fleet", theirs.Fleet())
}

// A certificate that only says that it is of this fleet is not believed.
func TestForged(t *testing.T) {
	ours := openCA(t, t.TempDir(), pki.Options{})
	ca, err := forge(ours.Fleet(), "web-1")
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, ours.VerifyHost(ca), "not signed by this fleet")
}

func TestRoles(t *testing.T) {
	ca := openCA(t, t.TempDir(), pki.Options{})
	host := enrol(t, ca, "web-1")
	// A host's certificate is no server's.
	imposter := &tls.Config{Certificates: []tls.Certificate{host.Certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}
	if _, _, cerr := shake(t, imposter, host.TLS()); cerr == nil {
		t.Fatal("a host passed for a server")
	} else {
		wantRefused(t, cerr)
	}
	server, err := ca.APITLS("x").GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.VerifyHost([]*x509.Certificate{server.Leaf}); err == nil {
		t.Fatal("a server passed for a host")
	}
	if _, err := pki.HostFromCert(server.Leaf); err == nil {
		t.Fatal("a server's certificate names a host")
	}
}

func TestExpiry(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	ca := openCA(t, t.TempDir(), pki.Options{Now: clock})
	id := enrol(t, ca, "web-1")
	life := id.NotAfter.Sub(id.NotBefore)
	if life < 24*time.Hour || life > 25*time.Hour {
		t.Fatalf("a certificate lives %v", life)
	}
	if at := id.RenewAt(); at.Before(now.Add(15*time.Hour)) || at.After(now.Add(17*time.Hour)) {
		t.Fatalf("renewed at %v from now", at.Sub(now))
	}
	chain := []*x509.Certificate{id.Certificate.Leaf}
	if err := ca.VerifyHost(chain); err != nil {
		t.Fatal(err)
	}
	now = now.Add(25 * time.Hour)
	wantRefused(t, ca.VerifyHost(chain), "expired at", "web-1")
	now = now.Add(-26 * time.Hour)
	wantRefused(t, ca.VerifyHost(chain), "valid only from")
	// The server's own is made anew in time.
	now = now.Add(time.Hour)
	cfg := ca.LinkTLS("a")
	first, err := cfg.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(25 * 24 * time.Hour)
	second, err := cfg.GetCertificate(nil)
	if err != nil || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Fatal("the server's certificate is not renewed", err)
	}
}

func TestBadRequests(t *testing.T) {
	ca := openCA(t, t.TempDir(), pki.Options{})
	key, _, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	good, err := pki.Request("web-1", key)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	for name, c := range map[string]struct {
		csr  []byte
		host string
	}{"empty": {nil, "a"}, "not DER": {[]byte("hello"), "a"}, "wrong signature": {bad, "a"}, "bad name": {good, "../etc"}} {
		if _, err := ca.SignHost(c.csr, c.host); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The name is the server's decision.
	raw, err := ca.SignHost(good, "web-2")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := pem.Decode(raw)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := pki.HostFromCert(c); h != "web-2" || err != nil {
		t.Fatal(h, err)
	}
}

func TestPin(t *testing.T) {
	ca := openCA(t, t.TempDir(), pki.Options{})
	cfg, err := pki.PinnedTLS(ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	if _, serr, cerr := shake(t, ca.APITLS("localhost"), cfg); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	if p, err := pki.PinOf(ca.Bundle()); p != ca.Pin() || err != nil {
		t.Fatal(p, err)
	}
	_, _, cerr := shake(t, openCA(t, t.TempDir(), pki.Options{}).APITLS("localhost"), cfg)
	wantRefused(t, cerr, "not the one named")
	if _, err := pki.PinnedTLS("sha256:abc"); api.CodeOf(err) != api.CodeInvalid {
		t.Fatal(err)
	}
	// Old pins work on after a rotation.
	if err := ca.Rotate(); err != nil {
		t.Fatal(err)
	}
	if _, serr, cerr := shake(t, ca.APITLS("localhost"), cfg); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
}

// Hosts enrolled before and after a rotation, and a second one, go on.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	ca := openCA(t, dir, pki.Options{})
	old := enrol(t, ca, "old")
	fleet := ca.Fleet()
	for range 2 {
		if err := ca.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	ca = openCA(t, dir, pki.Options{})
	young := enrol(t, ca, "young")
	if ca.Fleet() != fleet || strings.Count(string(ca.Bundle()), "BEGIN") != 3 {
		t.Fatalf("fleet %s, roots\n%s", ca.Fleet(), ca.Bundle())
	}
	for _, id := range []*pki.Identity{old, young} {
		if _, serr, cerr := shake(t, ca.LinkTLS("x"), id.TLS()); serr != nil || cerr != nil {
			t.Fatalf("%s: %v, %v", id.Host, serr, cerr)
		}
	}
}

func TestSigning(t *testing.T) {
	dir := t.TempDir()
	ca := openCA(t, dir, pki.Options{})
	sum := strings.Repeat("ab", 32)
	sig := ca.SignBinary("1.2.3", sum)
	key := openCA(t, dir, pki.Options{}).SigningKey()
	if err := pki.VerifyBinary(key, "1.2.3", sum, sig); err != nil {
		t.Fatal(err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	for name, err := range map[string]error{
		"other version": pki.VerifyBinary(key, "1.2.4", sum, sig),
		"other binary":  pki.VerifyBinary(key, "1.2.3", strings.Repeat("cd", 32), sig),
		"other fleet":   pki.VerifyBinary(other, "1.2.3", sum, sig),
		"no signature":  pki.VerifyBinary(key, "1.2.3", sum, nil),
		"no key":        pki.VerifyBinary(nil, "1.2.3", sum, sig),
	} {
		if err == nil {
			t.Errorf("%s is trusted", name)
		}
	}
}

func TestDamagedCA(t *testing.T) {
	dir := t.TempDir()
	openCA(t, dir, pki.Options{})
	keys, err := filepath.Glob(filepath.Join(dir, "root-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := os.WriteFile(keys[0], []byte("gone"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = pki.OpenCA(dir, pki.Options{})
	if err == nil || !strings.Contains(err.Error(), keys[0]) || !strings.Contains(err.Error(), "backup") {
		t.Fatal(err)
	}
}

func TestSealer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	s, err := pki.OpenSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal([]byte("secret"), "vault/web")
	if strings.Contains(string(sealed), "secret") {
		t.Fatal("not sealed")
	}
	if s, err = pki.OpenSealer(path); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(sealed, "vault/web"); err != nil || string(got) != "secret" {
		t.Fatal(string(got), err)
	}
	if _, err := s.Open(sealed, "vault/db"); err == nil {
		t.Fatal("opened for another purpose")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := s.Open(sealed, "vault/web"); err == nil {
		t.Fatal("opened though damaged")
	}
}
