package server

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
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
