package sshdial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"drover/api"
)

// keyring keeps the private keys that were read, so that a fleet's worth of
// connections opens each file, and asks for each passphrase, once.
type keyring struct {
	mu   sync.Mutex
	keys map[string]*fileKey
}

func newKeyring() *keyring { return &keyring{keys: map[string]*fileKey{}} }

// fileKey is a key file: its public half at once, the private when it is needed.
type fileKey struct {
	name string
	pub  ssh.PublicKey
	err  error // why it cannot be used at all

	mu     sync.Mutex
	raw    []byte // of an encrypted key that nobody opened yet
	signer ssh.AlgorithmSigner
}

func (k *keyring) open(name string) *fileKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f, ok := k.keys[name]; ok {
		return f
	}
	f := readKey(name)
	k.keys[name] = f
	return f
}

func readKey(name string) *fileKey {
	f := &fileKey{name: name}
	raw, err := os.ReadFile(name)
	if err != nil {
		f.err = err
		return f
	}
	signer, err := ssh.ParsePrivateKey(raw)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		f.pub = signer.PublicKey()
		f.signer, _ = signer.(ssh.AlgorithmSigner)
	case errors.As(err, &locked):
		f.raw, f.pub = raw, locked.PublicKey
		if f.pub == nil {
			f.pub = publicFile(name + ".pub")
		}
		if f.pub == nil {
			f.err = errors.New("it is encrypted and no public key lies beside it")
		}
	default:
		f.err = err
	}
	return f
}

func publicFile(name string) ssh.PublicKey {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil
	}
	return pub
}

func (f *fileKey) locked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signer == nil
}

// errNoPassphrase is why an encrypted key was left out.
var errNoPassphrase = errors.New("it is encrypted and there is no passphrase")

// unlock gives the signer, asking for the passphrase if it must.
func (f *fileKey) unlock(ctx context.Context, ask func(context.Context, string) ([]byte, error)) (ssh.AlgorithmSigner, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.signer != nil {
		return f.signer, nil
	}
	if ask == nil {
		return nil, errNoPassphrase
	}
	phrase, err := ask(ctx, f.name)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase(f.raw, phrase)
	clear(phrase)
	if err != nil {
		return nil, fmt.Errorf("wrong passphrase for %s", f.name)
	}
	as, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("unusable kind of key %s", signer.PublicKey().Type())
	}
	f.signer, f.raw = as, nil
	return as, nil
}

// lateSigner signs with a key that is unlocked at the first signature, which
// the library asks for only when the server would accept the key.
type lateSigner struct {
	ctx context.Context
	key *fileKey
	pub ssh.PublicKey // the key's, or a certificate over it
	a   *authenticator
}

func (l *lateSigner) PublicKey() ssh.PublicKey { return l.pub }

func (l *lateSigner) Algorithms() []string {
	if l.key.pub.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{l.key.pub.Type()}
}

func (l *lateSigner) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return l.SignWithAlgorithm(r, data, "")
}

func (l *lateSigner) SignWithAlgorithm(r io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := l.key.unlock(l.ctx, l.a.d.o.Passphrase)
	if err != nil {
		l.a.err = api.Errorf(api.CodeUnauthorized, "cannot sign in to %s: cannot use the key %s: %v", l.a.s.where(), l.key.name, err).
			WithRemedy("add it to an agent (ssh-add), or give the passphrase")
		return nil, err
	}
	return signer.SignWithAlgorithm(r, data, algorithm)
}

// authenticator gathers what one sign-in may try.
type authenticator struct {
	ctx     context.Context
	d       *Dialer
	s       *settings
	err     error // what made it fail, if it was not the server's no
	offered []string
	asked   bool
	agent   net.Conn
}

func (a *authenticator) close() {
	if a.agent != nil {
		a.agent.Close()
	}
}

