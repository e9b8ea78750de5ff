package module

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/play/machine"

	"golang.org/x/crypto/ssh"
)

// sshKey makes the user's key pair if there is none, and tells the public half.
func (u *userTask) sshKey(ctx context.Context, a *account) bool {
	file := u.Str("ssh_key_file")
	if file == "" {
		file = ".ssh/id_" + u.Str("ssh_key_type")
	}
	if !filepath.IsAbs(file) {
		if !u.Host.Exists(a.Home) && !(u.Check && u.Bool("create_home")) {
			u.r.Fail("User %s home directory does not exist", u.name).Set("rc", 1)
			return false
		}
		file = filepath.Join(a.Home, file)
	}
	u.r.Set("ssh_key_file", file)
	if !u.Host.Exists(file) {
		u.r.Change("file", file, "create", nil, nil)
		if u.Check {
			return true
		}
		if err := u.makeKey(file, a); err != nil {
			u.r.Fail("cannot make the SSH key of user %s: %v", u.name, err)
			return false
		}
	}
	raw, err := u.Host.ReadFile(file + ".pub")
	if err != nil {
		return true // a private key without its public half is the user's own business
	}
	pub, comment, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return true
	}
	u.r.Set("ssh_public_key", strings.TrimSpace(string(raw)))
	kind, bits := keyKind(pub)
	u.r.Set("ssh_fingerprint", fmt.Sprintf("%d %s %s (%s)", bits, ssh.FingerprintSHA256(pub), comment, kind))
	return ctx.Err() == nil
}

func keyKind(pub ssh.PublicKey) (string, int) {
	if ck, ok := pub.(ssh.CryptoPublicKey); ok {
		switch k := ck.CryptoPublicKey().(type) {
		case *rsa.PublicKey:
			return "RSA", k.N.BitLen()
		case *ecdsa.PublicKey:
			return "ECDSA", k.Curve.Params().BitSize
		case ed25519.PublicKey:
			return "ED25519", 256
		}
	}
	return "UNKNOWN", 0
}

func (u *userTask) generate() (crypto.PrivateKey, error) {
	bits := int(u.Int("ssh_key_bits"))
	switch kind := u.Str("ssh_key_type"); kind {
	case "rsa":
		if bits == 0 {
			bits = 3072
		}
		if bits < 1024 || bits > 16384 {
			return nil, fmt.Errorf("%d bits for an RSA key; use 3072 or 4096", bits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "ecdsa":
		curve, ok := map[int]elliptic.Curve{0: elliptic.P256(), 256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}[bits]
		if !ok {
			return nil, fmt.Errorf("%d bits for an ECDSA key; use 256, 384 or 521", bits)
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	default:
		return nil, fmt.Errorf("unknown type of key %q; use rsa, ed25519 or ecdsa", kind)
	}
}

func (u *userTask) makeKey(file string, a *account) error {
	dir := filepath.Dir(file)
	if !u.Host.Exists(dir) {
		if err := os.MkdirAll(u.Host.Path(dir), 0o700); err != nil {
			return err
		}
		if err := os.Chown(u.Host.Path(dir), a.UID, a.GID); err != nil {
			return err
		}
	}
	key, err := u.generate()
	if err != nil {
		return err
	}
	comment := u.Str("ssh_key_comment")
	if !u.Has("ssh_key_comment") {
		name, _ := os.Hostname()
		comment = "ansible-generated on " + name
	}
	var block *pem.Block
	if u.Has("ssh_key_passphrase") && u.Str("ssh_key_passphrase") != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, comment, []byte(u.Str("ssh_key_passphrase")))
	} else {
		block, err = ssh.MarshalPrivateKey(key, comment)
	}
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " " + comment + "\n"
	// The public half first: with the private one the pair counts as made.
	for _, f := range []struct {
		name string
		data []byte
		mode string
	}{{file + ".pub", []byte(public), "0644"}, {file, pem.EncodeToMemory(block), "0600"}} {
		if err := writeOwned(u.Host, f.name, f.data, f.mode, a); err != nil {
			return err
		}
	}
	return nil
}

// writeOwned writes a new file that belongs to a user from its first moment.
func writeOwned(h *Host, path string, data []byte, mode string, a *account) error {
	s, err := h.Stage(path, false)
	if err != nil {
		return err
	}
	defer s.Abort()
	if _, err := s.Write(data); err != nil {
		return err
	}
	return s.Commit(&machine.Attrs{Mode: mode, HaveIDs: true, UID: a.UID, GID: a.GID}, false)
}
