package sshdial

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"drover/api"
)

// knownHosts is the content of known_hosts files, and what was added to them.
type knownHosts struct {
	files []string
	check ssh.HostKeyCallback // of the files; nil when there are none

	mu    sync.Mutex
	added map[string][]ssh.PublicKey // by normalised address
}

func (d *Dialer) knownFor(s *settings) (*knownHosts, error) {
	if s.hostKeys == Off {
		return &knownHosts{}, nil
	}
	key := strings.Join(s.knownFiles, "\x00")
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.known[key]; ok {
		return k, nil
	}
	k := &knownHosts{files: s.knownFiles, added: map[string][]ssh.PublicKey{}}
	var there []string
	for _, f := range s.knownFiles {
		if st, err := os.Stat(f); err == nil && st.Mode().IsRegular() {
			there = append(there, f)
		}
	}
	if len(there) > 0 {
		check, err := knownhosts.New(there...)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "cannot read the known hosts: %v", err).WithRemedy("correct or remove that line")
		}
		k.check = check
	}
	d.known[key] = k
	return k, nil
}

// lookup checks a key against files and additions: nil if it is known, a
// *knownhosts.KeyError otherwise.
func (k *knownHosts) lookup(name string, remote net.Addr, key ssh.PublicKey) error {
	k.mu.Lock()
	for _, have := range k.added[knownhosts.Normalize(name)] {
		if string(have.Marshal()) == string(key.Marshal()) {
			k.mu.Unlock()
			return nil
		}
	}
	added := len(k.added[knownhosts.Normalize(name)]) > 0
	k.mu.Unlock()
	if k.check == nil {
		if added {
			return &knownhosts.KeyError{Want: []knownhosts.KnownKey{{Filename: k.files[0]}}}
		}
		return &knownhosts.KeyError{}
	}
	return k.check(name, remote, key)
}

// hostKeyCheck decides about one host's key and keeps why it said no.
type hostKeyCheck struct {
	known *knownHosts
	s     *settings
	err   error
}

// algorithms puts the kinds of key that are known of the host first, so that
// a server with several shows the one that can be checked.
func (c *hostKeyCheck) algorithms(remote net.Addr) []string {
	if c.s.hostKeys == Off {
		return nil
	}
	var probe ssh.PublicKey
	if p, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))); err == nil {
		probe = p
	}
	var ke *knownhosts.KeyError
	if !errors.As(c.known.lookup(c.s.knownName(), checkAddr(c.s, remote), probe), &ke) {
		return nil
	}
	var first []string
	for _, want := range ke.Want {
		if want.Key == nil {
			continue
		}
		switch t := want.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			first = append(first, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			first = append(first, t)
		}
	}
	if len(first) == 0 {
		return nil
	}
	// Certificates stay possible: an authority may vouch for the host.
	all := append([]string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}, first...)
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// checkAddr stands in for the address where the stream has none to compare.
func checkAddr(s *settings, remote net.Addr) net.Addr {
	if s.alias != "" || s.proxyCommand != "" || len(s.jumps) > 0 || remote == nil {
		return noAddr{s.knownName()}
	}
	return noAddr{s.knownName()}
}

// noAddr repeats the name, so that only the name is looked up: like OpenSSH
// with CheckHostIP off, its default.
type noAddr struct{ name string }

func (noAddr) Network() string  { return "tcp" }
func (a noAddr) String() string { return a.name }

func (c *hostKeyCheck) callback(_ string, remote net.Addr, key ssh.PublicKey) error {
	c.err = c.decide(remote, key)
	return c.err
}

func (c *hostKeyCheck) decide(remote net.Addr, key ssh.PublicKey) error {
	s := c.s
	if s.hostKeys == Off {
		return nil
	}
	err := c.known.lookup(s.knownName(), checkAddr(s, remote), key)
	if err == nil {
		return nil
	}
	name := knownhosts.Normalize(s.knownName())
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		return &api.Error{Code: api.CodeUnauthorized, Message: fmt.Sprintf("cannot trust %s: its host key is marked as revoked", s.where()),
			Place:  &api.Place{File: revoked.Revoked.Filename, Line: revoked.Revoked.Line},
			Remedy: "somebody may be listening in; give the host a new key"}
	}
	var ke *knownhosts.KeyError
	if !errors.As(err, &ke) {
		return api.Errorf(api.CodeUnauthorized, "cannot trust %s: %v", s.where(), err)
	}
	if len(ke.Want) > 0 {
		e := &api.Error{Code: api.CodeUnauthorized,
			Message: fmt.Sprintf("cannot trust %s: its host key changed (it shows %s %s)", s.where(), key.Type(), ssh.FingerprintSHA256(key)),
			Remedy:  fmt.Sprintf("somebody may be listening in; if the host was installed anew, run: ssh-keygen -R '%s'", name)}
		if w := ke.Want[0]; w.Filename != "" {
			e.Place = &api.Place{File: w.Filename, Line: w.Line}
		}
		return e
	}
	if s.hostKeys == Strict {
		return &api.Error{Code: api.CodeUnauthorized,
			Message: fmt.Sprintf("cannot trust %s: its host key is not known (it shows %s %s)", s.where(), key.Type(), ssh.FingerprintSHA256(key)),
			Remedy:  fmt.Sprintf("add it to %s after comparing, or accept new keys (StrictHostKeyChecking accept-new)", firstOr(s.knownFiles, "known_hosts"))}
	}
	return c.known.add(name, key, s.hashKnown)
}

func firstOr(list []string, or string) string {
	if len(list) > 0 {
		return list[0]
	}
	return or
}

// add keeps a new host's key, in the first file and for this process. A file
// that cannot be written is no reason to refuse the host: it is asked again
// next time, as OpenSSH does.
func (k *knownHosts) add(name string, key ssh.PublicKey, hash bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if have := k.added[name]; len(have) > 0 {
		for _, h := range have {
			if string(h.Marshal()) == string(key.Marshal()) {
				return nil
			}
		}
	}
	k.added[name] = append(k.added[name], key)
	if len(k.files) == 0 {
		return nil
	}
	shown := name
	if hash {
		shown = knownhosts.HashHostname(name)
	}
	if err := os.MkdirAll(filepath.Dir(k.files[0]), 0o700); err != nil {
		return nil
	}
	f, err := os.OpenFile(k.files[0], os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil
	}
	defer f.Close()
	line := knownhosts.Line([]string{shown}, key) + "\n"
	if st, err := f.Stat(); err == nil && st.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, st.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	f.WriteString(line) //nolint:errcheck // see above
	return nil
}