// tried lists what was offered, for the error.
func (a *authenticator) tried() string {
	var parts []string
	switch n := len(a.offered); {
	case n == 1:
		parts = append(parts, "the key "+a.offered[0])
	case n > 1:
		parts = append(parts, fmt.Sprintf("all %d keys (%s)", n, strings.Join(a.offered, ", ")))
	}
	if a.asked {
		parts = append(parts, "the password")
	}
	if len(parts) == 0 {
		return "us: there was no key and no password to offer"
	}
	return strings.Join(parts, " and ")
}

func (a *authenticator) methods() []ssh.AuthMethod {
	var m []ssh.AuthMethod
	if a.s.pubkey {
		m = append(m, ssh.PublicKeysCallback(a.signers))
	}
	canAsk := a.s.password != "" || a.d.o.Password != nil
	if a.s.passwords && canAsk {
		m = append(m, ssh.PasswordCallback(a.password))
	}
	if a.s.keyboard && canAsk {
		m = append(m, ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if echos[i] {
					continue // not a password: nobody is here to answer
				}
				p, err := a.password()
				if err != nil {
					return nil, err
				}
				answers[i] = p
			}
			return answers, nil
		}))
	}
	return m
}

func (a *authenticator) password() (string, error) {
	a.asked = true
	if a.s.password != "" {
		return a.s.password, nil
	}
	p, err := a.d.o.Password(a.ctx, a.s.user, a.s.host)
	if err != nil {
		a.err = api.Errorf(api.CodeUnauthorized, "cannot sign in to %s as %s: no password: %v", a.s.where(), a.s.user, err)
	}
	return p, err
}

// signers lists keys in the order of OpenSSH: those named, first where the
// agent holds them, then the agent's others, then the files alone.
func (a *authenticator) signers() ([]ssh.Signer, error) {
	var held []ssh.Signer
	if a.s.agentSocket != "" {
		if conn, err := (&net.Dialer{}).DialContext(a.ctx, "unix", a.s.agentSocket); err == nil {
			a.agent = conn
			held, _ = agent.NewClient(conn).Signers()
		}
	}
	var files []*fileKey
	for _, name := range a.s.keyFiles {
		f := a.d.keys.open(name)
		if f.err == nil {
			files = append(files, f)
		} else if !errors.Is(f.err, fs.ErrNotExist) && a.err == nil {
			a.offered = append(a.offered, fmt.Sprintf("%s (unusable: %v)", name, f.err))
		}
	}
	var out []ssh.Signer
	used := map[string]bool{}
	add := func(s ssh.Signer, name string) {
		id := string(s.PublicKey().Marshal())
		if !used[id] {
			used[id] = true
			out = append(out, s)
			a.offered = append(a.offered, name)
		}
	}
	certs := a.certificates(files)
	for _, f := range files {
		for _, c := range certs {
			if bytes.Equal(c.Key.Marshal(), f.pub.Marshal()) {
				add(&lateSigner{a.ctx, f, c, a}, f.name+" with its certificate")
			}
		}
		inAgent := false
		for _, h := range held {
			if bytes.Equal(h.PublicKey().Marshal(), f.pub.Marshal()) {
				add(h, f.name)
				inAgent = true
			}
		}
		locked := f.locked() && a.d.o.Passphrase == nil
		if !inAgent && !locked {
			add(&lateSigner{a.ctx, f, f.pub, a}, f.name)
		} else if locked && !inAgent {
			a.offered = append(a.offered, f.name+" (unusable: "+errNoPassphrase.Error()+")")
		}
	}
	if !a.s.identitiesOnly {
		for _, h := range held {
			add(h, "of the agent "+ssh.FingerprintSHA256(h.PublicKey()))
		}
	}
	return out, nil
}

// certificates reads those named and those beside the keys.
func (a *authenticator) certificates(files []*fileKey) []*ssh.Certificate {
	names := a.s.certFiles
	for _, f := range files {
		names = append(names, f.name+"-cert.pub")
	}
	var out []*ssh.Certificate
	for _, n := range names {
		if c, ok := publicFile(n).(*ssh.Certificate); ok {
			out = append(out, c)
		}
	}
	return out
}

var _ ssh.MultiAlgorithmSigner = (*lateSigner)(nil)
