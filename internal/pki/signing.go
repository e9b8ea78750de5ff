package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"drover/api"
)

// loadSigning reads the key that signs agent binaries, or makes it.
func loadSigning(path string) (ed25519.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("cannot make the signing key: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("cannot make the signing key: %w", err)
		}
		return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the signing key: %w", err)
	}
	k, err := parseKey(raw)
	if err != nil {
		return nil, damaged(path, err)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, damaged(path, errors.New("it is no Ed25519 key"))
	}
	return key, nil
}

// SigningKey is the public key that agent binaries are verified with.
func (c *CA) SigningKey() ed25519.PublicKey { return c.signing.Public().(ed25519.PublicKey) }

// SignBinary signs an agent binary by version and SHA-256 (hex): api.AgentOffer.Signature.
func (c *CA) SignBinary(version, sha256 string) []byte {
	return ed25519.Sign(c.signing, binaryMessage(version, sha256))
}

func binaryMessage(version, sha256 string) []byte {
	return []byte("drover-agent\n" + version + "\n" + sha256)
}

// VerifyBinary checks the signature of an agent binary.
func VerifyBinary(key ed25519.PublicKey, version, sha256 string, signature []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return api.Errorf(api.CodeInvalid, "cannot verify the agent %s: the fleet's signing key is not known", version).WithRemedy("enrol the host again")
	}
	if !ed25519.Verify(key, binaryMessage(version, sha256), signature) {
		return api.Errorf(api.CodeUnauthorized, "cannot trust the agent %s (%s): it is not signed by this fleet", version, sha256)
	}
	return nil
}

// Sealer seals secrets at rest (AES-256-GCM) with a key kept in a file (0600).
type Sealer struct {
	aead cipher.AEAD
}

// OpenSealer loads the key in path, or makes one.
func OpenSealer(path string) (*Sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key)
		err = writeFile(path, key)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the sealing key: %w", err)
	}
	if len(key) != 32 {
		return nil, damaged(path, errors.New("it is not 32 bytes long"))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("cannot use the sealing key: %w", err)
	}
	return &Sealer{aead}, nil
}

// Seal encrypts and binds to context, which says what the secret is for: "vault/web".
func (s *Sealer) Seal(plain []byte, context string) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(context))
}

// Open decrypts what Seal made with the same context.
func (s *Sealer) Open(sealed []byte, context string) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(context))
	if err != nil {
		return nil, api.Errorf(api.CodeInternal, "cannot open the sealed %s: it was sealed with another key, for something else, or is damaged", context).
			WithRemedy("restore the data directory's sealing key, or set the secret again")
	}
	return plain, nil
}
