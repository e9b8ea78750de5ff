package server

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"os"
	"strings"
	"sync"
	"time"

	"drover/internal/pki"
)

// certFile is a certificate in files that somebody else renews: it is read
// again when they change.
type certFile struct {
	cert, key string

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	loaded  *tls.Certificate
}

// certCheckEvery is how often the files are looked at.
const certCheckEvery = 10 * time.Second

func (c *certFile) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.checked) < certCheckEvery {
		return c.loaded, nil
	}
	c.checked = time.Now()
	var newest time.Time
	for _, file := range []string{c.cert, c.key} {
		info, err := os.Stat(file)
		if err != nil {
			return c.keep(err)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if c.loaded != nil && newest.Equal(c.changed) {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return c.keep(err)
	}
	c.loaded, c.changed = &pair, newest
	return c.loaded, nil
}

// keep goes on with the old pair while a new one is half written.
func (c *certFile) keep(err error) (*tls.Certificate, error) {
	if c.loaded != nil {
		return c.loaded, nil
	}
	return nil, err
}

// pem is the chain, which who trusts it alone can verify the server with.
func (c *certFile) pem() (string, error) {
	pair, err := c.get(nil)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, der := range pair.Certificate {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.String(), nil
}

// isFor reports whether the certificate is for that name or address.
func (c *certFile) isFor(host string) bool {
	pair, err := c.get(nil)
	return err == nil && pair.Leaf.VerifyHostname(host) == nil
}

// name is one that the certificate is for, "" if that is none in particular.
func (c *certFile) name() string {
	pair, err := c.get(nil)
	if err != nil {
		return ""
	}
	for _, n := range pair.Leaf.DNSNames {
		if !strings.Contains(n, "*") {
			return n
		}
	}
	if len(pair.Leaf.IPAddresses) > 0 {
		return pair.Leaf.IPAddresses[0].String()
	}
	return ""
}

// apiPin names the API's certificate for hosts that join, if it was given.
func (s *Server) apiPin() string {
	if s.given == nil {
		return ""
	}
	pair, err := s.given.get(nil)
	if err != nil {
		return ""
	}
	return pki.LeafPin(pair.Certificate[0])
}

// followCertificate keeps the credential of this machine's root as the given
// certificate is, which it trusts, until ctx ends.
func (s *Server) followCertificate(ctx context.Context, url string) {
	was := s.apiPin()
	tick := time.NewTicker(certCheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		is := s.apiPin()
		if is == was {
			continue
		}
		if err := s.writeCredential(url); err != nil {
			s.log.Warn("cannot write this machine's credential with the new certificate", "error", err)
			continue
		}
		was = is
	}
}
